"""A table's content in canonical form, whatever types it is stored in: what is hashed, scaled and written."""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from flows.data.preparation import Label, float_values

CHUNK_BYTES = 32 * 2**20


def row_chunks(features: pd.DataFrame, rows: np.ndarray | None = None) -> Iterator[pd.DataFrame]:
    """Yield all rows, or those at the positions given, in pieces of about 32 MiB as float64."""
    chunk = max(1, CHUNK_BYTES // (8 * max(1, features.shape[1])))
    count = len(features) if rows is None else len(rows)
    for start in range(0, count, chunk):
        piece = slice(start, start + chunk)
        yield features.iloc[piece if rows is None else rows[piece]]


def canonical_rows(features: pd.DataFrame, rows: np.ndarray | None = None) -> Iterator[np.ndarray]:
    """Yield the rows as contiguous little-endian float64 (n, D), in pieces; a negative zero becomes zero."""
    for piece in row_chunks(features, rows):
        yield np.ascontiguousarray(float_values(piece) + 0.0, dtype="<f8")


def class_labels(target: pd.Series) -> list[Label]:
    """Return the labels of a target as Python values, sorted: the order of their codes."""
    return sorted(target.unique().tolist())
