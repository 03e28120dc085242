"""The judge's own training loss, in float64: whether all contestants trained the same thing."""

import numpy as np
import numpy.typing as npt

from benchmarks.contestants import Weights
from benchmarks.task import Task

TOLERANCE = 1e-3
"""Largest relative difference of a trial's loss: float32 sums in another order, over all of a training's updates."""

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


def deviations(losses: dict[str, npt.NDArray[np.float64]]) -> dict[str, float]:
    """Return each contestant's largest relative difference, over the trials, from the median of all.

    The median and not ours: if ours were wrong, ours would be found to be.
    """
    agreed = np.median(np.stack(list(losses.values())), axis=0)
    return {name: float(np.max(np.abs(own - agreed) / agreed)) for name, own in losses.items()}


def is_wrong(deviation: float) -> bool:
    """Tell whether a contestant trained something else; not a number is."""
    return not deviation <= TOLERANCE
