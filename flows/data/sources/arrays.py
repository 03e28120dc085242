"""NumPy arrays as Arrow columns."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from flows.errors import TableError

# So large that a call's cost does not show, so small that it stays in the processor's cache.
BATCH_BYTES = 4 * 2**20
MOST_BATCH_ROWS = 65_536
# Units of datetime64 that Arrow has; days are dates.
INSTANT_UNITS = ("s", "ms", "us", "ns")


def rows_per_batch(bytes_per_row: int) -> int:
    """Return how many rows make a batch of a few MiB."""
    return max(1, min(MOST_BATCH_ROWS, BATCH_BYTES // max(1, bytes_per_row)))


def matrix_batch(rows: np.ndarray, schema: pa.Schema, more: Sequence[pa.Array] = ()) -> pa.RecordBatch:
    """Return rows (n, D) as a batch of D columns, followed by more columns."""
    return pa.RecordBatch.from_arrays([*matrix_columns(rows), *more], schema=schema)


def matrix_columns(rows: np.ndarray) -> list[pa.Array]:
    """Return the D columns of rows (n, D); turned once, so that they are slices of one block of memory."""
    return [column_array(column) for column in np.ascontiguousarray(rows.T)]


def column_array(values: np.ndarray) -> pa.Array:
    """Return values (n,) in the type of ``column_type``.

    Raises
    ------
    pa.ArrowInvalid
        If bytes are not UTF-8 text.
    """
    wanted = column_type("", "", values.dtype)
    if values.dtype.kind == "M" and not pa.types.is_date32(wanted):
        values = values.astype(f"datetime64[{wanted.unit}]")
    if values.dtype.kind == "f" and values.dtype.itemsize > 8:
        values = values.astype(np.float64)
    found = pa.array(values.astype(values.dtype.newbyteorder("="), copy=False))
    return found if found.type == wanted else found.cast(wanted)


def column_type(uri: str, name: str, dtype: np.dtype) -> pa.DataType:
    """Return the Arrow type for the values of an array; a TableError naming the array where there is none."""
    if dtype.kind in "US":
        return pa.string()
    if dtype.kind == "M":
        unit = np.datetime_data(dtype)[0]
        return pa.date32() if unit == "D" else pa.timestamp(unit if unit in INSTANT_UNITS else "us")
    if dtype.kind == "f" and dtype.itemsize > 8:
        return pa.float64()
    if dtype.kind in "biuf":
        return pa.from_numpy_dtype(dtype.newbyteorder("="))
    raise TableError(
        f"{uri}: array {name!r} holds {dtype} values; save numbers, texts, dates or true and false, or leave it out"
    )
