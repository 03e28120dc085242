"""What a table must satisfy before it is trained on; what does not is named to the column and the row."""

import numpy as np
import pandas as pd
from pandas.api.types import infer_dtype, is_bool_dtype

from flows.data.preparation import Task, float_values, is_real
from flows.data.sources.table import Table
from flows.errors import TableError

LEAST_ROWS = 10
# One row for each of train, validation and test.
LEAST_ROWS_A_CLASS = 3
LABEL_KINDS = {"string", "integer", "floating", "boolean"}


def check_table(table: Table, task: Task) -> None:
    """Check that a table can be split, scaled and trained on for this task.

    Raises
    ------
    TableError
        At the first fault, in one line: the file, the column, the first row at fault and the remedy.
    """
    check_shape(table)
    check_numeric(table)
    for name in table.features.columns:
        check_complete(table, str(name), table.features[name])
    check_complete(table, str(table.target.name), table.target)
    if task == "classification":
        check_labels(table)
    else:
        check_quantity(table)


def check_shape(table: Table) -> None:
    """Raise TableError unless there are features, rows enough to split, and one column for each name."""
    if table.features.shape[1] == 0:
        raise TableError(f"{table.uri}: there are no feature columns beside the target {table.target.name!r}; add some")
    if len(table.target) < LEAST_ROWS:
        raise TableError(
            f"{table.uri}: {len(table.target)} rows are too few to split in three; at least {LEAST_ROWS} are needed"
        )
    names = table.features.columns.append(pd.Index([table.target.name]))
    if not names.is_unique:
        raise TableError(f"{table.uri}: column {names[names.duplicated()][0]!r} appears more than once; rename one")


def check_numeric(table: Table) -> None:
    """Raise TableError at the first feature that is not of real numbers."""
    types = table.features.dtypes
    wrong = [name for name in table.features.columns if not is_real(types[name])]
    if wrong:
        more = f" (and {len(wrong) - 1} more columns)" if len(wrong) > 1 else ""
        raise TableError(
            f"{table.uri}: column {wrong[0]!r} is not numeric{more}: {first_text(table, table.features[wrong[0]])}; "
            "remove the column or encode it as numbers"
        )


def first_text(table: Table, column: pd.Series) -> str:
    """Show the first value that is no number, and where it stands."""
    is_text = pd.to_numeric(column.astype(str), errors="coerce").isna() & column.notna()
    if not is_text.any():
        return f"its numbers are stored as {column.dtype}, some of them too large or too exact for 64 bits"
    row = int(np.argmax(is_text.to_numpy()))
    return f"{str(column.iloc[row])[:40]!r} at {table.locate(row)}"


def check_complete(table: Table, name: str, column: pd.Series) -> None:
    """Raise TableError if a value is missing or infinite."""
    missing = column.isna().to_numpy()
    if missing.any():
        raise TableError(f"{table.uri}: {counted(table, name, missing, 'missing')}; fill them in or remove the rows")
    if (isinstance(column.dtype, np.dtype) and column.dtype.kind in "iub") or not is_real(column.dtype):
        return
    infinite = np.isinf(float_values(column.to_frame())[:, 0])
    if infinite.any():
        raise TableError(f"{table.uri}: {counted(table, name, infinite, 'infinite')}; correct them or remove the rows")


def counted(table: Table, name: str, faults: np.ndarray, kind: str) -> str:
    """Say how many values of a column are at fault and where the first one stands."""
    count = int(faults.sum())
    values = "value" if count == 1 else "values"
    return f"column {name!r} has {count} {kind} {values}, the first at {table.locate(int(np.argmax(faults)))}"


def check_labels(table: Table) -> None:
    """Raise TableError unless there are two classes or more, each with a row for every part of the split."""
    name, target = table.target.name, table.target
    labels = target.unique().tolist()
    kind = infer_dtype(labels)
    if kind not in LABEL_KINDS:
        raise TableError(f"{table.uri}: target {name!r} holds {kind} values; use text, whole numbers or booleans only")
    if len(labels) < 2:
        raise TableError(f"{table.uri}: target {name!r} has one class only, {labels[0]!r}; two or more are needed")
    if table.is_test is None:
        check_class_sizes(table, target, LEAST_ROWS_A_CLASS, "rows")
    else:
        check_class_sizes(table, target[~table.is_test], LEAST_ROWS_A_CLASS - 1, "training rows")
        check_class_sizes(table, target[table.is_test], 1, "test rows")


def check_class_sizes(table: Table, part: pd.Series, least: int, rows: str) -> None:
    """Raise TableError naming the smallest class if it has fewer than ``least`` rows in this part of the table."""
    counts = part.value_counts().reindex(table.target.unique(), fill_value=0)
    if counts.min() < least:
        label, count = counts.index.tolist()[int(counts.argmin())], int(counts.min())
        raise TableError(
            f"{table.uri}: class {label!r} of target {table.target.name!r} has {count} {rows} and needs at least "
            f"{least}; add rows or remove the class"
        )


def check_quantity(table: Table) -> None:
    """Raise TableError unless the target is numeric and varies."""
    name, target = table.target.name, table.target
    if not is_real(target.dtype):
        raise TableError(
            f"{table.uri}: target {name!r} is not numeric: {first_text(table, target)}; "
            "correct it, or train a classification"
        )
    if is_bool_dtype(target.dtype):
        raise TableError(f"{table.uri}: target {name!r} is true or false, no quantity; train a classification")
    if target.nunique() < 2:
        raise TableError(f"{table.uri}: target {name!r} is constant ({target.iloc[0]}); there is nothing to learn")
