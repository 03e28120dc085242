"""When two trainings came to the same."""

import math

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given
from hypothesis.extra.numpy import arrays

from backprop import Parameters
from flows.comparison import (
    TOLERANCE,
    CurvesComparison,
    WeightsComparison,
    compare_curves,
    compare_weights,
    verdict,
)

FLOATS = st.floats(-1e6, 1e6, width=32)


def parameters(weights: np.ndarray) -> Parameters:
    return Parameters([weights.reshape(1, -1, 1)], [np.zeros((1, 1, 1), "float32")])


def compared(then: np.ndarray, now: np.ndarray) -> WeightsComparison:
    return compare_weights("a", "b", parameters(then), parameters(now), None)


@given(then=arrays("float32", 5, elements=FLOATS), now=arrays("float32", 5, elements=FLOATS))
def test_weights_are_equal_where_numpys_measure_of_closeness_says_so(then: np.ndarray, now: np.ndarray) -> None:
    largest = compared(then, now).largest_difference

    assert largest is not None
    before, after = then.astype("float64"), now.astype("float64")
    # Numbers at the very tolerance may be rounded to either side of it.
    for slack, holds in ((1 + 1e-9, largest <= TOLERANCE), (1 - 1e-9, largest > TOLERANCE)):
        close = np.allclose(after, before, rtol=slack * TOLERANCE, atol=slack * TOLERANCE)
        assert not holds or close == (slack > 1)


def test_weights_of_a_divergence_are_compared_too() -> None:
    wild = np.array([np.nan, np.inf, -np.inf, 1.0], "float32")

    assert compared(wild, wild).largest_difference == 0
    assert compared(wild, wild + np.array([0, 0, 0, 1], "float32")).largest_difference == 0.5
    for tame in (np.zeros(4, "float32"), -wild):
        found = compared(wild, tame)
        assert found.largest_difference is None
        assert found.incomparable == "some are finite in only one of the two"


def test_the_first_epoch_that_differs_and_the_first_beyond_the_tolerance_are_named() -> None:
    then = {epoch: {"val/loss": 1.0, "val/accuracy": 0.5} for epoch in range(1, 6)}
    now = {epoch: dict(metrics) for epoch, metrics in then.items()}
    now[3]["val/loss"] += 1e-7
    now[5]["val/accuracy"] = 0.6

    found = compare_curves(then, now)

    assert (found.first_difference, found.first_beyond) == (3, 5)
    assert found.largest == {"val/accuracy": pytest.approx(0.2), "val/loss": pytest.approx(1e-7)}
    assert found.losses_agree


def test_curves_that_end_otherwise_differ_from_there_on() -> None:
    then = {1: {"val/loss": 1.0}, 2: {"val/loss": 0.5}}

    for shorter in ({1: {"val/loss": 1.0}}, {1: {"val/loss": 1.0}, 2: {}}):
        for pair in ((then, shorter), (shorter, then)):
            found = compare_curves(*pair)
            assert (found.first_difference, found.first_beyond) == (2, 2)
    assert compare_curves({}, {}).first_difference is None


def test_a_metric_that_was_nought_is_compared_as_it_is() -> None:
    assert compare_curves({1: {"val/loss": 0.0}}, {1: {"val/loss": 0.25}}).largest == {"val/loss": 0.25}


SAME = compare_curves({1: {"val/loss": 1.0}}, {1: {"val/loss": 1.0}})
FAR = compare_curves({1: {"val/loss": 1.0}}, {1: {"val/loss": 2.0}})


@pytest.mark.parametrize(
    ("now", "largest", "curves", "same_end", "said"),
    [
        ("a", 0.0, SAME, True, "identical"),
        ("a", None, FAR, False, "identical"),
        ("b", TOLERANCE, FAR, True, "equal"),
        ("b", math.nextafter(TOLERANCE, 1), SAME, True, "different"),
        ("b", 0.0, SAME, False, "different"),
        ("b", None, SAME, True, "equal"),
        ("b", None, FAR, True, "different"),
    ],
)
def test_the_weights_decide_and_where_they_are_gone_the_losses(
    now: str, largest: float | None, curves: CurvesComparison, same_end: bool, said: str
) -> None:
    weights = WeightsComparison(recorded_sha256="a", sha256=now, largest_difference=largest)

    assert verdict(weights, curves, same_end=same_end) == said
