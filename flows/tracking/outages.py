"""Which failures of MLflow pass by themselves, and how long they are waited for."""

import errno
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager

import requests
from mlflow.exceptions import MlflowException
from safetensors import SafetensorError

from flows.errors import DatasetError, DiskFullError, TrackingError

PATIENCE = 600.0
"""Seconds for which a stack whose training is over waits for MLflow to answer again."""

LONGEST_PAUSE = 15.0
"""Most seconds between two attempts."""

_PASSING = frozenset({"TEMPORARILY_UNAVAILABLE", "INTERNAL_ERROR", "REQUEST_LIMIT_EXCEEDED", "ABORTED", "CANCELLED"})
"""Codes of a server that does not answer, of one that answers 5xx or 429, and of a database that is locked."""

_FULL = ("database or disk is full", "no space left on device", "disk quota exceeded", "file too large")

_logger = logging.getLogger(__name__)


def passes(error: Exception) -> bool:
    """Return whether a call to MLflow that failed may succeed later."""
    if isinstance(error, requests.RequestException | ConnectionError | TimeoutError):
        return True
    return isinstance(error, MlflowException) and error.error_code in _PASSING


@contextmanager
def disk_full_explained(where: str) -> Iterator[None]:
    """Turn what is raised when a disk is full into a DiskFullError, which is no outage: a person must act.

    MLflow reports a SQLite store on a full disk as it does one that is busy, so only the text tells them apart.
    """
    try:
        yield
    except (OSError, MlflowException, SafetensorError, DatasetError) as error:
        if not (_tells_of_a_full_disk(error) or _tells_of_a_full_disk(error.__cause__)):
            raise
        raise DiskFullError(
            f"{where}: no space is left to write ({' '.join(str(error).split())}); "
            "free space and run the same command, which goes on from here"
        ) from error


def _tells_of_a_full_disk(error: BaseException | None) -> bool:
    if isinstance(error, OSError):
        # EFBIG is a limit of the process or of the file system, which is as final.
        return error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    return isinstance(error, MlflowException | SafetensorError) and any(text in str(error).lower() for text in _FULL)


class Outage:
    """Counts how long MLflow has not answered, warns once, and says when to try again."""

    def __init__(self, uri: str) -> None:
        self._uri = uri
        self._began: float | None = None
        self._pause = 0.5

    def begin(self, error: Exception) -> float:
        """Take note of a failure and return how many seconds to wait."""
        if self._began is None:
            self._began = time.monotonic()
            _logger.warning(
                "MLflow at %s does not answer (%s); training goes on and what it measures is kept", self._uri, error
            )
        self._pause = min(2 * self._pause, LONGEST_PAUSE)
        return self._pause

    def end(self) -> None:
        """Take note that MLflow answered."""
        if self._began is not None:
            _logger.warning("MLflow at %s answers again after %.0f s", self._uri, self.seconds)
        self._began, self._pause = None, 0.5

    @property
    def seconds(self) -> float:
        """How long it has lasted; 0 if there is none."""
        return 0.0 if self._began is None else time.monotonic() - self._began

    def error(self) -> TrackingError:
        """Return what to raise when it has lasted too long."""
        return TrackingError(
            f"MLflow at {self._uri} has not answered for {self.seconds:.0f} s; what was trained is kept, "
            "and the same command delivers it and goes on"
        )
