"""What a Dask worker does with a stack: open the dataset, train, record, report."""

import logging
import os
import resource
import sys
import tempfile
import time
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
from distributed import Event, get_worker
from pydantic import BaseModel, ConfigDict
from threadpoolctl import threadpool_limits

from backprop import EpochReport, LayerWatch, Samples, one_hot, select_backend
from backprop.backend import Device
from flows.compute.announcer import Announcer, on_dask_worker
from flows.compute.lease import Lease
from flows.compute.paces import Paces
from flows.compute.pruning import Pruner, Pruning, PruningState, SeenTrial, seen_trial
from flows.compute.resumable_training import ResumableTraining
from flows.compute.saved_stack import SavedStack, SavedStacks
from flows.compute.start_weights import StartWeights
from flows.data.store import Dataset, DatasetReference, SplitArrays, open_dataset
from flows.environment import environment_of
from flows.parameters import WatchChoice
from flows.ranking import objective
from flows.tracking.outages import patiently
from flows.tracking.search_runs import SearchRun, metric_curves, stack_runs
from flows.tracking.trial_runs import StackStopped, TrialRuns
from flows.trials import PlannedTrial, describe, widths

STOP_POLL_SECONDS = 1.0

SAVE_SHARE = 0.02
"""Most of a stack's time that its checkpoints may take."""

MOST_NAMED = 3
"""Trials that diverged in one epoch of a stack and are named in the log."""

_logger = logging.getLogger(__name__)


LAYERS: dict[WatchChoice, LayerWatch | None] = {
    "nothing": None,
    "layers": LayerWatch(epochs=5),
    "gradients": LayerWatch(epochs=10, gradients=True),
}
"""What is measured of the layers. A point costs MLflow a tenth of a millisecond, so unasked they are few."""


