"""How many rows are scored, and who is told: the run's log by default, the terminal if the command line asks."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from prefect.logging import get_run_logger

RowsScored = Callable[[int], None]

LOG_SECONDS = 10.0

_listener: ContextVar[RowsScored | None] = ContextVar("rows_scored", default=None)


def rows_listener() -> RowsScored:
    """Return the listener of this context, or one that writes to the flow run's log now and then."""
    return _listener.get() or logged()


@contextmanager
def listening(listener: RowsScored) -> Iterator[None]:
    """Let a listener hear how many rows are scored inside the block."""
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)


def logged() -> RowsScored:
    """Return a listener that logs how far the run is, every ten seconds."""
    logger, last = get_run_logger(), time.monotonic()

    def listen(rows: int) -> None:
        nonlocal last
        if time.monotonic() - last >= LOG_SECONDS:
            last = time.monotonic()
            logger.info("%s rows scored", f"{rows:,}")

    return listen
