"""What a table must satisfy before it is trained on, whatever its schema says; what does not is named to the row.

Beside this, the schema of the source is enforced before a plan is made (`flows.data.conformance`), and fitting refuses
what its plan does not take: text among numbers, infinite values, gaps that are to be refused.
"""

from collections.abc import Iterator

import numpy as np
import pandas as pd
import pyarrow as pa
from pydantic import BaseModel, ConfigDict

from flows.data.leakage import leaks
from flows.data.plan import PreparationPlan
from flows.data.schema import is_number
from flows.data.splitting import SplitParameters
from flows.data.staging import Staged
from flows.data.violations import Violation
from flows.errors import TableError

LEAST_ROWS = 10
# One row for each of train, validation and test.
LEAST_ROWS_A_CLASS = 3
# Categories are taken for numbers gone wrong if at least this fraction of the levels is one.
MOSTLY = 0.5


class ValidationReport(BaseModel):
    """What was found in a table that may be trained on: small and JSON-able, passed on to the run.

    Attributes
    ----------
    violations
        Of the schema; warnings only, for errors are raised.
    notes
        One line each: a feature that gives the target away, a column of numbers and text.
    """

    model_config = ConfigDict(frozen=True)

    violations: tuple[Violation, ...] = ()
    notes: tuple[str, ...] = ()


def check_trainable(staged: Staged, plan: PreparationPlan, split: SplitParameters) -> tuple[str, ...]:
    """Check that a table can be split and trained on; return one line for each thing that is suspicious.

    Raises
    ------
    TableError
        At the first fault, in one line: the source, the column, the first row at fault and the remedy.
    """
    check_shape(staged, plan)
    for name in plan.target:
        target = staged.column(name)
        check_complete(staged, name, target)
        if plan.task == "regression":
            check_quantity(staged, name, target)
        else:
            check_labels(staged, plan, name, target)
            if plan.task == "classification" and split.by == "random":
                check_class_sizes(staged, name, target)
    return (*leaks(staged, plan), *mixed_columns(staged, plan))


def check_shape(staged: Staged, plan: PreparationPlan) -> None:
    """Raise a TableError unless there are features, and rows enough to split."""
    uri = staged.source.uri
    if not plan.features(staged.names):
        raise TableError(f"{uri}: there are no feature columns beside the target {', '.join(plan.target)}; add some")
    if staged.rows < LEAST_ROWS:
        raise TableError(f"{uri}: {staged.rows} rows are too few to split in three; at least {LEAST_ROWS} are needed")


def check_complete(staged: Staged, name: str, target: pd.Series) -> None:
    """Raise a TableError if a value of a target is missing or infinite."""
    missing = target.isna().to_numpy()
    if missing.any():
        raise TableError(
            f"{staged.source.uri}: target {counted(staged, name, missing, 'missing')}; fill it in or remove the row"
        )
    infinite = np.isinf(target.to_numpy()) if target.dtype.kind == "f" else np.zeros(0, bool)
    if infinite.any():
        raise TableError(
            f"{staged.source.uri}: target {counted(staged, name, infinite, 'infinite')}; correct it or remove the row"
        )


def counted(staged: Staged, name: str, faults: np.ndarray, kind: str) -> str:
    """Say how many values of a column are at fault and where the first one stands."""
    count = int(faults.sum())
    values = "value" if count == 1 else "values"
    return f"{name!r} has {count:,} {kind} {values}, the first at {staged.source.locate(int(np.argmax(faults)))}"


def check_labels(staged: Staged, plan: PreparationPlan, name: str, target: pd.Series) -> None:
    """Raise a TableError unless a target has two classes or more."""
    labels = target.unique().tolist()
    if len(labels) < 2:
        remedy = "leave that target out" if len(plan.target) > 1 else "two or more are needed"
        raise TableError(f"{staged.source.uri}: target {name!r} has one class only, {labels[0]!r}; {remedy}")


def check_class_sizes(staged: Staged, name: str, target: pd.Series) -> None:
    """Raise a TableError if a class has too few rows for one in each part of a random split."""
    test_rows = staged.source.test_rows
    if test_rows is None:
        check_class_size(staged, name, target, target, LEAST_ROWS_A_CLASS, "rows")
    else:
        check_class_size(staged, name, target, target[~test_rows], LEAST_ROWS_A_CLASS - 1, "training rows")
        check_class_size(staged, name, target, target[test_rows], 1, "test rows")


def check_class_size(staged: Staged, name: str, target: pd.Series, part: pd.Series, least: int, rows: str) -> None:
    """Raise a TableError naming the smallest class if it has fewer than ``least`` rows in this part of the table."""
    counts = part.value_counts().reindex(target.unique(), fill_value=0)
    if counts.min() < least:
        label, count = counts.index.tolist()[int(counts.argmin())], int(counts.min())
        raise TableError(
            f"{staged.source.uri}: class {label!r} of target {name!r} has {count} {rows} and needs at least {least}; "
            "add rows or remove the class"
        )


def check_quantity(staged: Staged, name: str, target: pd.Series) -> None:
    """Raise a TableError unless a target is of numbers and varies."""
    uri = staged.source.uri
    if pa.types.is_boolean(staged.schema.field(name).type):
        raise TableError(f"{uri}: target {name!r} is true or false, no quantity; train a classification")
    if target.dtype.kind not in "iuf":
        wrong = pd.to_numeric(target, errors="coerce").isna().to_numpy()
        row = int(np.argmax(wrong))
        raise TableError(
            f"{uri}: target {name!r} has {target.iloc[row]!r} at {staged.source.locate(row)}, which is no number; "
            "correct it, or train a classification"
        )
    if target.min() == target.max():
        raise TableError(f"{uri}: target {name!r} is constant ({target.iloc[0]}); there is nothing to learn")


def mixed_columns(staged: Staged, plan: PreparationPlan) -> Iterator[str]:
    """Yield a line for each column of categories that are mostly numbers, naming the first text among them.

    A few values of both sorts may be meant so (0, 1, 2, 3+); of many, inference makes numbers, and fitting refuses.
    """
    texts = [
        name
        for name, column in plan.columns.items()
        if column.kind == "categorical" and pa.types.is_large_string(staged.schema.field(name).type)
    ]
    levels: dict[str, set[str]] = {name: set() for name in texts}
    for frame in staged.chunks(texts) if texts else ():
        for name, seen in levels.items():
            seen.update(frame[name].dropna().unique().tolist())
    for name, seen in levels.items():
        words = {level for level in seen if not is_number(level)}
        if words and len(seen) - len(words) >= MOSTLY * len(seen):
            value, row = first_of(staged, name, words)
            yield (
                f"{staged.source.uri}: column {name!r} holds numbers and text, the first text {value!r} at "
                f"{staged.source.locate(row)}; it is taken as categories: correct the text if it is not one"
            )


def first_of(staged: Staged, name: str, words: set[str]) -> tuple[str, int]:
    """Return the first of some values that a column is known to have, and its row."""
    found = (frame[name][frame[name].isin(words)] for frame in staged.chunks([name]))
    first = next(values for values in found if len(values))
    return str(first.iloc[0]), int(first.index[0])
