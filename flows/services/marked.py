"""Which processes belong to a `backprop up`, and their end.

A flow run has Dask workers, which have processes of their own; some are in other process groups, and all are adopted by
init when their parents are killed. What they cannot lose is an environment variable that they were started with.
"""

import os
import signal
import time
from collections.abc import Callable, Iterable

import psutil

MARK = "BACKPROP_UP"
FLOW_RUN = "PREFECT__FLOW_RUN_ID"


def marked(mark: str) -> dict[psutil.Process, dict[str, str]]:
    """Return the processes of a mark that run, each with its environment."""
    found = {}
    for process in psutil.process_iter():
        if process.pid == os.getpid():
            continue
        try:
            environment = process.environ()
        except (psutil.Error, OSError):
            # Another user's, a zombie, or one that has just ended.
            continue
        if environment.get(MARK) == mark:
            found[process] = environment
    return found


def flow_runs(mark: str) -> list[psutil.Process]:
    """Return the processes that run a flow, without those that these started."""
    running = {process for process, environment in marked(mark).items() if FLOW_RUN in environment}
    return [process for process in running if not _has_parent_in(process, running)]


def _has_parent_in(process: psutil.Process, others: set[psutil.Process]) -> bool:
    try:
        return process.parent() in others
    except psutil.NoSuchProcess:
        return True


def send(processes: Iterable[psutil.Process], number: signal.Signals) -> None:
    """Send a signal to processes; to those that have ended meanwhile, and to others with their number, none is sent."""
    for process in processes:
        try:
            process.send_signal(number)
        except psutil.NoSuchProcess:
            continue


def wait_while(running: Callable[[], object], seconds: float, impatient: Callable[[], bool] = lambda: False) -> bool:
    """Wait until nothing runs, and return whether that came before the time was over, or somebody's patience."""
    deadline = time.monotonic() + seconds
    while running():
        if time.monotonic() > deadline or impatient():
            return False
        time.sleep(0.1)
    return True
