"""The direction of every metric: an accuracy is better when larger, an error when smaller."""

from dataclasses import replace

import numpy as np
import pytest

from flows.ranking import Candidate, objective, rank
from flows.tracking.search_runs import TrialRecord


def record(name: str, diverged_at: int | None = None, **metrics: float) -> TrialRecord:
    values = {f"val/{metric}": value for metric, value in metrics.items()}
    return TrialRecord(name, name, name, {}, values, diverged_at)


def names(records: list[TrialRecord]) -> list[str]:
    return [ranked.name for ranked in records]


def test_classification_ranks_the_highest_accuracy_first() -> None:
    records = [record("low", accuracy=0.5, loss=0.1), record("high", accuracy=0.9, loss=0.9)]

    assert names(rank(records, objective("classification"))) == ["high", "low"]


def test_regression_ranks_the_lowest_error_first() -> None:
    records = [record("far", rmse=9.0, r2=0.1, loss=2.0), record("near", rmse=1.0, r2=0.9, loss=1.0)]

    assert names(rank(records, objective("regression"))) == ["near", "far"]


def test_several_labels_rank_the_lowest_loss_first_however_many_rows_have_all_labels_right() -> None:
    records = [record("lucky", accuracy=0.5, loss=2.0), record("sure", accuracy=0.4, loss=1.0)]

    assert names(rank(records, objective("multilabel"))) == ["sure", "lucky"]


def test_the_lower_validation_loss_decides_between_equals() -> None:
    records = [record("unsure", accuracy=0.9, loss=0.8), record("sure", accuracy=0.9, loss=0.2)]

    assert names(rank(records, objective("classification"))) == ["sure", "unsure"]


def test_a_diverged_trial_has_no_rank_however_good_its_last_number() -> None:
    records = [record("diverged", diverged_at=3, accuracy=0.99, loss=0.1), record("sound", accuracy=0.2, loss=2.0)]

    assert names(rank(records, objective("classification"))) == ["sound"]


def test_a_pruned_trial_ranks_after_all_that_were_not_however_good_its_last_number() -> None:
    pruned = [
        replace(record(name, accuracy=score, loss=0.1), pruned_at=1) for name, score in (("low", 0.8), ("high", 0.99))
    ]

    ranked = rank([*pruned, record("full", accuracy=0.2, loss=2.0)], objective("classification"))

    assert names(ranked) == ["full", "high", "low"]


def test_better_is_strict_in_both_directions() -> None:
    assert objective("classification").better(0.9, 0.8)
    assert not objective("classification").better(0.8, 0.8)
    assert objective("regression").better(1.0, 2.0)
    assert not objective("regression").better(2.0, 1.0)


def candidate(name: str, *accuracies: float, diverged_at: int | None = None) -> Candidate:
    """A configuration with a trial for each accuracy, the last of which diverged if so."""
    members = [record(f"{name} {place}", accuracy=reached, loss=1.0) for place, reached in enumerate(accuracies)]
    if diverged_at is not None:
        members.append(record(f"{name} wild", diverged_at=diverged_at, accuracy=1.0, loss=0.0))
    return Candidate(name, name, tuple(members))


def test_configurations_are_ranked_by_the_mean_of_their_trials_not_by_the_best_of_them() -> None:
    lucky, steady = candidate("lucky", 1.0, 0.5, 0.6), candidate("steady", 0.8, 0.81, 0.79)

    assert rank([lucky, steady], objective("classification")) == [steady, lucky]


def test_a_configuration_is_the_mean_and_the_sample_deviation_of_its_trials() -> None:
    found = candidate("some", 0.7, 0.8, 0.95)

    assert found.metrics["val/accuracy"] == pytest.approx(np.mean([0.7, 0.8, 0.95]))
    assert found.deviations["val/accuracy"] == pytest.approx(np.std([0.7, 0.8, 0.95], ddof=1))
    assert candidate("one", 0.7).deviations == {}


def test_what_only_one_of_the_trials_has_is_no_mean() -> None:
    tested = record("tested", accuracy=0.9, loss=0.3)
    tested.metrics["test/accuracy"] = 0.8

    assert set(Candidate("c", "c", (tested, record("other", accuracy=0.7, loss=0.2))).metrics) == {
        "val/accuracy",
        "val/loss",
    }


def test_a_configuration_with_a_trial_that_diverged_has_no_rank() -> None:
    wild, sound = candidate("wild", 0.99, 0.98, diverged_at=4), candidate("sound", 0.2, 0.3)

    assert rank([wild, sound], objective("classification")) == [sound]
    assert wild.diverged_at == 4
