"""What the workers of a search take of their machines, as system metrics of its MLflow run.

Dask's workers measure themselves twice a second and tell their scheduler, whatever the cluster. Here one thread beside
the flow asks the scheduler now and then: the workers have nothing more to do, and one process writes for all of them.
"""

import re
import threading
import time
from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import Any, Self

from distributed import Client
from mlflow.entities import Metric
from prefect.logging import get_run_logger

from flows.tracking.search_runs import SearchRun

SAMPLE_SECONDS = 10.0
"""Time between two samples, as with MLflow's own system metrics: a call to MLflow for all workers together."""

MOST_WORKERS = 32
"""How many are shown one by one. Of a larger cluster these are the first by name."""

_MEGABYTE = 1e6

_MEASURED = {
    "cpu": ("cpu_percent", 1.0),
    "memory": ("memory_megabytes", _MEGABYTE),
    "gpu_utilization": ("gpu_percent", 1.0),
    "gpu_memory_used": ("gpu_memory_megabytes", _MEGABYTE),
}
"""Of what Dask measures, what it is called here, and what its number is divided by. 100 % is one core. A worker without
an NVIDIA GPU, or without `nvidia-ml-py`, has no numbers of one."""


class WorkerMetrics:
    """Samples the workers of a cluster from a thread while a search trains, once at its end too.

    The step of a sample is the seconds since the search's run began, of a search that is gone on with too.
    A store that does not answer costs the page these numbers, not the search its trials.
    """

    def __init__(self, client: Client, run: SearchRun) -> None:
        self._cluster, self._run = client, run
        self._began: float | None = None
        self._ended = threading.Event()
        self._logger = get_run_logger()
        self._thread = threading.Thread(target=self._sample_to_end, name="worker-metrics", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join(timeout=SAMPLE_SECONDS)

    def _sample_to_end(self) -> None:
        warned = False
        while True:
            last = self._ended.wait(SAMPLE_SECONDS)
            try:
                self._sample()
            except Exception as error:  # noqa: BLE001 - whatever keeps the page from being updated, training goes on
                if not warned:
                    self._logger.warning("system metrics of the workers cannot be logged: %s", error)
                warned = True
            if last:
                return

    def _sample(self) -> None:
        now = time.time()
        client = self._run.tracking.client()
        if self._began is None:
            self._began = client.get_run(self._run.run_id).info.start_time / 1000
        workers = self._cluster.scheduler_info(n_workers=-1)["workers"]
        step = max(0, round(now - self._began))
        metrics = [Metric(name, value, round(now * 1000), step) for name, value in measured(workers)]
        if metrics:
            client.log_batch(self._run.run_id, metrics=metrics)


def measured(workers: Mapping[str, Mapping[str, Any]]) -> Iterator[tuple[str, float]]:
    """Yield the names and values of MLflow's metrics for what a scheduler knows of its workers."""
    named = sorted(workers.values(), key=lambda worker: _order(str(worker["name"])))
    for worker in named[:MOST_WORKERS]:
        for quantity, (name, unit) in _MEASURED.items():
            if quantity in worker.get("metrics", {}):
                yield f"system/{_name(str(worker['name']))}/{name}", float(worker["metrics"][quantity]) / unit


def _order(name: str) -> tuple[bool, int, str]:
    """Return what sorts 2 before 10, and numbers before names."""
    return not name.isdigit(), int(name) if name.isdigit() else 0, name


def _name(name: str) -> str:
    """Return a worker's name as a part of a metric's: Dask counts the workers it starts, others it calls by address."""
    return f"worker-{name}" if name.isdigit() else re.sub(r"[^\w.-]+", "-", name)
