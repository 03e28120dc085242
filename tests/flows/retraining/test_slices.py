import numpy as np
import pandas as pd
import pytest

from flows.errors import InputError
from flows.parameters import SliceGuard
from flows.retraining.slices import MOST_SLICES, check_slices, slices_of


def counts(column: pd.Series, **guard: object) -> dict[str, int]:
    asked = SliceGuard.model_validate({"column": column.name, **guard})
    return {name: int(rows.sum()) for name, rows in slices_of(column.to_frame(), asked)}


def test_levels_gaps_and_truths_are_slices_by_value() -> None:
    region = pd.Series(["north", None, "south", "north"], name="region")
    member = pd.Series([True, False, True, True], name="member")

    assert counts(region) == {"region = (missing)": 1, "region = north": 2, "region = south": 1}
    assert counts(member) == {"member = False": 1, "member = True": 3}


def test_numbers_are_slices_by_quantile_and_few_numbers_by_value() -> None:
    age = pd.Series(np.arange(100.0), name="age").where(lambda v: v != 50)

    assert sorted(counts(age).values()) == [1, 24, 25, 25, 25]
    assert len(counts(age, bins=2)) == 3
    assert counts(pd.Series([1, 2, 2, 3], name="rooms")) == {"rooms = 1": 1, "rooms = 2": 2, "rooms = 3": 1}


def test_dates_are_slices_by_quantile() -> None:
    day = pd.Series(pd.date_range("2026-01-01", periods=40), name="day")

    assert list(counts(day).values()) == [10, 10, 10, 10]


def test_a_column_of_very_many_levels_has_the_largest_and_the_others() -> None:
    names = pd.Series([f"n{k}" for k in range(MOST_SLICES + 20)] * 2, name="name")
    found = counts(names)

    assert len(found) == MOST_SLICES + 1
    assert found["name = (others)"] == 40
    assert sum(found.values()) == len(names)


def test_every_row_is_in_one_slice() -> None:
    mixed = pd.Series([0.0] * 50 + list(range(60)), name="amount")
    frame = mixed.to_frame()

    together = np.sum([rows for _, rows in slices_of(frame, SliceGuard(column="amount"))], axis=0)

    assert (together == 1).all()


def test_a_column_that_is_not_there_is_named_with_the_nearest() -> None:
    with pytest.raises(InputError, match=r"guards.slices\[1\].column: 'regoin' is no column .*did you mean 'region'"):
        check_slices([SliceGuard(column="age"), SliceGuard(column="regoin")], ["age", "region"])
