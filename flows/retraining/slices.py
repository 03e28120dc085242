"""Slices of the test rows: by the values of a column, or the quantiles of numbers and dates."""

from collections.abc import Sequence
from difflib import get_close_matches
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
from pandas.api.types import is_bool_dtype, is_datetime64_any_dtype, is_numeric_dtype

from flows.errors import InputError
from flows.parameters import SliceGuard

MOST_SLICES = 50
"""Of one column, the largest; what is in none of them is a slice together."""

FEW_VALUES = 12
"""A column of so few different numbers is sliced by its values."""

MISSING, OTHERS = "(missing)", "(others)"


class Slice(NamedTuple):
    """Some of the test rows: a name, and which they are, bool (N,)."""

    name: str
    rows: npt.NDArray[np.bool_]


def check_slices(guards: Sequence[SliceGuard], columns: Sequence[str]) -> None:
    """Raise an InputError that names the first column of the guards that the data does not have."""
    for place, guard in enumerate(guards):
        if guard.column not in columns:
            nearest = get_close_matches(guard.column, columns, n=1)
            hint = f"did you mean {nearest[0]!r}? " if nearest else ""
            raise InputError(
                f"promotion.guards.slices[{place}].column: {guard.column!r} is no column that the models use; {hint}"
                f"use one of {', '.join(columns[:10])}{', ...' if len(columns) > 10 else ''}"
            )


def slices_of(rows: pd.DataFrame, guard: SliceGuard) -> list[Slice]:
    """Return the slices of raw rows by a column: every row is in one of them."""
    column = rows[guard.column]
    named = _binned(column, guard.bins) if _is_ordered(column) else column
    names = named.map(str, na_action="ignore").astype(object).where(column.notna(), MISSING)
    counts = names.value_counts()
    kept = counts.index[:MOST_SLICES]
    found = [Slice(f"{guard.column} = {name}", (names == name).to_numpy()) for name in sorted(kept, key=str)]
    if len(counts) > MOST_SLICES:
        found.append(Slice(f"{guard.column} = {OTHERS}", (~names.isin(kept)).to_numpy()))
    return found


def _is_ordered(column: pd.Series) -> bool:
    if is_datetime64_any_dtype(column.dtype):
        return True
    return is_numeric_dtype(column.dtype) and not is_bool_dtype(column.dtype) and column.nunique() > FEW_VALUES


def _binned(column: pd.Series, bins: int) -> pd.Series:
    """Return the quantile bin of each value; bins whose edges are equal are one."""
    return pd.qcut(column, bins, duplicates="drop")
