"""The Dask cluster of one machine: single-threaded worker processes on the loopback interface.

This module must not import Prefect: the cluster of a command starts before Prefect is there.
"""

import logging
import os
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

import dask
import dask.system
from distributed import LocalCluster

from flows.compute.dask_settings import dask_settings
from flows.parameters import ClusterParameters

# One thread per worker: two workers with two BLAS threads each would fight over two cores.
_WORKER_ENVIRONMENT = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")

_LOST_WORKER_TIMEOUT = {"distributed.deploy.lost-worker-timeout": "365 days"}
"""When the cluster gives up a worker that died, although its nanny starts it again. Dask looks 15 seconds after a death
whether there is a worker, and if that one is just being started, because it died once more or the machine is busy, it
closes the nanny: there would never be another worker."""

_ahead: dict[tuple[int | None, str | None], Future[LocalCluster]] = {}


def start_local_cluster(workers: int | None = None, worker_memory: str | None = None) -> LocalCluster:
    """Return worker processes, one per core if not told otherwise: those that were started ahead, or new ones.

    ``worker_memory`` is what each may take for itself, mapped files not counted; its share of the machine's if None.
    """
    ahead = _ahead.pop((workers, worker_memory), None)
    return ahead.result() if ahead is not None else _start(workers, worker_memory)


@contextmanager
def cluster_ahead(compute: ClusterParameters) -> Iterator[None]:
    """Start the cluster that a search will ask for in the background; one nobody asked for is closed in the end."""
    if not compute.is_local:
        yield
        return
    with ThreadPoolExecutor(1) as background:
        asked = (compute.workers, compute.worker_memory)
        _ahead[asked] = background.submit(_start, *asked)
        try:
            yield
        finally:
            unused = _ahead.pop(asked, None)
            if unused is not None and unused.exception() is None:
                unused.result().close()


def _start(workers: int | None, worker_memory: str | None) -> LocalCluster:
    # Prefect sets the root logger to INFO, and the scheduler lives in this process: it tells of every connection.
    logging.getLogger("distributed").setLevel(logging.WARNING)
    # For good: Dask asks for it when a worker dies.
    dask.config.set(_LOST_WORKER_TIMEOUT)
    with dask_settings():
        return LocalCluster(
            n_workers=workers or dask.system.CPU_COUNT,
            threads_per_worker=1,
            memory_limit=worker_memory or "auto",
            processes=True,
            host="127.0.0.1",
            # Not none: Dask would take port 8787 all the same, and warn whoever runs a second command beside the first.
            dashboard_address="127.0.0.1:0",
            # A worker that is being stopped warns of each thing it drops.
            silence_logs=logging.ERROR,
            env={**_WORKER_ENVIRONMENT, "CUDA_DEVICE_ORDER": os.environ.get("CUDA_DEVICE_ORDER", "PCI_BUS_ID")},
        )
