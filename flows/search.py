"""The `search` flow: expand a space, drop what is finished, train the rest in stacks on Dask."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from uuid import uuid4

from distributed import Client
from distributed.client import FutureCancelledError
from distributed.comm.core import CommClosedError
from prefect import flow
from prefect.context import FlowRunContext
from prefect.logging import get_run_logger
from prefect_dask.task_runners import DaskTaskRunner
from pydantic import BaseModel, ConfigDict

from flows.asking import plans
from flows.compute.clusters import connect, expected_slots, slots, task_runner
from flows.compute.devices import DeviceFacts, smallest_device
from flows.compute.lease import SEARCH, Lease, LeaseFiles
from flows.compute.paces import Paces
from flows.compute.pruning import Pruning, SeenTrial, deal, seen_trial
from flows.compute.saved_stack import SavedStacks, StackFacts
from flows.compute.stack_runs import StackRuns
from flows.compute.stack_training import StackAssignment, StackOutcome
from flows.compute.stacking import pack
from flows.compute.worker_metrics import WorkerMetrics
from flows.compute.worker_probes import WorkerPaces
from flows.data.store import Dataset, DatasetReference, open_dataset
from flows.errors import RunFailedError
from flows.parameters import ComputeParameters, Space, StopRule
from flows.planning import SearchPlan
from flows.progress import ProgressCount, ProgressListener, SearchProgress, progress_listener
from flows.progress_artifact import ProgressArtifact
from flows.ranking import Objective, objective, rank
from flows.tracking.search_runs import (
    SearchRun,
    TrialRecord,
    end_running_trials,
    finished_on,
    metric_curves,
    reopen,
    unfinished_runs,
)
from flows.trials import PlannedTrial, WarmStart


class SearchEnd(BaseModel):
    """How a search ended, without its trials: those follow from its space.

    Attributes
    ----------
    refit : str or None
        Of a cross-validation the key of the winner's trial on all training rows; None too if every one diverged.
    failed : dict of str to str
        Why a trial has no result, by its key: it kills the workers that train it.
    """

    model_config = ConfigDict(frozen=True)

    refit: str | None = None
    failed: dict[str, str] = {}


class SearchOutcome(SearchEnd):
    """What a search did.

    Attributes
    ----------
    trials : int
        Trials of the search, the refit included.
    trained : int
        Trials trained by this run of the search; the others were finished before, or failed.
    repeated : int
        Trials that Optuna asked for though it had asked for them before: it was told what they had reached.
    stop : StopRule or None
        The rule by which trials were pruned.
    """

    trials: int
    trained: int
    stacks: tuple[StackOutcome, ...]
    repeated: int = 0
    stop: StopRule | None = None

    @property
    def end(self) -> SearchEnd:
        """What the selection of the winner needs to know besides its space."""
        return SearchEnd(refit=self.refit, failed=self.failed)


@flow(
    name="search",
    flow_run_name="search {dataset.name}",
    task_runner=task_runner(ComputeParameters()),
    persist_result=False,
)
def search(
    dataset: DatasetReference,
    space: Space,
    run: SearchRun,
    compute: ComputeParameters,
    folds: tuple[DatasetReference, ...] = (),
    warm_start: WarmStart | None = None,
) -> SearchOutcome:
    """Train every trial of a space that is not finished yet, one task run a stack; on the dataset, or on its folds.

    A warm start is a trial more, whose weights lie beside the checkpoints of the search.

    After a cross-validation the best configuration is trained once more, on all training rows.

    Raises
    ------
    ClusterError
        There is no cluster to train on.
    SearchRunningError
        The same search is running.
    RunFailedError
        A stack failed. The others were trained to their end first, and are found finished next time.
    """
    if len(folds) != (space.folds or 0):
        raise ValueError(f"the space asks for {space.folds or 0} folds, and {len(folds)} were ingested")
    opened = open_dataset(dataset)
    trained_on = [open_dataset(fold) for fold in folds] or [opened]
    goal = objective(opened.task)
    # Two searches of one space at a time, or one after another, must not take each other's stacks for their own.
    execution = uuid4().hex[:8]
    LeaseFiles(dataset, run).take_over(execution, get_run_logger().info)
    with (
        Lease(dataset, run, execution, SEARCH),
        _scheduler_loss_explained(),
        ProgressArtifact(progress_listener()) as listener,
    ):
        # Only now does nobody else write: what was left of a search that was killed may have finished some.
        training = _Training(execution, (dataset, *folds), run, compute, goal, listener, space.stop)
        for plan in plans(space, trained_on, run, goal, training.finished, warm_start):
            training.train(plan)
        refit = _refit(plan, training, opened) if folds else None
        if refit is not None:
            training.train(plan, refit)
    SavedStacks(dataset, run).discard_all()
    listener.search_ended()
    return SearchOutcome(
        trials=len(plan.trials) + (refit is not None),
        refit=None if refit is None else refit.key,
        trained=len(training.trained),
        failed=training.failed,
        stacks=tuple(training.outcomes),
        repeated=plan.repeated,
        stop=space.stop,
    )


def _refit(plan: SearchPlan, training: "_Training", dataset: Dataset) -> PlannedTrial | None:
    """Return the winner of a cross-validation as a trial on the dataset itself; None if none has a rank."""
    ranked = rank(plan.candidates(training.finished()), training.goal)
    return plan.refit(ranked[0], dataset) if ranked else None


@dataclass
class _Training:
    """Trains what is left of a search, each trial on the dataset whose place in ``datasets`` is its fold."""

    execution: str
    datasets: tuple[DatasetReference, ...]
    run: SearchRun
    compute: ComputeParameters
    goal: Objective
    listener: ProgressListener
    stop: StopRule | None
    outcomes: list[StackOutcome] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    trained: set[str] = field(default_factory=set)
    _count: ProgressCount | None = None
    _stacks_named: int = 0
    _seen: dict[str, SeenTrial] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._paces = WorkerPaces(self.datasets, self.compute, self._warn)

    def _warn(self, text: str) -> None:
        get_run_logger().warning("%s", text)
        self.listener.warned(text)

    def finished(self) -> dict[str, TrialRecord]:
        """Return the finished trials by key, those of other searches on the same datasets included."""
        return finished_on(self.run.tracking, self.datasets, search=self.run)

    def train(self, plan: SearchPlan, refit: PlannedTrial | None = None) -> None:
        """Train those of the plan's trials that are not finished, or the refit; one that failed just now is left alone.

        Called again with a plan that has more trials, or with the refit, it goes on and counts on.
        """
        found = self.finished()
        trials = plan.trials if refit is None else (*plan.trials, refit)
        remaining = [trial for trial in trials if trial.key not in found and trial.key not in self.failed]
        before = sum(trial.key in found for trial in trials)
        get_run_logger().info("%d trials, %d of them finished before", len(trials), before)
        to_come = plan.to_come + (len(self.datasets) > 1 and refit is None)
        begin = self._begin(trials, found, to_come)
        if not remaining:
            self._go_on(begin, 0, self._part(remaining, to_come))
            return
        reopen(self.run)
        # What a search of this space left open when its process was killed, which could end nothing itself.
        end_running_trials(self.run, "KILLED", "the search that trained it was killed")
        client = connect(_runner(), self.compute, self._warn)
        facts = smallest_device(client, self.compute.device)
        pruning = None if self.stop is None else self._pruning(self.stop, plan, found)
        if pruning is not None:
            # A cut then parts no bracket that it need not, and a piece has all sorts of trials to compare.
            remaining.sort(key=lambda trial: (pruning.brackets[trial.key], trial.key))
        saved = SavedStacks(self.datasets[0], self.run).all()
        width = expected_slots(client, self.compute)
        paces = self._paces.of(remaining, client, slots(client), facts)
        stacks = _plan_stacks(saved, remaining, width, facts, paces, self.compute.stack_seconds)
        assignments = self._assign(stacks, plan, pruning, paces)
        count = self._go_on(begin, sum(stack.work(paces) for stack in stacks), self._part(remaining, to_come))
        with _heard(client, assignments[0].progress_topic, count), WorkerMetrics(client, self.run):
            stack_runs = StackRuns(client, assignments, count.stacks_changed)
            self.outcomes += stack_runs.to_end()
        self.failed |= stack_runs.failed_trials
        self.trained |= {trial.key for trial in remaining} - stack_runs.failed_trials.keys()

    def _part(self, remaining: Sequence[PlannedTrial], to_come: int) -> float:
        """Return the part of this run's trials that is planned: others Optuna has not asked for, or are the refit."""
        planned = len(self.trained) + len(remaining)
        return planned / (planned + to_come) if to_come else 1.0

    def _go_on(self, begin: SearchProgress, work: float, part: float) -> ProgressCount:
        """Count what comes now on top of what this run of the search has counted."""
        if self._count is None:
            self._count = ProgressCount(self.listener, begin, self.goal, work, part)
        else:
            self._count.go_on(begin, work, part)
        return self._count

    def _pruning(self, rule: StopRule, plan: SearchPlan, found: dict[str, TrialRecord]) -> Pruning:
        """Return what all stacks are pruned by: the rule, and what is known of trials that were finished."""
        brackets = deal(plan.trials, rule)
        tracking, goal = self.run.tracking, self.goal
        finished = [key for key in brackets if key in found]
        for key in finished:
            if key not in self._seen:
                curves = metric_curves(tracking, found[key].run_id, goal.names)
                self._seen[key] = seen_trial(rule, goal, brackets[key], curves)
        return Pruning(rule=rule, brackets=brackets, earlier=tuple(self._seen[key] for key in finished))

    def _assign(
        self, stacks: list["_PlannedStack"], plan: SearchPlan, pruning: Pruning | None, paces: Paces
    ) -> list[StackAssignment]:
        runs = unfinished_runs(self.run)
        first, self._stacks_named = self._stacks_named, self._stacks_named + len(stacks)
        return [
            StackAssignment(
                name=f"stack-{self.execution}-{place}" if stack.saved is None else stack.saved.name,
                dataset=self.datasets[stack.trials[0].fold],
                trials=tuple(stack.trials),
                varying=plan.varying,
                run=self.run,
                device=self.compute.device,
                execution=self.execution,
                pruning=pruning,
                checkpoint_seconds=self.compute.checkpoint_seconds,
                unfinished={trial.key: runs[trial.key] for trial in stack.trials if trial.key in runs},
                paces=paces.of(stack.trials),
                watch=self.compute.watch,
            )
            for place, stack in enumerate(stacks, start=first)
        ]

    def _begin(self, trials: Sequence[PlannedTrial], found: dict[str, TrialRecord], to_come: int) -> SearchProgress:
        """Return how far the search is, without what this run of it has trained: that is counted already."""
        before = [found[trial.key] for trial in trials if trial.key in found and trial.key not in self.trained]
        scores = [record.metrics[self.goal.metric] for record in before if self.goal.metric in record.metrics]
        return SearchProgress(
            metric=self.goal.metric,
            total=len(trials) + to_come,
            found_finished=len(before),
            finished=len(before),
            pruned=sum(record.pruned_at is not None for record in before),
            diverged=sum(record.diverged_at is not None for record in before),
            failed=len(self.failed),
            best=(max(scores) if self.goal.maximise else min(scores)) if scores else None,
            share=1.0 if len(before) == len(trials) + to_come else 0.0,
        )


