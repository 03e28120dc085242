"""The `search` flow: expand a space, drop what is finished, train the rest in stacks on Dask."""

import queue
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from distributed import Client, Event
from distributed.scheduler import KilledWorker
from prefect import flow, task
from prefect.client.orchestration import get_client
from prefect.context import FlowRunContext
from prefect.futures import PrefectFuture
from prefect.logging import get_run_logger
from prefect.states import Crashed
from prefect_dask.task_runners import DaskTaskRunner
from pydantic import BaseModel, ConfigDict

from flows.compute.clusters import connect, slots, task_runner
from flows.compute.devices import smallest_device
from flows.compute.stack_training import StackAssignment, StackOutcome, train_assignment
from flows.compute.stacking import pack
from flows.data.store import Dataset, DatasetReference, open_dataset
from flows.errors import RunFailedError
from flows.parameters import ComputeParameters, Space
from flows.planning import Members, SearchPlan, plan_search
from flows.progress import ProgressListener, progress_listener
from flows.ranking import Objective, objective, rank
from flows.tracking.search_runs import SearchRun, TrialRecord, end_running_trials, finished_on, reopen
from flows.trials import PlannedTrial

MOST_ATTEMPTS = 3
"""How often a stack is tried if its worker dies each time."""


class SearchOutcome(BaseModel):
    """What a search did.

    Attributes
    ----------
    configurations : tuple of Members
        Every configuration of the space, in its order, with the keys of its trials.
    refit : str or None
        Of a cross-validation the key of the winner's trial on all training rows; None too if every one diverged.
    trained : int
        Trials trained by this run of the search; the others were finished before.
    """

    model_config = ConfigDict(frozen=True)

    configurations: tuple[Members, ...]
    refit: str | None = None
    trained: int
    stacks: tuple[StackOutcome, ...]

    @property
    def trial_keys(self) -> tuple[str, ...]:
        """Every trial of the search, the refit at last."""
        keys = tuple(key for members in self.configurations for key in members.trial_keys)
        return keys if self.refit is None else (*keys, self.refit)


@task(name="train-stack", task_run_name="{assignment.name}", persist_result=False)
def train_stack(assignment: StackAssignment) -> StackOutcome:
    """Train one stack on the Dask worker that got it."""
    return train_assignment(assignment)


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
) -> SearchOutcome:
    """Train every trial of a space that is not finished yet, one task run a stack; on the dataset, or on its folds.

    After a cross-validation the best configuration is trained once more, on all training rows.

    Raises
    ------
    SpaceError
        The space has no trials.
    ClusterError
        There is no cluster to train on.
    RunFailedError
        A stack failed. The others were trained to their end first, and are found finished next time.
    """
    if len(folds) != (space.folds or 0):
        raise ValueError(f"the space asks for {space.folds or 0} folds, and {len(folds)} were ingested")
    opened = open_dataset(dataset)
    goal = objective(opened.task)
    plan = plan_search(space, [open_dataset(fold) for fold in folds] or [opened])
    datasets = (dataset, *folds)
    finished = finished_on(run.tracking, datasets)
    remaining = [trial for trial in plan.trials if trial.key not in finished]
    before = [finished[trial.key] for trial in plan.trials if trial.key in finished]
    total = len(plan.trials) + bool(folds)
    get_run_logger().info("%d trials, %d of them finished before", len(plan.trials), len(before))

    training = _Training(datasets, plan.varying, run, compute, progress_listener(), goal)
    training.listener.search_started(total, len(before), goal)
    outcomes = training.to_end(remaining, before)
    refit = None
    if folds:
        finished = finished_on(run.tracking, datasets)
        refit = _refit(plan, finished, goal, opened)
        records = [finished[trial.key] for trial in plan.trials]
        if refit is not None and refit.key in finished:
            training.listener.trials_advanced(total, _best(records, goal))
        elif refit is not None:
            remaining.append(refit)
            outcomes += training.to_end([refit], records)
    training.listener.search_ended()
    return SearchOutcome(
        configurations=plan.configurations,
        refit=None if refit is None else refit.key,
        trained=len(remaining),
        stacks=tuple(outcomes),
    )


def _refit(
    plan: SearchPlan, finished: dict[str, TrialRecord], goal: Objective, dataset: Dataset
) -> PlannedTrial | None:
    """Return the winner of a cross-validation as a trial on the dataset itself; None if every one diverged."""
    ranked = rank(plan.candidates(finished), goal)
    return plan.refit(ranked[0], dataset) if ranked else None


