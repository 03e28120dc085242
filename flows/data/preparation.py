"""From raw columns to what a network sees, and back: the part of the data room that travels with a model.

A served model imports this module, so it needs NumPy, pandas and pydantic and nothing else.
"""

from collections.abc import Sequence
from typing import Literal, Self

import numpy as np
import pandas as pd
from numpy.typing import DTypeLike
from pandas.api.extensions import ExtensionDtype
from pandas.api.types import is_bool_dtype, is_complex_dtype, is_numeric_dtype
from pydantic import BaseModel, model_validator

from flows.errors import TableError

Task = Literal["classification", "regression"]
Label = str | int | float | bool

# A column of whole numbers is read as classes if it has few values and each of them is seen often enough.
MOST_NUMERIC_CLASSES = 20
LEAST_ROWS_A_CLASS = 5


def infer_task(target: pd.Series, requested: Literal["auto", "classification", "regression"]) -> Task:
    """Return the task that was requested; for ``auto``, the one the target looks like.

    Text, categories and booleans are classes. Whole numbers (of an integer or a float type) are classes if
    there are only two values, or at most 20 that appear 5 times each on average. Other numbers are a
    quantity, so a regression.
    """
    if requested != "auto":
        return requested
    if not is_real(target.dtype) or is_bool_dtype(target.dtype):
        return "regression" if target.dtype.kind in "mM" else "classification"
    values = target.dropna()
    distinct = values.nunique()
    is_whole = bool((values % 1 == 0).all())
    is_few = distinct <= 2 or distinct <= min(MOST_NUMERIC_CLASSES, len(values) / LEAST_ROWS_A_CLASS)
    return "classification" if is_whole and is_few else "regression"


def is_real(dtype: np.dtype | ExtensionDtype) -> bool:
    """Tell whether a column of this type holds real numbers (a boolean counts as 0 or 1)."""
    return is_numeric_dtype(dtype) and not is_complex_dtype(dtype)


def float_values(frame: pd.DataFrame) -> np.ndarray:
    """Return numeric columns as float64 (N, D), missing values of any kind as NaN."""
    return frame.to_numpy(dtype=np.float64, na_value=np.nan)


class Preparation(BaseModel, frozen=True):
    """How raw columns become network inputs and a target becomes codes; its JSON restores it exactly.

    Attributes
    ----------
    task
        ``classification`` or ``regression``.
    features
        Names of the D feature columns, in the order of the network's inputs.
    mean, scale
        What standardises the features: (D,), or (1,) where all pixels share one. A constant column's scale is 1.
    target
        Name of the target column.
    classes
        The original labels in the order of their codes, sorted; None for a regression.
    target_mean, target_scale
        What standardises the target of a regression; 0 and 1 for a classification.
    """

    task: Task
    features: tuple[str, ...]
    mean: tuple[float, ...]
    scale: tuple[float, ...]
    target: str
    classes: tuple[Label, ...] | None
    target_mean: float = 0.0
    target_scale: float = 1.0

    @model_validator(mode="after")
    def _fields_agree(self) -> Self:
        if not len(self.mean) == len(self.scale) or len(self.mean) not in (1, len(self.features)):
            raise ValueError("mean and scale must have one value, or one for each feature")
        if (self.task == "classification") != (self.classes is not None):
            raise ValueError("a classification has classes and a regression has none")
        return self

    def transform_features(self, frame: pd.DataFrame, dtype: DTypeLike = "float32") -> np.ndarray:
        """Return the features of a frame standardised, (N, D), in the order the network expects.

        Columns may come in any order, and columns that are not features are ignored.

        Raises
        ------
        TableError
            If a feature is missing, there twice, not numeric, or has a missing or infinite value.
        """
        self._check_columns(frame)
        raw = float_values(frame[list(self.features)])
        self._check_finite(raw, "a missing or infinite value")
        with np.errstate(over="ignore"):
            standardised: np.ndarray = ((raw - self.mean) / self.scale).astype(dtype, copy=False)
        self._check_finite(standardised, f"a value too large for {standardised.dtype}")
        return standardised

    def transform_target(self, target: pd.Series) -> np.ndarray:
        """Return class codes, int64 (N,), or the standardised target, float64 (N,).

        Raises
        ------
        TableError
            If a label is none of the classes, or a value of a regression's target is not a finite number.
        """
        if self.classes is not None:
            return self._codes(target, self.classes)
        if not is_real(target.dtype):
            raise TableError(f"target {self.target!r} is {target.dtype}, not numeric; give it in numbers")
        values = float_values(target.to_frame())[:, 0]
        if not np.isfinite(values).all():
            row = int(np.argmin(np.isfinite(values))) + 1
            raise TableError(f"target {self.target!r} has a missing or infinite value in row {row}; fill or remove it")
        return np.asarray((values - self.target_mean) / self.target_scale)

    def restore_target(self, values: np.ndarray) -> np.ndarray:
        """Return codes as the original labels, or a standardised target in its original units, in the same shape.

        Text labels come as an object array, others in the type NumPy has for them.
        """
        if self.classes is None:
            return np.asarray(values * self.target_scale + self.target_mean)
        return np.asarray(label_array(self.classes)[values])

    def _check_columns(self, frame: pd.DataFrame) -> None:
        wanted = frame.columns[frame.columns.isin(self.features)]
        missing = [name for name in self.features if name not in wanted]
        if missing:
            raise TableError(f"missing columns {missing[:8]} ({len(missing)} of {len(self.features)}); add them")
        if not wanted.is_unique:
            raise TableError(f"column {wanted[wanted.duplicated()][0]!r} appears more than once; remove one of them")
        types = frame.dtypes[wanted]
        text = [name for name in self.features if not is_real(types[name])]
        if text:
            raise TableError(f"columns {text[:8]} are not numeric ({len(text)} in all); give them as numbers")

    def _check_finite(self, values: np.ndarray, fault: str) -> None:
        faults = np.argwhere(~np.isfinite(values))
        if len(faults):
            row, column = faults[0]
            raise TableError(f"column {self.features[column]!r} has {fault} in row {row + 1}; correct or remove it")

    def _codes(self, target: pd.Series, classes: tuple[Label, ...]) -> np.ndarray:
        codes = encode_labels(target, classes)
        if (codes < 0).any():
            row = int(np.argmax(codes < 0))
            label = target.iloc[[row]].tolist()[0]
            raise TableError(
                f"target {self.target!r} has the label {label!r} in row {row + 1}, which is none of the "
                f"{len(classes)} classes; remove the row or train again"
            )
        return codes


def encode_labels(target: pd.Series, classes: Sequence[Label]) -> np.ndarray:
    """Return the position of each label among the classes, int64 (N,); -1 where it is none of them."""
    codes = pd.Index(label_array(classes)).get_indexer(pd.Index(target.to_numpy()))
    return np.asarray(codes, dtype=np.int64)


def label_array(classes: Sequence[Label]) -> np.ndarray:
    """Return the labels as an array: text as objects, which NumPy's own text type would pad and trim."""
    return np.array(classes, dtype=object if isinstance(classes[0], str) else None)
