"""How long an epoch of a trial takes, measured on a few minibatches."""

import time
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from threadpoolctl import threadpool_limits

from backprop import Architecture, Samples, Stack, Training, Trial, one_hot
from backprop.backend import Backend
from backprop.optimizers import optimizer
from flows.compute.paces import kind_of
from flows.data.preparation import Task
from flows.data.shape import DatasetShape
from flows.trials import DTYPE, HEADS, PlannedTrial, common_architecture, own_hidden

FIRST_MINIBATCHES = 4
"""Of the smallest probe."""

REPEATS = 2
"""Of every probe: the fastest counts, since what else a machine does makes it slower and never faster."""

GROWTH = 4
"""How much larger each probe is than the one before, until the time is spent or the rows are."""

SHARE = 0.05
"""Part of the work that is to be planned that its probes may take."""

LEAST_SECONDS = 1e-6
"""Taken for a probe that ends before its clock ticks."""

PROBE_RATE = 1e-6
"""Learning rate of a probe: how long an epoch takes does not depend on it, and nothing diverges."""


class ProbeRows(Protocol):
    """Rows to train on for a moment."""

    @property
    def task(self) -> Task:
        """Of the dataset."""

    @property
    def count(self) -> int:
        """Training rows that an epoch has."""

    def take(self, rows: int) -> tuple[Samples, Samples]:
        """Return so many rows to train on, and in proportion to validate on."""


@dataclass(frozen=True)
class NoiseRows:
    """Rows of a dataset's shape that say nothing, for a dataset that is not at hand."""

    shape: DatasetShape

    @property
    def task(self) -> Task:
        """Of the dataset."""
        return self.shape.task

    @property
    def count(self) -> int:
        """Training rows that an epoch has."""
        return self.shape.rows["train"]

    def take(self, rows: int) -> tuple[Samples, Samples]:
        """Draw so many rows to train on, and in proportion to validate on."""
        return self._noise(rows), self._noise(_in_proportion(rows, self.count, self.shape.rows["validation"]))

    def _noise(self, rows: int) -> Samples:
        generator = np.random.default_rng(0)
        x = generator.standard_normal((rows, self.shape.inputs), "float32")
        if self.task == "classification":
            return Samples(x, one_hot(generator.integers(self.shape.outputs, size=rows), self.shape.outputs))
        if self.task == "multilabel":
            return Samples(x, generator.integers(2, size=(rows, self.shape.outputs)).astype("float32"))
        return Samples(x, generator.standard_normal((rows, self.shape.outputs), "float32"))


@dataclass(frozen=True)
class DatasetRows:
    """The first rows of a dataset: how fast they are depends on how many of their values are 0."""

    task: Task
    training: Samples
    validation: Samples

    @property
    def count(self) -> int:
        """Training rows that an epoch has."""
        return len(self.training)

    def take(self, rows: int) -> tuple[Samples, Samples]:
        """Return so many rows to train on, and in proportion to validate on."""
        return self.training.first(rows), self.validation.first(_in_proportion(rows, self.count, len(self.validation)))


def seconds_an_epoch(
    trials: Sequence[PlannedTrial],
    rows: ProbeRows,
    backend: Backend,
    budget_seconds: float,
    planned_epochs: float = float("inf"),
) -> float:
    """Measure how long an epoch of one trial takes, validation included.

    It takes about `budget_seconds`, or what `SHARE` of the planned epochs takes, or the smallest probe does.

    Parameters
    ----------
    trials : sequence of PlannedTrial
        That could share a stack. On a CPU, where they train one after another, they are of one kind and two are timed;
        on a GPU all.
    planned_epochs : float
        That all trials of the kind are to be trained for.
    """
    timed = trials if backend.name != "numpy" else list(dict.fromkeys((trials[0], trials[-1])))
    size = min(FIRST_MINIBATCHES * timed[0].hyperparameters.batch_size, rows.count)
    # As on a worker: one thread.
    with threadpool_limits(limits=1, user_api="blas") if backend.name == "numpy" else nullcontext():
        # Compiles, or loads what was compiled: no part of what an epoch takes.
        _time_epoch(timed, rows, size, backend)
        started = time.perf_counter()
        while True:
            seconds = min(_time_epoch(timed, rows, size, backend) for _ in range(REPEATS))
            pace = seconds / len(timed) * rows.count / size
            left = min(budget_seconds, SHARE * pace * planned_epochs) - (time.perf_counter() - started)
            if size == rows.count or REPEATS * GROWTH * seconds > left:
                return pace
            size = min(GROWTH * size, rows.count)


def is_worth_it(trials: Sequence[PlannedTrial], rows: int) -> bool:
    """Return whether trials are of several kinds and train for so long that the smallest probes are a small share.

    Parameters
    ----------
    rows : int
        Training rows of their dataset.
    """
    kinds = set(map(kind_of, trials))
    if len(kinds) < 2:
        return False
    # The first epoch of a probe only warms up; two trials are timed.
    probes = sum(
        2 * (1 + REPEATS) * kind.architecture.parameter_count * min(FIRST_MINIBATCHES * kind.batch_size, rows)
        for kind in kinds
    )
    return probes <= SHARE * rows * sum(t.architecture.parameter_count * t.hyperparameters.epochs for t in trials)


def _time_epoch(trials: Sequence[PlannedTrial], rows: ProbeRows, size: int, backend: Backend) -> float:
    """Train and validate one epoch on so many rows; return the seconds it took."""
    architecture = common_architecture(trials)
    stack = Stack(
        architecture=architecture,
        batch_size=trials[0].hyperparameters.batch_size,
        trials=tuple(_probe(trial, architecture) for trial in trials),
        task=HEADS[rows.task].measured_as,
        dtype=DTYPE,
    )
    training = Training(stack, backend)
    samples, measured = rows.take(size)
    samples, measured = training.place(samples), training.place(measured, "validation")
    # On a CPU the time of this thread, which does all of it: not what it waits while others have the processor.
    clock = time.thread_time if backend.name == "numpy" else time.perf_counter
    started = clock()
    training.epoch(samples, measured)
    # A clock may be too coarse for an epoch of a few rows.
    return max(clock() - started, LEAST_SECONDS)


def _probe(trial: PlannedTrial, architecture: Architecture) -> Trial:
    """Return a trial of the same cost: what an epoch consists of, and none of what decides where it leads."""
    chosen = trial.hyperparameters
    numbers = chosen.optimizer_numbers
    return Trial(
        PROBE_RATE,
        1,
        optimizer=optimizer(chosen.optimizer, **numbers),
        l2=chosen.l2,
        dropout=chosen.dropout,
        hidden=own_hidden(trial, architecture),
    )


def _in_proportion(rows: int, all_rows: int, others: int) -> int:
    return max(1, -(-rows * others // all_rows))
