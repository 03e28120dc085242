"""The `search` flow: expand a space, drop what is finished, train the rest in stacks on Dask."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from uuid import uuid4

from distributed import Client
from prefect import flow
from prefect.context import FlowRunContext
from prefect.logging import get_run_logger
from prefect_dask.task_runners import DaskTaskRunner
from pydantic import BaseModel, ConfigDict

from flows.compute.clusters import connect, slots, task_runner
from flows.compute.devices import DeviceFacts, smallest_device
from flows.compute.saved_stack import SavedStacks, StackFacts
from flows.compute.stack_runs import StackRuns
from flows.compute.stack_training import StackAssignment, StackOutcome
from flows.compute.stacking import epoch_work, pack, work
from flows.data.store import DatasetReference, open_dataset
from flows.parameters import ComputeParameters, Space
from flows.progress import ProgressCount, SearchProgress, progress_listener
from flows.progress_artifact import ProgressArtifact
from flows.ranking import Objective, objective
from flows.spaces import expand
from flows.tracking.search_runs import (
    SearchRun,
    TrialRecord,
    end_running_trials,
    finished_trials,
    reopen,
    unfinished_runs,
)
from flows.trials import PlannedTrial, plan_trial, varying_names


class SearchOutcome(BaseModel):
    """What a search did.

    Attributes
    ----------
    trial_keys : tuple of str
        Every trial of the space, in its order.
    trained : int
        Trials trained by this run of the search; the others were finished before, or failed.
    failed : dict of str to str
        Why a trial has no result, by its key: it kills the workers that train it.
    """

    model_config = ConfigDict(frozen=True)

    trial_keys: tuple[str, ...]
    trained: int
    failed: dict[str, str] = {}
    stacks: tuple[StackOutcome, ...]


@flow(
    name="search",
    flow_run_name="search {dataset.name}",
    task_runner=task_runner(ComputeParameters()),
    persist_result=False,
)
def search(dataset: DatasetReference, space: Space, run: SearchRun, compute: ComputeParameters) -> SearchOutcome:
    """Train every trial of a space on a dataset that is not finished yet, one task run a stack.

    Raises
    ------
    SpaceError
        The space has no trials.
    ClusterError
        There is no cluster to train on.
    RunFailedError
        A stack failed. The others were trained to their end first, and are found finished next time.
    """
    opened = open_dataset(dataset)
    goal = objective(opened.task)
    hyperparameters = expand(space)
    trials = [plan_trial(opened, chosen) for chosen in hyperparameters]
    finished = finished_trials(run.tracking, dataset.digest)
    remaining = [trial for trial in trials if trial.key not in finished]
    before = [finished[trial.key] for trial in trials if trial.key in finished]
    get_run_logger().info("%d trials, %d of them finished before", len(trials), len(trials) - len(remaining))

    listener = progress_listener()
    begin = _begin(len(trials), before, goal)
    outcomes: list[StackOutcome] = []
    failed: dict[str, str] = {}
    if remaining:
        reopen(run)
        # What a search of this space left open when its process was killed, which could end nothing itself.
        end_running_trials(run, "KILLED", "the search that trained it was killed")
        client = connect(_runner())
        facts = smallest_device(client, compute.device)
        saved = SavedStacks(dataset, run)
        stacks = _plan_stacks(saved.all(), remaining, slots(client), facts)
        assignments = _assign(stacks, run, dataset, compute, varying_names(hyperparameters))
        with ProgressArtifact(listener) as published:
            count = ProgressCount(published, begin, goal, sum(stack.work for stack in stacks))
            with _heard(client, assignments[0].progress_topic, count):
                stack_runs = StackRuns(client, assignments, count.stacks_changed)
                outcomes = stack_runs.to_end()
                failed = stack_runs.failed_trials
        saved.discard_all()
    else:
        listener.search_advanced(begin)
    listener.search_ended()
    return SearchOutcome(
        trial_keys=tuple(t.key for t in trials),
        trained=len(remaining) - len(failed),
        failed=failed,
        stacks=tuple(outcomes),
    )


@dataclass(frozen=True)
class _PlannedStack:
    """Trials to train together: new ones, or what is left of a stack that was saved, under its name."""

    trials: list[PlannedTrial]
    saved: StackFacts | None = None

    @property
    def work(self) -> int:
        """What is left to do, in the unit of `work`."""
        done = [0 if self.saved is None else self.saved.epochs_done(trial) for trial in self.trials]
        return sum(work(trial) - epochs * epoch_work(trial) for trial, epochs in zip(self.trials, done, strict=True))


def _plan_stacks(
    files: list[StackFacts], remaining: list[PlannedTrial], slots: int, facts: DeviceFacts
) -> list[_PlannedStack]:
    """Return the stacks of the trials that are left: those that were saved first, as they were, then the others.

    Of a trial that is in several files, the newest counts.
    """
    left = {trial.key: trial for trial in remaining}
    stacks = []
    for file in files:
        mine = [left.pop(trial.key) for trial in file.trials if trial.key in file.keys and trial.key in left]
        if mine:
            stacks.append(_PlannedStack(mine, file))
    return [*stacks, *(_PlannedStack(trials) for trials in pack(list(left.values()), slots, facts))]


def _assign(
    stacks: list[_PlannedStack],
    run: SearchRun,
    dataset: DatasetReference,
    compute: ComputeParameters,
    varying: frozenset[str],
) -> list[StackAssignment]:
    # Two searches of one space at a time, or one after another, must not take each other's stacks for their own.
    execution = uuid4().hex[:8]
    runs = unfinished_runs(run)
    return [
        StackAssignment(
            name=f"stack-{execution}-{place}" if stack.saved is None else stack.saved.name,
            dataset=dataset,
            trials=tuple(stack.trials),
            varying=varying,
            run=run,
            device=compute.device,
            execution=execution,
            checkpoint_seconds=compute.checkpoint_seconds,
            unfinished={trial.key: runs[trial.key] for trial in stack.trials if trial.key in runs},
        )
        for place, stack in enumerate(stacks)
    ]


def _runner() -> DaskTaskRunner:
    context = FlowRunContext.get()
    if context is None or not isinstance(context.task_runner, DaskTaskRunner):
        raise RuntimeError("the search flow runs its stacks on a DaskTaskRunner: call it with_options(task_runner=...)")
    return context.task_runner


def _begin(total: int, before: list[TrialRecord], goal: Objective) -> SearchProgress:
    scores = [record.metrics[goal.metric] for record in before if goal.metric in record.metrics]
    return SearchProgress(
        metric=goal.metric,
        total=total,
        found_finished=len(before),
        finished=len(before),
        diverged=sum(record.diverged_at is not None for record in before),
        best=(max(scores) if goal.maximise else min(scores)) if scores else None,
        share=0.0 if len(before) < total else 1.0,
    )


@contextmanager
def _heard(client: Client, topic: str, count: ProgressCount) -> Iterator[None]:
    """Let what the workers announce be counted."""
    client.subscribe_topic(topic, count.hear)
    try:
        yield
    finally:
        client.unsubscribe_topic(topic)
