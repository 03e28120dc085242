"""What a Dask worker does with a stack: open the dataset, train, record, report."""

import resource
import sys
import time
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
from distributed import Event, get_worker
from pydantic import BaseModel, ConfigDict
from threadpoolctl import threadpool_limits

from backprop import EpochReport, Samples, Stack, Trial, one_hot, select_backend, train
from backprop.backend import Backend, Device
from backprop.halving import train_in_halves
from backprop.optimizers import optimizer
from flows.data.store import Dataset, DatasetReference, SplitArrays, open_dataset
from flows.parameters import Hyperparameters
from flows.ranking import objective
from flows.tracking.search_runs import SearchRun, take_over_stack
from flows.tracking.trial_runs import StackStopped, TrialRuns
from flows.trials import DTYPE, HEADS, SHUFFLE_SEED, PlannedTrial

STOP_POLL_SECONDS = 1.0


class StackAssignment(BaseModel):
    """Everything a worker needs to train a stack, by reference: no data travels through the scheduler.

    Attributes
    ----------
    name : str
        Says which stack of its search this is.
    varying : frozenset of str
        The hyperparameters that differ within the search.
    stop_event : str
        Name of the Dask event that tells workers to stop.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    dataset: DatasetReference
    trials: tuple[PlannedTrial, ...]
    varying: frozenset[str]
    run: SearchRun
    device: Device
    stop_event: str

    @property
    def progress_topic(self) -> str:
        """The Dask topic on which workers announce the progress of the search."""
        return f"backprop-progress-{self.run.run_id}"


class StackOutcome(BaseModel):
    """What a stack cost.

    Attributes
    ----------
    seconds : float
        Wall time on the worker, tracking included.
    training_seconds : float
        Of it, wall time of forward, backward and validation passes.
    peak_bytes : int
        Largest resident memory of the worker process so far, mapped pages of the dataset included.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    worker: str
    trials: int
    seconds: float
    training_seconds: float
    peak_bytes: int


def train_assignment(assignment: StackAssignment) -> StackOutcome:
    """Train a stack on this worker and record each of its trials in MLflow while it trains.

    Raises
    ------
    StackStopped
        The search was interrupted; the trials end as KILLED.
    DatasetError
        The dataset is not where the reference says, or is damaged.
    """
    started = time.monotonic()
    training_seconds = 0.0
    dataset = open_dataset(assignment.dataset)
    finished = take_over_stack(assignment.run, assignment.name)
    trials = tuple(trial for trial in assignment.trials if trial.key not in finished)
    stop = _StopFlag(assignment.stop_event)
    with (
        threadpool_limits(limits=1, user_api="blas"),
        TrialRuns(
            assignment.run.tracking,
            assignment.run.run_id,
            assignment.name,
            dataset,
            trials,
            assignment.varying,
        ) as runs,
    ):
        training, validation = _samples(assignment.dataset)
        backend = select_backend(assignment.device)
        reports = _reports(_stack(trials, dataset), training, validation, backend) if trials else iter(())
        while True:
            epoch_started = time.monotonic()
            report = next(reports, None)
            training_seconds += time.monotonic() - epoch_started
            if report is None:
                break
            runs.record(report)
            _announce(assignment, dataset, report)
            stop.check()
    return StackOutcome(
        name=assignment.name,
        worker=_worker_address(),
        trials=len(trials),
        seconds=time.monotonic() - started,
        training_seconds=training_seconds,
        peak_bytes=_peak_bytes(),
    )


def _reports(stack: Stack, training: Samples, validation: Samples, backend: Backend) -> Iterator[EpochReport]:
    """Train a stack, or, where it does not fit into the device's memory, its halves."""
    return train_in_halves(lambda part: train(part, training, validation, backend), stack, backend)


def _stack(trials: Sequence[PlannedTrial], dataset: Dataset) -> Stack:
    first = trials[0]
    return Stack(
        architecture=first.architecture,
        batch_size=first.hyperparameters.batch_size,
        trials=tuple(_trial(trial.hyperparameters) for trial in trials),
        task=HEADS[dataset.task].measured_as,
        shuffle_seed=SHUFFLE_SEED,
        dtype=DTYPE,
    )


def _trial(chosen: Hyperparameters) -> Trial:
    return Trial(
        chosen.learning_rate,
        chosen.epochs,
        chosen.seed,
        optimizer=optimizer(chosen.optimizer, **chosen.optimizer_numbers),
        l2=chosen.l2,
        dropout=chosen.dropout,
    )


@lru_cache(maxsize=2)
def _samples(reference: DatasetReference) -> tuple[Samples, Samples]:
    """Return training and validation samples, mapped once a worker and shared by its stacks."""
    dataset = open_dataset(reference)
    return samples_of(dataset.train, dataset), samples_of(dataset.validation, dataset)


def samples_of(part: SplitArrays, dataset: Dataset) -> Samples:
    """Return a part of a dataset as the core takes it: features still mapped, classes as one-hot rows."""
    # asarray drops numpy.memmap's class, which costs at every slice, and keeps the mapping.
    x, target = np.asarray(part.features), np.asarray(part.target)
    y = one_hot(target, dataset.outputs) if dataset.task == "classification" else target
    return Samples(x, y, shift=part.shift, scale=part.scale)


class _StopFlag:
    """Looks, at most once a second, whether the search was interrupted: cancelling does not stop a running task."""

    def __init__(self, name: str) -> None:
        self._event = Event(name) if _on_dask_worker() else None
        self._next = time.monotonic() + STOP_POLL_SECONDS

    def check(self) -> None:
        if self._event is None or time.monotonic() < self._next:
            return
        try:
            stopped = self._event.is_set()
        except (AttributeError, OSError) as error:
            # The worker is being closed and has lost its scheduler: nobody would hear of the result.
            raise StackStopped("the Dask scheduler is gone") from error
        if stopped:
            raise StackStopped("the search was interrupted")
        self._next = time.monotonic() + STOP_POLL_SECONDS


def _announce(assignment: StackAssignment, dataset: Dataset, report: EpochReport) -> None:
    if not _on_dask_worker():
        return
    goal = objective(dataset.task)
    scores = report.metrics[goal.metric] * (dataset.preparation.metric_unit if goal.metric.endswith("/rmse") else 1)
    finite = scores[np.isfinite(scores)]
    best = None if not len(finite) else float(finite.max() if goal.maximise else finite.min())
    get_worker().log_event(assignment.progress_topic, {"finished": len(report.finished), "best": best})


def _on_dask_worker() -> bool:
    try:
        get_worker()
    except ValueError:
        return False
    return True


def _worker_address() -> str:
    return str(get_worker().address) if _on_dask_worker() else "local"


def _peak_bytes() -> int:
    """Return the largest resident memory of this process so far."""
    status = Path("/proc/self/status")
    if status.exists():
        # Not ru_maxrss, which on Linux a process inherits from the one that started it.
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
