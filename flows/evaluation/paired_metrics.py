"""The metrics by which models are compared on the same rows, as sums over rows.

Each metric is a function of the sums of a few numbers that a row has, so a bootstrap that draws rows needs no more than
how often it drew each: `counts @ statistics` are the sums of all its draws at once.

    accuracy            mean of right
    balanced accuracy   mean over the classes of  right and of class k / of class k
    macro F1            mean over the classes of  2 right / (of class k + said to be k)
    log loss            mean of -log p(true class); of several labels the mean over the labels
    RMSE, MAE           root of the mean squared error, mean absolute error; of several targets in standard deviations
    R2                  1 - squared error / squared deviation from the mean; of several targets their mean

Classes that no row of a draw is of, nor is said to be of for F1, are left out of its mean, as scikit-learn does.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pandas as pd

from flows.data.outputs import Predictions
from flows.data.preparation import Preparation, Task, label_array
from flows.errors import InputError, TableError

Rows = npt.NDArray[np.float64]

LEAST_PROBABILITY = float(np.finfo(np.float32).eps)
"""What a probability of 0 counts as in a log loss: networks compute in float32."""


@dataclass(frozen=True)
class Answers:
    """What a model says of some rows: predictions, and of classes and labels the probabilities, a column each."""

    predicted: Predictions
    probabilities: pd.DataFrame | None = None


@dataclass(frozen=True)
class PairedMetric:
    """A metric as sums over rows.

    Attributes
    ----------
    title : str
        As a sentence has it.
    maximise : bool
        Whether more of it is better.
    tasks : tuple of str
        Of which it is a metric.
    statistics : callable
        (preparation, raw targets (N, C), answers) to the numbers of each row, float64 (N, K).
    value : callable
        Sums over rows (..., K) to the metric (...).
    """

    title: str
    maximise: bool
    tasks: tuple[Task, ...]
    statistics: Callable[[Preparation, pd.DataFrame, Answers], Rows]
    value: Callable[[Rows], Rows]

    def gain(self, challenger: Rows, other: Rows) -> Rows:
        """Return by how much the first value is better than the second."""
        return challenger - other if self.maximise else other - challenger


def metric_of(name: str, task: Task) -> PairedMetric:
    """Return a metric by name; `auto` is accuracy, or the RMSE of a regression.

    Raises
    ------
    InputError
        It is no metric of the task.
    """
    found = METRICS["rmse" if task == "regression" else "accuracy"] if name == "auto" else METRICS[name]
    if task not in found.tasks:
        fitting = ", ".join(known for known, metric in METRICS.items() if task in metric.tasks)
        raise InputError(f"metric {name!r} is none of a {task}; use {fitting}")
    # Of several labels the part of them that is right.
    return (
        replace(found, title="accuracy of labels") if found is METRICS["accuracy"] and task == "multilabel" else found
    )


def check_answers(preparation: Preparation, answers: Answers) -> None:
    """Raise a TableError if what a model says is not of the targets."""
    if preparation.task == "classification":
        columns_of(preparation, answers.predicted)
    else:
        numbers_of(preparation, answers.predicted)


def columns_of(preparation: Preparation, predicted: Predictions) -> npt.NDArray[np.generic]:
    """Return predictions with a column for each target, (N, C), in the order of the targets.

    Raises
    ------
    TableError
        The model predicts something else than the targets.
    """
    if not isinstance(predicted, pd.DataFrame):
        predicted = np.asarray(predicted)[:, None]
        if len(preparation.targets) > 1 or preparation.task == "multilabel":
            raise TableError(f"it predicts one target, and these are {len(preparation.targets)}")
        return predicted
    if set(predicted.columns) != set(preparation.targets):
        raise TableError(
            f"it predicts {', '.join(map(str, predicted.columns))}, and the targets are "
            f"{', '.join(preparation.targets)}"
        )
    return predicted[list(preparation.targets)].to_numpy()


def numbers_of(preparation: Preparation, predicted: Predictions) -> Rows:
    """Return predicted quantities or labels, (N, C); a TableError if they are no numbers."""
    said = columns_of(preparation, predicted)
    try:
        return said.astype(np.float64)
    except (TypeError, ValueError) as error:
        raise TableError(f"it predicts labels, and {', '.join(preparation.targets)} holds numbers") from error


def _correct(preparation: Preparation, target: pd.DataFrame, answers: Answers) -> Rows:
    if preparation.task == "classification":
        said = columns_of(preparation, answers.predicted)[:, 0]
        right = np.asarray(target.iloc[:, 0].to_numpy() == said, dtype=np.float64)
    else:
        right = (preparation.transform_target(target) == numbers_of(preparation, answers.predicted)).mean(axis=1)
    return np.column_stack([np.ones(len(right)), right])


def _per_class(preparation: Preparation, target: pd.DataFrame, answers: Answers) -> Rows:
    """Return of each row which class or label it is of, is said to be of, and both: (N, 3C)."""
    if preparation.task == "multilabel":
        true = preparation.transform_target(target).astype(np.float64)
        said = numbers_of(preparation, answers.predicted)
        return np.hstack([true, said, true * said])
    codes = preparation.transform_target(target)
    known = {label: code for code, label in enumerate(preparation.classes or ())}
    # What is no class of the data is one class more, for all models alike.
    said_codes = [known.get(label, len(known)) for label in columns_of(preparation, answers.predicted)[:, 0].tolist()]
    is_of, is_said = _one_hot(codes, len(known) + 1), _one_hot(np.array(said_codes), len(known) + 1)
    return np.hstack([is_of, is_said, is_of * is_said])


def _one_hot(codes: npt.NDArray[np.int64], count: int) -> Rows:
    of_class = np.zeros((len(codes), count))
    of_class[np.arange(len(codes)), codes] = 1.0
    return of_class


def _log_losses(preparation: Preparation, target: pd.DataFrame, answers: Answers) -> Rows:
    if answers.probabilities is None:
        raise TableError("it gives no probabilities; use another metric")
    said = answers.probabilities
    true = preparation.transform_target(target)
    if preparation.task == "multilabel":
        p = said[[str(name) for name in preparation.targets]].to_numpy(np.float64)
        losses = -(true * np.log(_floored(p)) + (1 - true) * np.log(_floored(1 - p))).mean(axis=1)
    else:
        names = np.array([str(label) for label in label_array(preparation.classes or ())], dtype=object)
        places = said.columns.get_indexer(names[true])
        p = said.to_numpy(np.float64)[np.arange(len(said)), places]
        # A class that the model does not know it holds for impossible.
        losses = -np.log(_floored(np.where(places < 0, 0.0, p)))
    return np.column_stack([np.ones(len(losses)), losses])


def _floored(p: Rows) -> Rows:
    return np.clip(p, LEAST_PROBABILITY, 1.0)


def _errors(preparation: Preparation, target: pd.DataFrame, answers: Answers) -> Rows:
    """Return the errors of each target, (N, C): of one in its unit, of several in standard deviations."""
    scale = np.array(preparation.target_scale) / preparation.metric_unit
    true = target[list(preparation.targets)].to_numpy(dtype=np.float64)
    return np.asarray((true - numbers_of(preparation, answers.predicted)) / scale)


def _squared(preparation: Preparation, target: pd.DataFrame, answers: Answers) -> Rows:
    squares = (_errors(preparation, target, answers) ** 2).mean(axis=1)
    return np.column_stack([np.ones(len(squares)), squares])


def _absolute(preparation: Preparation, target: pd.DataFrame, answers: Answers) -> Rows:
    sizes = np.abs(_errors(preparation, target, answers)).mean(axis=1)
    return np.column_stack([np.ones(len(sizes)), sizes])


def _explained(preparation: Preparation, target: pd.DataFrame, answers: Answers) -> Rows:
    """Return 1, and of each target its squared error, its value and the value's square, (N, 1 + 3C)."""
    scale, mean = np.array(preparation.target_scale), np.array(preparation.target_mean)
    true = target[list(preparation.targets)].to_numpy(dtype=np.float64)
    errors = (true - numbers_of(preparation, answers.predicted)) / scale
    # Standardised, so that the difference of the two sums below loses no digits.
    values = (true - mean) / scale
    return np.hstack([np.ones((len(true), 1)), errors**2, values, values**2])


