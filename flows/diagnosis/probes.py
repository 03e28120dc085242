"""Short trainings of a space's networks, each at the rates that the space asks for and at many others.

All rates of a kind of network are one stack, so a sweep over them costs little more than one training. It is a learning
rate range test (Smith, Cyclical learning rates for training neural networks, 2017, section 3.3) in which every rate
starts from the same weights, so that none suffers from what a higher one before it did.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from backprop import EpochReport, LayerWatch, Network, Samples, Training, select_backend
from backprop.reports import histories
from flows.compute.core_stack import stack_of
from flows.configurations import rounds
from flows.diagnosis.table import Table
from flows.parameters import Hyperparameters, Space
from flows.trials import describe, plan_trial_on

Value = TypeVar("Value")

MOST_KINDS = 3
"""Kinds of networks that are probed, evenly over those of the space."""

MOST_ASKED = 5
"""Rates of a space that are probed, evenly over all of them."""

MOST_FLOPS = 1e11
"""Of the probe of a kind: a few seconds."""

FLOPS_A_WEIGHT = 6
"""Forward, backward by the inputs and by the weights: a multiplication and an addition each."""

LEAST_EPOCHS, LEAST_ROWS = 5, 256

PLAIN_RATES = tuple(float(f"{rate:.2g}") for rate in np.geomspace(1e-4, 10**1.5, 12))
"""Swept where a step is as long as the gradient times the rate."""

ADAPTIVE_RATES = tuple(float(f"{rate:.2g}") for rate in np.geomspace(1e-6, 1.0, 13))
"""Swept where a step is about as long as the rate."""

ADAPTIVE = ("rmsprop", "adam", "adamw")

WATCH = LayerWatch(gradients=True, epochs=5, rows=256)


@dataclass(frozen=True)
class ProbedRate:
    """One rate of a probe.

    Attributes
    ----------
    asked : bool
        Whether the space asks for it, or the sweep does.
    curves : dict of str to list of float
        By metric, an entry an epoch; of the layers NaN at epochs at which they were not measured.
    diverged_at : int or None
        The epoch in which the loss stopped being finite.
    """

    rate: float
    asked: bool
    curves: dict[str, list[float]]
    diverged_at: int | None

    @property
    def last_loss(self) -> float:
        """Training loss of the last epoch; infinite of a training that diverged."""
        return np.inf if self.diverged_at is not None else self.curves["train/loss"][-1]

    @property
    def lowest_validation_loss(self) -> float:
        """The lowest of all epochs; infinite of a training that never had one."""
        return min((loss for loss in self.curves["val/loss"] if np.isfinite(loss)), default=np.inf)

    def layers(self, name: str) -> dict[int, list[float]]:
        """Return the numbers of that name of each layer, those that were measured, in order."""
        found = {}
        for metric, values in self.curves.items():
            kind, _, rest = metric.partition("/")
            layer, _, number = rest.partition("/")
            if kind == "layer" and number == name:
                found[int(layer)] = [value for value in values if np.isfinite(value)]
        return found


@dataclass(frozen=True)
class Probe:
    """A kind of network of the space, trained at many rates.

    Attributes
    ----------
    kind : Hyperparameters
        The first trial of the kind: all but the rate holds for all of the probe.
    rates : tuple of ProbedRate
        The lowest first.
    constant_loss : float
        Training loss of the best constant answer.
    constant_validation_loss : float
        And its validation loss.
    epochs : int
        That were trained, perhaps fewer than the space asks for.
    updates : int
        That were made.
    planned_updates : int
        That `backprop train` would make.
    """

    kind: Hyperparameters
    rates: tuple[ProbedRate, ...]
    constant_loss: float
    constant_validation_loss: float
    epochs: int
    updates: int
    planned_updates: int

    @property
    def name(self) -> str:
        """What a person calls the kind."""
        return describe(self.kind, frozenset({"hidden", "activation", "optimizer"}))

    @property
    def asked(self) -> list[ProbedRate]:
        """The rates that the space asks for."""
        return [rate for rate in self.rates if rate.asked]

    @property
    def best(self) -> ProbedRate:
        """The rate of the lowest training loss, whether it is asked for or not."""
        return min(self.rates, key=lambda rate: rate.last_loss)

    def progress(self, rate: ProbedRate) -> float:
        """Return how much of what the best rate gains over the constant answer this one gains: 1 at the best."""
        gained = self.constant_loss - self.best.last_loss
        if rate.diverged_at is not None or gained <= 0:
            return 0.0
        return (self.constant_loss - rate.last_loss) / gained


def kinds_of(space: Space) -> list[tuple[Hyperparameters, tuple[float, ...]]]:
    """Return some kinds of networks of a space, evenly over all, each with some rates that its optimiser is given."""
    trials = [seeds[0] for together in rounds(space) for seeds in together]
    first: dict[Hyperparameters, Hyperparameters] = {}
    rates: dict[str, set[float]] = {}
    for trial in trials:
        first.setdefault(trial.model_copy(update={"learning_rate": 1.0, "seed": 0}), trial)
        rates.setdefault(trial.optimizer, set()).add(trial.learning_rate)
    return [
        (kind, tuple(_spread(sorted(rates[kind.optimizer]), MOST_ASKED)))
        for kind in _spread(list(first.values()), MOST_KINDS)
    ]


def _spread(values: Sequence[Value], most: int) -> list[Value]:
    """Return at most so many of some values, the first and the last among them, evenly."""
    places = np.linspace(0, len(values) - 1, min(most, len(values))).round().astype(int)
    return [values[place] for place in places]


def probe(table: Table, kind: Hyperparameters, asked: Sequence[float]) -> Probe:
    """Train a kind of network at the rates asked for and at those of the sweep, all from the same weights."""
    swept = ADAPTIVE_RATES if kind.optimizer in ADAPTIVE else PLAIN_RATES
    rates = sorted({*asked, *swept})
    training_rows, validation_rows = np.flatnonzero(table.trains), np.flatnonzero(~table.trains)
    epochs, rows = _affordable(table, kind, len(rates), len(training_rows))
    # Of rows in the order of the source, which may be that of the classes, evenly.
    training = table.samples(training_rows[np.linspace(0, len(training_rows) - 1, rows).astype(int)])
    validation = table.samples(validation_rows)
    reports = train_kind(table, kind.model_copy(update={"epochs": epochs}), rates, training, validation)
    diverged = {done.trial: report.epoch for report in reports for done in report.finished if done.diverged}
    curves = histories(reports, len(rates))
    planned_rows = table.shape.rows["train"]
    return Probe(
        kind=kind,
        rates=tuple(
            ProbedRate(rate, rate in asked, curves[place], diverged.get(place)) for place, rate in enumerate(rates)
        ),
        constant_loss=constant_loss(table, training, training),
        constant_validation_loss=constant_loss(table, training, validation),
        epochs=epochs,
        updates=epochs * -(-rows // kind.batch_size),
        planned_updates=kind.epochs * -(-planned_rows // kind.batch_size),
    )


def _affordable(table: Table, kind: Hyperparameters, trials: int, rows: int) -> tuple[int, int]:
    """Return for how many epochs on how many rows there is time."""
    weights = plan_trial_on(table.shape, kind).architecture.parameter_count
    flops = FLOPS_A_WEIGHT * weights * trials
    epochs = int(np.clip(MOST_FLOPS / (flops * rows), min(LEAST_EPOCHS, kind.epochs), kind.epochs))
    return epochs, int(np.clip(MOST_FLOPS / (flops * epochs), min(LEAST_ROWS, rows), rows))


def train_kind(
    table: Table, kind: Hyperparameters, rates: Sequence[float], training: Samples, validation: Samples
) -> list[EpochReport]:
    """Train a kind of network at some rates, as one stack, and return its reports."""
    trials = [plan_trial_on(table.shape, kind.model_copy(update={"learning_rate": rate})) for rate in rates]
    run = Training(stack_of(trials, table.task), select_backend("cpu"), layers=WATCH)
    placed = run.place(training), run.place(validation, "validation")
    reports = []
    while run.active:
        reports.append(run.epoch(*placed))
    return reports


def constant_loss(table: Table, known: Samples, asked: Samples) -> float:
    """Return the mean loss, over the samples asked, of always answering with what is most likely by those known."""
    kind = Hyperparameters(hidden=(), learning_rate=1.0)
    network = Network(plan_trial_on(table.shape, kind).architecture, select_backend("cpu"))
    mean = np.asarray(known.y, "float64").mean(axis=0)
    # A class that is not among the known is not impossible.
    likely = np.clip(mean, 0.5 / len(known), 1 - 0.5 / len(known))
    if table.task == "classification":
        logits = np.log(likely)
    elif table.task == "multilabel":
        logits = np.log(likely) - np.log1p(-likely)
    else:
        logits = mean
    z = np.broadcast_to(logits, (1, *asked.y.shape))
    return float(network.output_stage.loss(np, z, np.asarray(asked.y, "float64")).mean())
