"""The encodings of a preparation laid out over the inputs: all numbers at once, every other column on its own.

A block writes its inputs into an array that is there already, all 0, and returns what is wrong with its columns.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, Self

import numpy as np
import pandas as pd

from flows.data.encodings import BooleanEncoding, CategoricalEncoding, DateEncoding, Encoding, NumericEncoding, Pixels
from flows.data.values import ColumnFault, float_values, is_real, read_numbers


class Block(Protocol):
    """Some columns of a table and the inputs they become."""

    def encode(self, frame: pd.DataFrame, inputs: np.ndarray) -> list[ColumnFault]:
        """Write the columns' inputs into (N, inputs); where something is wrong, what it is and no promise."""


@dataclass(frozen=True)
class ColumnBlock:
    """One column that is no number, and where its inputs begin and end."""

    encoding: CategoricalEncoding | BooleanEncoding | DateEncoding
    place: slice

    def encode(self, frame: pd.DataFrame, inputs: np.ndarray) -> list[ColumnFault]:
        """Write the column's inputs."""
        try:
            self.encoding.encode(frame[self.encoding.column], inputs[:, self.place])
        except ColumnFault as fault:
            return [fault]
        return []


@dataclass(frozen=True)
class NumberBlock:
    """All numeric columns: a table may have thousands, and a request one row.

    Attributes
    ----------
    columns
        Their names, D of them.
    shift, scale
        float64, (D,) or (1,) where all share one.
    fill
        float64 (D,): what a gap becomes, NaN where it is an error.
    places
        The input of each column, (D,).
    indicated, indicators
        Which of the columns have an indicator, and the inputs of those.
    """

    columns: list[str]
    shift: np.ndarray
    scale: np.ndarray
    fill: np.ndarray
    places: np.ndarray | slice
    indicated: np.ndarray
    indicators: np.ndarray

    @classmethod
    def of(cls, encodings: Sequence[NumericEncoding], places: Sequence[int]) -> Self:
        """Lay out encodings whose first inputs are at these places."""
        indicated = np.flatnonzero([encoding.indicator for encoding in encodings])
        return cls(
            columns=[encoding.column for encoding in encodings],
            shift=np.array([encoding.shift for encoding in encodings]),
            scale=np.array([encoding.scale for encoding in encodings]),
            fill=np.array([np.nan if encoding.fill is None else encoding.fill for encoding in encodings]),
            places=as_slice(np.array(places)),
            indicated=indicated,
            indicators=np.array(places)[indicated] + 1,
        )

    @classmethod
    def of_pixels(cls, pixels: Pixels) -> Self:
        """Lay out columns that share one shift and one scale."""
        nothing = np.empty(0, dtype=np.int64)
        return cls(
            columns=list(pixels.columns),
            shift=np.array([pixels.shift]),
            scale=np.array([pixels.scale]),
            fill=np.full(len(pixels.columns), np.nan),
            places=slice(0, len(pixels.columns)),
            indicated=nothing,
            indicators=nothing,
        )

    def encode(self, frame: pd.DataFrame, inputs: np.ndarray) -> list[ColumnFault]:
        """Write ``(value - shift) / scale``, with gaps filled, and where the gaps were."""
        values, faults = self._read(frame)
        finite = np.isfinite(values)
        if not finite.all():
            missing = np.isnan(values)
            faults += self._infinite(finite, missing) + self._refused(missing)
            values = np.where(missing, self.fill, values)
            inputs[:, self.indicators] = missing[:, self.indicated]
        inputs[:, self.places] = (values - self.shift) / self.scale
        return faults

    def _read(self, frame: pd.DataFrame) -> tuple[np.ndarray, list[ColumnFault]]:
        """Return the columns as float64 (N, D), a column that cannot be read as 0."""
        chosen = frame[self.columns]
        kinds = {dtype: is_real(dtype) for dtype in set(chosen.dtypes)}
        if all(kinds.values()):
            return float_values(chosen), []
        real = np.array([kinds[dtype] for dtype in chosen.dtypes])
        values = np.full(chosen.shape, np.nan, order="F")
        values[:, real] = float_values(chosen.loc[:, real])
        # Of one row in JSON, every gap is a column of a type of its own: those are not read one by one.
        filled = ~real & chosen.notna().any().to_numpy()
        faults = []
        for place in np.flatnonzero(filled):
            try:
                values[:, place] = read_numbers(chosen[self.columns[place]])
            except ColumnFault as fault:
                values[:, place] = 0
                faults.append(fault)
        return values, faults

    def _infinite(self, finite: np.ndarray, missing: np.ndarray) -> list[ColumnFault]:
        return list(self._first(~finite & ~missing, "an infinite value"))

    def _refused(self, missing: np.ndarray) -> list[ColumnFault]:
        return list(self._first(missing & np.isnan(self.fill), "a missing value"))

    def _first(self, wrong: np.ndarray, fault: str) -> Iterator[ColumnFault]:
        for place in np.flatnonzero(wrong.any(axis=0)):
            yield ColumnFault(self.columns[place], fault, int(np.argmax(wrong[:, place])))


def as_slice(places: np.ndarray) -> np.ndarray | slice:
    """Return places side by side as a slice, which NumPy writes to faster."""
    first = int(places[0])
    return slice(first, first + len(places)) if (np.diff(places) == 1).all() else places


def lay_out(encodings: Sequence[Encoding]) -> list[Block]:
    """Return the blocks of a table's encodings, whose inputs stand in the order of the encodings."""
    counts = [len(encoding.input_names) for encoding in encodings]
    starts = np.cumsum([0, *counts]).tolist()
    numbers = [place for place, encoding in enumerate(encodings) if isinstance(encoding, NumericEncoding)]
    blocks: list[Block] = [
        ColumnBlock(encoding, slice(start, start + count))
        for encoding, start, count in zip(encodings, starts, counts, strict=False)
        if not isinstance(encoding, NumericEncoding)
    ]
    if numbers:
        numeric = [encoding for encoding in encodings if isinstance(encoding, NumericEncoding)]
        blocks.append(NumberBlock.of(numeric, [starts[place] for place in numbers]))
    return blocks
