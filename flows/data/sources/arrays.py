"""NumPy arrays as Arrow batches."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

# So large that a call's cost does not show, so small that it stays in the processor's cache.
BATCH_BYTES = 4 * 2**20
MOST_BATCH_ROWS = 65_536


def rows_per_batch(bytes_per_row: int) -> int:
    """Return how many rows make a batch of a few MiB."""
    return max(1, min(MOST_BATCH_ROWS, BATCH_BYTES // max(1, bytes_per_row)))


def matrix_batch(rows: np.ndarray, schema: pa.Schema, more: Sequence[pa.Array] = ()) -> pa.RecordBatch:
    """Return rows (n, D) as a batch of D columns, followed by more columns.

    The matrix is turned once, so that its columns are slices of one block of memory.
    """
    columns = np.ascontiguousarray(rows.T)
    return pa.RecordBatch.from_arrays([*map(pa.array, columns), *more], schema=schema)
