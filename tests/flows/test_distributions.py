"""What is drawn lies where it should, as often as it should, and is what a person reads of it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from flows.distributions import ChoiceDistribution, IntegerDistribution, RealDistribution

chances = st.floats(0, 1, exclude_max=True)
ranges = st.tuples(st.floats(1e-300, 1e300), st.floats(1e-300, 1e300)).filter(lambda ends: ends[0] < ends[1])


@given(ends=ranges, u=chances)
def test_a_number_lies_in_its_range(ends: tuple[float, float], u: float) -> None:
    for kind in ("uniform", "log_uniform"):
        assert ends[0] <= RealDistribution[float].model_validate({kind: ends}).at(u) <= ends[1]


@given(low=st.integers(-(10**20), 10**20), span=st.integers(1, 10**20), u=chances)
def test_a_whole_number_lies_in_its_range(low: int, span: int, u: float) -> None:
    value = IntegerDistribution[int].model_validate({"integer": (low, low + span)}).at(u)

    assert isinstance(value, int)
    assert low <= value <= low + span


@given(values=st.lists(st.integers(), min_size=1), u=chances)
def test_a_choice_is_one_of_the_values(values: list[int], u: float) -> None:
    assert ChoiceDistribution[int].model_validate({"choice": values}).at(u) in values


def quarters(distribution: RealDistribution[float] | IntegerDistribution[int]) -> list[float]:
    return [distribution.at(u) for u in (0, 0.25, 0.5, 0.75, np.nextafter(1, 0))]


def test_equal_parts_of_a_range_are_equally_likely() -> None:
    assert quarters(RealDistribution[float].model_validate({"uniform": (1, 3)})) == [1, 1.5, 2, 2.5, 3]


def test_equal_factors_of_a_logarithmic_range_are_equally_likely() -> None:
    assert quarters(RealDistribution[float].model_validate({"log_uniform": (1e-4, 1)})) == [1e-4, 1e-3, 0.01, 0.1, 1]


def test_both_ends_of_a_range_of_whole_numbers_are_drawn_as_often_as_what_is_between() -> None:
    assert quarters(IntegerDistribution[int].model_validate({"integer": (3, 6)})) == [3, 4, 5, 6, 6]


def test_a_number_is_what_is_shown_of_it() -> None:
    distribution = RealDistribution[float].model_validate({"uniform": (0, 1), "log_uniform": None})

    assert distribution.at(1 / 3) == 0.333333


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"uniform": (0.2, 0.1)}, r"\[0.2, 0.1\] is an empty range"),
        ({"uniform": (0.1, 0.1)}, "is an empty range"),
        ({"log_uniform": (0, 1)}, "has no logarithm"),
        ({"log_uniform": (-1, 1)}, "has no logarithm"),
        ({"choice": ()}, "at least 1"),
        ({}, "0 distributions are given"),
        ({"uniform": (0, 1), "choice": (1,)}, "2 distributions are given"),
    ],
)
def test_what_cannot_be_drawn_from_is_refused(fields: dict[str, object], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        RealDistribution[float].model_validate(fields)
