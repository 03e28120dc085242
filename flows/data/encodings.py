"""What was fitted to a column, and how its values become inputs of a network by it.

An encoding is data: it is written as JSON and read back exactly. It turns every value on its own, so that one row,
a piece of a table and the whole table give the same numbers to the last bit.
"""

from functools import cache
from typing import Annotated, Any, Literal

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict, Field

from flows.data.targets import Label
from flows.data.values import NO_DATE, ColumnFault, missing_value, read_booleans, read_dates, read_levels, shown

DatePart = Literal["year", "month", "day", "weekday", "hour", "elapsed"]

# Steps to the full circle. A month has up to 31 days: the 31st stands next to the 1st.
CYCLES = {"month": 12, "day": 31, "weekday": 7, "hour": 24}
# What a part calls its first value.
FIRST = {"month": 1, "day": 1, "weekday": 0, "hour": 0}
SECOND = 1_000_000
HOUR = 3600 * SECOND
DAY = 24 * HOUR
# 1 January 1970 was a Thursday; a week begins on Monday, which is 0.
FIRST_WEEKDAY = 3


class Fitted(BaseModel):
    """Immutable, and what JSON cannot hold is refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Scale(Fitted):
    """What a number is shifted and divided by."""

    shift: float = 0.0
    scale: float = 1.0


class NumericEncoding(Fitted):
    """A number is one input: ``(value - shift) / scale``, a gap being ``fill`` or, where that is None, an error."""

    kind: Literal["numeric"] = "numeric"
    column: str
    shift: float = 0.0
    scale: float = 1.0
    fill: float | None = None
    indicator: bool = False

    @property
    def input_names(self) -> tuple[str, ...]:
        """The value, and where the gaps were."""
        return (self.column, *missing_name(self.column, self.indicator))


class CategoricalEncoding(Fitted):
    """A level is 1 in the input of its own, or in the last one if it has none: rare, or never seen in training.

    ``levels`` are those with an input of their own, in order; None among them is the gap. Where gaps are not refused
    and were rare or never seen in training, they belong to the others.
    """

    kind: Literal["categorical"] = "categorical"
    column: str
    levels: tuple[Label | None, ...]
    refuse_missing: bool = False

    @property
    def input_names(self) -> tuple[str, ...]:
        """One for each level, and one for all others."""
        return (
            *(f"{self.column}={'(missing)' if level is None else level}" for level in self.levels),
            f"{self.column}=(other)",
        )

    def encode(self, column: pd.Series, inputs: np.ndarray) -> None:
        """Set one input of each row to 1, in (N, inputs) that is all 0.

        Raises
        ------
        ColumnFault
            If a value can be no level, is a number among levels of text or the other way round, or is missing and may
            not be.
        """
        codes, found = read_levels(column)
        # Taken for a level that was never seen, every 7 would silently be one of the others where "7" was learnt.
        strange = self._first_of_another_kind(found)
        if strange is not None:
            kinds = "a number, and the categories are text" if self.of_text else "text, and the categories are numbers"
            raise ColumnFault(
                column.name, f"{shown(found[strange])}, which is {kinds},", int(np.argmax(codes == strange))
            )
        if self.refuse_missing and (codes < 0).any():
            raise missing_value(column, codes < 0)
        others = len(self.levels)
        places = {level: place for place, level in enumerate(self.levels)}
        # The last is what the code of a missing value, -1, finds.
        place = np.array([places.get(level, others) for level in [*found, None]])
        inputs[np.arange(len(codes)), place[codes]] = 1

    @property
    def of_text(self) -> bool | None:
        """Whether the levels are text; None where some are and others are not, or there are none."""
        kinds = {isinstance(level, str) for level in self.levels if level is not None}
        return kinds.pop() if len(kinds) == 1 else None

    def _first_of_another_kind(self, found: list[Any]) -> int | None:
        """Return which of the values found is no text among levels of text, or the other way round."""
        of_text = self.of_text
        if of_text is None:
            return None
        return next((place for place, value in enumerate(found) if isinstance(value, str) != of_text), None)


class BooleanEncoding(Fitted):
    """True is 1 and false is 0, a gap being ``fill`` or, where that is None, an error."""

    kind: Literal["boolean"] = "boolean"
    column: str
    fill: float | None = None
    indicator: bool = False

    @property
    def input_names(self) -> tuple[str, ...]:
        """The value, and where the gaps were."""
        return (self.column, *missing_name(self.column, self.indicator))

    def encode(self, column: pd.Series, inputs: np.ndarray) -> None:
        """Write the truth of each row, and where the gaps were, into (N, inputs)."""
        truths = read_booleans(column)
        missing = np.isnan(truths)
        if missing.any():
            if self.fill is None:
                raise missing_value(column, missing)
            truths = np.where(missing, self.fill, truths)
        inputs[:, 0] = truths
        if self.indicator:
            inputs[:, 1] = missing


class DateEncoding(Fitted):
    """A date becomes its parts, a gap being ``fill`` (microseconds since 1970) or, where that is None, an error.

    The parts that come round again are sine and cosine of their place on the circle, so that December stands next to
    January; the year and the seconds since 1970 are standardised.
    """

    kind: Literal["date"] = "date"
    column: str
    parts: tuple[DatePart, ...]
    format: str | None = None
    fill: int | None = None
    indicator: bool = False
    year: Scale = Scale()
    elapsed: Scale = Scale()

    @property
    def input_names(self) -> tuple[str, ...]:
        """One for the year and the time elapsed, two for each part of a cycle, and where the gaps were."""
        names = [
            f"{self.column} {part}{suffix}"
            for part in self.parts
            for suffix in ((" sin", " cos") if part in CYCLES else ("",))
        ]
        return (*names, *missing_name(self.column, self.indicator))

    def encode(self, column: pd.Series, inputs: np.ndarray) -> None:
        """Write the parts of each date, and where the gaps were, into (N, inputs)."""
        instants = read_dates(column, self.format)
        missing = instants == NO_DATE
        if missing.any():
            if self.fill is None:
                raise missing_value(column, missing)
            instants = np.where(missing, self.fill, instants)
        place = 0
        for part in self.parts:
            values = date_part(instants, part)
            if part in CYCLES:
                inputs[:, place : place + 2] = circle(part)[values - FIRST[part]]
                place += 2
            else:
                fitted = self.year if part == "year" else self.elapsed
                inputs[:, place] = (values - fitted.shift) / fitted.scale
                place += 1
        if self.indicator:
            inputs[:, place] = missing


Encoding = Annotated[
    NumericEncoding | CategoricalEncoding | BooleanEncoding | DateEncoding, Field(discriminator="kind")
]


class Pixels(Fitted):
    """The columns of images: each is one input, and they share what they are shifted and divided by."""

    columns: tuple[str, ...]
    shift: float
    scale: float


def missing_name(column: str, indicator: bool) -> tuple[str, ...]:
    """Return the name of the input that says where the gaps were, if there is one."""
    return (f"{column} missing",) if indicator else ()


def date_part(instants: np.ndarray, part: DatePart) -> np.ndarray:
    """Return a part of each instant (microseconds since 1970): whole numbers, or seconds for ``elapsed``."""
    if part == "elapsed":
        return instants / SECOND
    if part == "hour":
        return instants // HOUR % CYCLES["hour"]
    if part == "weekday":
        return (instants // DAY + FIRST_WEEKDAY) % CYCLES["weekday"]
    return np.asarray(getattr(pd.DatetimeIndex(instants.view("datetime64[us]")), part))


@cache
def circle(part: DatePart) -> np.ndarray:
    """Return sine and cosine of every value of a part, float64 (values, 2): looked up, so the same for every row."""
    angles = 2 * np.pi * np.arange(CYCLES[part]) / CYCLES[part]
    return np.column_stack([np.sin(angles), np.cos(angles)])
