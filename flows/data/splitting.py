"""Which rows train, which validate and which test: decided by what a row says, not by where it stands.

A random split orders the rows of every class (in a regression: of every tenth of the target's range of ranks) by a
keyed hash of their features. The first of them go to test, the next to validation, the rest to train. So the split
is stratified to within a row and the same on every machine, and

- a row keeps its part when the rows are reordered, and nearly always when new rows are appended, so that a
  model trained on yesterday's file is not judged on rows it was trained on when the file grows;
- identical rows stand side by side and go to the same part, unless there are so many that this would change the
  fractions.

A split by group orders the groups by a keyed hash of their name, and a split by time orders the rows by their time;
both are cut where the fractions are nearest, never through a group or through rows of the same time.
"""

from difflib import get_close_matches
from typing import Literal, Self

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict, Field, model_validator

from flows.data.content import row_hashes
from flows.data.plan import DatePlan, PreparationPlan
from flows.data.sources import Source
from flows.data.staging import Staged
from flows.data.values import ColumnFault, read_dates
from flows.errors import TableError
from flows.form import named_as_written

PARTS = ("train", "validation", "test")
TRAIN, VALIDATION, TEST = range(3)

MOST_STRATA = 10
# Fewer rows than this in a stratum, and a usual fraction of them would round to none or to far too many.
LEAST_ROWS_A_STRATUM = 20
# A cut moves to the edge of a run of identical rows, if that moves no more than so much of the part.
MOST_MOVED = 0.1
PART_NAMES = {"train": TRAIN, "validation": VALIDATION, "val": VALIDATION, "valid": VALIDATION, "test": TEST}


