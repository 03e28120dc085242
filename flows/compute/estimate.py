"""How long a search will take and how much memory: from how long an epoch of every kind of trial takes.

An estimate of the training alone. Starting the workers and recording the trials come on top, and workers that
train beside each other share the memory of the machine, which the probe has for itself.
"""

import heapq
from collections.abc import Sequence
from itertools import islice

from pydantic import BaseModel, ConfigDict

from backprop import Architecture
from backprop.backend import Backend
from flows.compute.paces import Paces, kind_of
from flows.compute.probe import NoiseRows, seconds_an_epoch
from flows.compute.stacking import trial_bytes
from flows.data.shape import DatasetShape
from flows.trials import PlannedTrial, common_architecture

PROBE_SECONDS = 1.5
"""What the probes of all kinds of stacks take together, about: the smallest probe is trained in any case."""


class StackEstimate(BaseModel):
    """What one stack will cost.

    Attributes
    ----------
    architecture : Architecture
        As wide as the widest of its trials.
    widths : int
        How many different ones its trials have.
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
    widths: int
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


def paces_here(trials: Sequence[PlannedTrial], shape: DatasetShape, backend: Backend, most: int) -> Paces:
    """Measure every kind of trial in this process, on rows of a dataset's shape.

    Parameters
    ----------
    backend : Backend
        Of this process, as the workers have it.
    most : int
        Trials that are timed at once, at the most.
    """
    kinds = Paces().unknown(trials)
    budget = PROBE_SECONDS / max(1, len(kinds))
    rows = NoiseRows(shape)
    return Paces(
        measured=tuple((kind, seconds_an_epoch(some[:most], rows, backend, budget)) for kind, some in kinds.items())
    )


def estimate_search(
    stacks: Sequence[Sequence[PlannedTrial]], shape: DatasetShape, slots: int, paces: Paces
) -> SearchEstimate:
    """Return what stacks will cost, in their order, trained `slots` at a time.

    Parameters
    ----------
    stacks : sequence of stacks
        As `stacking.pack` returns them.
    paces : Paces
        Measured, of all of their kinds.
    """
    estimates = tuple(_estimate(stack, paces) for stack in stacks)
    return SearchEstimate(
        stacks=estimates,
        slots=slots,
        seconds=makespan([stack.seconds for stack in estimates], slots),
        memory_bytes=sum(sorted((stack.memory_bytes for stack in estimates), reverse=True)[:slots]),
        samples_bytes=(shape.rows["train"] + shape.rows["validation"]) * shape.inputs * shape.item_bytes,
    )


def one_after_another(estimate: SearchEstimate, rounds: Sequence[int]) -> SearchEstimate:
    """Return the estimate of a search whose stacks train in rounds, each begun when the one before it is over.

    Parameters
    ----------
    rounds : sequence of int
        How many of the stacks, in their order, each round has.
    """
    stacks = iter(estimate.stacks)
    seconds = (makespan([stack.seconds for stack in islice(stacks, count)], estimate.slots) for count in rounds)
    return estimate.model_copy(update={"seconds": sum(seconds)})


def makespan(seconds: Sequence[float], slots: int) -> float:
    """Return how long jobs take that are begun in their order, each as soon as one of the slots is free."""
    free = [0.0] * slots
    for taken in seconds:
        heapq.heapreplace(free, free[0] + taken)
    return max(free)


def _estimate(stack: Sequence[PlannedTrial], paces: Paces) -> StackEstimate:
    return StackEstimate(
        **kind_of(stack[0])._replace(architecture=common_architecture(stack))._asdict(),
        trials=len(stack),
        widths=len({trial.architecture.hidden for trial in stack}),
        epochs=max(trial.hyperparameters.epochs for trial in stack),
        seconds=sum(paces.work(trial) for trial in stack),
        memory_bytes=trial_bytes(stack) * len(stack),
    )
