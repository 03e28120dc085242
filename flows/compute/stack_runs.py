"""The stacks of a search on their cluster: submitted, tried again where a worker died, split where one keeps dying."""

import contextlib
import queue
import time
from collections import deque
from collections.abc import Callable, Collection
from http import HTTPStatus
from uuid import UUID

from distributed import Client, Event
from distributed.client import FutureCancelledError
from distributed.comm.core import CommClosedError
from distributed.scheduler import KilledWorker
from prefect import task
from prefect.client.orchestration import get_client
from prefect.exceptions import PrefectHTTPStatusError
from prefect.futures import PrefectFuture
from prefect.logging import get_run_logger
from prefect.states import Crashed

from flows.compute.clusters import slots
from flows.compute.pruning import SeenTrial
from flows.compute.stack_training import StackAssignment, StackOutcome, train_assignment, worker_address
from flows.compute.worker_log import logged_to
from flows.data.store import open_dataset
from flows.errors import DiskFullError, RunFailedError
from flows.tracking.search_runs import end_running_trials, stack_runs
from flows.tracking.trial_delivery import TrialDelivery

WHOLE_ATTEMPTS = 2
"""How often a stack, or a trial that is alone, is tried while its worker dies each time. A worker may have been
preempted; twice in a row it is the stack that kills it."""

PIECES = 4
"""Into how many a stack is split that kills its workers. Each has one attempt before it is split itself, so the trial
that does it is alone after the death of at most two workers more than the stack has digits to the base four."""

JOIN_SECONDS = 2.0
"""How often it is looked whether a worker has joined the cluster, which then gets a stack."""

FAREWELL_SECONDS = 15.0
"""How long workers may take to save where they are when a search is interrupted."""


@task(name="train-stack", task_run_name="{assignment.title}", persist_result=False)
def train_stack(assignment: StackAssignment) -> StackOutcome:
    """Train one stack on the Dask worker that got it, and say so on the page of the search."""
    logger = get_run_logger()
    logger.info("begins on %s", worker_address())
    with logged_to(logger):
        outcome = train_assignment(assignment)
    logger.info("finished: %s", outcome.describe())
    return outcome


