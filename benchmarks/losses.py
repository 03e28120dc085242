"""The judge's own training loss, in float64: whether all contestants trained the same thing."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from benchmarks.contestants import Weights
from benchmarks.task import Task

TOLERANCE = 1e-3
"""Largest relative difference of the loss of nine trials in ten, and of the only one where there is one.

Not of all: a relu's sum within rounding of 0 is above it for one contestant and below it for another. At the largest
learning rates of a grid that one update can come to a hundredth of a trial's loss, whoever trains it.
"""

LARGEST = 0.1
"""Largest relative difference of any trial's loss."""

MOST_SAMPLES = 4_000
"""Samples a loss is measured on, evenly spaced: a difference of weights shows in any of them."""


def training_losses(task: Task, trained: Weights) -> npt.NDArray[np.float64]:
    """Return every trial's mean cross-entropy on samples of the training, (T,)."""
    rows = np.linspace(0, len(task.x) - 1, min(len(task.x), MOST_SAMPLES)).astype(int)
    x, codes = task.x[rows].astype("float64"), task.codes[rows]
    losses = np.empty(task.trials)
    for t in range(task.trials):
        z = x
        for k, (w, b) in enumerate(zip(*trained, strict=True)):
            h = np.maximum(z, 0) if k else x
            z = h @ w[t].astype("float64") + b[t].astype("float64")
        largest = z.max(axis=1, keepdims=True)
        log_sum = np.log(np.exp(z - largest).sum(axis=1)) + largest[:, 0]
        losses[t] = np.mean(log_sum - z[np.arange(len(z)), codes])
    return losses


@dataclass(frozen=True)
class Deviation:
    """Relative differences of a contestant's losses from the median of all contestants'.

    The median and not ours: if ours were wrong, ours would be found to be.

    Attributes
    ----------
    most : float
        Nine trials in ten differ by no more.
    largest : float
    """

    most: float
    largest: float

    @property
    def is_wrong(self) -> bool:
        """Whether the contestant trained something else; one that has a loss that is not a number did."""
        return not (self.most <= TOLERANCE and self.largest <= LARGEST)


def deviations(losses: dict[str, npt.NDArray[np.float64]]) -> dict[str, Deviation]:
    """Return how far each contestant's losses of all trials, (T,), are from what is agreed."""
    # One that has a loss that is not a number is wrong by itself, and takes nobody with it.
    agreed = np.nanmedian(np.stack(list(losses.values())), axis=0)
    relative = {name: np.abs(own - agreed) / agreed for name, own in losses.items()}
    return {name: Deviation(float(np.quantile(r, 0.9)), float(r.max())) for name, r in relative.items()}
