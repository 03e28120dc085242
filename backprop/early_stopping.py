"""Ending a trial that no longer improves, and giving back the weights it was best with.

(Prechelt, Early stopping - but when?, 1998.) `EarlyStopping` is what a trial asks for, `Watch` what is
remembered of it, a few numbers that are kept in checkpoints. The best weights are the stack's: see `training`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from backprop.ranges import check_count, check_not_negative
from backprop.schedules import cost, improves


@dataclass(frozen=True)
class Watch:
    """What early stopping remembers of a trial.

    Attributes
    ----------
    best : float or None
        Lowest value yet of the metric (negated where more is better).
    best_epoch : int
        The epoch that brought it, 0 before the first.
    waited : int
        Epochs in a row that brought nothing better.
    """

    best: float | None = None
    best_epoch: int = 0
    waited: int = 0


@dataclass(frozen=True)
class EarlyStopping:
    """End a trial after more than `patience` epochs in a row that beat its best by no more than `min_delta`.

    Its weights are then those of its best epoch, also where it ends for another reason. Every better value is a
    new best, so a creep slower than `min_delta` an epoch is no improvement. That is scikit-learn's rule but for a tie:
    a gain of exactly `min_delta` counts there, and here does not, so a flat curve ends also with a `min_delta` of 0.

    Attributes
    ----------
    patience : int
    min_delta : float
    metric : str
        What is watched: ``"train/loss"`` or a metric of the validation samples, such as ``"val/accuracy"``.
    restore : bool
        Whether to give back the best weights, or else the last.

    Raises
    ------
    ValueError
        A number is out of its range.
    """

    patience: int = 10
    min_delta: float = 0.0
    metric: str = "val/loss"
    restore: bool = True

    def __post_init__(self) -> None:
        check_count("patience", self.patience, least=0)
        check_not_negative("min_delta", self.min_delta)

    def observe(self, watch: Watch, epoch: int, metrics: Mapping[str, float]) -> Watch:
        """Return what is to be remembered after an epoch with these metrics."""
        value = cost(self.metric, metrics)
        waited = 0 if improves(value, watch.best, self.min_delta) else watch.waited + 1
        if improves(value, watch.best):
            return Watch(value, epoch, waited)
        return replace(watch, waited=waited)

    def ends(self, watch: Watch) -> bool:
        """Return whether the patience is used up."""
        return watch.waited > self.patience
