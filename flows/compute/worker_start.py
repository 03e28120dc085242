"""What a worker process of a local cluster does before it takes a stack: Dask preloads this module.

It imports what a stack needs, except Prefect, which must first be told of its server.
"""

import gc
import os
import signal
from pathlib import Path

from distributed import Worker
from tornado.ioloop import PeriodicCallback

import flows.compute.stack_training  # noqa: F401 - imported ahead of the first stack

YOUNG_OBJECTS = 50_000
"""Objects that are made before the garbage collector looks for cycles among them; Python's default is 700."""


MEMORY_SHARE = 0.95
"""Part of its memory limit that a worker may take for itself before it is ended, as with Dask's own watch."""

LOOK_MILLISECONDS = 200


def dask_setup(worker: Worker) -> None:
    """Prepare the worker, and watch its memory."""
    _spare_the_collector()
    _watch_memory(worker)


def _spare_the_collector() -> None:
    """Spare the garbage collector what will never be garbage: an eighth of a worker's time went into looking at it.

    Tracking a trial makes tens of thousands of short-lived objects, and the imports leave hundreds of thousands.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS, 20, 100)


def _watch_memory(worker: Worker) -> None:
    """End the worker when memory of its own, mapped files not counted, comes near its limit."""
    limit = worker.memory_manager.memory_limit
    if not limit or own_bytes() is None:
        return

    def look() -> None:
        if (own_bytes() or 0) > MEMORY_SHARE * limit:
            os.kill(os.getpid(), signal.SIGKILL)

    worker.periodic_callbacks["own-memory"] = PeriodicCallback(look, LOOK_MILLISECONDS)


def own_bytes() -> int | None:
    """Return the resident memory of this process that is of no file; None where the system does not tell."""
    status = Path("/proc/self/status")
    if not status.exists():
        return None
    lines = [line for line in status.read_text().splitlines() if line.startswith("RssAnon:")]
    return int(lines[0].split()[1]) * 1024 if lines else None