@dataclass(frozen=True)
class _Training:
    """Trains what is left of a search, on the dataset whose place in ``datasets`` is a trial's fold."""

    datasets: tuple[DatasetReference, ...]
    varying: frozenset[str]
    run: SearchRun
    compute: ComputeParameters
    listener: ProgressListener
    goal: Objective

    def to_end(self, trials: list[PlannedTrial], before: list[TrialRecord]) -> list[StackOutcome]:
        """Train trials, those ``before`` having finished already."""
        if not trials:
            return []
        reopen(self.run)
        # What a search of this space left open when its process was killed, which could end nothing itself.
        end_running_trials(self.run, "KILLED", "the search that trained it was killed")
        client = connect(_runner())
        # Two searches of one space at a time, or one after another, must not take each other's stacks for their own.
        execution = uuid4().hex[:8]
        assignments = [
            StackAssignment(
                name=f"stack-{execution}-{place}",
                dataset=self.datasets[stack[0].fold],
                trials=tuple(stack),
                varying=self.varying,
                run=self.run,
                device=self.compute.device,
                stop_event=f"backprop-stop-{execution}",
            )
            for place, stack in enumerate(pack(trials, slots(client), smallest_device(client, self.compute.device)))
        ]
        best = _best(before, self.goal)
        with _progress(client, assignments[0].progress_topic, self.listener, self.goal, len(before), best):
            return _StackRuns(client, assignments).to_end()


def _best(records: list[TrialRecord], goal: Objective) -> float | None:
    """Return the best score of a single trial; None if none has one."""
    scores = [record.metrics[goal.metric] for record in records if goal.metric in record.metrics]
    return (max(scores) if goal.maximise else min(scores)) if scores else None


def _runner() -> DaskTaskRunner:
    context = FlowRunContext.get()
    if context is None or not isinstance(context.task_runner, DaskTaskRunner):
        raise RuntimeError("the search flow runs its stacks on a DaskTaskRunner: call it with_options(task_runner=...)")
    return context.task_runner


class _StackRuns:
    """Keeps every slot of the cluster busy with a stack until all are trained, through the death of workers.

    No more stacks are submitted than can run: a stack that waits in a dying worker's queue would be
    counted as its killer, and a search that is interrupted has nothing queued behind it.
    """

    def __init__(self, client: Client, assignments: list[StackAssignment]) -> None:
        self._client = client
        self._waiting = deque(assignments)
        self._running: dict[PrefectFuture[StackOutcome], StackAssignment] = {}
        self._done: queue.SimpleQueue[PrefectFuture[StackOutcome]] = queue.SimpleQueue()
        self._attempts: dict[str, int] = {}
        self._failures: list[str] = []
        self._logger = get_run_logger()

    def to_end(self) -> list[StackOutcome]:
        outcomes = []
        try:
            while self._waiting or self._running:
                while self._waiting and len(self._running) < slots(self._client):
                    self._submit(self._waiting.popleft())
                future = self._done.get()
                outcome = self._settle(future, self._running.pop(future))
                if outcome is not None:
                    outcomes.append(outcome)
        except BaseException:
            self._stop_workers()
            raise
        if self._failures:
            raise RunFailedError(f"{len(self._failures)} of the stacks failed: {'; '.join(self._failures)}")
        return outcomes

    def _submit(self, assignment: StackAssignment) -> None:
        self._attempts[assignment.name] = self._attempts.get(assignment.name, 0) + 1
        future = train_stack.submit(assignment)
        self._running[future] = assignment
        future.add_done_callback(self._done.put)

    def _settle(self, future: PrefectFuture[StackOutcome], assignment: StackAssignment) -> StackOutcome | None:
        try:
            return future.result()
        except KilledWorker:
            self._recover(future, assignment)
        except Exception as error:  # noqa: BLE001 - whatever stopped one stack, the others go on; it is raised at the end
            self._failures.append(f"{assignment.name}: {type(error).__name__}: {error}")
            self._logger.error("%s failed: %s", assignment.name, error)  # noqa: TRY400 - its own run has the traceback
        return None

    def _recover(self, future: PrefectFuture[StackOutcome], assignment: StackAssignment) -> None:
        """End what a dead worker left open, in MLflow and in Prefect, and give its stack to another."""
        reason = f"the worker that trained {assignment.name} died"
        end_running_trials(assignment.run, "KILLED", reason, stack=assignment.name)
        with get_client(sync_client=True) as prefect:
            # Prefect never hears from the dead worker and would show the task run as running for ever.
            prefect.set_task_run_state(future.task_run_id, Crashed(message=reason), force=True)
        if self._attempts[assignment.name] >= MOST_ATTEMPTS:
            self._failures.append(f"{assignment.name}: its worker died {MOST_ATTEMPTS} times")
            return
        self._logger.warning("%s; its unfinished trials are tried again", reason)
        self._waiting.appendleft(assignment)

    def _stop_workers(self) -> None:
        for assignment in self._running.values():
            Event(assignment.stop_event, client=self._client).set()


@contextmanager
def _progress(
    client: Client, topic: str, listener: ProgressListener, goal: Objective, finished: int, best: float | None
) -> Iterator[None]:
    """Pass what the workers announce on to a listener, summed up."""

    def hear(event: tuple[float, dict[str, Any]]) -> None:
        nonlocal finished, best
        _, news = event
        finished += news["finished"]
        if news["best"] is not None and (best is None or goal.better(news["best"], best)):
            best = news["best"]
        listener.trials_advanced(finished, best)

    client.subscribe_topic(topic, hear)
    try:
        yield
    finally:
        client.unsubscribe_topic(topic)
