"""The end of what `backprop up` started, in the order in which nothing is lost: flow runs, worker, servers."""

import signal
from collections.abc import Callable
from functools import partial

import psutil

from flows.services.marked import flow_runs, marked, send, wait_while
from flows.services.state import UpRecord

FLOW_RUN_SECONDS = 60.0
"""How long flow runs may take to end their trials in MLflow and tell Prefect."""

SERVICE_SECONDS = 20.0


def stop(record: UpRecord, tell: Callable[[str], None], impatient: Callable[[], bool] = lambda: False) -> int:
    """End all that was started, and return how many processes had to be killed.

    Flow runs are terminated while both servers still answer: so they are Crashed in Prefect and their trials KILLED in
    MLflow, and the next run of the same search goes on from their checkpoints.

    Parameters
    ----------
    impatient : callable
        Asked while something is waited for: whether to kill it instead.
    """
    # Before the worker, which would kill them.
    if running := flow_runs(record.mark):
        tell(f"ending {len(running)} flow run{'s' if len(running) > 1 else ''}")
        send(running, signal.SIGTERM)
        wait_while(lambda: flow_runs(record.mark), FLOW_RUN_SECONDS, impatient)
    for name in ("worker", "mlflow", "prefect"):
        send(_service(record, name), signal.SIGTERM)
        wait_while(partial(_service, record, name), SERVICE_SECONDS, impatient)
    left = marked(record.mark)
    send(left, signal.SIGKILL)
    wait_while(lambda: marked(record.mark), SERVICE_SECONDS)
    return len(left)


def _service(record: UpRecord, name: str) -> list[psutil.Process]:
    """Return the process of a service if it runs."""
    started = record.services.get(name)
    found = started.find() if started else None
    return [found] if found else []
