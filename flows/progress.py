"""Who is told how a search goes: the run's log by default, a progress bar if the command line asks."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Protocol

from prefect.logging import get_run_logger

from flows.ranking import Objective


class ProgressListener(Protocol):
    """Something that shows progress; called from the thread that receives Dask's events."""

    def warned(self, text: str) -> None:
        """Take what a person should look at before the training begins; the run's log has it anyway."""

    def search_started(self, total: int, finished_before: int, goal: Objective) -> None:
        """Take the number of trials of the search, and how many were found finished."""

    def trials_advanced(self, finished: int, best: float | None) -> None:
        """Take how many trials are finished now, and the best score so far, None before the first."""

    def search_ended(self) -> None:
        """Take note that no more will come."""


class LoggedProgress:
    """Writes a line to the flow run's log whenever a tenth more of the trials is finished."""

    def __init__(self) -> None:
        self._logger = get_run_logger()
        self._total = 0
        self._next = 0
        self._metric = ""

    def warned(self, text: str) -> None:
        """Nothing to add to the log."""

    def search_started(self, total: int, finished_before: int, goal: Objective) -> None:
        """Remember the total."""
        self._total, self._metric = total, goal.metric
        self._next = finished_before + 1

    def trials_advanced(self, finished: int, best: float | None) -> None:
        """Log if it is time."""
        if finished >= self._next:
            score = f", best {self._metric} so far {best:.4g}" if best is not None else ""
            self._logger.info("%d of %d trials finished%s", finished, self._total, score)
            self._next = finished + max(1, self._total // 10)

    def search_ended(self) -> None:
        """Nothing to close."""


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
