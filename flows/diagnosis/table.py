"""The table that is looked at: what `backprop train` would train on, and of many rows no more than a few thousand."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from backprop import Samples, one_hot
from flows.data.leakage import leaks
from flows.data.plan import PreparationPlan, RequestedTask
from flows.data.preparation import Preparation, Task
from flows.data.preview import Preview, preview, preview_shape
from flows.data.shape import DatasetShape
from flows.data.splitting import TRAIN, VALIDATION, SplitParameters

MOST_ROWS = 5000
"""Training and validation rows that are looked at; of more, those with the lowest hashes, so that equal rows stay."""

MOST_VALUES = 4_000_000
"""Inputs of all these rows: of a wide table there are fewer rows."""

LEAST_ROWS = 500
"""However wide the table is."""


@dataclass(frozen=True)
class Table:
    """Rows that train and rows that validate, raw and as a network sees them; test rows are never looked at.

    Attributes
    ----------
    shape
        Of the whole dataset.
    plan, preparation
        How the columns are prepared, and what was fitted on all training rows.
    raw
        The rows as they were read, targets included; the index says which rows of the source they are.
    inputs
        float32 (n, D), as a network sees them.
    target
        int64 (n,) class codes; or float32 (n, C) standardised quantities or labels of 0 and 1.
    trains
        bool (n,): whether a row trains or validates.
    leaks
        A line for each column that gives the target away exactly, found on all rows.
    locate
        How a person finds the row at a position.
    """

    shape: DatasetShape
    plan: PreparationPlan
    preparation: Preparation
    raw: pd.DataFrame
    inputs: np.ndarray
    target: np.ndarray
    trains: np.ndarray
    leaks: tuple[str, ...]
    locate: Callable[[int], str]

    @property
    def task(self) -> Task:
        """``classification``, ``regression`` or ``multilabel``."""
        return self.preparation.task

    @property
    def y(self) -> np.ndarray:
        """The targets as the core takes them, float32 (n, C): classes as one-hot rows."""
        return one_hot(self.target, self.shape.outputs) if self.task == "classification" else self.target

    @property
    def has_pixels(self) -> bool:
        """Whether the features are pixels, of which each alone says little."""
        return self.preparation.pixels is not None

    def samples(self, rows: np.ndarray) -> Samples:
        """Return the rows that a mask or positions pick, as the core takes them."""
        return Samples(self.inputs[rows], self.y[rows])

    def places(self, rows: np.ndarray) -> list[str]:
        """Say where rows stand in the source, given their positions here."""
        return [self.locate(int(self.raw.index[row])) for row in rows]


def read_table(
    data: str,
    targets: tuple[str, ...],
    task: RequestedTask,
    preparation: str | None,
    split: SplitParameters,
    datasets: str,
) -> Table:
    """Read a source as an ingestion does, without writing it, and keep the rows that are looked at.

    Raises
    ------
    InputError
        The source cannot be read or trained on.
    """
    with preview(data, targets, task, preparation, split, datasets) as found:
        rows = _rows(found)
        raw = _raw(found, rows)
        return Table(
            shape=preview_shape(found, digest=""),
            plan=found.plan,
            preparation=found.preparation,
            raw=raw,
            inputs=found.preparation.transform_features(raw),
            target=found.preparation.transform_target(raw),
            trains=found.parts[rows] == TRAIN,
            leaks=tuple(leaks(found.staged, found.plan)),
            locate=found.staged.source.locate,
        )


def _rows(found: Preview) -> np.ndarray:
    """Return which rows are looked at, in their order: of each part the same share."""
    most = max(LEAST_ROWS, min(MOST_ROWS, MOST_VALUES // max(1, found.preparation.inputs)))
    of_parts = [np.flatnonzero(found.parts == part) for part in (TRAIN, VALIDATION)]
    share = min(1.0, most / sum(map(len, of_parts)))
    picked = [rows[np.argsort(found.hashes[rows], kind="stable")[: _count(rows, share)]] for rows in of_parts]
    return np.sort(np.concatenate(picked))


def _count(rows: np.ndarray, share: float) -> int:
    return max(1, round(len(rows) * share))


def _raw(found: Preview, rows: np.ndarray) -> pd.DataFrame:
    wanted = {*found.preparation.columns, *found.preparation.targets}
    columns = [name for name in found.staged.names if name in wanted]
    pieces = [frame[frame.index.isin(rows)] for frame in found.staged.chunks(columns)]
    return pd.concat(pieces)
