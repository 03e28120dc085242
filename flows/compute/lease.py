"""Who works on a search: so that one that was killed and its heir never write into the same runs at once.

A search and each stack in training keep a small file beside the checkpoints, and renew it while they live. Whoever
starts the same search again is refused while the first one lives; if only workers of it live on, as they do on a
cluster of their own, it tells them to stop by a fence that names the new execution, and waits until they have.
"""

import logging
import os
import socket
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Literal, Self

import psutil
from pydantic import BaseModel, ConfigDict, ValidationError

from flows.compute.saved_stack import CHECKPOINTS
from flows.data.root import Root, root_of
from flows.data.store import DatasetReference
from flows.errors import ClusterError, DatasetError, SearchRunningError
from flows.tracking.search_runs import SearchRun

BEAT_SECONDS = 5.0
"""How often a lease is renewed and the fence looked at."""

SILENT_SECONDS = 30.0
"""After so long without a renewal a holder on another machine is taken for dead; clocks may differ by less."""

LETTING_GO_SECONDS = 120.0
"""How long workers of a dead search may take to stop: an epoch, and a checkpoint."""

_logger = logging.getLogger(__name__)


Role = Literal["search", "stack", "retraining"]


class LeaseFacts(BaseModel):
    """What a holder writes of itself; times in seconds since 1970."""

    model_config = ConfigDict(frozen=True)

    execution: str
    role: Role
    host: str
    pid: int
    process_started: float
    since: float
    renewed: float

    @classmethod
    def of_this_process(cls, execution: str, role: Role, **more: object) -> Self:
        """Return what this process writes of itself when it begins."""
        now = time.time()
        return cls.model_validate(
            {
                "execution": execution,
                "role": role,
                "host": socket.gethostname(),
                "pid": os.getpid(),
                "process_started": psutil.Process().create_time(),
                "since": now,
                "renewed": now,
                **more,
            }
        )

    def renewed_now(self) -> Self:
        """Return the same, renewed."""
        return self.model_copy(update={"renewed": time.time()})

    @property
    def is_alive(self) -> bool:
        """Whether the holder still works: on this machine its process is looked for, elsewhere it must renew."""
        if self.host != socket.gethostname():
            return time.time() - self.renewed < SILENT_SECONDS
        try:
            return bool(abs(psutil.Process(self.pid).create_time() - self.process_started) < 1)
        except psutil.NoSuchProcess:
            return False


class Heartbeat:
    """Renews what a holder has written, from a thread of its own, between `start` and `stop`.

    Parameters
    ----------
    renew : callable
        Called every few seconds.
    what : str
        What is renewed, as a warning calls it.
    """

    def __init__(self, renew: Callable[[], None], what: str) -> None:
        self._renew = renew
        self._what = what
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._renew_to_end, daemon=True)

    def start(self) -> None:
        """Begin to renew."""
        self._thread.start()

    def stop(self) -> None:
        """Renew no more; when this returns nothing is being written."""
        self._over.set()
        self._thread.join()

    def _renew_to_end(self) -> None:
        while not self._over.wait(BEAT_SECONDS):
            try:
                self._renew()
            except DatasetError as error:
                # A store that hiccups must not end the renewals, by which others know that the holder lives.
                _logger.warning("%s could not be renewed, and is tried again: %s", self._what, error)


class Lease:
    """A holder's own lease, kept while the block runs.

    Parameters
    ----------
    execution : str
        The run of the search that the holder belongs to.
    holder : str
        Name of the stack, or ``search``.
    """

    def __init__(self, dataset: DatasetReference, run: SearchRun, execution: str, holder: str) -> None:
        self._files = LeaseFiles(dataset, run)
        self._holder = holder
        self._facts = LeaseFacts.of_this_process(execution, "search" if holder == SEARCH else "stack")
        self._lost = threading.Event()
        self._heartbeat = Heartbeat(self._renew, "a lease")

    def __enter__(self) -> Self:
        self._files.write(self._holder, self._facts)
        # After the lease is there: whoever takes over writes the fence first, so it sees the lease or we see the fence.
        self._look_at_fence()
        self._heartbeat.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._heartbeat.stop()
        self._files.remove(self._holder)

    @property
    def is_lost(self) -> bool:
        """Whether another execution of the search has taken over: stop, and write nothing more."""
        return self._lost.is_set()

    def _renew(self) -> None:
        self._look_at_fence()
        self._facts = self._facts.renewed_now()
        self._files.write(self._holder, self._facts)

    def _look_at_fence(self) -> None:
        if self._files.fence() not in (self._facts.execution, None):
            self._lost.set()


SEARCH = "search"
"""The holder that is no stack."""


class LeaseFiles:
    """The leases of a search, and its fence: the execution that may write."""

    def __init__(self, dataset: DatasetReference, run: SearchRun) -> None:
        self._root: Root = root_of(dataset.path)[0]
        self._directory = f"{CHECKPOINTS}/{run.run_id}/leases"
        self._fence = f"{CHECKPOINTS}/{run.run_id}/execution/name"

    def fence(self) -> str | None:
        """Return the execution that may write; None where no search has begun, or it is over."""
        return self._root.read(self._fence)

    def take_over(self, execution: str, tell: Callable[[str], None]) -> None:
        """Let an execution be the one that may write, and wait until the workers of an earlier one have stopped.

        `tell` is called with what is waited for, if anything is.

        Raises
        ------
        SearchRunningError
            The same search is running.
        ClusterError
            Workers of an earlier one do not stop.
        """
        for other in self._others(execution):
            if other.role == "search" and other.is_alive:
                started = time.strftime("%H:%M", time.localtime(other.since))
                raise SearchRunningError(
                    f"this search is running already: since {started}, process {other.pid} on {other.host}; "
                    "wait for it, or stop it and run the same command"
                )
        self._root.write(self._fence, execution)
        deadline = time.monotonic() + LETTING_GO_SECONDS
        told = False
        while alive := [other for other in self._others(execution) if other.is_alive]:
            if not told:
                tell(f"Waiting for {len(alive)} stacks of a search that was killed to stop")
            told = True
            if time.monotonic() > deadline:
                where = ", ".join(sorted({f"process {other.pid} on {other.host}" for other in alive}))
                raise ClusterError(f"workers of an earlier run of this search do not stop: {where}; end them")
            time.sleep(0.2)

    def write(self, holder: str, facts: LeaseFacts) -> None:
        """Write or renew a lease."""
        self._root.write(f"{self._directory}/{holder}.json", facts.model_dump_json())

    def remove(self, holder: str) -> None:
        """Remove a lease."""
        self._root.discard(f"{self._directory}/{holder}.json")

    def _others(self, execution: str) -> list[LeaseFacts]:
        found = []
        for name in self._root.files(self._directory):
            text = self._root.read(f"{self._directory}/{name}")
            try:
                facts = None if text is None else LeaseFacts.model_validate_json(text)
            except ValidationError:
                # Of another version of this project, which cannot be asked whether it lives.
                continue
            if facts is not None and facts.execution != execution:
                found.append(facts)
        return found
