"""What the winner reached on the test rows, by scikit-learn's measures."""

import re
from collections.abc import Sequence

import numpy as np
from sklearn import metrics

from flows.data.preparation import LABEL_THRESHOLD, Preparation

# What MLflow allows in a name, but for the slash, which divides names.
_REFUSED = re.compile(r"[^\w.\- :]")

LONGEST_NAME = 200
"""Of a target in the name of a metric, for which MLflow has 250 characters."""


def measure(preparation: Preparation, target: np.ndarray, outputs: np.ndarray) -> dict[str, float]:
    """Return the measures of a task.

    Of a classification accuracy and macro F1; of several labels the same, a row being right if all its labels are,
    and the Hamming loss, the part of all labels that are wrong. Of a regression RMSE, R2 and MAE. Of several targets
    RMSE and MAE are of all values in standard deviations and R2 the targets' mean, and each target has an RMSE in its
    own unit and an R2 under its name.

    Parameters
    ----------
    target : (N,) or (N, C) array
        As the dataset has it: codes, standardised values, or labels of 0 and 1.
    outputs : (N, C) array
        Of the network: probabilities or standardised values.
    """
    match preparation.task:
        case "classification":
            return _of_classes(target, outputs)
        case "multilabel":
            return _of_labels(target, outputs)
        case "regression":
            return _of_quantities(preparation, target.astype(np.float64), outputs.astype(np.float64))


def _of_classes(target: np.ndarray, outputs: np.ndarray) -> dict[str, float]:
    predicted = outputs.argmax(axis=1)
    return {
        "test/accuracy": float(metrics.accuracy_score(target, predicted)),
        "test/f1_macro": float(metrics.f1_score(target, predicted, average="macro")),
    }


def _of_labels(target: np.ndarray, outputs: np.ndarray) -> dict[str, float]:
    true, predicted = target.astype(np.int64), (outputs > LABEL_THRESHOLD).astype(np.int64)
    return {
        "test/accuracy": float(metrics.accuracy_score(true, predicted)),
        # A label that no test row has, and that is predicted for none, has an F1 of 0.
        "test/f1_macro": float(metrics.f1_score(true, predicted, average="macro", zero_division=0.0)),
        "test/hamming_loss": float(metrics.hamming_loss(true, predicted)),
    }


def _of_quantities(preparation: Preparation, true: np.ndarray, predicted: np.ndarray) -> dict[str, float]:
    unit = preparation.metric_unit
    squares = metrics.mean_squared_error(true, predicted, multioutput="raw_values")
    measured = {
        # Scikit-learn's own RMSE of several targets would be the mean of theirs.
        "test/rmse": unit * float(np.sqrt(squares.mean())),
        "test/r2": float(metrics.r2_score(true, predicted)),
        "test/mae": unit * float(metrics.mean_absolute_error(true, predicted)),
    }
    if len(preparation.targets) == 1:
        return measured
    rmses = np.sqrt(squares) * preparation.target_scale
    r2s = metrics.r2_score(true, predicted, multioutput="raw_values")
    for name, rmse, r2 in zip(names_in_mlflow(preparation.targets), rmses, r2s, strict=True):
        measured |= {f"test/rmse/{name}": float(rmse), f"test/r2/{name}": float(r2)}
    return measured


def names_in_mlflow(targets: Sequence[str]) -> list[str]:
    """Return a name for each target that may be part of a metric's, all of them different.

    What MLflow refuses becomes an underscore. Where that makes two names one, or leaves nothing but dots, which would
    be a directory, all are numbered.
    """
    names = [_REFUSED.sub("_", target)[:LONGEST_NAME] for target in targets]
    if len(set(names)) == len(names) and all(name.strip(".") for name in names):
        return names
    return [f"{name}_{place}" for place, name in enumerate(names, start=1)]
