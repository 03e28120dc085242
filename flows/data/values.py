"""A column as the values of its kind, whatever type it is stored in or came over the wire as.

An Arrow file, a pandas frame and a request in JSON have the same column in different clothes: whole numbers where
others have fractions, None or NaN for a gap, text for a date. Here they become one thing, value by value, so that a
piece of a table says what the whole table would say.
"""

from collections.abc import Callable
from datetime import date
from numbers import Real
from typing import Any

import numpy as np
import pandas as pd
from pandas.api.extensions import ExtensionDtype
from pandas.api.types import is_bool_dtype, is_complex_dtype, is_numeric_dtype

# What NumPy and pandas take for a missing date.
NO_DATE = np.iinfo(np.int64).min

# Text is parsed so many rows at a time: as Python's objects it takes ten times what it takes in Arrow.
PARSED_ROWS = 250_000
# Words that pandas takes for the moment at which it reads them.
NOW = {"now", "today"}

TRUTH: dict[Any, float] = {True: 1.0, False: 0.0, "true": 1.0, "false": 0.0}


class ColumnFault(Exception):  # noqa: N818 - always caught and told as a TableError, with the place in the source
    """What is wrong with a column: the first value at fault and its position, or the column as a whole."""

    def __init__(self, column: object, fault: str, row: int | None = None) -> None:
        super().__init__(fault)
        self.column = column
        self.fault = fault
        self.row = row

    def after(self, rows: int) -> "ColumnFault":
        """Return the fault as it is told of a column that has so many rows before these."""
        return ColumnFault(self.column, self.fault, None if self.row is None else self.row + rows)

    def describe(self, locate: Callable[[int], str] | None = None) -> str:
        """Say which column, what and where; ``locate`` turns a position into words, by default ``row 1`` and so on."""
        if self.row is None:
            return f"column {self.column!r} {self.fault}"
        where = f"row {self.row + 1}" if locate is None else locate(self.row)
        return f"column {self.column!r} has {self.fault} in {where}"


def is_real(dtype: np.dtype | ExtensionDtype) -> bool:
    """Tell whether a column of this type holds real numbers (a boolean counts as 0 or 1)."""
    return is_numeric_dtype(dtype) and not is_complex_dtype(dtype)


def float_values(frame: pd.DataFrame) -> np.ndarray:
    """Return numeric columns as float64 (N, D), missing values of any kind as NaN."""
    return frame.to_numpy(dtype=np.float64, na_value=np.nan)


def read_numbers(column: pd.Series) -> np.ndarray:
    """Return a column of numbers as float64 (N,), NaN where one is missing.

    Raises
    ------
    ColumnFault
        If a value is no real number; a number in quotes is text.
    """
    if is_real(column.dtype):
        if isinstance(column.dtype, np.dtype):
            return np.asarray(column.to_numpy(), dtype=np.float64)
        return np.asarray(column.to_numpy(dtype=np.float64, na_value=np.nan))
    values, present = as_objects(column)
    wrong = present & ~np.fromiter((isinstance(value, Real | np.bool_) for value in values), bool, len(values))
    if wrong.any():
        raise no_number(column, values, np.flatnonzero(wrong))
    return np.asarray(np.where(present, values, np.nan), dtype=np.float64)


def no_number(column: pd.Series, values: np.ndarray, rows: np.ndarray) -> ColumnFault:
    """Name the first of these rows that cannot be read as a number; if all can, the first."""
    parsed = pd.to_numeric(pd.Series(values[rows]).astype(str), errors="coerce").isna().to_numpy()
    row = int(rows[np.argmax(parsed)])
    kind = "which is no number," if parsed.any() else "a number stored as text,"
    return ColumnFault(column.name, f"{shown(values[row])}, {kind}", row)


def read_levels(column: pd.Series) -> tuple[np.ndarray, list[Any]]:
    """Return the code of each value, int64 (N,), and what the codes stand for; -1 where a value is missing.

    A level is text, a boolean or a number. A whole number is an int also where the column has fractions or gaps.

    Raises
    ------
    ColumnFault
        If a value is something else, such as a date or a list.
    """
    try:
        codes, found = column.factorize()
        return codes, [as_level(value) for value in found.tolist()]
    except TypeError as error:
        values, present = as_objects(column)
        row = next(int(row) for row in np.flatnonzero(present) if not is_level(values[row]))
        raise ColumnFault(column.name, f"{shown(values[row])}, which is no category,", row) from error