class StackRuns:
    """Keeps every slot of the cluster busy with a stack until all are trained, through the death of workers.

    No more stacks are submitted than can run: a stack that waits in a dying worker's queue would be
    counted as its killer, and a search that is interrupted has nothing queued behind it.

    Parameters
    ----------
    on_change : callable
        Told the keys of the trials whose stacks run, and how many trials were given up, whenever that changes.

    Attributes
    ----------
    failed_trials : dict of str to str
        Why a trial was given up, by its key: its worker died whenever it trained it.
    """

    def __init__(
        self, client: Client, assignments: list[StackAssignment], on_change: Callable[[Collection[str], int], None]
    ) -> None:
        self.failed_trials: dict[str, str] = {}
        self._client = client
        self._on_change = on_change
        self._waiting = deque(assignments)
        self._running: dict[PrefectFuture[StackOutcome], StackAssignment] = {}
        self._done: queue.SimpleQueue[PrefectFuture[StackOutcome]] = queue.SimpleQueue()
        self._deaths: dict[str, int] = {}
        self._most_deaths: dict[str, int] = {}
        self._failures: list[str] = []
        self._seen: list[SeenTrial] = []
        self._logger = get_run_logger()

    def to_end(self) -> list[StackOutcome]:
        """Train all stacks and return what they cost.

        Raises
        ------
        DiskFullError
            There is no space left; no other stack was begun.
        RunFailedError
            A stack failed for another reason than the death of its worker. The others were trained to their end.
        """
        outcomes = []
        try:
            while self._waiting or self._running:
                future = self._next_done()
                outcome = self._settle(future, self._running.pop(future))
                if outcome is not None:
                    outcomes.append(outcome)
        except BaseException:
            self._stop_workers()
            raise
        if self._failures:
            raise RunFailedError(f"{len(self._failures)} of the stacks failed: {'; '.join(self._failures)}")
        return outcomes

    def _next_done(self) -> PrefectFuture[StackOutcome]:
        """Keep every slot busy until a stack is done, and return it; workers may join meanwhile."""
        told = None
        while True:
            while self._waiting and len(self._running) < slots(self._client):
                self._submit(self._waiting.popleft())
            if told != len(self._running):
                self._on_change(self._keys_running(), len(self.failed_trials))
                told = len(self._running)
            with contextlib.suppress(queue.Empty):
                return self._done.get(timeout=JOIN_SECONDS)

    def _keys_running(self) -> set[str]:
        return {trial.key for assignment in self._running.values() for trial in assignment.trials}

    def _submit(self, assignment: StackAssignment) -> None:
        # A stack that is tried again, or in pieces, is compared with the same trials as at first.
        if assignment.pruning is not None and assignment.name not in self._deaths and not assignment.origins:
            earlier = (*assignment.pruning.earlier, *self._seen)
            pruning = assignment.pruning.model_copy(update={"earlier": earlier})
            assignment = assignment.model_copy(update={"pruning": pruning})
        future = train_stack.submit(assignment)
        self._running[future] = assignment
        future.add_done_callback(self._done.put)

    def _settle(self, future: PrefectFuture[StackOutcome], assignment: StackAssignment) -> StackOutcome | None:
        try:
            outcome = future.result()
        except KilledWorker:
            self._recover(future, assignment)
        except (DiskFullError, CommClosedError, FutureCancelledError):
            # Every other stack would run into it too: a full disk, or a scheduler that is gone.
            raise
        except Exception as error:  # noqa: BLE001 - whatever stopped one stack, the others go on; it is raised at the end
            self._failures.append(f"{assignment.name}: {type(error).__name__}: {error}")
            self._logger.error("%s failed: %s", assignment.name, error)  # noqa: TRY400 - its own run has the traceback
        else:
            self._seen.extend(outcome.seen)
            return outcome
        return None

    def _recover(self, future: PrefectFuture[StackOutcome], assignment: StackAssignment) -> None:
        """End what a dead worker left open, in MLflow and in Prefect; give its stack to another, perhaps in pieces."""
        reason = f"the worker that trained {assignment.name} died"
        end_running_trials(assignment.run, "KILLED", reason, stack=assignment.name)
        _end_task_run(future.task_run_id, reason)
        deaths = self._deaths[assignment.name] = self._deaths.get(assignment.name, 0) + 1
        known = stack_runs(assignment.run, assignment.name)
        left = [trial for trial in assignment.trials if trial.key not in known or not known[trial.key].finished]
        runs = assignment.unfinished | {key: found.run_id for key, found in known.items() if not found.finished}
        again = assignment.model_copy(update={"trials": tuple(left), "unfinished": runs})
        if not left:
            return
        if deaths < self._most_deaths.get(assignment.name, WHOLE_ATTEMPTS):
            self._logger.warning("%s; its unfinished trials go on from their last checkpoint", reason)
            self._waiting.appendleft(again)
        elif len(left) > 1:
            self._logger.warning("%s %d times; it is split to find the trial that does it", reason, deaths)
            self._waiting.extendleft(self._pieces(again))
        else:
            self._give_up(again, f"its worker died each of the {deaths} times that it was trained alone")

    def _pieces(self, assignment: StackAssignment) -> list[StackAssignment]:
        count = min(PIECES, len(assignment.trials))
        pieces = []
        for place in range(count):
            trials = assignment.trials[place::count]
            name = f"{assignment.name}.{place}"
            self._most_deaths[name] = WHOLE_ATTEMPTS if len(trials) == 1 else 1
            origins = (assignment.name, *assignment.origins)
            pieces.append(assignment.model_copy(update={"name": name, "trials": trials, "origins": origins}))
        return pieces

    def _give_up(self, assignment: StackAssignment, reason: str) -> None:
        [trial] = assignment.trials
        self.failed_trials[trial.key] = reason
        self._logger.error("a trial of %s failed: %s", assignment.name, reason)
        dataset = open_dataset(assignment.dataset)
        run = TrialDelivery(
            assignment.run, assignment.name, dataset, [trial], assignment.varying, assignment.unfinished
        )
        # The worker may have died before it had made the run, or told its params.
        run.open(0)
        run.abandon(0, (), "FAILED", reason)

    def _stop_workers(self) -> None:
        """Tell workers to stop, and wait until they have saved where they are."""
        for assignment in self._running.values():
            Event(assignment.stop_event, client=self._client).set()
        deadline = time.monotonic() + FAREWELL_SECONDS
        while self._running and (left := deadline - time.monotonic()) > 0:
            try:
                self._running.pop(self._done.get(timeout=left), None)
            except queue.Empty:
                return


def _end_task_run(task_run: UUID, reason: str) -> None:
    """End the task run of a dead worker, of which Prefect never hears again: it would show it as running for ever."""
    with get_client(sync_client=True) as prefect:
        try:
            prefect.set_task_run_state(task_run, Crashed(message=reason), force=True)
        except PrefectHTTPStatusError as error:
            # The worker died before it had told Prefect that it had begun: there is nothing to end.
            if error.response.status_code != HTTPStatus.NOT_FOUND:
                raise
