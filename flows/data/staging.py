"""A source read once into a file of Arrow columns, so that everything after it reads only the columns it needs.

A source may be slow, remote, compressed or growing; the staged file is local, uncompressed and does not change. It is
read without being mapped: pages of a mapped file count as resident memory until the system wants them back.
"""

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import pandas as pd
import pyarrow as pa

from flows.data.sources import ColumnWidened, Source
from flows.errors import DatasetError

# What a piece of a table takes, counted as float64.
CHUNK_BYTES = 32 * 2**20
# The rows of a batch in the file: few enough that a batch of a wide table is small, many enough to be read fast.
MOST_BATCH_ROWS = 65_536


@dataclass(frozen=True)
class Staged:
    """A source's rows in a local file.

    Attributes
    ----------
    source
        Where they came from, as it was read in the end (a column may have turned out wider than its first rows).
    path
        The Arrow IPC file.
    schema
        The columns in order: integers, floats, bool, large_string, date32 or timestamp in microseconds.
    rows
        How many there are.
    nulls
        How many values of each column are Arrow nulls. A NaN is missing too, and is not counted here.
    """

    source: Source
    path: Path
    schema: pa.Schema
    rows: int
    nulls: dict[str, int] = field(default_factory=dict)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the columns in order."""
        return tuple(self.schema.names)

    def chunks(self, columns: Sequence[str] | None = None) -> Iterator[pd.DataFrame]:
        """Yield all rows in order in pieces of about 32 MiB, with these columns (all by default) and no other read.

        The index of a piece says which rows it holds. Where a piece ends depends on nothing but the number of
        columns, so what is computed piece by piece is the same whatever kind of file the rows came from.
        A column has the same pandas type in every piece: see `column`.
        """
        start = 0
        for table in self.tables(columns):
            frame = self.frame(table, start)
            start += table.num_rows
            # Not two copies of a piece while it is worked on, nor one while the next is read.
            del table
            yield frame
            del frame

    def tables(self, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
        """Yield the same pieces as Arrow tables, in the types of ``schema``."""
        names = list(self.names if columns is None else columns)
        return self._read(names, rows_per_chunk(len(names)))

    def column(self, name: str) -> pd.Series:
        """Return one column whole.

        Integers and floats are NumPy's; integers with gaps are float64, a gap being NaN. Booleans are bool, or
        pandas' boolean where there are gaps; text is str; dates are datetime64[us].
        """
        (table,) = self._read([name], max(1, self.rows))
        return self.frame(table, 0)[name]

    def _read(self, names: list[str], rows: int) -> Iterator[pa.Table]:
        """Yield tables of exactly so many rows, then one of what is left; one that is empty if there are no rows."""
        wanted = sorted(self.schema.get_field_index(name) for name in names)
        options = pa.ipc.IpcReadOptions(included_fields=wanted)
        with pa.OSFile(str(self.path)) as file, pa.ipc.open_file(file, options=options) as reader:
            held: list[pa.RecordBatch] = []
            count = 0
            for place in range(reader.num_record_batches):
                batch = compact(reader.get_batch(place))
                while count + batch.num_rows >= rows:
                    taken = rows - count
                    yield pa.Table.from_batches([*held, batch.slice(0, taken)]).select(names)
                    held, count, batch = [], 0, batch.slice(taken)
                if batch.num_rows:
                    held.append(batch)
                    count += batch.num_rows
            if held or not self.rows:
                yield pa.Table.from_batches(held, pa.schema([self.schema.field(place) for place in wanted])).select(
                    names
                )

    def frame(self, table: pa.Table, start: int) -> pd.DataFrame:
        """Return a piece of `tables` that begins at this row as `chunks` has it."""
        frame = as_frame(table, {name for name, nulls in self.nulls.items() if nulls})
        frame.index = pd.RangeIndex(start, start + table.num_rows)
        return frame


def as_frame(table: pa.Table, gaps: Collection[str]) -> pd.DataFrame:
    """Return a table as pandas has it, with the types of columns that may have gaps for those that are named."""
    frame: pd.DataFrame = table.to_pandas(date_as_object=False, types_mapper=_pandas_type, split_blocks=True)
    changed: dict[str, Any] = {}
    for column in table.schema:
        if pa.types.is_integer(column.type) and column.name in gaps:
            changed[column.name] = np.float64
        elif pa.types.is_boolean(column.type) and column.name not in gaps:
            changed[column.name] = bool
        elif pa.types.is_date32(column.type):
            changed[column.name] = "datetime64[us]"
    return frame.astype(changed) if changed else frame


def _pandas_type(kind: pa.DataType) -> pd.api.extensions.ExtensionDtype | None:
    """Return the pandas type that Arrow's own choice would not be: text is str also where every value is missing."""
    if pa.types.is_large_string(kind):
        return pd.StringDtype(na_value=np.nan)
    return pd.BooleanDtype() if pa.types.is_boolean(kind) else None