class SplitParameters(BaseModel):
    """How the rows are split, and the seed of the order they are drawn in.

    ``random`` draws rows, stratified by the target; ``group`` draws whole groups of rows that agree in ``column``;
    ``time`` trains on the oldest rows by ``column`` and tests on the newest; ``column`` does what the column says.
    Where a source brings its own test rows, ``test`` has no effect and ``validation`` is a fraction of the others.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", field_title_generator=named_as_written)

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

    def decisive(self) -> dict[str, object]:
        """Return the fields that decide where a row goes."""
        return self.model_dump(exclude={"seed"} if self.by == "time" else None)


def require_split_column(source: Source, targets: tuple[str, ...], split: SplitParameters) -> None:
    """Raise a TableError unless the column to split by is a column and no target."""
    if split.column is None:
        return
    if split.column not in source.schema.names:
        close = get_close_matches(split.column, source.schema.names, n=1)
        meant = f"; did you mean {close[0]!r}?" if close else f"; there are {', '.join(source.schema.names[:8])}"
        raise TableError(f"{source.uri}: there is no column {split.column!r} to split by{meant}")
    if split.column in targets:
        raise TableError(f"{source.uri}: column {split.column!r} is the target; split by another")
    if source.test_rows is not None:
        raise TableError(f"{source.uri} brings its own test rows; leave out the split by {split.by}")


def feature_hashes(staged: Staged, plan: PreparationPlan, seed: int) -> np.ndarray:
    """Return a 64-bit hash, uint64 (N,), of the features that the plan keeps; the seed is its key."""
    return row_hashes(staged.tables(list(plan.features(staged.names))), seed)


def split_rows(staged: Staged, plan: PreparationPlan, split: SplitParameters, hashes: np.ndarray) -> np.ndarray:
    """Return the part of each row, uint8 (N,): a position in ``PARTS``.

    ``hashes`` are the `feature_hashes` of the rows.

    Raises
    ------
    TableError
        If a class has too few rows for one in each part or none to train on, if there are fewer groups or moments
        than parts, or if the column to split by has gaps or says something else than what is needed.
    """
    if split.column is None:
        return by_hash(staged, plan, split, hashes)
    if split.by == "column":
        parts = by_column(staged, plan, split, hashes, split.column)
    else:
        parts = by_order(staged, plan, split, split.column)
    check_classes_to_train(staged, plan, parts, f"after the split by {split.by} {split.column!r}; split otherwise")
    return parts


def by_hash(staged: Staged, plan: PreparationPlan, split: SplitParameters, hashes: np.ndarray) -> np.ndarray:
    """Draw rows stratum by stratum; where the source brings test rows, draw among the others."""
    parts = np.full(staged.rows, TRAIN, dtype=np.uint8)
    test_rows = staged.source.test_rows
    if test_rows is None:
        draw(parts, np.arange(staged.rows), staged, plan, hashes, {TEST: split.test, VALIDATION: split.validation})
    else:
        parts[test_rows] = TEST
        draw(parts, np.flatnonzero(~test_rows), staged, plan, hashes, {VALIDATION: split.validation})
    return parts


def draw(
    parts: np.ndarray,
    rows: np.ndarray,
    staged: Staged,
    plan: PreparationPlan,
    hashes: np.ndarray,
    shares: dict[int, float],
) -> None:
    """Give the first rows of each stratum, in the order of their hashes, to the parts that have a share."""
    strata = strata_of(staged, plan, rows, hashes[rows])
    # A stable sort, so that identical rows stay in the order of their positions.
    order = np.lexsort((hashes[rows], strata))
    ends = np.cumsum(np.bincount(strata))
    for stratum in np.split(order, ends[:-1]):
        drawn = rows[stratum]
        require_rows(staged, plan, len(drawn), len(shares) + 1)
        begin = 0
        for part, end in zip(shares, cuts(hashes[drawn], tuple(shares.values())), strict=True):
            parts[drawn[begin:end]] = part
            begin = end


def require_rows(staged: Staged, plan: PreparationPlan, count: int, parts: int) -> None:
    """Raise a TableError unless there is a row for every part that is drawn from a stratum."""
    if count < parts:
        is_class = plan.task != "regression"
        rows, remedy = ("a class has", "add rows or remove the class") if is_class else ("there are", "add rows")
        raise TableError(
            f"{staged.source.uri}: {rows} {count} rows, too few for one in each of {parts} parts; {remedy}"
        )


def cuts(hashes: np.ndarray, shares: tuple[float, ...]) -> list[int]:
    """Return where to cut rows in hash order, more than shares, so that every part has a row and sums round once."""
    count = len(hashes)
    ends = [0]
    for position, (share, until) in enumerate(zip(shares, np.cumsum(shares), strict=True)):
        last = count - len(shares) + position
        end = min(max(round(count * until), ends[-1] + 1), last)
        edge = at_edge(hashes, end, share * count)
        ends.append(edge if ends[-1] < edge <= last else end)
    return ends[1:]


def at_edge(hashes: np.ndarray, end: int, size: float) -> int:
    """Move a cut between rows in hash order to the edge of the run of identical rows it is in, if that is near.

    ``size`` is that of the part, in rows; a cut moves by a tenth of it at most.
    """
    first, after = (int(np.searchsorted(hashes, hashes[end], side=side)) for side in ("left", "right"))
    edge = first if end - first <= after - end else after
    return edge if abs(edge - end) <= MOST_MOVED * size else end


def strata_of(staged: Staged, plan: PreparationPlan, rows: np.ndarray, hashes: np.ndarray) -> np.ndarray:
    """Return the stratum of each of some rows, int64 (n,).

    That is its class; of several labels their combination, where enough rows have it; of a quantity its bin among
    equally full bins of the first target.
    """
    if plan.task == "classification":
        return codes_of(staged.column(plan.target[0]).iloc[rows])
    if plan.task == "multilabel":
        combinations = np.zeros(len(rows), dtype=np.int64)
        for name in plan.target:
            codes = codes_of(staged.column(name).iloc[rows])
            combinations = codes_of(pd.Series(combinations * (int(codes.max(initial=0)) + 1) + codes))
        return pooled(combinations)
    count = len(rows)
    bins = min(max(count // LEAST_ROWS_A_STRATUM, 1), MOST_STRATA)
    values = staged.column(plan.target[0]).iloc[rows].to_numpy(dtype=np.float64, na_value=np.nan)
    ranks = np.empty(count, dtype=np.int64)
    # Equal targets are ranked by hash: by position, the bin would depend on the order of the rows.
    ranks[np.lexsort((hashes, values))] = np.arange(count)
    return ranks * bins // count


def codes_of(values: pd.Series) -> np.ndarray:
    """Return which of the distinct values each one is, int64 (n,)."""
    return np.asarray(pd.factorize(values, sort=True)[0], dtype=np.int64)


def pooled(strata: np.ndarray) -> np.ndarray:
    """Put all strata that are too small to be split by fractions into one."""
    sizes = np.bincount(strata)
    small = sizes < LEAST_ROWS_A_STRATUM
    # What is too small even together goes with the largest: it must not be a stratum of a row or two.
    home = len(sizes) if sizes[small].sum() >= LEAST_ROWS_A_STRATUM else int(np.argmax(sizes))
    return codes_of(pd.Series(np.where(small[strata], home, strata)))


def by_order(staged: Staged, plan: PreparationPlan, split: SplitParameters, column: str) -> np.ndarray:
    """Cut blocks of rows that belong together, groups in hash order or moments in their own, into the parts."""
    if split.by == "group":
        wanted = {TEST: split.test, VALIDATION: split.validation}
    else:
        wanted = {TRAIN: 1 - split.validation - split.test, VALIDATION: split.validation}
    distinct, block, sizes = np.unique(order_keys(staged, plan, split, column), return_inverse=True, return_counts=True)
    if len(distinct) < len(PARTS):
        raise TableError(
            f"{staged.source.uri}: column {column!r} has {len(distinct)} {blocks_are(split)}, too few for one in each "
            f"of {len(PARTS)} parts; split by another column or at random"
        )
    ends = block_cuts(sizes, tuple(wanted.values()))
    rest = next(part for part in (TEST, TRAIN) if part not in wanted)
    part_of_block = np.full(len(distinct), rest, dtype=np.uint8)
    for part, begin, end in zip(wanted, [0, *ends], ends, strict=False):
        part_of_block[begin:end] = part
    return part_of_block[block.reshape(-1)]


def order_keys(staged: Staged, plan: PreparationPlan, split: SplitParameters, column: str) -> np.ndarray:
    """Return what rows are ordered by, (N,): the hash of their group, or their moment; equal keys stay together."""
    if split.by == "time":
        return moments(staged, plan, column)
    require_complete(staged, column, missing_values(staged, column))
    return row_hashes(staged.tables([column]), split.seed)


def blocks_are(split: SplitParameters) -> str:
    """Return what to call the blocks that are never cut."""
    return "groups" if split.by == "group" else "different values"


def block_cuts(sizes: np.ndarray, shares: tuple[float, ...]) -> list[int]:
    """Return before which blocks to cut, so that the shares are as near as can be and no part is empty."""
    rows = np.concatenate([[0], np.cumsum(sizes)])
    ends = [0]
    for position, until in enumerate(np.cumsum(shares)):
        nearest = int(np.argmin(np.abs(rows - until * rows[-1])))
        ends.append(min(max(nearest, ends[-1] + 1), len(sizes) - len(shares) + position))
    return ends[1:]


def moments(staged: Staged, plan: PreparationPlan, column: str) -> np.ndarray:
    """Return the time of each row: dates and times, or numbers such as years.

    Text is read as the plan says its dates are written, or else as ISO 8601: a guess could take May for April.
    """
    values = staged.column(column)
    require_complete(staged, column, values.isna().to_numpy())
    if not isinstance(values.dtype, pd.StringDtype):
        return values.to_numpy()
    declared = plan.columns.get(column)
    try:
        return read_dates(values, declared.format if isinstance(declared, DatePlan) else None)
    except ColumnFault as fault:
        raise TableError(
            f"{staged.source.uri}: {fault.describe(staged.source.locate)}; correct it, or declare the format of "
            f"{column!r} in the preparation"
        ) from fault


def by_column(
    staged: Staged, plan: PreparationPlan, split: SplitParameters, hashes: np.ndarray, column: str
) -> np.ndarray:
    """Do what a column says; where no row says validation, the fraction for it is drawn from those that train."""
    parts = said_parts(staged, column)
    if not (parts == VALIDATION).any():
        draw(parts, np.flatnonzero(parts == TRAIN), staged, plan, hashes, {VALIDATION: split.validation})
    return parts


def said_parts(staged: Staged, column: str) -> np.ndarray:
    """Return what a column says of each row, uint8 (N,): train, validation or test; or true where a row tests."""
    uri = staged.source.uri
    values = staged.column(column)
    require_complete(staged, column, values.isna().to_numpy())
    parts: np.ndarray
    if values.dtype == bool:
        parts = np.where(values.to_numpy(), TEST, TRAIN).astype(np.uint8)
    else:
        names = values.astype(str).str.strip().str.lower()
        found = names.map(PART_NAMES)
        faults = found.isna().to_numpy()
        if faults.any():
            row = int(np.argmax(faults))
            raise TableError(
                f"{uri}: column {column!r} has {values.iloc[[row]].tolist()[0]!r} at {staged.source.locate(row)}; "
                "a column to split by says train, validation or test, or true where a row tests"
            )
        parts = found.to_numpy(dtype=np.uint8)
    for part in (TRAIN, TEST):
        if not (parts == part).any():
            raise TableError(f"{uri}: no row of column {column!r} says {PARTS[part]}; mark some or split at random")
    return parts


def missing_values(staged: Staged, column: str) -> np.ndarray:
    """Return which values of a column are missing, bool (N,)."""
    return np.concatenate([chunk[column].isna().to_numpy() for chunk in staged.chunks([column])])


def require_complete(staged: Staged, column: str, missing: np.ndarray) -> None:
    """Raise a TableError if the column to split by has gaps."""
    if missing.any():
        count = int(missing.sum())
        raise TableError(
            f"{staged.source.uri}: column {column!r} has {count} missing {'value' if count == 1 else 'values'}, the "
            f"first at {staged.source.locate(int(np.argmax(missing)))}; a column to split by must be complete"
        )


def check_classes_to_train(staged: Staged, plan: PreparationPlan, parts: np.ndarray, how: str) -> None:
    """Raise a TableError if a class has no row to train on; ``how`` says how that came about, and a remedy."""
    if plan.task == "regression":
        return
    for name in plan.target:
        target = staged.column(name)
        absent = set(target.unique().tolist()) - set(target[parts == TRAIN].unique().tolist())
        if absent:
            raise TableError(
                f"{staged.source.uri}: class {min(absent, key=str)!r} of target {name!r} has no row to train on "
                f"{how} or remove the class"
            )
