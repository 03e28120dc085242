"""What is to be trained: a trial's numbers, and the stack of trials that train together."""

from dataclasses import dataclass, field, replace
from typing import Literal

from backprop.choices import choose
from backprop.early_stopping import EarlyStopping
from backprop.initializers import initializer
from backprop.losses import BinaryCrossEntropy, CrossEntropy
from backprop.network import Architecture
from backprop.optimizers import SGD, Optimizer
from backprop.padding import narrowed
from backprop.ranges import check_count, check_fraction, check_not_negative, check_positive
from backprop.schedules import Constant, Schedule

Task = Literal["classification", "regression"]

METRICS: dict[Task, tuple[str, ...]] = {
    "classification": ("loss", "accuracy"),
    "regression": ("loss", "rmse", "r2"),
}
"""What validation measures for each task."""

PARTS = {
    "optimizer": (Optimizer, "one of backprop.optimizers, such as Adam()"),
    "schedule": (Schedule, "one of backprop.schedules, such as Cosine()"),
    "early_stopping": (EarlyStopping | None, "EarlyStopping(), or None"),
}
"""What a trial is made of besides numbers, and how to say so."""


@dataclass(frozen=True)
class Trial:
    """What may differ between the trials of a stack.

    Attributes
    ----------
    learning_rate : float
        mu of `W := W - mu dL/dW`, where L is the mean loss of the minibatch; what the schedule starts from.
    epochs : int
        Passes over the training samples.
    seed : int
        Draws the initial weights and the masks of dropout.
    optimizer : Optimizer
        One of `backprop.optimizers`. Its numbers may differ within a stack, its kind may not.
    schedule : Schedule
        One of `backprop.schedules`.
    l2, l1 : float
        Strength of the penalties `l2/2 sum W^2` and `l1 sum |W|` on all weights, biases exempt. They are added to
        the mean loss, whatever the batch size; no reported loss contains them.
    clip_norm : float or None
        Longest gradient of the mean loss, over all weights and biases, before the penalties are added.
    dropout : float
        Probability to leave a unit of a hidden layer out, in [0, 1).
    label_smoothing : float
        e of the targets trained on, `(1 - e) y + e/C` for cross-entropy, `(1 - e) y + e/2` for binary
        cross-entropy, in [0, 1). Validation measures on the targets as given.
    early_stopping : EarlyStopping or None
    initializer : str or None
        Of all weights; None chooses by each layer's activation.
    hidden : tuple of int or None
        Widths of the trial's own hidden layers, where some are narrower than the architecture's: it trains as if
        alone, padded (see `backprop.padding`). None for the architecture's.

    Raises
    ------
    ValueError
        A number is out of its range or a name unknown.
    """

    learning_rate: float
    epochs: int
    seed: int = 0
    optimizer: Optimizer = field(default_factory=SGD)
    schedule: Schedule = field(default_factory=Constant)
    l2: float = 0.0
    l1: float = 0.0
    clip_norm: float | None = None
    dropout: float = 0.0
    label_smoothing: float = 0.0
    early_stopping: EarlyStopping | None = None
    initializer: str | None = None
    hidden: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        if self.hidden is not None:
            object.__setattr__(self, "hidden", tuple(self.hidden))
        check_positive("learning_rate", self.learning_rate)
        check_count("epochs", self.epochs)
        check_count("seed", self.seed, least=0)
        check_not_negative("l2", self.l2)
        check_not_negative("l1", self.l1)
        check_fraction("dropout", self.dropout)
        check_fraction("label_smoothing", self.label_smoothing)
        if self.clip_norm is not None:
            check_positive("clip_norm", self.clip_norm)
        if self.initializer is not None:
            initializer(self.initializer)
        for argument, (kind, allowed) in PARTS.items():
            if not isinstance(getattr(self, argument), kind):
                raise ValueError(f"{argument} is {getattr(self, argument)!r}: use {allowed}")  # noqa: TRY004 - as all others

    @property
    def watched(self) -> tuple[str, ...]:
        """Names of the metrics that decide how the trial goes on."""
        names = (self.schedule.watched, self.early_stopping.metric if self.early_stopping else None)
        return tuple(name for name in names if name is not None)


@dataclass(frozen=True)
class Stack:
    """Trials of one architecture and batch size, trained together.

    Attributes
    ----------
    batch_size : int
        B, samples per update; from 1 (the textbook's one randomly picked sample) to the whole set.
    trials : tuple of Trial
        Their optimisers are of one kind.
    task : str
        ``"classification"`` or ``"regression"``: what validation measures.
    shuffle_seed : int
        Orders the samples of every epoch. It is the stack's, so all trials see the same minibatches.
    dtype : str
        ``"float32"`` or ``"float64"``.
    shuffle : bool
        Whether the samples are put in a new order every epoch, or else taken as they come.

    Raises
    ------
    ValueError
        There are no trials, they do not fit each other, or a value is out of its range.
    """

    architecture: Architecture
    batch_size: int
    trials: tuple[Trial, ...]
    task: Task = "classification"
    shuffle_seed: int = 0
    dtype: Literal["float32", "float64"] = "float32"
    shuffle: bool = True

    def __post_init__(self) -> None:
        if not self.trials:
            raise ValueError("trials is empty: a stack needs at least one")
        check_count("batch_size", self.batch_size)
        if self.task not in METRICS:
            raise ValueError(f"task is {self.task!r}: use 'classification' or 'regression'")
        check_count("shuffle_seed", self.shuffle_seed, least=0)
        if self.dtype not in ("float32", "float64"):
            raise ValueError(f"dtype is {self.dtype!r}: use 'float32' or 'float64'")
        kinds = sorted({trial.optimizer.name for trial in self.trials})
        if len(kinds) > 1:
            raise ValueError(f"trials have the optimizers {', '.join(kinds)}: use one kind in a stack")
        for trial in self.trials:
            self._check_trial(trial)

    def _check_trial(self, trial: Trial) -> None:
        narrowed(self.architecture, trial.hidden)
        loss = self.architecture.loss
        if trial.label_smoothing and loss not in (CrossEntropy.name, BinaryCrossEntropy.name):
            raise ValueError(
                f"label_smoothing is {trial.label_smoothing} but loss is {loss!r}: "
                "use 0, or loss 'cross_entropy' or 'binary_cross_entropy'"
            )
        known = dict.fromkeys(("train/loss", *(f"val/{name}" for name in METRICS[self.task])))
        for name in trial.watched:
            choose("metric", name, known)


def own_architecture(stack: Stack, trial: int) -> Architecture:
    """Return the architecture of one trial of a stack, with its own widths."""
    return narrowed(stack.architecture, stack.trials[trial].hidden)


def stack_of_one(stack: Stack, trial: int) -> Stack:
    """Return the stack that holds only one of its trials, everything else the same."""
    return replace(stack, trials=(stack.trials[trial],))
