"""What is to be known of a table's columns before anything is decided: gaps, ranges, levels. One pass, in chunks."""

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import pandas as pd
import pyarrow as pa

from flows.data.labels import label_text
from flows.data.staging import Staged

ColumnKind = Literal["number", "text", "boolean", "date"]

MOST_LEVELS = 1000


@dataclass
class ColumnProfile:
    """What was seen of one column.

    Attributes
    ----------
    gaps
        How many values are missing.
    minimum, maximum
        Of the finite numbers; None where there is none, or where the column is not of numbers.
    levels
        The different values as text, where they were asked for; None where there are more than a thousand.
    """

    gaps: int = 0
    minimum: float | None = None
    maximum: float | None = None
    levels: set[str] | None = field(default_factory=set)

    def add(self, values: pd.Series, wants_levels: bool) -> None:
        """Take the next values of the column."""
        if isinstance(values.dtype, np.dtype) and values.dtype.kind in "iuf" and len(values):
            self._add_numbers(values.to_numpy())
        else:
            self.gaps += int(values.isna().sum())
        if wants_levels and self.levels is not None:
            self.levels.update(label_text(value) for value in values.dropna().unique().tolist())
            if len(self.levels) > MOST_LEVELS:
                self.levels = None

    def _add_numbers(self, numbers: np.ndarray) -> None:
        low, high = float(numbers.min()), float(numbers.max())
        # Two reductions say that a column is clean: NaN and infinity would show in them.
        if not (np.isfinite(low) and np.isfinite(high)):
            self.gaps += int(np.isnan(numbers).sum())
            finite = numbers[np.isfinite(numbers)]
            if not len(finite):
                return
            low, high = float(finite.min()), float(finite.max())
        self.minimum = low if self.minimum is None else min(low, self.minimum)
        self.maximum = high if self.maximum is None else max(high, self.maximum)


def profile(staged: Staged, columns: Collection[str], levels_of: Collection[str] = ()) -> dict[str, ColumnProfile]:
    """Return what is to be known of these columns, and the levels of some of them."""
    found = {name: ColumnProfile() for name in columns}
    for frame in staged.chunks([*columns]) if columns else ():
        for name, column in found.items():
            column.add(frame[name], name in levels_of)
    return found


def kind_of(type_: pa.DataType) -> ColumnKind | None:
    """Return what a column of an Arrow type holds; None of a column without a value and a type."""
    if pa.types.is_boolean(type_):
        return "boolean"
    if pa.types.is_integer(type_) or pa.types.is_floating(type_):
        return "number"
    if pa.types.is_date(type_) or pa.types.is_timestamp(type_):
        return "date"
    return None if pa.types.is_null(type_) else "text"