def _mean(sums: Rows) -> Rows:
    return np.asarray(sums[..., 1] / sums[..., 0])


def _root_mean(sums: Rows) -> Rows:
    return np.asarray(np.sqrt(_mean(sums)))


def _r2(sums: Rows) -> Rows:
    rows, (errors, values, squares) = sums[..., :1], np.split(sums[..., 1:], 3, axis=-1)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray((1 - errors / (squares - values**2 / rows)).mean(axis=-1))


def _balanced_accuracy(sums: Rows) -> Rows:
    is_of, _, both = np.split(sums, 3, axis=-1)
    return _mean_over(is_of > 0, both, is_of)


def _f1_macro(sums: Rows) -> Rows:
    is_of, is_said, both = np.split(sums, 3, axis=-1)
    return _mean_over(is_of + is_said > 0, 2 * both, is_of + is_said)


def _mean_over(there: npt.NDArray[np.bool_], over: Rows, under: Rows) -> Rows:
    parts = np.divide(over, under, out=np.zeros_like(over), where=there)
    return np.asarray(parts.sum(axis=-1) / there.sum(axis=-1))


_ANY: tuple[Task, ...] = ("classification", "multilabel")

METRICS: dict[str, PairedMetric] = {
    "accuracy": PairedMetric("accuracy", True, _ANY, _correct, _mean),
    "balanced_accuracy": PairedMetric("balanced accuracy", True, ("classification",), _per_class, _balanced_accuracy),
    "f1_macro": PairedMetric("macro F1", True, _ANY, _per_class, _f1_macro),
    "log_loss": PairedMetric("log loss", False, _ANY, _log_losses, _mean),
    "rmse": PairedMetric("RMSE", False, ("regression",), _squared, _root_mean),
    "mae": PairedMetric("MAE", False, ("regression",), _absolute, _mean),
    "r2": PairedMetric("R2", True, ("regression",), _explained, _r2),
}
