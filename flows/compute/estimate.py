"""How long a search will take and how much memory: measured on a few minibatches of every kind of stack.

An estimate of the training alone. Starting the workers and recording the trials come on top, and workers that
train beside each other share the memory of the machine, which the probe has for itself.
"""

import heapq
import time
from collections import defaultdict
from collections.abc import Sequence
from contextlib import nullcontext
from typing import NamedTuple

import numpy as np
from pydantic import BaseModel, ConfigDict
from threadpoolctl import threadpool_limits

from backprop import Architecture, Samples, Stack, Training, Trial, one_hot
from backprop.backend import Backend
from backprop.optimizers import optimizer
from flows.compute.stacking import trial_bytes
from flows.data.shape import DatasetShape
from flows.trials import DTYPE, HEADS, PlannedTrial

PROBE_SECONDS = 1.5
"""What the probes of all kinds of stacks take together, about: the smallest probe is trained in any case."""

FIRST_MINIBATCHES = 4
"""Of the smallest probe."""

REPEATS = 2
"""Of every probe: the fastest counts, since what else a machine does makes it slower and never faster."""

GROWTH = 4
"""How much larger each probe is than the one before, until the time is spent or the rows are."""

LEAST_SECONDS = 1e-6
"""Taken for a probe that ends before its clock ticks."""

PROBE_RATE = 1e-6
"""Learning rate of a probe: how long an epoch takes does not depend on it, and nothing diverges."""


class StackEstimate(BaseModel):
    """What one stack will cost.

    Attributes
    ----------
    epochs : int
        Of the trial that trains longest.
    seconds : float
        Of training and validation, on a worker of its own.
    memory_bytes : int
        Parameters, the optimiser's memories and gradients.
    """

    model_config = ConfigDict(frozen=True)

    architecture: Architecture
    batch_size: int
    optimizer: str
    trials: int
    epochs: int
    seconds: float
    memory_bytes: int


class SearchEstimate(BaseModel):
    """What all stacks of a search will cost.

    Attributes
    ----------
    slots : int
        Stacks that train at a time.
    seconds : float
        From the start of the first stack to the end of the last.
    memory_bytes : int
        Of the largest stacks that may train at a time.
    samples_bytes : int
        Of the training and validation rows, mapped once for all workers of a machine.
    """

    model_config = ConfigDict(frozen=True)

    stacks: tuple[StackEstimate, ...]
    slots: int
    seconds: float
    memory_bytes: int
    samples_bytes: int


class _Kind(NamedTuple):
    """What decides how long an epoch of a trial takes."""

    architecture: Architecture
    batch_size: int
    optimizer: str


def estimate_search(
    stacks: Sequence[Sequence[PlannedTrial]], shape: DatasetShape, slots: int, backend: Backend
) -> SearchEstimate:
    """Return what stacks will cost, in their order, trained `slots` at a time.

    Parameters
    ----------
    stacks : sequence of stacks
        As `stacking.pack` returns them.
    backend : Backend
        Of this process, as the workers have it.
    """
    members: dict[_Kind, list[PlannedTrial]] = defaultdict(list)
    for stack in stacks:
        members[_kind(stack[0])] += stack
    budget = PROBE_SECONDS / max(1, len(members))
    paces = {kind: seconds_an_epoch(trials, shape, backend, budget) for kind, trials in members.items()}
    estimates = tuple(_estimate(stack, paces[_kind(stack[0])]) for stack in stacks)
    return SearchEstimate(
        stacks=estimates,
        slots=slots,
        seconds=makespan([stack.seconds for stack in estimates], slots),
        memory_bytes=sum(sorted((stack.memory_bytes for stack in estimates), reverse=True)[:slots]),
        samples_bytes=(shape.rows["train"] + shape.rows["validation"]) * shape.inputs * shape.item_bytes,
    )


