"""Which rows train and which validate in each fold of a cross-validation.

Folds are of the rows that do not test: those that test in the split test what the folds chose, and are in no fold.
The others are cut into blocks in the order that the split has, so that a row keeps its fold as it keeps its part.

- ``random``: each class (combination of labels, tenth of a quantity) into as many blocks as there are folds, alike to
  within a row; a fold validates on one block and trains on the others.
- ``group``: the same with whole groups.
- ``time``: into a block more than there are folds; the first fold trains on the oldest block and validates on the
  next, the second trains on two and validates on the third, and so on: no fold trains on what came later.
- ``column``: drawn at random among the rows that the column does not mark as test.
"""

from typing import Annotated

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from flows.data.plan import PreparationPlan
from flows.data.splitting import (
    PARTS,
    TRAIN,
    VALIDATION,
    SplitParameters,
    at_edge,
    block_cuts,
    blocks_are,
    check_classes_to_train,
    order_keys,
    said_parts,
    strata_of,
)
from flows.data.staging import Staged
from flows.errors import TableError

FoldCount = Annotated[int, Field(ge=2, le=100)]
"""How many folds there may be."""

LEFT_OUT = len(PARTS)
"""Of a row, in the place of a part: the fold has no use for it."""

NO_BLOCK = 255


class Fold(BaseModel):
    """Which fold of how many a dataset is, counted from 1, and the digest of the dataset that was cut into them."""

    model_config = ConfigDict(frozen=True)

    number: int
    of: int
    dataset: str

    def __str__(self) -> str:
        return f"fold {self.number} of {self.of}"


def fold_blocks(
    staged: Staged,
    plan: PreparationPlan,
    split: SplitParameters,
    hashes: np.ndarray,
    test_rows: np.ndarray,
    folds: int,
) -> np.ndarray:
    """Return the block of each row, uint8 (N,): what `fold_parts` makes folds of; ``NO_BLOCK`` of rows that test.

    ``hashes`` are the `feature_hashes` of the rows, and ``test_rows``, bool (N,), those that test in the split.

    Raises
    ------
    TableError
        If rows, a class, groups or moments are too few for so many folds, if a class has no row to train on in one of
        them, or if the column to split by says itself which rows validate.
    """
    rows = np.flatnonzero(~test_rows)
    blocks = np.full(staged.rows, NO_BLOCK, dtype=np.uint8)
    if split.column is None:
        blocks[rows] = drawn_blocks(staged, plan, hashes, rows, folds)
        return blocks
    if split.by == "column":
        require_no_validation(staged, split.column)
        blocks[rows] = drawn_blocks(staged, plan, hashes, rows, folds)
    else:
        blocks[rows] = ordered_blocks(staged, plan, split, split.column, rows, folds)
    for number in range(1, folds + 1):
        how = f"in fold {number} of {folds}; ask for fewer folds, split otherwise"
        check_classes_to_train(staged, plan, fold_parts(blocks, split, number), how)
    return blocks


def fold_parts(blocks: np.ndarray, split: SplitParameters, number: int) -> np.ndarray:
    """Return the part of each row in a fold, uint8 (N,): a position in ``PARTS``, or ``LEFT_OUT``."""
    validates = number if split.by == "time" else number - 1
    trains = blocks < validates if split.by == "time" else blocks != NO_BLOCK
    parts = np.full(len(blocks), LEFT_OUT, dtype=np.uint8)
    parts[trains] = TRAIN
    parts[blocks == validates] = VALIDATION
    return parts


def drawn_blocks(staged: Staged, plan: PreparationPlan, hashes: np.ndarray, rows: np.ndarray, folds: int) -> np.ndarray:
    """Cut some rows into blocks stratum by stratum, in the order of their hashes; return the block of each, (n,)."""
    require_rows(staged, plan, rows, folds)
    strata = strata_of(staged, plan, rows, hashes[rows])
    # A stable sort, so that identical rows stay in the order of their positions.
    order = np.lexsort((hashes[rows], strata))
    blocks = np.empty(len(rows), dtype=np.uint8)
    filled = np.zeros(folds, dtype=np.int64)
    for stratum in np.split(order, np.cumsum(np.bincount(strata))[:-1]):
        sizes = even_sizes(len(stratum), filled)
        filled += sizes
        ends = [
            # Of fewer rows a cut would move by none.
            at_edge(hashes[rows[stratum]], end, len(stratum) / folds) if len(stratum) > folds else end
            for end in np.cumsum(sizes)[:-1].tolist()
        ]
        blocks[stratum] = np.searchsorted(ends, np.arange(len(stratum)), side="right")
    return blocks


def even_sizes(count: int, filled: np.ndarray) -> np.ndarray:
    """Return into how many rows of a stratum to cut, int64 (folds,): alike, and the odd ones where least are so far."""
    sizes = np.full(len(filled), count // len(filled))
    sizes[np.argsort(filled, kind="stable")[: count % len(filled)]] += 1
    return sizes


def ordered_blocks(
    staged: Staged, plan: PreparationPlan, split: SplitParameters, column: str, rows: np.ndarray, folds: int
) -> np.ndarray:
    """Cut some rows into blocks of whole groups or moments; return the block of each, (n,)."""
    keys = order_keys(staged, plan, split, column)[rows]
    distinct, place, sizes = np.unique(keys, return_inverse=True, return_counts=True)
    count = folds + 1 if split.by == "time" else folds
    if len(distinct) < count:
        raise TableError(
            f"{staged.source.uri}: column {column!r} has {len(distinct)} {blocks_are(split)} in the rows that do not "
            f"test, and {folds} folds need {count}; ask for fewer folds or split otherwise"
        )
    ends = block_cuts(sizes, (1 / count,) * (count - 1))
    block_of_key = np.searchsorted(ends, np.arange(len(distinct)), side="right").astype(np.uint8)
    return np.asarray(block_of_key[place.reshape(-1)])


def require_no_validation(staged: Staged, column: str) -> None:
    """Raise a TableError if a column says which rows validate: then there is nothing to draw."""
    if (said_parts(staged, column) == VALIDATION).any():
        raise TableError(
            f"{staged.source.uri}: column {column!r} says which rows validate, so there are no folds to draw; leave "
            "folds out of the space, or mark those rows train"
        )


def require_rows(staged: Staged, plan: PreparationPlan, rows: np.ndarray, folds: int) -> None:
    """Raise a TableError unless every fold can have a row, and of a classification one of each class."""
    uri = staged.source.uri
    if len(rows) < folds:
        raise TableError(
            f"{uri}: {len(rows)} rows do not test, too few for {folds} folds; add rows or ask for fewer folds"
        )
    if plan.task != "classification":
        return
    target = staged.column(plan.target[0])
    counts = target.iloc[rows].value_counts().reindex(target.unique(), fill_value=0)
    if counts.min() < folds:
        label, count = counts.index.tolist()[int(counts.argmin())], int(counts.min())
        raise TableError(
            f"{uri}: class {label!r} of target {plan.target[0]!r} has {count} rows that do not test, and {folds} folds "
            "need one each; add rows, ask for fewer folds or remove the class"
        )
