"""How a search goes, and who is told: the run's log by default, a progress bar if the command line asks."""

import threading
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Protocol

from prefect.logging import get_run_logger
from pydantic import BaseModel, ConfigDict

from flows.compute.worker_news import WorkerNews
from flows.durations import readable_seconds
from flows.ranking import Objective


class SearchProgress(BaseModel):
    """How far a search is.

    Attributes
    ----------
    finished, running, pruned, diverged, failed : int
        Trials; those that finished are counted with what was found finished, and those that were pruned or diverged
        among them.
    best : float or None
        The best score so far, None before the first.
    share : float
        Part of this search's work that is done, in the unit of its `Paces`: trials of a stack all finish at its end.
    seconds : float
        Since the first stack was submitted.
    """

    model_config = ConfigDict(frozen=True)

    metric: str
    total: int
    found_finished: int
    finished: int
    running: int = 0
    pruned: int = 0
    diverged: int = 0
    failed: int = 0
    best: float | None = None
    share: float = 0.0
    seconds: float = 0.0

    @property
    def seconds_left(self) -> float | None:
        """Estimate of the time to the end, None before there is anything to go by."""
        return None if self.share <= 0 else self.seconds * (1 - self.share) / self.share

    @property
    def trials_per_second(self) -> float:
        """Throughput: trials as a whole, by the work done."""
        left = self.total - self.found_finished
        return left * self.share / self.seconds if self.seconds > 0 else 0.0

    def describe(self) -> str:
        """Return all of it in a line."""
        counts = {"running": self.running, "pruned": self.pruned, "diverged": self.diverged, "failed": self.failed}
        parts = [
            f"{self.finished} of {self.total} trials finished",
            *(f"{count} {name}" for name, count in counts.items() if count),
        ]
        if self.best is not None:
            parts.append(f"best {self.metric} {self.best:.4g}")
        if self.trials_per_second:
            parts.append(f"{self.trials_per_second:.3g} trials/s")
        if self.seconds_left is not None and self.finished < self.total:
            parts.append(f"about {readable_seconds(self.seconds_left)} left")
        return " · ".join(parts)


class ProgressListener(Protocol):
    """Something that shows progress; called from the threads that receive news, one at a time."""

    def warned(self, text: str) -> None:
        """Take what a person should look at before the training begins; the run's log has it anyway."""

    def search_advanced(self, progress: SearchProgress) -> None:
        """Take how far the search is: at its begin, whenever there is news, and at its end."""

    def search_ended(self) -> None:
        """Take note that no more will come."""


class LoggedProgress:
    """Writes a line to the flow run's log whenever a tenth more of the trials is finished."""

    def __init__(self) -> None:
        self._logger = get_run_logger()
        self._next: int | None = None

    def warned(self, text: str) -> None:
        """Nothing to add to the log."""

    def search_advanced(self, progress: SearchProgress) -> None:
        """Log if it is time."""
        if self._next is None:
            self._next = progress.finished + 1
        if progress.finished >= self._next:
            self._logger.info("%s", progress.describe())
            self._next = progress.finished + max(1, progress.total // 10)

    def search_ended(self) -> None:
        """Nothing to close."""


class ProgressCount:
    """Adds up what the workers announce and tells a listener.

    A stack that was tried again announces trials, and work, that it had announced before: trials count once.

    Parameters
    ----------
    begin : SearchProgress
        What was there before anything is announced.
    work : float
        Of the stacks that will announce it.
    part : float
        Of the search, by trials, that this work is: which the others will be is not known yet.
    """

    def __init__(
        self, listener: ProgressListener, begin: SearchProgress, goal: Objective, work: float, part: float = 1.0
    ) -> None:
        self._listener, self._goal, self._work, self._part = listener, goal, work, part
        self._begin = begin
        self._started = time.monotonic()
        self._lock = threading.Lock()
        self._floor = 0.0
        self._done = 0.0
        self._best = begin.best
        self._finished: set[str] = set()
        self._diverged: set[str] = set()
        self._pruned: set[str] = set()
        self._running: set[str] = set()
        self._failed = 0
        listener.search_advanced(begin)

    def go_on(self, begin: SearchProgress, work: float, part: float) -> None:
        """Take the next work when all so far is done; ``begin`` leaves out what was announced, ``part`` does not."""
        with self._lock:
            self._floor, self._part = self._part, max(part, self._part)
            self._done, self._work = 0, work
            self._begin, self._running, self._failed = begin, set(), 0
            if begin.best is not None and (self._best is None or self._goal.better(begin.best, self._best)):
                self._best = begin.best
            self._listener.search_advanced(self._now())

    def hear(self, event: tuple[float, dict[str, Any]]) -> None:
        """Take an event of the workers' topic."""
        news = WorkerNews.model_validate(event[1])
        with self._lock:
            self._done = min(self._done + news.work, self._work)
            self._finished.update(news.finished)
            self._diverged.update(news.diverged)
            self._pruned.update(news.pruned)
            if news.best is not None and (self._best is None or self._goal.better(news.best, self._best)):
                self._best = news.best
            self._listener.search_advanced(self._now())

    def stacks_changed(self, running: Collection[str], failed: int) -> None:
        """Take the keys of the trials whose stacks run, and how many trials were given up."""
        with self._lock:
            self._running, self._failed = set(running), failed
            self._listener.search_advanced(self._now())

    def _now(self) -> SearchProgress:
        begin = self._begin
        return begin.model_copy(
            update={
                "finished": begin.found_finished + len(self._finished),
                "running": len(self._running - self._finished),
                "pruned": begin.pruned + len(self._pruned),
                "diverged": begin.diverged + len(self._diverged),
                "failed": begin.failed + self._failed,
                "best": self._best,
                "share": self._floor + (self._part - self._floor) * (self._done / self._work if self._work else 1.0),
                "seconds": time.monotonic() - self._started,
            }
        )


_listener: ContextVar[ProgressListener | None] = ContextVar("progress_listener", default=None)


def progress_listener() -> ProgressListener:
    """Return the listener of this context, or one that writes to the flow run's log."""
    return _listener.get() or LoggedProgress()


@contextmanager
def listening(listener: ProgressListener) -> Iterator[None]:
    """Let a listener hear of the searches that run inside the block."""
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)