def seconds_an_epoch(
    trials: Sequence[PlannedTrial], shape: DatasetShape, backend: Backend, budget_seconds: float
) -> float:
    """Measure how long an epoch of one trial takes, validation included: for this long, or for the smallest probe.

    Parameters
    ----------
    trials : sequence of PlannedTrial
        That could share a stack: on a CPU, where they train one after another, two of them are timed; on a GPU all.
    """
    timed = trials if backend.name != "numpy" else list(dict.fromkeys((trials[0], trials[-1])))
    all_rows = shape.rows["train"]
    rows = min(FIRST_MINIBATCHES * timed[0].hyperparameters.batch_size, all_rows)
    # As on a worker: one thread.
    with threadpool_limits(limits=1, user_api="blas") if backend.name == "numpy" else nullcontext():
        # Compiles, or loads what was compiled: no part of what an epoch takes.
        _time_epoch(timed, shape, rows, backend)
        started = time.perf_counter()
        while True:
            seconds = min(_time_epoch(timed, shape, rows, backend) for _ in range(REPEATS))
            left = budget_seconds - (time.perf_counter() - started)
            if rows == all_rows or REPEATS * GROWTH * seconds > left:
                return seconds / len(timed) * all_rows / rows
            rows = min(GROWTH * rows, all_rows)


def makespan(seconds: Sequence[float], slots: int) -> float:
    """Return how long jobs take that are begun in their order, each as soon as one of the slots is free."""
    free = [0.0] * slots
    for taken in seconds:
        heapq.heapreplace(free, free[0] + taken)
    return max(free)


def _kind(trial: PlannedTrial) -> _Kind:
    return _Kind(trial.architecture, trial.hyperparameters.batch_size, trial.hyperparameters.optimizer)


def _estimate(stack: Sequence[PlannedTrial], pace: float) -> StackEstimate:
    epochs = [trial.hyperparameters.epochs for trial in stack]
    return StackEstimate(
        **_kind(stack[0])._asdict(),
        trials=len(stack),
        epochs=max(epochs),
        seconds=pace * sum(epochs),
        memory_bytes=trial_bytes(stack[0]) * len(stack),
    )


def _time_epoch(trials: Sequence[PlannedTrial], shape: DatasetShape, rows: int, backend: Backend) -> float:
    """Train and validate one epoch on so many rows; return the seconds it took."""
    first = trials[0]
    stack = Stack(
        architecture=first.architecture,
        batch_size=first.hyperparameters.batch_size,
        trials=tuple(_probe(trial) for trial in trials),
        task=HEADS[shape.task].measured_as,
        dtype=DTYPE,
    )
    training = Training(stack, backend)
    samples = training.place(_noise(shape, rows))
    measured = training.place(_noise(shape, -(-rows * shape.rows["validation"] // shape.rows["train"])), "validation")
    # On a CPU the time of this thread, which does all of it: not what it waits while others have the processor.
    clock = time.thread_time if backend.name == "numpy" else time.perf_counter
    started = clock()
    training.epoch(samples, measured)
    # A clock may be too coarse for an epoch of a few rows.
    return max(clock() - started, LEAST_SECONDS)


def _probe(trial: PlannedTrial) -> Trial:
    """Return a trial of the same cost: what an epoch consists of, and none of what decides where it leads."""
    chosen = trial.hyperparameters
    numbers = chosen.optimizer_numbers
    return Trial(PROBE_RATE, 1, optimizer=optimizer(chosen.optimizer, **numbers), l2=chosen.l2, dropout=chosen.dropout)


def _noise(shape: DatasetShape, rows: int) -> Samples:
    """Return rows of a dataset's shape that say nothing."""
    generator = np.random.default_rng(0)
    rows = max(1, rows)
    x = generator.standard_normal((rows, shape.inputs), "float32")
    if shape.task == "classification":
        return Samples(x, one_hot(generator.integers(shape.outputs, size=rows), shape.outputs))
    if shape.task == "multilabel":
        return Samples(x, generator.integers(2, size=(rows, shape.outputs)).astype("float32"))
    return Samples(x, generator.standard_normal((rows, shape.outputs), "float32"))
