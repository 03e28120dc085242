"""NumPy's .npy files: a matrix, whose columns are column_0, column_1, .., or a structured array with named fields."""

from collections.abc import Iterator

import pyarrow as pa

from flows.data.sources.arrays import rows_per_batch
from flows.data.sources.file_table import Format
from flows.data.sources.files import DataFile
from flows.data.sources.stored_arrays import StoredArray, read_header, undamaged
from flows.errors import TableError


def read_schema(file: DataFile) -> pa.Schema:
    """Return the columns; a TableError if the array is no table."""
    with undamaged(file), file.open_seekable() as stream:
        return columns_of(read_header(file, file.stem, stream))


def read_batches(file: DataFile, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    """Yield the rows in pieces."""
    with undamaged(file), file.open_seekable() as stream:
        array = read_header(file, file.stem, stream)
        found = columns_of(array)
        for columns in array.columns(stream, rows_per_batch(array.row_bytes)):
            yield pa.RecordBatch.from_arrays(columns, schema=found).select(schema.names)


def columns_of(array: StoredArray) -> pa.Schema:
    """Return the columns of a matrix (N, D), of a column (N,), or of a structured array (N,)."""
    if len(array.shape) > (1 if array.dtype.names else 2):
        raise TableError(
            f"{array.uri}: the array has {len(array.shape)} dimensions and a table two; reshape it to (rows, columns)"
        )
    return pa.schema(array.fields([f"column_{i}" for i in range(array.width)]))


NPY = Format((".npy",), "PATH.npy", read_schema, read_batches)
