"""By how much the winner leads: positive where it is better, and within chance where it is not better."""

import numpy as np
import pytest

from flows.evaluation.paired_metrics import METRICS
from flows.report.leads import CONFIDENCE, MOST_COMPARED, lead_of, measure_leads
from flows.report.searched import Searched
from flows.retraining.promotion import measure_gain


def right(share: float, seed: int, rows: int = 500) -> np.ndarray:
    """Return the statistics of an accuracy."""
    return np.column_stack([np.ones(rows), np.random.default_rng(seed).uniform(size=rows) < share])


def test_the_interval_is_that_of_the_bootstrap_that_promotions_use() -> None:
    ours, theirs = right(0.9, 0), right(0.8, 1)

    value, low, high = lead_of(METRICS["accuracy"], ours, theirs)

    gain = measure_gain(METRICS["accuracy"], ours, theirs, CONFIDENCE)
    assert value == pytest.approx(gain.value)
    assert (low, high) == pytest.approx(gain.interval, abs=0.006)
    assert low > 0


def test_a_smaller_error_is_a_positive_lead() -> None:
    errors = np.random.default_rng(0).normal(size=300) ** 2
    ours, theirs = (np.column_stack([np.ones(300), scale * errors]) for scale in (1.0, 4.0))
    value, low, _ = lead_of(METRICS["rmse"], ours, theirs)
    assert value == pytest.approx(np.sqrt(errors.mean()))
    assert 0 < low < value


def test_the_winner_is_compared_on_the_rows_that_ranked_it_and_on_the_test_rows(digits_search: Searched) -> None:
    leads = measure_leads(digits_search)

    assert len(leads.validation) == min(MOST_COMPARED, len(digits_search.ranked) - 1)
    best, second = digits_search.ranked[:2]
    first = leads.validation[0]
    assert first.rows == digits_search.dataset.rows["validation"]
    assert first.winner == pytest.approx(best.metrics["val/accuracy"], abs=1e-6)
    assert first.value == pytest.approx(best.metrics["val/accuracy"] - second.metrics["val/accuracy"], abs=1e-6)
    assert all(one.value >= 0 and one.low <= one.value <= one.high for one in leads.validation)
    assert leads.test is not None
    assert leads.test.rows == digits_search.dataset.rows["test"]


def test_of_a_regression_the_lead_is_in_the_unit_of_the_target(diabetes_search: Searched) -> None:
    leads = measure_leads(diabetes_search)
    best, second = diabetes_search.ranked[:2]
    expected = second.metrics["val/rmse"] - best.metrics["val/rmse"]
    assert leads.validation[0].value == pytest.approx(expected, rel=1e-3)
