"""What a worker warns of while it trains a stack, on the Prefect page of the run.

This module must not import Prefect: workers import it before Prefect may be.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

PACKAGE = __name__.partition(".")[0]

AnyLogger = logging.Logger | logging.LoggerAdapter[logging.Logger]

_told: ContextVar[AnyLogger | None] = ContextVar("told", default=None)


class _Forward(logging.Handler):
    """Hands what this package warns of to the logger of the run in whose context it does; else to nobody."""

    def emit(self, record: logging.LogRecord) -> None:
        logger = _told.get()
        if logger is not None:
            logger.log(record.levelno, "%s", record.getMessage(), exc_info=record.exc_info)


_FORWARD = _Forward(logging.WARNING)


@contextmanager
def logged_to(logger: AnyLogger) -> Iterator[None]:
    """Let a logger have what this package warns of meanwhile, here and in threads that are given this context.

    Two stacks that train in one process, on a worker with several threads, have each their own.
    """
    # Adding it again changes nothing, and it stays: another stack may be using it.
    logging.getLogger(PACKAGE).addHandler(_FORWARD)
    token = _told.set(logger)
    try:
        yield
    finally:
        _told.reset(token)