@dataclass(frozen=True)
class _PlannedStack:
    """Trials to train together: new ones, or what is left of a stack that was saved, under its name."""

    trials: list[PlannedTrial]
    saved: StackFacts | None = None

    def work(self, paces: Paces) -> float:
        """Return what is left to do."""
        done = [0 if self.saved is None else self.saved.epochs_done(trial) for trial in self.trials]
        return sum(paces.work(trial, after=epochs) for trial, epochs in zip(self.trials, done, strict=True))


def _plan_stacks(
    files: list[StackFacts],
    remaining: list[PlannedTrial],
    slots: int,
    facts: DeviceFacts,
    paces: Paces,
    most_seconds: float | None,
) -> list[_PlannedStack]:
    """Return the stacks of the trials that are left, the longest first: those that were saved as they were, and others.

    Of a trial that is in several files, the newest counts.
    """
    left = {trial.key: trial for trial in remaining}
    saved = []
    for file in files:
        mine = [left.pop(trial.key) for trial in file.trials if trial.key in file.keys and trial.key in left]
        if mine:
            saved.append(_PlannedStack(mine, file))
    beside = [stack.work(paces) for stack in saved]
    packed = pack(list(left.values()), slots, facts, paces, beside=beside, most_seconds=most_seconds)
    stacks = [*saved, *(_PlannedStack(trials) for trials in packed)]
    return sorted(stacks, key=lambda stack: stack.work(paces), reverse=True)


@contextmanager
def _scheduler_loss_explained() -> Iterator[None]:
    """Say what to do when the Dask scheduler goes away while it is talked to."""
    try:
        yield
    except (CommClosedError, FutureCancelledError) as error:
        raise RunFailedError(
            f"the Dask scheduler was lost ({' '.join(str(error).split())}); what was trained is kept: start it again "
            "and run the same command"
        ) from error


def _runner() -> DaskTaskRunner:
    context = FlowRunContext.get()
    if context is None or not isinstance(context.task_runner, DaskTaskRunner):
        raise RuntimeError("the search flow runs its stacks on a DaskTaskRunner: call it with_options(task_runner=...)")
    return context.task_runner


@contextmanager
def _heard(client: Client, topic: str, count: ProgressCount) -> Iterator[None]:
    """Let what the workers announce be counted."""
    client.subscribe_topic(topic, count.hear)
    try:
        yield
    finally:
        client.unsubscribe_topic(topic)