class StackAssignment(BaseModel):
    """Everything a worker needs to train a stack, by reference: no data travels through the scheduler.

    Attributes
    ----------
    name : str
        Says which stack of its search this is; a stack that is tried again keeps it.
    varying : frozenset of str
        The hyperparameters that differ within the search.
    pruning : Pruning or None
        The rule that ends trials before their epochs, if there is one.
    execution : str
        The run of the search that this is part of: a search that is started again has another.
    checkpoint_seconds : float
        Least time between two checkpoints.
    origins : tuple of str
        Stacks as part of which the trials may have been saved, the newest first, before this one was split off.
    unfinished : dict of str to str
        Runs of earlier attempts to go on with, by trial key.
    paces : Paces
        What the work of the trials is counted in when it is announced.
    watch : WatchChoice
        What is recorded of the layers.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    dataset: DatasetReference
    trials: tuple[PlannedTrial, ...]
    varying: frozenset[str]
    run: SearchRun
    device: Device
    execution: str
    pruning: Pruning | None = None
    checkpoint_seconds: float = 30.0
    origins: tuple[str, ...] = ()
    unfinished: dict[str, str] = {}
    paces: Paces = Paces()
    watch: WatchChoice = "layers"

    @property
    def title(self) -> str:
        """What the stack trains, for people, and its name: `16 trials of 64-32 · relu · sgd · stack-1a2b3c4d-0`."""
        count, first = len(self.trials), self.trials[0]
        shapes = {trial.architecture.hidden for trial in self.trials}
        hidden = widths(first.architecture.hidden) if len(shapes) == 1 else f"{len(shapes)} widths"
        chosen = [hidden, first.hyperparameters.activation, first.hyperparameters.optimizer]
        fold = [f"fold {first.fold}"] if first.fold else ["refit"] if first.refit else []
        return " · ".join([f"{count} trial{'s' * (count > 1)} of {chosen[0]}", *chosen[1:], *fold, self.name])

    @property
    def stop_event(self) -> str:
        """Name of the Dask event that tells workers to stop."""
        return f"backprop-stop-{self.execution}"

    @property
    def layers(self) -> LayerWatch | None:
        """What the core measures of the layers."""
        return LAYERS[self.watch]

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
    diverged : int
        Trials whose loss stopped being finite.
    seen : tuple of SeenTrial
        What the stop rule looked at, for the stacks to come; empty without a rule.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    worker: str
    trials: int
    seconds: float
    training_seconds: float
    peak_bytes: int
    diverged: int = 0
    seen: tuple[SeenTrial, ...] = ()

    def describe(self) -> str:
        """Return it in a line."""
        lost = f", {self.diverged} of them diverged" if self.diverged else ""
        return (
            f"{self.trials} trials in {self.seconds:.1f} s{lost}; {self.training_seconds:.1f} s of it training, peak "
            f"memory of the worker {self.peak_bytes / 2**20:.0f} MiB"
        )


def train_assignment(assignment: StackAssignment) -> StackOutcome:
    """Train a stack on this worker, record each of its trials in MLflow, and save where it is every now and then.

    Raises
    ------
    StackStopped
        The search was interrupted; the trials end as KILLED, and go on from here when it is started again.
    DatasetError
        The dataset is not where the reference says, or is damaged.
    DiskFullError
        There is no space for weights, a checkpoint or MLflow's database.
    TrackingError
        MLflow did not answer for too long; what it was to be told is saved.
    """
    started = time.monotonic()
    training_seconds, diverged = 0.0, 0
    # An attempt that is repeated by the HTTP client could make a run twice; deliveries are tried again with care.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    dataset = open_dataset(assignment.dataset)
    uri = assignment.run.tracking.uri
    files = SavedStacks(assignment.dataset, assignment.run)
    lease = Lease(assignment.dataset, assignment.run, assignment.execution, assignment.name)
    stop = _StopFlag(assignment.stop_event, lease)
    with (
        lease,
        threadpool_limits(limits=1, user_api="blas"),
        tempfile.TemporaryDirectory(prefix="backprop-") as directory,
    ):
        # Before anything is asked or made: the flow that submitted this may have died since, and have an heir.
        stop.check_heir()
        left = patiently(lambda: stack_runs(assignment.run, assignment.name), uri)
        trials = tuple(trial for trial in assignment.trials if trial.key not in left or not left[trial.key].finished)
        unfinished = assignment.unfinished | {key: found.run_id for key, found in left.items()}
        saved = _last_saved(files, assignment, Path(directory))
        backend = select_backend(assignment.device)
        finished = {key: run.run_id for key, run in left.items() if run.finished}
        before = patiently(lambda: _seen_before(assignment, dataset, finished), uri)
        pruner = _pruner(assignment, trials, dataset, before, saved)
        starts = StartWeights(assignment.dataset, assignment.run).load(trials, Path(directory))
        samples = mapped_samples(assignment.dataset)
        training = ResumableTraining(trials, dataset.task, samples, backend, pruner, saved, starts, assignment.layers)
        with TrialRuns(
            assignment.run,
            assignment.name,
            dataset,
            trials,
            assignment.varying,
            unfinished,
            training.news,
            environment_of(backend),
        ) as runs:
            keeper = _Keeper(files, assignment, training, runs, pruner)
            announcer = Announcer(
                assignment.progress_topic, objective(dataset.task), dataset.preparation.metric_unit, assignment.paces
            )
            announcer.ended_before(training.news)
            reports = training.reports()
            while True:
                epoch_started = time.monotonic()
                report = next(reports, None)
                training_seconds += time.monotonic() - epoch_started
                if report is None:
                    break
                runs.record(report)
                announcer.trained(trials, report)
                diverged += _warn_of_diverged(assignment, trials, report)
                try:
                    stop.check()
                except StackStopped:
                    keeper.save()
                    raise
                keeper.save_if_due()
            announcer.send()
            if runs.is_unreachable:
                keeper.save()
    files.discard(assignment.name)
    return StackOutcome(
        name=assignment.name,
        worker=worker_address(),
        trials=len(trials),
        seconds=time.monotonic() - started,
        training_seconds=training_seconds,
        peak_bytes=_peak_bytes(),
        diverged=diverged,
        seen=(*before, *pruner.state().trials) if pruner is not None else (),
    )


def _pruner(
    assignment: StackAssignment,
    trials: Sequence[PlannedTrial],
    dataset: Dataset,
    before: Sequence[SeenTrial],
    saved: SavedStack | None,
) -> Pruner | None:
    """Return what ends trials early, if anything does, as an earlier attempt left it.

    ``before`` are those of the stack that have ended already; what was saved may hold trials that are in another piece
    of the stack now, and were compared with once.
    """
    pruning = assignment.pruning
    if pruning is None:
        return None
    seen = {} if saved is None else dict(saved.facts.seen)
    own = tuple(seen.pop(trial.key, SeenTrial(bracket=pruning.brackets[trial.key])) for trial in trials)
    finished = {trial.key for trial in assignment.trials} - {trial.key for trial in trials}
    mates = (trial for key, trial in seen.items() if key not in finished)
    return Pruner(
        pruning.rule,
        objective(dataset.task),
        [pruning.brackets[trial.key] for trial in trials],
        (*pruning.earlier, *before, *mates),
        dataset.preparation.metric_unit,
        PruningState(trials=own),
    )


def _seen_before(assignment: StackAssignment, dataset: Dataset, finished: dict[str, str]) -> list[SeenTrial]:
    """Return what an earlier attempt saw of the trials that it finished: the others were compared with them once."""
    pruning, goal = assignment.pruning, objective(dataset.task)
    if pruning is None:
        return []
    return [
        seen_trial(
            pruning.rule, goal, pruning.brackets[key], metric_curves(assignment.run.tracking, run_id, goal.names)
        )
        for key, run_id in finished.items()
    ]


def _last_saved(files: SavedStacks, assignment: StackAssignment, directory: Path) -> SavedStack | None:
    found = (files.load(name, directory) for name in (assignment.name, *assignment.origins))
    return next((saved for saved in found if saved is not None), None)


@lru_cache(maxsize=2)
def mapped_samples(reference: DatasetReference) -> tuple[Samples, Samples]:
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

    def __init__(self, name: str, lease: Lease) -> None:
        self._event = Event(name) if on_dask_worker() else None
        self._lease = lease
        self._next = time.monotonic() + STOP_POLL_SECONDS

    def check_heir(self) -> None:
        if self._lease.is_lost:
            raise StackStopped("the search was started again while this stack trained")

    def check(self) -> None:
        self.check_heir()
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


class _Keeper:
    """Saves a stack every now and then, and takes no more than a share of the time for it."""

    def __init__(
        self,
        files: SavedStacks,
        assignment: StackAssignment,
        training: ResumableTraining,
        runs: TrialRuns,
        pruner: Pruner | None,
    ) -> None:
        self._files, self._training, self._runs, self._pruner = files, training, runs, pruner
        self._assignment, self._seconds = assignment, assignment.checkpoint_seconds
        self._next = time.monotonic() + self._seconds

    def save_if_due(self) -> None:
        if time.monotonic() >= self._next:
            self.save()

    def save(self) -> None:
        started = time.monotonic()
        trials, state = self._training.state()
        self._files.save(self._assignment.name, trials, state, self._runs.news(), self._seen())
        now = time.monotonic()
        self._next = now + max(self._seconds, (now - started) / SAVE_SHARE)

    def _seen(self) -> dict[str, SeenTrial]:
        if self._pruner is None:
            return {}
        return dict(zip((trial.key for trial in self._runs.trials), self._pruner.state().trials, strict=True))


def _warn_of_diverged(assignment: StackAssignment, trials: Sequence[PlannedTrial], report: EpochReport) -> int:
    """Return how many trials diverged in an epoch, and name some of them."""
    lost = [trials[done.trial] for done in report.finished if done.reason == "diverged"]
    if lost:
        names = "; ".join(describe(trial.hyperparameters, assignment.varying) for trial in lost[:MOST_NAMED])
        more = f" and {len(lost) - MOST_NAMED} more" if len(lost) > MOST_NAMED else ""
        _logger.warning("diverged in epoch %d: %s%s", report.epoch, names, more)
    return len(lost)


def worker_address() -> str:
    """Return where this is: the address of the Dask worker whose task it is, or `local`."""
    return str(get_worker().address) if on_dask_worker() else "local"


def _peak_bytes() -> int:
    """Return the largest resident memory of this process so far."""
    status = Path("/proc/self/status")
    if status.exists():
        # Not ru_maxrss, which on Linux a process inherits from the one that started it.
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
