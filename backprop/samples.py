"""Samples: features, targets and, if they do not all count alike, weights."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt

from backprop.backend import Array, Backend, HostArray
from backprop.losses import BinaryCrossEntropy, CrossEntropy
from backprop.network import Architecture
from backprop.ranges import check_finite, check_positive

CHECKED_AT_ONCE = 2**20
"""Values looked at in one go: bounds the memory of a check."""

ROW_SUM_TOLERANCE = 1e-3
"""How far the targets of a softmax may be from a sum of 1: what rounding in float16 leaves."""


@dataclass(frozen=True)
class Samples:
    """Features and targets.

    What a network sees of x is `(x - shift) / scale`, computed in the dtype of the stack when rows are gathered. So
    images stay the bytes they are, on disk and on the device, and are standardised a minibatch at a time.

    Attributes
    ----------
    x : (N, D) array
    y : (N, C) array
        One-hot rows for classes, 0 and 1 for labels, values for regression.
    weights : (N,) array, optional
        How much each sample counts, at least 0. Only their ratios matter: they are divided by their mean, and the
        loss of a minibatch is `1/B sum_b w_b loss_b`, that of all samples their weighted mean. So the mean over
        minibatches is the weighted mean at any batch size, also at 1, where dividing by a minibatch's own weights
        would undo them.
    shift, scale : float
        Shared by all features: pixels have one unit.

    Raises
    ------
    ValueError
        The shapes do not fit each other, there are no samples, or `shift` or `scale` is no number to standardise by.
    """

    x: Array
    y: Array
    weights: Array | None = None
    shift: float = 0.0
    scale: float = 1.0

    def __post_init__(self) -> None:
        if self.x.ndim != 2 or self.y.ndim != 2 or len(self.x) != len(self.y):
            raise ValueError(f"x {self.x.shape} and y {self.y.shape} do not fit: use (N, D) and (N, C)")
        if len(self.x) == 0:
            raise ValueError("x has no rows: use at least one sample")
        if self.weights is not None and self.weights.shape != (len(self.x),):
            raise ValueError(f"weights {self.weights.shape} and x {self.x.shape} do not fit: use (N,) and (N, D)")
        check_finite("shift", self.shift)
        check_positive("scale", self.scale)

    def __len__(self) -> int:
        return len(self.x)

    def first(self, rows: int) -> "Samples":
        """Return views of so many of the samples, from the first, or of all."""
        weights = None if self.weights is None else self.weights[:rows]
        return replace(self, x=self.x[:rows], y=self.y[:rows], weights=weights)


def one_hot(codes: HostArray, classes: int, dtype: str = "float32") -> HostArray:
    """Return (N, classes) rows with a single 1 at each of the (N,) integer codes.

    Raises
    ------
    ValueError
        A code is outside 0..classes-1.
    """
    if len(codes) and (codes.min() < 0 or codes.max() >= classes):
        raise ValueError(f"codes span {codes.min()}..{codes.max()}: use 0..{classes - 1}")
    rows = np.zeros((len(codes), classes), dtype)
    rows[np.arange(len(codes)), codes] = 1
    return rows


def class_weights(y: HostArray, weights: Sequence[float] | Literal["balanced"] = "balanced") -> HostArray:
    """Return the weight of every sample, (N,) float64, from weights of the classes.

    Parameters
    ----------
    y : (N, C) array
        One-hot rows.
    weights : sequence of C floats, or "balanced"
        ``"balanced"`` gives class c the weight `N / (C N_c)`, so that all classes count alike. (King and Zeng,
        Logistic regression in rare events data, 2001, section 4.2.)

    Raises
    ------
    ValueError
        There are not as many weights as classes.
    """
    if isinstance(weights, str):
        if weights != "balanced":
            raise ValueError(f"weights is {weights!r}: use 'balanced' or a number for each class")
        counts = y.sum(axis=0, dtype="float64")
        return np.asarray(y @ (len(y) / (y.shape[1] * np.maximum(counts, 1))), "float64")
    if len(weights) != y.shape[1]:
        raise ValueError(f"weights has {len(weights)} entries but y has {y.shape[1]} classes")
    return np.asarray(y @ np.asarray(weights, "float64"), "float64")


def check_samples(architecture: Architecture, samples: Samples, argument: str) -> None:
    """Refuse samples in host memory that an architecture cannot be trained or measured on.

    Raises
    ------
    ValueError
        Widths do not fit, a value is not finite, or targets are not of the form the loss takes.
    """
    _check_widths(architecture, samples, argument)
    for name, values in (("x", samples.x), ("y", samples.y)):
        _check_finite(f"{argument}.{name}", values)
    if architecture.loss in (CrossEntropy.name, BinaryCrossEntropy.name):
        _check_probabilities(f"{argument}.y", samples.y, architecture)
    if samples.weights is not None:
        _check_weights(f"{argument}.weights", samples.weights)


def to_device(samples: Samples, backend: Backend, dtype: npt.DTypeLike) -> Samples:
    """Return samples for a whole training in the backend's memory, their weights divided by their mean."""
    w = samples.weights
    return replace(
        samples,
        x=backend.keep_samples(samples.x, dtype),
        y=backend.to_device(samples.y, dtype),
        weights=None if w is None else backend.to_device(w / np.mean(w, dtype="float64"), dtype),
    )


def _check_widths(architecture: Architecture, samples: Samples, argument: str) -> None:
    for axis, name, wanted, given in (
        ("inputs", "x", architecture.inputs, samples.x.shape[1]),
        ("outputs", "y", architecture.outputs, samples.y.shape[1]),
    ):
        if wanted != given:
            raise ValueError(f"{argument}.{name} has {given} columns but the architecture has {wanted} {axis}")


def _check_finite(name: str, values: HostArray) -> None:
    if values.dtype.kind in "biu":
        return
    if values.dtype.kind != "f":
        raise ValueError(f"{name} has dtype {values.dtype}: use real numbers")
    rows = max(1, CHECKED_AT_ONCE // values.shape[1])
    for start in range(0, len(values), rows):
        finite = np.isfinite(values[start : start + rows])
        if not finite.all():
            row, column = np.argwhere(~finite)[0]
            row += start
            raise ValueError(f"{name}[{row}, {column}] is {values[row, column]}: use finite numbers")


def _check_probabilities(name: str, y: HostArray, architecture: Architecture) -> None:
    if y.min() < 0 or y.max() > 1:
        raise ValueError(f"{name} spans {y.min()}..{y.max()}: loss {architecture.loss!r} takes targets in 0..1")
    if (architecture.loss, architecture.output_activation) != (CrossEntropy.name, "softmax"):
        return
    rows = max(1, CHECKED_AT_ONCE // y.shape[1])
    for start in range(0, len(y), rows):
        sums = y[start : start + rows].sum(axis=1, dtype="float64")
        row = int(np.abs(sums - 1).argmax())
        if abs(sums[row] - 1) <= ROW_SUM_TOLERANCE:
            continue
        raise ValueError(
            f"{name}[{start + row}] sums to {sums[row]:g}: loss 'cross_entropy' takes one-hot rows, see one_hot; "
            "for labels that do not exclude each other use loss 'binary_cross_entropy'"
        )


def _check_weights(name: str, weights: HostArray) -> None:
    wrong = np.flatnonzero(~(np.isfinite(weights) & (np.asarray(weights) >= 0)))
    if len(wrong):
        raise ValueError(f"{name}[{wrong[0]}] is {weights[wrong[0]]}: use finite numbers, 0 or more")
    if not np.any(weights):
        raise ValueError(f"{name} is all 0: use a positive number for at least one sample")
