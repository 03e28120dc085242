"""The `search` flow: expand a space, drop what is finished, train the rest in stacks on Dask."""

import queue
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
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
from flows.data.store import DatasetReference, open_dataset
from flows.errors import RunFailedError
from flows.parameters import ComputeParameters, Space
from flows.progress import ProgressListener, progress_listener
from flows.ranking import Objective, objective
from flows.spaces import expand
from flows.tracking.search_runs import SearchRun, end_running_trials, finished_trials, reopen
from flows.trials import plan_trial, varying_names

MOST_ATTEMPTS = 3
"""How often a stack is tried if its worker dies each time."""


class SearchOutcome(BaseModel):
    """What a search did.

    Attributes
    ----------
    trial_keys : tuple of str
        Every trial of the space, in its order.
    trained : int
        Trials trained by this run of the search; the others were finished before.
    """

    model_config = ConfigDict(frozen=True)

    trial_keys: tuple[str, ...]
    trained: int
    stacks: tuple[StackOutcome, ...]


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
def search(dataset: DatasetReference, space: Space, run: SearchRun, compute: ComputeParameters) -> SearchOutcome:
    """Train every trial of a space on a dataset that is not finished yet, one task run a stack.

    Raises
    ------
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
    before = [finished[trial.key].metrics for trial in trials if trial.key in finished]
    scores = [metrics[goal.metric] for metrics in before if goal.metric in metrics]
    get_run_logger().info("%d trials, %d of them finished before", len(trials), len(trials) - len(remaining))

    listener = progress_listener()
    listener.search_started(len(trials), len(before), goal)
    outcomes: list[StackOutcome] = []
    if remaining:
        reopen(run)
        # What a search of this space left open when its process was killed, which could end nothing itself.
        end_running_trials(run, "KILLED", "the search that trained it was killed")
        client = connect(_runner())
        # Two searches of one space at a time, or one after another, must not take each other's stacks for their own.
        execution = uuid4().hex[:8]
        assignments = [
            StackAssignment(
                name=f"stack-{execution}-{place}",
                dataset=dataset,
                trials=tuple(stack),
                varying=varying_names(hyperparameters),
                run=run,
                device=compute.device,
                stop_event=f"backprop-stop-{execution}",
            )
            for place, stack in enumerate(pack(remaining, slots(client), smallest_device(client, compute.device)))
        ]
        with _progress(client, assignments[0].progress_topic, listener, goal, len(before), scores):
            outcomes = _StackRuns(client, assignments).to_end()
    listener.search_ended()
    return SearchOutcome(trial_keys=tuple(t.key for t in trials), trained=len(remaining), stacks=tuple(outcomes))


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
    client: Client, topic: str, listener: ProgressListener, goal: Objective, finished: int, scores: list[float]
) -> Iterator[None]:
    """Pass what the workers announce on to a listener, summed up."""
    best = (max(scores) if goal.maximise else min(scores)) if scores else None

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
