"""Parquet files: columns with types, read in pieces."""

from collections.abc import Iterator
from contextlib import contextmanager

import pyarrow as pa
import pyarrow.parquet as pq

from flows.data.sources.arrow_faults import readable_as
from flows.data.sources.file_table import Format
from flows.data.sources.files import DataFile

INDEX_PREFIX = "__index_level_"
BATCH_ROWS = 65_536
# A column is read through a buffer of this size, so that a group of ten million rows need not be in memory.
BUFFER_BYTES = 2**18


@contextmanager
def opened(file: DataFile) -> Iterator[pq.ParquetFile]:
    """Open a Parquet file; what Arrow finds wrong with it becomes a SourceError."""
    # From another machine a group is fetched whole: its columns one buffer at a time would be too many requests.
    remote = file.local_path is None
    with readable_as("Parquet", file), file.open_seekable() as stream:
        yield pq.ParquetFile(pa.PythonFile(stream, mode="r"), buffer_size=BUFFER_BYTES, pre_buffer=remote)


def read_schema(file: DataFile) -> pa.Schema:
    """Return the columns; an index without a name, which pandas keeps when rows were filtered, is left out."""
    with opened(file) as content:
        return pa.schema([field for field in content.schema_arrow if not field.name.startswith(INDEX_PREFIX)])


def read_batches(file: DataFile, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    """Yield the rows in pieces, whatever the sizes of the groups they were written in."""
    with opened(file) as content:
        for batch in content.iter_batches(BATCH_ROWS, columns=schema.names):
            batch.validate(full=True)
            yield batch


PARQUET = Format((".parquet", ".pq"), "PATH.parquet", read_schema, read_batches)
