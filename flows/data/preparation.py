"""From raw columns to what a network sees, and back: the part of the data room that travels with a model.

A served model imports this module, so it needs NumPy, pandas and pydantic and nothing else. What it does was fitted
with scikit-learn's transformers (`flows.data.fitting`); it is kept as numbers, and nothing is ever unpickled.
"""

from collections.abc import Callable, Hashable, Sequence
from typing import Self

import numpy as np
import pandas as pd
from numpy.typing import DTypeLike
from pydantic import BaseModel, ConfigDict, model_validator

from flows.data.blocks import Block, NumberBlock, lay_out
from flows.data.encodings import Encoding, Pixels
from flows.data.targets import Label, Task, encode_labels, infer_task, label_array
from flows.data.values import ColumnFault, read_booleans, read_numbers
from flows.errors import TableError

__all__ = ["Label", "Preparation", "Task", "encode_labels", "infer_task", "label_array"]

# The probability above which a label of several is predicted.
LABEL_THRESHOLD = 0.5
# Of the columns that a preparation does not know, how many a message names.
MOST_UNKNOWN = 5


class UnfitRowsError(TableError):
    """Rows hold what their columns cannot; `faults` has each column with its first value at fault."""

    def __init__(self, faults: list[ColumnFault], locate: Callable[[int], str] | None = None) -> None:
        them = "it" if len(faults) == 1 else f"them ({len(faults)} columns)"
        told = "; ".join(fault.describe(locate) for fault in faults)
        super().__init__(f"{told}; correct or remove {them}")
        self.faults = faults


