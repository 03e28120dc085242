"""Learning rates that change with the epoch, or with what the epochs before have brought.

A schedule is a few numbers on a trial, so every trial of a stack may have its own. It answers with the
learning rate of an epoch from three things: the trial's `learning_rate`, the `Moment`, and its `Pace`, all
that it remembers. Only the schedules that watch a metric remember anything; a `Pace` is data, kept in
checkpoints. Epochs count from 1 everywhere; `i` below is the number of epochs before this one.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import ClassVar

from backprop.choices import choose, named
from backprop.ranges import check_count, check_factor, check_not_negative


@dataclass(frozen=True)
class Moment:
    """Where a training stands when an epoch starts.

    Attributes
    ----------
    index : int
        i, the number of epochs before this one.
    epochs : int
        Epochs the trial is to be trained for.
    samples : int
        Samples seen before this epoch, each as often as it was seen.
    """

    index: int
    epochs: int
    samples: int


@dataclass(frozen=True)
class Pace:
    """What a schedule remembers of a trial.

    Attributes
    ----------
    rate : float
        The learning rate before warm-up; what a plateau reduces.
    best : float or None
        Lowest value yet of what it watches (negated where more is better).
    waited : int
        Epochs in a row that brought nothing better.
    exhausted : bool
        The rate is as small as it may be and still nothing improves: the trial ends.
    """

    rate: float
    best: float | None = None
    waited: int = 0
    exhausted: bool = False


class Schedule(ABC):
    """The learning rate of every epoch of a trial."""

    name: ClassVar[str]

    @property
    def watched(self) -> str | None:
        """Name of the metric it follows, or None."""
        return None

    @abstractmethod
    def rate(self, base: float, moment: Moment, pace: Pace) -> float:
        """Return the learning rate of the epoch, `base` being the trial's `learning_rate`."""

    def observe(self, pace: Pace, moment: Moment, metrics: Mapping[str, float]) -> Pace:  # noqa: ARG002 - one signature
        """Return what is to be remembered after an epoch with these metrics."""
        return pace


@dataclass(frozen=True)
class Constant(Schedule):
    """`mu_i = mu`."""

    name: ClassVar[str] = "constant"

    def rate(self, base: float, moment: Moment, pace: Pace) -> float:  # noqa: ARG002 - one signature for all
        """Return `base`."""
        return base


