"""What every source delivers: a table that streams as Arrow batches, and where its rows came from."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa


def row_number(row: int) -> str:
    """Name a row as a person counts the rows of a table: position 0 is ``row 1``."""
    return f"row {row + 1}"


@dataclass(frozen=True)
class Source:
    """A table that can be streamed from its first row to its last.

    Attributes
    ----------
    name
        Short name of the table: ``digits``, a file's stem, a directory's name, the name of a table in a database.
    uri
        Where it came from, as the person gave it, without passwords.
    schema
        The columns in order. Their types are integers, floats, bool, string, date32 and timestamp[us] without a
        time zone; whatever else a file holds was brought to one of these or refused.
    batches
        Begins a fresh pass from the first row. Every batch has exactly ``schema``; a missing value is a null.
        Memory does not grow with the rows. Raises ColumnWidened where a value needs a wider type than the first
        rows showed, SourceError where the table cannot be read to its end.
    targets
        The targets that the source brings along; None where the person has to name them.
    test_rows
        bool (N,): the rows of the source's own test split; None where it brings none.
    pixels
        True where every column but the targets is a pixel, so that all of them share one mean and one scale.
    locate
        How a person finds the row at a position: ``row 6``, ``line 7`` of a text file, ``part-3.csv line 7``.
    """

    name: str
    uri: str
    schema: pa.Schema
    batches: Callable[[], Iterator[pa.RecordBatch]]
    targets: tuple[str, ...] | None = None
    test_rows: np.ndarray | None = None
    pixels: bool = False
    locate: Callable[[int], str] = row_number


class ColumnWidened(Exception):  # noqa: N818 - a turn of events, not an error
    """A value needs a wider type than its column was read with; begin again with ``source``, which reads it so."""

    def __init__(self, source: Source):
        super().__init__(f"{source.uri}: a later value needs a wider type")
        self.source = source


class ValueTooWide(Exception):  # noqa: N818 - a turn of events, not an error
    """A value of a file does not fit the type its column is read with, or is the first of its column.

    ``needed`` has the columns concerned with types that hold what was found.
    """

    def __init__(self, needed: pa.Schema):
        super().__init__(f"{needed.names} need wider types")
        self.needed = needed
