"""What training tells its caller: a report after every epoch, and a trial's weights with the last of its own."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from backprop.backend import HostArray
from backprop.network import Parameters

Reason = Literal["epochs", "early_stopping", "schedule", "stopped", "diverged"]


@dataclass(frozen=True)
class Finished:
    """A trial that left the stack.

    Attributes
    ----------
    trial : int
        Its place in ``Stack.trials``.
    parameters : Parameters
        Its weights as a stack of one, in host memory.
    diverged : bool
        Its loss stopped being finite in this epoch.
    reason : str
        ``"epochs"``: it was trained for all of them. ``"early_stopping"``: it no longer improved. ``"schedule"``:
        its learning rate could be reduced no further. ``"stopped"``: the caller said so. ``"diverged"``.
    weights_epoch : int
        The epoch after which it had these weights: its last, or with early stopping its best.
    """

    trial: int
    parameters: Parameters
    diverged: bool
    reason: Reason = "epochs"
    weights_epoch: int = 0


@dataclass(frozen=True)
class EpochReport:
    """What an epoch did to the trials that were trained in it.

    Attributes
    ----------
    epoch : int
        Counted from 1.
    trials : tuple of int
        Places in ``Stack.trials``; every array below has one entry for each, in this order.
    metrics : dict of str to (len(trials),) float64 arrays
        ``train/loss``: mean over the epoch's samples, each measured before the update it led to, with dropout and
        smoothed labels as trained on, without penalties. ``train/learning_rate``: of this epoch, where a trial of
        the stack has a schedule. ``val/loss`` and ``val/accuracy``, or ``val/rmse`` and ``val/r2``: of the weights
        after the epoch, see `evaluation`. ``layer/1/weight_norm`` and others, where the layers are watched, at the
        epochs at which a trial is due, and NaN for the others: see `layers`.
    finished : tuple of Finished
        The trials for which this epoch was the last.
    """

    epoch: int
    trials: tuple[int, ...]
    metrics: dict[str, HostArray]
    finished: tuple[Finished, ...]


OnEpoch: TypeAlias = Callable[[EpochReport], Collection[int]]
"""Sees an epoch's report before it is yielded; returns the places of trials that are to end with this epoch."""


def histories(reports: Sequence[EpochReport], trials: int) -> list[dict[str, list[float]]]:
    """Return, for each trial of a stack, its curve of every metric from the reports of its epochs."""
    curves: list[dict[str, list[float]]] = [{} for _ in range(trials)]
    for report in reports:
        for k, trial in enumerate(report.trials):
            for name, values in report.metrics.items():
                curves[trial].setdefault(name, []).append(float(values[k]))
    return curves