@dataclass(frozen=True)
class Step(Schedule):
    """`mu_i = mu factor^floor(i / every)`: a step down after every so many epochs, as PyTorch's StepLR."""

    name: ClassVar[str] = "step"
    every: int = 10
    factor: float = 0.1

    def __post_init__(self) -> None:
        check_count("every", self.every)
        check_factor("factor", self.factor)

    def rate(self, base: float, moment: Moment, pace: Pace) -> float:  # noqa: ARG002 - one signature for all
        """Return the rate of the step the epoch is on."""
        return base * self.factor ** (moment.index // self.every)


@dataclass(frozen=True)
class Exponential(Schedule):
    """`mu_i = mu factor^i`, as PyTorch's ExponentialLR."""

    name: ClassVar[str] = "exponential"
    factor: float = 0.95

    def __post_init__(self) -> None:
        check_factor("factor", self.factor)

    def rate(self, base: float, moment: Moment, pace: Pace) -> float:  # noqa: ARG002 - one signature for all
        """Return the rate after i multiplications."""
        return float(base * self.factor**moment.index)


@dataclass(frozen=True)
class Cosine(Schedule):
    """`mu_i = min + (mu - min) (1 + cos(pi i / epochs)) / 2`, and `min` from i = epochs on.

    Loshchilov and Hutter, SGDR: stochastic gradient descent with warm restarts, 2017, eq. 5, without
    restarts. (PyTorch's CosineAnnealingLR up to i = epochs.)

    Attributes
    ----------
    epochs : int or None
        Length of the half wave; None takes what remains of the trial's epochs.
    minimum : float
        The rate at its end.
    """

    name: ClassVar[str] = "cosine"
    epochs: int | None = None
    minimum: float = 0.0

    def __post_init__(self) -> None:
        if self.epochs is not None:
            check_count("epochs", self.epochs)
        check_not_negative("minimum", self.minimum)

    def rate(self, base: float, moment: Moment, pace: Pace) -> float:  # noqa: ARG002 - one signature for all
        """Return the rate on the half wave."""
        length = moment.epochs if self.epochs is None else self.epochs
        wave = (1 + math.cos(math.pi * min(moment.index, length) / length)) / 2
        return self.minimum + (base - self.minimum) * wave


@dataclass(frozen=True)
class InverseScaling(Schedule):
    """`mu_i = mu / (1 + n)^power`, n being the samples seen before the epoch: scikit-learn's `invscaling`.

    (scikit-learn, `sklearn/neural_network/_stochastic_optimizers.py`, `SGDOptimizer.iteration_ends`.)
    """

    name: ClassVar[str] = "inverse_scaling"
    power: float = 0.5

    def __post_init__(self) -> None:
        check_not_negative("power", self.power)

    def rate(self, base: float, moment: Moment, pace: Pace) -> float:  # noqa: ARG002 - one signature for all
        """Return the rate after n samples."""
        return float(base / (1 + moment.samples) ** self.power)


@dataclass(frozen=True)
class ReduceOnPlateau(Schedule):
    """`mu := max(mu factor, minimum)` after more than `patience` epochs in a row without a new best.

    A value is a new best if it beats the best by more than `min_delta`; then waiting starts anew, as it does
    after a reduction. (PyTorch's ReduceLROnPlateau with `threshold_mode="abs"`, no cooldown and `eps=0`.)

    Attributes
    ----------
    metric : str
        What is watched, ``"train/loss"`` or a metric of the validation samples.
    """

    name: ClassVar[str] = "reduce_on_plateau"
    factor: float = 0.1
    patience: int = 10
    min_delta: float = 1e-4
    minimum: float = 0.0
    metric: str = "val/loss"

    def __post_init__(self) -> None:
        check_factor("factor", self.factor)
        check_count("patience", self.patience, least=0)
        check_not_negative("min_delta", self.min_delta)
        check_not_negative("minimum", self.minimum)

    @property
    def watched(self) -> str | None:
        """The metric."""
        return self.metric

    def rate(self, base: float, moment: Moment, pace: Pace) -> float:  # noqa: ARG002 - one signature for all
        """Return the rate as reduced so far."""
        return pace.rate

    def observe(self, pace: Pace, moment: Moment, metrics: Mapping[str, float]) -> Pace:  # noqa: ARG002 - one signature
        """Return the pace after one more value of the metric."""
        value = cost(self.metric, metrics)
        if improves(value, pace.best, self.min_delta):
            return replace(pace, best=value, waited=0)
        if pace.waited < self.patience:
            return replace(pace, waited=pace.waited + 1)
        return replace(pace, rate=max(pace.rate * self.factor, min(self.minimum, pace.rate)), waited=0)


@dataclass(frozen=True)
class Adaptive(Schedule):
    """`mu := mu factor` after more than `patience` epochs in a row that beat the best by less than `min_delta`.

    scikit-learn's `learning_rate="adaptive"`: there the factor is 1/5, and a trial that would be reduced again
    at `minimum` or below ends. Every lower value is the new best, so a slow creep is a plateau too.
    (scikit-learn, `BaseMultilayerPerceptron._update_no_improvement_count`.)
    """

    name: ClassVar[str] = "adaptive"
    factor: float = 0.2
    patience: int = 10
    min_delta: float = 1e-4
    minimum: float = 1e-6
    metric: str = "train/loss"

    def __post_init__(self) -> None:
        check_factor("factor", self.factor)
        check_count("patience", self.patience, least=0)
        check_not_negative("min_delta", self.min_delta)
        check_not_negative("minimum", self.minimum)

    @property
    def watched(self) -> str | None:
        """The metric."""
        return self.metric

    def rate(self, base: float, moment: Moment, pace: Pace) -> float:  # noqa: ARG002 - one signature for all
        """Return the rate as reduced so far."""
        return pace.rate

    def observe(self, pace: Pace, moment: Moment, metrics: Mapping[str, float]) -> Pace:  # noqa: ARG002 - one signature
        """Return the pace after one more value of the metric."""
        value = cost(self.metric, metrics)
        enough = pace.best is None or value <= pace.best - self.min_delta
        waited = 0 if enough else pace.waited + 1
        pace = replace(pace, waited=waited, best=value if improves(value, pace.best) else pace.best)
        if waited <= self.patience:
            return pace
        if pace.rate <= self.minimum:
            return replace(pace, exhausted=True)
        return replace(pace, rate=pace.rate * self.factor, waited=0)


@dataclass(frozen=True)
class WarmUp(Schedule):
    """`mu_i = (start + (1 - start) i / epochs) mu` for i < epochs, then another schedule from its beginning.

    Goyal et al., Accurate, large minibatch SGD, 2017, section 2.2. (PyTorch's LinearLR followed by the
    other in a SequentialLR.)

    Attributes
    ----------
    epochs : int
        Length of the warm-up.
    start : float
        Part of the learning rate the first epoch has, in (0, 1].
    then : Schedule
        What follows; it sees neither the epochs nor the metrics of the warm-up.
    """

    name: ClassVar[str] = "warm_up"
    epochs: int = 5
    start: float = 0.1
    then: Schedule = field(default_factory=Constant)

    def __post_init__(self) -> None:
        check_count("epochs", self.epochs)
        check_factor("start", self.start)
        if not isinstance(self.then, Schedule):
            raise ValueError(f"then is {self.then!r}: use a schedule such as Constant()")  # noqa: TRY004 - as all others

    @property
    def watched(self) -> str | None:
        """What the schedule that follows watches."""
        return self.then.watched

    def rate(self, base: float, moment: Moment, pace: Pace) -> float:
        """Return the rate on the ramp, or that of the schedule that follows."""
        if moment.index < self.epochs:
            return base * (self.start + (1 - self.start) * moment.index / self.epochs)
        return self.then.rate(base, self._later(moment), pace)

    def observe(self, pace: Pace, moment: Moment, metrics: Mapping[str, float]) -> Pace:
        """Return what the schedule that follows remembers, once it has begun."""
        return pace if moment.index < self.epochs else self.then.observe(pace, self._later(moment), metrics)

    def _later(self, moment: Moment) -> Moment:
        return replace(moment, index=moment.index - self.epochs, epochs=max(1, moment.epochs - self.epochs))


SCHEDULES: dict[str, type[Schedule]] = {
    kind.name: kind for kind in (Constant, Step, Exponential, Cosine, InverseScaling, ReduceOnPlateau, Adaptive, WarmUp)
}


def schedule(name: str, **numbers: object) -> Schedule:
    """Return the schedule of that name with its numbers.

    Raises
    ------
    ValueError
        No schedule has that name, it has no such number (the message suggests the nearest), or a number is
        out of its range.
    """
    return named(choose("schedule", name, SCHEDULES), numbers)


MORE_IS_BETTER = frozenset({"accuracy", "r2"})
"""Metrics, without their prefix, of which more is better; of all others less is."""


def cost(metric: str, metrics: Mapping[str, float]) -> float:
    """Return a metric's value so that less is better."""
    value = float(metrics[metric])
    return -value if metric.partition("/")[2] in MORE_IS_BETTER else value


def improves(value: float, best: float | None, min_delta: float = 0.0) -> bool:
    """Return whether a cost is finite and beats the best, None being none yet, by more than `min_delta`."""
    return math.isfinite(value) and (best is None or value < best - min_delta)
