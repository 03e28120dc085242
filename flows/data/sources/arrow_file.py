"""Arrow's own files: IPC files, which Feather files of version 2 are, and IPC streams."""

from collections.abc import Iterator
from contextlib import contextmanager

import pyarrow as pa

from flows.data.sources.arrow_faults import readable_as
from flows.data.sources.file_table import Format
from flows.data.sources.files import DataFile
from flows.errors import SourceError

FILE_MAGIC = b"ARROW1"
# The first version of Feather, of 2016.
OLD_FEATHER_MAGIC = b"FEA1"
BATCH_ROWS = 65_536


@contextmanager
def opened(file: DataFile) -> Iterator[pa.RecordBatchFileReader | pa.RecordBatchStreamReader]:
    """Open a file of either form; what Arrow finds wrong with it becomes a SourceError."""
    with readable_as("Arrow", file), pa.PythonFile(file.open_seekable(), mode="r") as stream:
        magic = stream.read(len(FILE_MAGIC))
        stream.seek(0)
        if magic.startswith(OLD_FEATHER_MAGIC):
            raise SourceError(
                f"{file.uri}: a Feather file of version 1; write it again with pandas' DataFrame.to_feather"
            )
        yield pa.ipc.open_file(stream) if magic == FILE_MAGIC else pa.ipc.open_stream(stream)


def read_schema(file: DataFile) -> pa.Schema:
    """Return the columns of a file."""
    with opened(file) as reader:
        return reader.schema


def read_batches(file: DataFile, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    """Yield the rows in pieces; the batches they were written in may be of any size."""
    with opened(file) as reader:
        for batch in stored_batches(reader):
            batch.validate(full=True)
            for start in range(0, batch.num_rows, BATCH_ROWS):
                yield batch.slice(start, BATCH_ROWS).select(schema.names)


def stored_batches(reader: pa.RecordBatchFileReader | pa.RecordBatchStreamReader) -> Iterator[pa.RecordBatch]:
    """Yield the batches as they were written."""
    if isinstance(reader, pa.RecordBatchFileReader):
        return (reader.get_batch(index) for index in range(reader.num_record_batches))
    return iter(reader)


ARROW = Format((".arrow", ".feather"), "PATH.arrow", read_schema, read_batches)
