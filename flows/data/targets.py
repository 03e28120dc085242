"""What is learned of the target columns, and the labels of classes: turned into codes and back."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
import pandas as pd
from pandas.api.types import is_bool_dtype

from flows.data.values import is_real
from flows.errors import TableError

Task = Literal["classification", "regression", "multilabel"]
Label = str | int | float | bool

# A column of whole numbers is read as classes if it has few values and each of them is seen often enough.
MOST_NUMERIC_CLASSES = 20
LEAST_ROWS_A_CLASS = 5


def infer_task(target: pd.Series | pd.DataFrame, requested: Literal["auto"] | Task) -> Task:
    """Return the task that was requested; for ``auto``, the one the targets look like.

    Of one column, text, categories and booleans are classes. Whole numbers (of an integer or a float type) are
    classes if there are only two values, or at most 20 that appear 5 times each on average. Other numbers are a
    quantity, so a regression. Several columns are labels that a row has or has not (``multilabel``) if all of them
    hold nothing but 0 and 1 or true and false, and quantities if all of them are numbers.

    Raises
    ------
    TableError
        If several columns go with no task, or not with the one requested.
    """
    if isinstance(target, pd.DataFrame) and target.shape[1] > 1:
        return infer_task_of_several(target, requested)
    if requested != "auto":
        return requested
    column = target.iloc[:, 0] if isinstance(target, pd.DataFrame) else target
    return "classification" if is_classes(column) else "regression"


def infer_task_of_several(targets: pd.DataFrame, requested: Literal["auto"] | Task) -> Task:
    """Return the task of several target columns."""
    if requested == "classification":
        raise TableError(
            f"a classification has one target, not {list(targets.columns)}; choose one of them, or make each of them "
            "0 or 1 and train a multilabel network"
        )
    if requested != "auto":
        return requested
    if all(is_binary(targets[name]) for name in targets):
        return "multilabel"
    for name in targets:
        if not is_real(targets[name].dtype):
            raise TableError(
                f"target {name!r} is {targets[name].dtype}; several targets must all be numbers, or all be 0 and 1 "
                "or true and false"
            )
    return "regression"


def is_classes(target: pd.Series) -> bool:
    """Tell whether a target looks like labels rather than a quantity."""
    if not is_real(target.dtype) or is_bool_dtype(target.dtype):
        return target.dtype.kind not in "mM"
    values = target.dropna()
    distinct = values.nunique()
    is_whole = bool((values % 1 == 0).all())
    is_few = distinct <= 2 or distinct <= min(MOST_NUMERIC_CLASSES, len(values) / LEAST_ROWS_A_CLASS)
    return is_whole and is_few


def is_binary(target: pd.Series) -> bool:
    """Tell whether a target holds nothing but true and false or 0 and 1."""
    return is_bool_dtype(target.dtype) or (is_real(target.dtype) and bool(target.dropna().isin([0, 1]).all()))


def class_labels(target: pd.Series) -> list[Label]:
    """Return the labels of a target as Python values, sorted: the order of their codes."""
    return sorted(target.dropna().unique().tolist())


def encode_labels(target: pd.Series, classes: Sequence[Label]) -> np.ndarray:
    """Return the position of each label among the classes, int64 (N,); -1 where it is none of them."""
    codes = pd.Index(label_array(classes)).get_indexer(pd.Index(target.to_numpy()))
    return np.asarray(codes, dtype=np.int64)


def label_array(classes: Sequence[Label]) -> np.ndarray:
    """Return the labels as an array: text as objects, which NumPy's own text type would pad and trim."""
    return np.array(classes, dtype=object if isinstance(classes[0], str) else None)
