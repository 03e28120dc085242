"""Loss curves of a search: of every trial where there are few, else of the best and of a sample that stands for all.

Each trial's history costs MLflow a call or two, so only what is drawn is read.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from flows.report.searched import Searched
from flows.tracking.search_runs import TrialRecord, metric_curves

MOST_CURVES = 120
MOST_TOP = 20
"""Of so many curves the best are always drawn; the others are drawn at random."""
MOST_POINTS = 100
"""Epochs of a curve that are drawn, about; of more, every second, third and so on, the same of all curves."""

LOSSES = ("train/loss", "val/loss")
QUANTILES = (0.1, 0.25, 0.5, 0.75, 0.9)


@dataclass(frozen=True)
class Curve:
    """What a trial had of some metrics after each of its epochs.

    Attributes
    ----------
    values : dict of str to tuple of float
        By metric, as long as ``epochs``; not a number where an epoch has none.
    """

    trial: TrialRecord
    epochs: tuple[int, ...]
    values: Mapping[str, tuple[float, ...]]


@dataclass(frozen=True)
class Curves:
    """The curves that are drawn.

    Attributes
    ----------
    winner : Curve
    top : tuple of Curve
        Of the trials that rank next.
    sample : tuple of Curve
        Of the others: all of them, or drawn at random.
    trials : int
        How many there are in all.
    every : int
        Every so many epochs are drawn, besides the first and a curve's last.
    """

    winner: Curve
    top: tuple[Curve, ...]
    sample: tuple[Curve, ...]
    trials: int
    every: int

    @property
    def are_sampled(self) -> bool:
        """Whether there are trials that are not drawn."""
        return 1 + len(self.top) + len(self.sample) < self.trials


def drawn_trials(searched: Searched) -> tuple[list[TrialRecord], list[TrialRecord]]:
    """Return which trials are drawn beside the winner: the next best, and the others or a sample of them."""
    trials = [trial for trial in searched.trials if trial.key != searched.winner.key]
    top, others = trials[: MOST_TOP - 1], trials[MOST_TOP - 1 :]
    if len(others) > MOST_CURVES - MOST_TOP:
        places = np.random.default_rng(0).choice(len(others), MOST_CURVES - MOST_TOP, replace=False)
        others = [others[place] for place in sorted(places)]
    return top, others


def read_curves(searched: Searched) -> Curves:
    """Read the losses of the trials that are drawn."""
    top, others = drawn_trials(searched)
    is_refit = all(trial.key != searched.winner.key for trial in searched.trials)
    every = _every(searched)
    return Curves(
        winner=_read(searched, searched.winner, LOSSES, every),
        top=tuple(_read(searched, trial, LOSSES, every) for trial in top),
        sample=tuple(_read(searched, trial, LOSSES, every) for trial in others),
        trials=len(searched.trials) + is_refit,
        every=every,
    )


def read_watched(searched: Searched) -> Curve | None:
    """Read what was watched of the winner's layers, `layer/1/weight_norm` and so on; None if nothing was."""
    names = sorted(name for name in searched.winner.metrics if name.startswith("layer/"))
    return _read(searched, searched.winner, names, _every(searched)) if names else None


def _every(searched: Searched) -> int:
    most = max(trial.most_epochs for trial in (*searched.trials, searched.winner))
    return -(-most // MOST_POINTS)


def _read(searched: Searched, trial: TrialRecord, names: Sequence[str], every: int) -> Curve:
    found = metric_curves(searched.run.tracking, trial.run_id, names)
    last = max(found, default=0)
    epochs = [epoch for epoch in sorted(found) if epoch in (1, last) or epoch % every == 0]
    values = {name: tuple(found[epoch].get(name, float("nan")) for epoch in epochs) for name in names}
    return Curve(trial, tuple(epochs), values)


def bands(curves: Sequence[Curve], name: str, every: int) -> tuple[list[int], npt.NDArray[np.float64]]:
    """Return quantiles of a metric over curves, (quantiles, epochs), epoch by epoch among those that came so far."""
    by_epoch: dict[int, list[float]] = {}
    for curve in curves:
        for epoch, value in zip(curve.epochs, curve.values[name], strict=True):
            # The last epoch of a curve may be one that the others leave out.
            if np.isfinite(value) and (epoch == 1 or epoch % every == 0):
                by_epoch.setdefault(epoch, []).append(value)
    epochs = sorted(by_epoch)
    if not epochs:
        return [], np.empty((len(QUANTILES), 0))
    return epochs, np.array([np.quantile(by_epoch[epoch], QUANTILES) for epoch in epochs]).T
