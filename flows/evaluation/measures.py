"""The measures of each task as functions of sums over rows, of the model and of a constant that looks at no feature."""

from collections.abc import Callable
from typing import Protocol

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict

from flows.data.outputs import predictions
from flows.data.preparation import LABEL_THRESHOLD, Preparation
from flows.data.targets import encode_labels
from flows.data.values import ColumnFault, read_booleans, read_numbers, shown
from flows.evaluation.groups import Array, GroupSums, Measured, intervals, wilson

LEAST_PROBABILITY = float(np.finfo(np.float32).tiny)
"""What a probability of 0 counts as in the logarithm: float32 has no smaller one that is exact."""


class Measure(BaseModel):
    """One measure of all rows, with its interval, and what a constant answer reaches; None where that says nothing."""

    model_config = ConfigDict(frozen=True)

    name: str
    value: float
    low: float | None = None
    high: float | None = None
    baseline: float | None = None


class PartMeasures(BaseModel):
    """The measures of one class, one label or one target; ``low`` and ``high`` are of the first measure."""

    model_config = ConfigDict(frozen=True)

    name: str
    rows: int
    measures: dict[str, float]
    low: float | None = None
    high: float | None = None


class Tally(Protocol):
    """Adds up pieces of labelled rows of one task."""

    sums: GroupSums

    def add(self, target: pd.DataFrame, outputs: np.ndarray) -> None:
        """Add rows: their targets as they were read, and what the network says, (N, C).

        Raises
        ------
        ColumnFault
            A target is missing or none that the model can be right about.
        """

    def measures(self, confidence: float) -> list[Measure]:
        """Return the measures of all rows."""

    def parts(self, confidence: float) -> list[PartMeasures]:
        """Return the measures of each class, label or target; none where there is only one."""


def tally_for(preparation: Preparation) -> Tally:
    """Return a tally for the task of a model."""
    kinds: dict[str, Callable[[Preparation], Tally]] = {
        "classification": ClassTally,
        "multilabel": LabelTally,
        "regression": QuantityTally,
    }
    return kinds[preparation.task](preparation)


class ClassTally:
    """Of each row its loss, and for each class whether it is the true one, the predicted one, or both."""

    def __init__(self, preparation: Preparation) -> None:
        self._target, self._classes = preparation.targets[0], preparation.classes or ()
        self.sums = GroupSums(2 + 3 * len(self._classes))

    def add(self, target: pd.DataFrame, outputs: np.ndarray) -> None:
        """Add rows."""
        column = target[self._target]
        true = encode_labels(column, self._classes)
        if (true < 0).any():
            row = int(np.argmax(true < 0))
            raise unknown_label(column, row, len(self._classes))
        everyone = np.arange(len(self._classes))
        is_true = true[:, None] == everyone
        is_said = outputs.argmax(axis=1)[:, None] == everyone
        likely = np.maximum(outputs[np.arange(len(true)), true].astype(np.float64), LEAST_PROBABILITY)
        self.sums.add(np.column_stack([np.ones(len(true)), -np.log(likely), is_true, is_said, is_true & is_said]))

    def measures(self, confidence: float) -> list[Measure]:
        """Return accuracy, macro F1 and the mean log loss.

        The constant is the commonest class of these rows; of the loss, the share of each class.
        """
        total = self.sums.total
        rows, true = total[0], self._split(total)[0]
        found = intervals(self.sums, self._measured, confidence)
        found["accuracy"] = wilson(self._split(total)[2].sum(), rows, confidence)
        most, present = true.max(), true > 0
        share = true[present] / rows
        baseline = {
            "accuracy": most / rows,
            "f1_macro": 2 * most / (most + rows) / present.sum(),
            "log_loss": float(-(share * np.log(share)).sum()),
        }
        return together(self._measured(total), found, baseline)

    def _split(self, sums: Array) -> tuple[Array, Array, Array]:
        """Return how many rows are of each class, are said to be, and both, each (..., C)."""
        count = len(self._classes)
        return sums[..., 2 : 2 + count], sums[..., 2 + count : 2 + 2 * count], sums[..., 2 + 2 * count :]

    def _measured(self, sums: Array) -> Measured:
        true, said, both = self._split(sums)
        return {
            "accuracy": both.sum(axis=-1) / sums[..., 0],
            "f1_macro": mean_f1(true, said, both),
            "log_loss": sums[..., 1] / sums[..., 0],
        }

    def parts(self, confidence: float) -> list[PartMeasures]:
        """Return recall with its interval, precision and F1 of each class."""
        return class_measures([str(label) for label in self._classes], self._split(self.sums.total), confidence)