def compact(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Return a batch in memory of its own: what was read of it sits in a block as large as all its columns."""
    return pa.RecordBatch.from_arrays(
        [pa.concat_arrays([column, column.slice(0, 0)]) for column in batch.columns], schema=batch.schema
    )


def rows_per_chunk(columns: int) -> int:
    """Return how many rows of so many columns make a piece of about 32 MiB as float64."""
    return max(1, CHUNK_BYTES // (8 * max(1, columns)))


@contextmanager
def stage(source: Source, scratch: Path) -> Iterator[Staged]:
    """Read a source once into a file in the directory ``scratch``; the file is removed when the block ends.

    A source that finds a column wider than it had thought (a text after a million numbers) is read again from its
    start, with the wider type.

    Raises
    ------
    DatasetError
        If the file cannot be written: no space, no permission.
    InputError
        If the source cannot be read.
    """
    path = scratch / f".staged-{uuid4().hex}.arrow"
    try:
        yield _read_into(path, source)
    finally:
        path.unlink(missing_ok=True)


def _read_into(path: Path, source: Source) -> Staged:
    while True:
        try:
            return _write(path, source)
        except ColumnWidened as widened:
            source = widened.source


def _write(path: Path, source: Source) -> Staged:
    """Write every batch of one pass to the file."""
    schema = pa.schema([pa.field(column.name, staged_type(column.type)) for column in source.schema])
    nulls = np.zeros(len(schema), dtype=np.int64)
    rows = 0
    # Of a pass that was given up nothing is left: the file is opened anew.
    with _refused(path), pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, schema) as writer:
        for batch in source.batches():
            for start in range(0, batch.num_rows, MOST_BATCH_ROWS):
                piece = batch.slice(start, MOST_BATCH_ROWS)
                columns = [_cast(column, kind) for column, kind in zip(piece.columns, schema.types, strict=True)]
                nulls += [column.null_count for column in columns]
                rows += piece.num_rows
                writer.write_batch(pa.RecordBatch.from_arrays(columns, schema=schema))
    return Staged(source, path, schema, rows, dict(zip(schema.names, nulls.tolist(), strict=True)))


def staged_type(kind: pa.DataType) -> pa.DataType:
    """Return the type in which a column is staged: one for all text, and one for all moments of time."""
    if pa.types.is_dictionary(kind) or pa.types.is_string(kind):
        return pa.large_string()
    return pa.timestamp("us") if pa.types.is_timestamp(kind) else kind


def _cast(column: pa.Array, kind: pa.DataType) -> pa.Array:
    # Not safe: of a nanosecond the microsecond is kept. A moment with a time zone becomes the same moment in UTC.
    return column if column.type == kind else column.cast(kind, safe=False)


@contextmanager
def _refused(path: Path) -> Iterator[None]:
    """Say of a file that could not be written where it was to be, and what to do."""
    try:
        yield
    except OSError as error:
        raise DatasetError(
            f"{path.parent}: the rows cannot be kept while they are ingested: {error.strerror or error}; "
            "free space or choose another"
        ) from error
