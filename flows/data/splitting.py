"""Which rows train, which validate and which test: decided by what a row says, not by where it stands.

Within every class (in a regression: within every tenth of the target's range of ranks) the rows are ordered
by a keyed hash of their features. The first of them go to test, the next to validation, the rest to train.
So the split is stratified to within a row and the same on every machine, and

- a row keeps its part when the rows are reordered, and nearly always when new rows are appended, so that a
  model trained on yesterday's file is not judged on rows it was trained on when the file grows;
- identical rows of a class stand side by side and fall into the same part, save for the one group that a
  boundary may cut.
"""

from hashlib import blake2b
from typing import Literal, NamedTuple, Self

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict, Field, model_validator

from flows.data.content import canonical_rows
from flows.data.preparation import Task, float_values
from flows.data.sources.table import Table
from flows.errors import TableError

MOST_STRATA = 10
# Fewer rows than this in a stratum, and a usual fraction of them would round to none or to far too many.
LEAST_ROWS_A_STRATUM = 20


class SplitParameters(BaseModel):
    """How the rows are split, and the seed of the order they are drawn in.

    ``random`` draws rows, stratified by the target; ``group`` draws whole groups of rows that agree in ``column``;
    ``time`` trains on the oldest rows by ``column`` and tests on the newest; ``column`` does what the column says.
    Where a source brings its own test rows, ``test`` has no effect and ``validation`` is a fraction of the others.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    by: Literal["random", "group", "time", "column"] = Field(
        default="random", description="random, group, time or column: what decides the part of a row"
    )
    column: str | None = Field(
        default=None, description="The column of the groups, of the time, or of train/validation/test"
    )
    validation: float = Field(default=0.15, gt=0, lt=1, description="Fraction of the rows that validates")
    test: float = Field(default=0.15, gt=0, lt=1, description="Fraction of the rows that tests")
    seed: int = Field(default=0, ge=0, lt=2**63, description="Draws the rows or the groups")

    @model_validator(mode="after")
    def _fields_agree(self) -> Self:
        if self.validation + self.test >= 1:
            raise ValueError(
                f"validation ({self.validation}) and test ({self.test}) must sum to less than 1: the rest is trained on"
            )
        if self.by == "random" and self.column is not None:
            raise ValueError(f"a random split has no column ({self.column!r}); say by what: group, time or column")
        if self.by != "random" and self.column is None:
            raise ValueError(f"a split by {self.by} needs a column")
        return self


class Split(NamedTuple):
    """Positions of the rows of each part, int64 and sorted; every row is in exactly one part."""

    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray


def split_rows(table: Table, task: Task, split: SplitParameters) -> Split:
    """Split the rows of a table that passed ``check_table``.

    Raises
    ------
    TableError
        If a class has too few rows for one in each part.
    """
    if table.is_test is None:
        test, validation, train = draw(
            table, task, split.seed, np.arange(len(table.target)), (split.test, split.validation)
        )
        return Split(train, validation, test)
    others = np.flatnonzero(~table.is_test)
    validation, train = draw(table, task, split.seed, others, (split.validation,))
    return Split(train, validation, np.flatnonzero(table.is_test))


def draw(table: Table, task: Task, seed: int, rows: np.ndarray, shares: tuple[float, ...]) -> list[np.ndarray]:
    """Part the rows, stratum by stratum, into the shares asked for and what is left."""
    hashes = row_hashes(table.features, rows, seed)
    strata = strata_of(table.target.iloc[rows], task, hashes)
    # A stable sort, so that identical rows stay in the order of their positions.
    order = np.lexsort((hashes, strata))
    ends = np.cumsum(np.bincount(strata))[:-1]
    drawn = [np.split(stratum, cuts(len(stratum), shares)) for stratum in np.split(order, ends)]
    return [np.sort(rows[np.concatenate(part)]) for part in zip(*drawn, strict=True)]


def cuts(count: int, shares: tuple[float, ...]) -> list[int]:
    """Return where to cut ``count`` rows in hash order, so that every part has a row and the sums are rounded once."""
    if count <= len(shares):
        raise TableError(f"a class has {count} rows, too few for one in each of {len(shares) + 1} parts; remove it")
    ends = [0]
    for position, share in enumerate(np.cumsum(shares)):
        last = count - len(shares) + position
        ends.append(min(max(round(count * share), ends[-1] + 1), last))
    return ends[1:]


def row_hashes(features: pd.DataFrame, rows: np.ndarray, seed: int) -> np.ndarray:
    """Return a 64-bit hash, uint64 (n,), of what each of the rows says; the seed is its key."""
    # A copy of a keyed hash costs less than keying one for every row.
    keyed = blake2b(key=seed.to_bytes(8, "little"), digest_size=8)
    digests = bytearray()
    for values in canonical_rows(features, rows):
        for row in values:
            hasher = keyed.copy()
            hasher.update(row)
            digests += hasher.digest()
    return np.frombuffer(digests, dtype="<u8").astype(np.uint64)


def strata_of(target: pd.Series, task: Task, hashes: np.ndarray) -> np.ndarray:
    """Return the stratum of each row, int64 (n,): its class, or its bin among equally full bins of the target."""
    if task == "classification":
        return np.asarray(pd.factorize(target)[0], dtype=np.int64)
    count = len(target)
    bins = min(max(count // LEAST_ROWS_A_STRATUM, 1), MOST_STRATA)
    ranks = np.empty(count, dtype=np.int64)
    # Equal targets are ranked by hash: by position, the bin would depend on the order of the rows.
    ranks[np.lexsort((hashes, float_values(target.to_frame())[:, 0]))] = np.arange(count)
    return ranks * bins // count