class LabelTally:
    """Of each row whether all labels are right, and for each label whether it is true, predicted, or both."""

    def __init__(self, preparation: Preparation) -> None:
        self._targets = preparation.targets
        self.sums = GroupSums(2 + 3 * len(self._targets))

    def add(self, target: pd.DataFrame, outputs: np.ndarray) -> None:
        """Add rows."""
        columns = [read_booleans(target[name]) for name in self._targets]
        for name, values in zip(self._targets, columns, strict=True):
            require_known(name, values)
        true, said = np.column_stack(columns) > 0, outputs > LABEL_THRESHOLD
        right = (true == said).all(axis=1)
        self.sums.add(np.column_stack([np.ones(len(true)), right, true, said, true & said]))

    def measures(self, confidence: float) -> list[Measure]:
        """Return accuracy, a row being right if all its labels are, macro F1 and the Hamming loss.

        The constant gives each label its commonest value in these rows.
        """
        total = self.sums.total
        rows, (true, _, _) = total[0], self._split(total)
        found = intervals(self.sums, self._measured, confidence)
        found["accuracy"] = wilson(total[1], rows, confidence)
        said = np.where(true > rows - true, rows, 0.0)
        baseline = {
            "f1_macro": float(mean_f1(true, said, np.where(said > 0, true, 0.0), everyone=True)),
            "hamming_loss": float(np.minimum(true, rows - true).mean() / rows),
        }
        return together(self._measured(total), found, baseline)

    def _split(self, sums: Array) -> tuple[Array, Array, Array]:
        count = len(self._targets)
        return sums[..., 2 : 2 + count], sums[..., 2 + count : 2 + 2 * count], sums[..., 2 + 2 * count :]

    def _measured(self, sums: Array) -> Measured:
        true, said, both = self._split(sums)
        return {
            "accuracy": sums[..., 1] / sums[..., 0],
            "f1_macro": mean_f1(true, said, both, everyone=True),
            "hamming_loss": (true + said - 2 * both).mean(axis=-1) / sums[..., 0],
        }

    def parts(self, confidence: float) -> list[PartMeasures]:
        """Return recall with its interval, precision and F1 of each label."""
        return class_measures(self._targets, self._split(self.sums.total), confidence)