class Preparation(BaseModel):
    """How raw columns become network inputs and targets become codes; its JSON restores it exactly.

    Attributes
    ----------
    task
        ``classification``, ``regression`` or ``multilabel``.
    features
        What each feature column becomes, in the order of the inputs; empty where there are pixels.
    pixels
        The columns of images and what they share, else None.
    targets
        Names of the target columns: one of a classification.
    classes
        The original labels in the order of their codes, sorted; None but in a classification.
    target_mean, target_scale
        What standardises the targets of a regression, one value each; empty otherwise.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    task: Task
    features: tuple[Encoding, ...] = ()
    pixels: Pixels | None = None
    targets: tuple[str, ...]
    classes: tuple[Label, ...] | None = None
    target_mean: tuple[float, ...] = ()
    target_scale: tuple[float, ...] = ()

    @model_validator(mode="after")
    def _fields_agree(self) -> Self:
        if self.pixels is not None and self.features:
            raise ValueError("features are either pixels or columns of their own")
        if (self.task == "classification") != (self.classes is not None):
            raise ValueError("a classification has classes and nothing else has")
        if self.classes is not None and len(self.targets) != 1:
            raise ValueError("a classification has one target")
        scaled = len(self.targets) if self.task == "regression" else 0
        if not len(self.target_mean) == len(self.target_scale) == scaled:
            raise ValueError("a regression has a mean and a scale for each target and nothing else has")
        return self

    @property
    def columns(self) -> tuple[str, ...]:
        """The raw feature columns that are needed, in the order of their inputs."""
        return tuple(encoding.column for encoding in self.features) if self.pixels is None else self.pixels.columns

    @property
    def input_names(self) -> tuple[str, ...]:
        """A name for each input of the network, in order."""
        if self.pixels is not None:
            return self.pixels.columns
        return tuple(name for encoding in self.features for name in encoding.input_names)

    @property
    def inputs(self) -> int:
        """The number of the network's inputs."""
        return len(self.input_names)

    @property
    def outputs(self) -> int:
        """The number of the network's outputs: of classes, or of targets."""
        return len(self.targets) if self.classes is None else len(self.classes)

    @property
    def metric_unit(self) -> float:
        """What an error of the standardised target is multiplied by, to be told in the target's own unit.

        1 where there is no such unit: several targets are told in standard deviations.
        """
        return self.target_scale[0] if len(self.target_scale) == 1 else 1.0

    def transform_features(self, frame: pd.DataFrame, dtype: DTypeLike = "float32") -> np.ndarray:
        """Return the inputs of a frame's rows, (N, inputs); each row's are the same whatever other rows there are.

        Columns may come in any order, and columns that are not features are ignored.

        Raises
        ------
        TableError
            If features are missing or there twice; columns that are not known are named beside those that are missing.
        UnfitRowsError
            If they hold what they cannot: all of them are named, with the first row.
        """
        self.check_columns(frame.columns.tolist())
        inputs = np.zeros((len(frame), self.inputs), dtype)
        with np.errstate(over="ignore", invalid="ignore"):
            faults = [fault for block in self._blocks() for fault in block.encode(frame, inputs)]
        if not faults and not np.isfinite(inputs).all():
            faults = self._too_large(inputs)
        if faults:
            raise UnfitRowsError(faults)
        return inputs

    def check_columns(self, names: Sequence[Hashable]) -> None:
        """Raise a TableError if features are missing among these columns, or are there more than once."""
        # Not by an index's own isin: of an index of text it takes a hundred times as long.
        wanted, known = self.columns, set(names)
        missing = [name for name in wanted if name not in known]
        if missing:
            unknown = [name for name in names if name not in {*wanted, *self.targets}]
            more = f" and {len(unknown) - MOST_UNKNOWN} more" if len(unknown) > MOST_UNKNOWN else ""
            besides = f"; unknown columns {unknown[:MOST_UNKNOWN]}{more}" if unknown else ""
            raise TableError(f"missing columns {missing} ({len(missing)} of {len(wanted)}); add them{besides}")
        if len(known) < len(names):
            repeated = [name for name in wanted if names.count(name) > 1]
            if repeated:
                raise TableError(f"columns {repeated} are there more than once; remove the others")

    def transform_target(self, frame: pd.DataFrame) -> np.ndarray:
        """Return what a network learns: class codes, int64 (N,), or float32 (N, targets).

        Of a regression these are the standardised targets, of several labels 0 or 1.

        Raises
        ------
        TableError
            If a target column is missing, a label is none of the classes, or a value is missing or not finite.
        """
        missing = [name for name in self.targets if name not in frame.columns]
        if missing:
            raise TableError(f"target columns {missing} are missing; add them")
        if self.classes is not None:
            return self._codes(frame[self.targets[0]], self.classes)
        try:
            return np.column_stack([self._quantities(frame[name], place) for place, name in enumerate(self.targets)])
        except ColumnFault as fault:
            raise UnfitRowsError([fault]) from fault

    def restore_target(self, values: np.ndarray) -> np.ndarray | pd.DataFrame:
        """Return predictions in the words of the data.

        Of a classification, codes of any shape become the original labels: text as an object array, others in the
        type NumPy has for them. Of a regression with one target, standardised values of any shape become values in its
        unit. Several targets, (N, targets), become a frame of a column each: quantities in their units, or 1 and 0 for
        labels, whose values are read as probabilities.
        """
        if self.classes is not None:
            return np.asarray(label_array(self.classes)[values])
        if self.task == "multilabel":
            return pd.DataFrame((values > LABEL_THRESHOLD).astype(np.int64), columns=list(self.targets))
        if len(self.targets) == 1:
            return np.asarray(values * self.target_scale[0] + self.target_mean[0])
        return pd.DataFrame(
            values * np.array(self.target_scale) + np.array(self.target_mean), columns=list(self.targets)
        )

    # Laid out at every call: kept on a model, it would be copied to one made by model_copy with other features.
    def _blocks(self) -> list[Block]:
        return lay_out(self.features) if self.pixels is None else [NumberBlock.of_pixels(self.pixels)]

    def _too_large(self, inputs: np.ndarray) -> list[ColumnFault]:
        """Name the columns whose values are no number of the inputs' type when they are scaled."""
        owners = self.columns
        if self.pixels is None:
            owners = tuple(encoding.column for encoding in self.features for _ in encoding.input_names)
        wrong = ~np.isfinite(inputs)
        return [
            ColumnFault(owners[place], f"a value too large for {inputs.dtype}", int(np.argmax(wrong[:, place])))
            for place in np.flatnonzero(wrong.any(axis=0))
        ]

    def _quantities(self, target: pd.Series, place: int) -> np.ndarray:
        """Return one target of a regression standardised, or one label of several as 0 and 1: float32 (N,)."""
        is_quantity = self.task == "regression"
        values = read_numbers(target) if is_quantity else read_booleans(target)
        if not np.isfinite(values).all():
            raise ColumnFault(target.name, "a missing or infinite value", int(np.argmin(np.isfinite(values))))
        if is_quantity:
            values = (values - self.target_mean[place]) / self.target_scale[place]
        return values.astype(np.float32)

    def _codes(self, target: pd.Series, classes: tuple[Label, ...]) -> np.ndarray:
        codes = encode_labels(target, classes)
        if (codes < 0).any():
            row = int(np.argmax(codes < 0))
            label = target.iloc[[row]].tolist()[0]
            raise TableError(
                f"target {target.name!r} has the label {label!r} in row {row + 1}, which is none of the "
                f"{len(classes)} classes; remove the row or train again"
            )
        return codes