def as_level(value: Any) -> Any:
    """Return a level as JSON keeps it; a TypeError if it is none."""
    if not is_level(value):
        raise TypeError
    return int(value) if isinstance(value, float) and value.is_integer() else value


def is_level(value: Any) -> bool:
    """Tell whether a value that is not missing can be a level."""
    return isinstance(value, str | np.bool_) or (isinstance(value, Real) and np.isfinite(float(value)))


def read_booleans(column: pd.Series) -> np.ndarray:
    """Return a column of true and false, or 1 and 0, as float64 (N,), NaN where one is missing.

    Raises
    ------
    ColumnFault
        If a value is something else.
    """
    if is_bool_dtype(column.dtype):
        return read_numbers(column)
    codes, levels = read_levels(column)
    truths = [TRUTH.get(level.lower() if isinstance(level, str) else level, -1.0) for level in levels]
    if -1.0 in truths:
        code = truths.index(-1.0)
        raise ColumnFault(
            column.name, f"{shown(levels[code])}, which is neither true nor false,", int(np.argmax(codes == code))
        )
    # The last is what the code of a missing value, -1, finds.
    return np.asarray(np.array([*truths, np.nan])[codes])


def read_dates(column: pd.Series, text_format: str | None) -> np.ndarray:
    """Return a column of dates as microseconds since 1970 in UTC, int64 (N,), ``NO_DATE`` where one is missing.

    Text is read by the format, or as ISO 8601; a moment without a time zone counts as UTC.

    Raises
    ------
    ColumnFault
        If a value is no date; a bare number is none.
    """
    if column.dtype.kind == "M":
        return in_microseconds(column)
    instants = np.full(len(column), NO_DATE)
    for start in range(0, len(column), PARSED_ROWS):
        piece = slice(start, start + PARSED_ROWS)
        try:
            instants[piece] = parse_dates(column.iloc[piece], text_format)
        except ColumnFault as fault:
            raise fault.after(start) from fault
    return instants


def parse_dates(column: pd.Series, text_format: str | None) -> np.ndarray:
    """Return dates among values of any type as microseconds, int64 (N,); each different value is parsed once."""
    try:
        codes, found = column.factorize()
    except TypeError:
        codes, found = pd.factorize(column.astype(str))
    texts = pd.Series(found, dtype=object)
    readable = texts.where(texts.map(is_date))
    parsed = pd.to_datetime(readable, format=text_format or "ISO8601", utc=True, errors="coerce")
    if parsed.isna().any():
        wrong = int(np.argmax(parsed.isna()))
        raise no_date(column.name, texts[wrong], int(np.argmax(codes == wrong)), text_format)
    # The last is what the code of a missing value, -1, finds.
    return np.asarray(np.append(in_microseconds(parsed), NO_DATE)[codes])


def is_date(value: Any) -> bool:
    """Tell whether a value may be a date: one of Python's, or text that says the same whenever it is read."""
    return isinstance(value, date) or (isinstance(value, str) and value.strip().lower() not in NOW)


def no_date(column: object, value: Any, row: int, text_format: str | None) -> ColumnFault:
    """Say of a value how it would have to be written."""
    if isinstance(value, Real):
        reason = "a number and no date"
    elif text_format:
        reason = f"no date written as {text_format}"
    else:
        reason = "no date written like 2026-07-31 or 2026-07-31T09:30:00"
    return ColumnFault(column, f"{shown(value)}, which is {reason},", row)


def in_microseconds(column: pd.Series) -> np.ndarray:
    """Return a column of a date type as microseconds since 1970 in UTC, int64 (N,)."""
    if not isinstance(column.dtype, np.dtype | pd.DatetimeTZDtype):
        # Dates that Arrow holds come as Python's.
        column = pd.Series(pd.to_datetime(column.to_numpy(dtype=object), utc=True))
    if isinstance(column.dtype, pd.DatetimeTZDtype):
        column = column.dt.tz_convert("UTC").dt.tz_localize(None)
    return np.asarray(column.to_numpy().astype("datetime64[us]").view(np.int64))


def as_objects(column: pd.Series) -> tuple[np.ndarray, np.ndarray]:
    """Return the values as Python objects, and which of them are not missing: object (N,) and bool (N,)."""
    return column.to_numpy(dtype=object), column.notna().to_numpy()


def missing_value(column: pd.Series, missing: np.ndarray) -> ColumnFault:
    """Name the first value that is missing where none may be."""
    return ColumnFault(column.name, "a missing value", int(np.argmax(missing)))


def shown(value: Any) -> str:
    """Return a value as a message shows it: short."""
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:36]}...{text[-1]}"