class QuantityTally:
    """Of each row and target error and value, in standard deviations of the training rows, and their squares."""

    def __init__(self, preparation: Preparation) -> None:
        self._preparation = preparation
        self._targets = preparation.targets
        self._scale = np.array(preparation.target_scale)
        self.sums = GroupSums(1 + 5 * len(self._targets))

    def add(self, target: pd.DataFrame, outputs: np.ndarray) -> None:
        """Add rows."""
        said = predictions(self._preparation, outputs)
        said = said.to_numpy() if isinstance(said, pd.DataFrame) else said[:, None]
        columns = [read_numbers(target[name]) for name in self._targets]
        for name, values in zip(self._targets, columns, strict=True):
            require_known(name, values)
        true = np.column_stack(columns)
        error = (true - said) / self._scale
        value = (true - np.array(self._preparation.target_mean)) / self._scale
        self.sums.add(np.column_stack([np.ones(len(true)), np.abs(error), error**2, value, np.abs(value), value**2]))

    def measures(self, confidence: float) -> list[Measure]:
        """Return RMSE, R2 and MAE; of several targets in standard deviations.

        The constant is the mean of the rows that the model was trained on.
        """
        total = self.sums.total
        found = intervals(self.sums, self._measured, confidence)
        return together(
            self._measured(total), found, {name: float(value) for name, value in self._constant(total).items()}
        )

    def _split(self, sums: Array) -> list[Array]:
        """Return absolute and squared errors, values, their absolutes and squares, each (..., targets)."""
        count = len(self._targets)
        return [sums[..., 1 + count * place : 1 + count * (place + 1)] for place in range(5)]

    def _each(self, sums: Array, absolute: Array, squared: Array) -> tuple[Array, Array, Array]:
        """Return RMSE and MAE in standard deviations, and R2, of every target."""
        rows = sums[..., :1]
        _, _, value, _, value_squared = self._split(sums)
        spread = value_squared - value**2 / rows
        with np.errstate(divide="ignore", invalid="ignore"):
            # Of rows that are all the same there is nothing to explain.
            explained = np.where(spread > 1e-12 * value_squared, 1 - squared / spread, np.nan)
        return np.sqrt(squared / rows), absolute / rows, explained

    def _of_all(self, sums: Array, absolute: Array, squared: Array) -> Measured:
        unit = self._preparation.metric_unit
        _, mae, explained = self._each(sums, absolute, squared)
        return {
            "rmse": unit * np.sqrt(squared.mean(axis=-1) / sums[..., 0]),
            "r2": explained.mean(axis=-1),
            "mae": unit * mae.mean(axis=-1),
        }

    def _measured(self, sums: Array) -> Measured:
        absolute, squared, *_ = self._split(sums)
        return self._of_all(sums, absolute, squared)

    def _constant(self, sums: Array) -> Measured:
        _, _, _, absolute, squared = self._split(sums)
        return self._of_all(sums, absolute, squared)

    def parts(self, confidence: float) -> list[PartMeasures]:
        """Return RMSE with its interval, R2 and MAE of each of several targets, in its unit."""
        if len(self._targets) == 1:
            return []

        def rmses(sums: Array) -> Measured:
            absolute, squared, *_ = self._split(sums)
            each = self._each(sums, absolute, squared)[0] * self._scale
            return {name: each[..., place] for place, name in enumerate(self._targets)}

        total = self.sums.total
        absolute, squared, *_ = self._split(total)
        rmse, mae, explained = self._each(total, absolute, squared)
        ends = intervals(self.sums, rmses, confidence)
        return [
            PartMeasures(
                name=name,
                rows=self.sums.rows,
                measures={
                    "rmse": float(rmse[place] * self._scale[place]),
                    "r2": float(explained[place]),
                    "mae": float(mae[place] * self._scale[place]),
                },
                low=ends[name][0] if ends else None,
                high=ends[name][1] if ends else None,
            )
            for place, name in enumerate(self._targets)
        ]


def together(values: Measured, found: dict[str, tuple[float, float]], baseline: dict[str, float]) -> list[Measure]:
    """Return measures with what is known of each."""
    return [
        Measure(
            name=name,
            value=float(value),
            low=found[name][0] if name in found else None,
            high=found[name][1] if name in found else None,
            baseline=baseline.get(name),
        )
        for name, value in values.items()
    ]


def mean_f1(true: Array, said: Array, both: Array, *, everyone: bool = False) -> Array:
    """Return the mean of the classes' F1, 2 both / (true + said).

    Of classes only those count that some row has or is said to have; ``everyone`` counts the others as 0.
    """
    either = true + said
    each = 2 * both / np.where(either > 0, either, 1.0)
    counted = either.shape[-1] if everyone else (either > 0).sum(axis=-1)
    return np.asarray(each.sum(axis=-1) / counted)


def class_measures(
    names: tuple[str, ...] | list[str], counts: tuple[Array, Array, Array], confidence: float
) -> list[PartMeasures]:
    """Return recall, precision and F1 of classes from how many rows have them, are said to, and both."""
    found = []
    for name, true, said, both in zip(names, *(each.tolist() for each in counts), strict=True):
        low, high = wilson(both, true, confidence)
        measures = {
            "recall": both / true if true else float("nan"),
            "precision": both / said if said else float("nan"),
            "f1": 2 * both / (true + said) if true + said else float("nan"),
        }
        found.append(PartMeasures(name=name, rows=round(true), measures=measures, low=low, high=high))
    return found


def unknown_label(column: pd.Series, row: int, classes: int) -> ColumnFault:
    """Say of a label that the model cannot be right about it."""
    label = column.iloc[[row]].tolist()[0]
    fault = (
        "a missing label" if pd.isna(label) else f"the label {shown(label)}, which is none of the {classes} classes,"
    )
    return ColumnFault(column.name, fault, row)


def require_known(name: str, values: Array) -> None:
    """Raise a ColumnFault at the first target that is missing or infinite."""
    if not np.isfinite(values).all():
        raise ColumnFault(name, "a missing or infinite value", int(np.argmin(np.isfinite(values))))
