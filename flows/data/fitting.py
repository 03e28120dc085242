"""Fitting a preparation on the training rows."""

import numpy as np
import pandas as pd
from sklearn.preprocessing import StandardScaler

from flows.data.content import canonical_rows, class_labels
from flows.data.preparation import Preparation, Task
from flows.data.sources.table import Table
from flows.errors import TableError

# Inputs are float32, and a network multiplies them: well below the largest there is.
LARGEST_INPUT = 1e30


def fit_preparation(table: Table, task: Task, train_rows: np.ndarray) -> Preparation:
    """Learn means and scales from the training rows alone, and the classes from all rows.

    ``train_rows`` is a mask, bool (N,), or row positions. Expects a table that passed ``check_table``.

    Raises
    ------
    TableError
        If a column has values so large that their variance is not a float64, or they are no float32 when scaled.
    """
    rows = np.flatnonzero(train_rows) if train_rows.dtype == bool else train_rows
    mean, scale = fit_scale(table, table.features, rows)
    is_regression = task == "regression"
    target_mean, target_scale = fit_scale(table, table.target.to_frame(), rows) if is_regression else ((0.0,), (1.0,))
    return Preparation(
        task=task,
        features=tuple(table.features.columns),
        mean=mean,
        scale=scale,
        target=str(table.target.name),
        classes=None if is_regression else tuple(class_labels(table.target)),
        target_mean=target_mean[0],
        target_scale=target_scale[0],
    )


def fit_scale(table: Table, columns: pd.DataFrame, rows: np.ndarray) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return the mean and the standard deviation of each column, or of all pixels together.

    A piece at a time, so that images are never all float64 at once.
    """
    is_shared = table.shared_scale and columns is table.features
    scaler = StandardScaler()
    with np.errstate(over="ignore", invalid="ignore"):
        for values in canonical_rows(columns, rows):
            scaler.partial_fit(values.reshape(-1, 1) if is_shared else values)
        too_large = ~(largest(columns) / scaler.scale_ < LARGEST_INPUT)
    if too_large.any():
        name = columns.columns[int(np.argmax(too_large))]
        raise TableError(f"{table.uri}: column {name!r} has values too large to standardise; rescale it")
    return tuple(scaler.mean_.tolist()), tuple(scaler.scale_.tolist())


def largest(columns: pd.DataFrame) -> np.ndarray:
    """Return the largest magnitude in each column, over all rows: float64 (D,)."""
    ends = np.stack([columns.min().to_numpy(np.float64), columns.max().to_numpy(np.float64)])
    return np.asarray(np.abs(ends).max(axis=0))
