"""The Dask cluster that a search runs on: one made for it, or one that runs already."""

import logging
import os
from typing import Any

import dask
import dask.system
from distributed import Client, LocalCluster
from prefect.client.orchestration import get_client
from prefect.task_runners import TaskRunner
from prefect_dask.task_runners import DaskTaskRunner

from flows.compute.prefect_server import PrefectServer
from flows.errors import ClusterError
from flows.parameters import ComputeParameters

ANSWER_SECONDS = 15
"""How long an existing scheduler may take to answer and to have a worker."""

# One thread per worker: two workers with two BLAS threads each would fight over two cores.
_WORKER_ENVIRONMENT = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")

_CONFIGURATION = {
    # A stack whose worker died is resubmitted by the search, which also ends its MLflow runs and its task run.
    # Left to the scheduler it would be tried again in silence, and Prefect's record of it would never end.
    "distributed.scheduler.allowed-failures": 0,
    # Without it a search whose workers cannot start would wait for ever.
    "distributed.scheduler.no-workers-timeout": "120s",
    # A worker would interrupt its training a hundred times a second to sample it, for a dashboard that is not there.
    "distributed.worker.profile.enabled": False,
    # Likewise the health check of the event loop, fifty times a second.
    "distributed.admin.tick.interval": "500ms",
}


def task_runner(compute: ComputeParameters) -> TaskRunner[Any]:
    """Return a Prefect task runner; a local cluster starts with the first task, not before."""
    if compute.scheduler is not None:
        return DaskTaskRunner(address=compute.scheduler, client_kwargs={"timeout": ANSWER_SECONDS})
    return DaskTaskRunner(cluster_class=start_local_cluster, cluster_kwargs={"workers": compute.workers})


def start_local_cluster(workers: int | None = None) -> LocalCluster:
    """Start single-threaded worker processes on the loopback interface, one per core if not told otherwise."""
    # Prefect sets the root logger to INFO, and the scheduler lives in this process: it tells of every connection.
    logging.getLogger("distributed").setLevel(logging.WARNING)
    with dask.config.set(_CONFIGURATION):
        return LocalCluster(
            n_workers=workers or dask.system.CPU_COUNT,
            threads_per_worker=1,
            processes=True,
            host="127.0.0.1",
            dashboard_address=None,
            # A worker that is being stopped warns of each thing it drops.
            silence_logs=logging.ERROR,
            env={**_WORKER_ENVIRONMENT, "CUDA_DEVICE_ORDER": os.environ.get("CUDA_DEVICE_ORDER", "PCI_BUS_ID")},
        )


def connect(runner: DaskTaskRunner) -> Client:
    """Return the runner's client, with at least one worker behind it.

    Raises
    ------
    ClusterError
        The scheduler does not answer, or no worker appears.
    """
    try:
        client = runner.client
        client.wait_for_workers(1, timeout=ANSWER_SECONDS)
        with get_client(sync_client=True) as prefect:
            client.register_plugin(PrefectServer(str(prefect.api_url)))
    except (OSError, ValueError) as error:
        where = f"scheduler {runner.address!r}" if runner.address else "the local Dask cluster"
        raise ClusterError(
            f"{where}: no answer or no workers within {ANSWER_SECONDS} s ({error}); "
            "check the address with `dask worker ADDRESS`, or leave it out to use this machine"
        ) from error
    return client


def slots(client: Client) -> int:
    """Return how many stacks the cluster trains at once: its threads."""
    return max(1, sum(int(threads) for threads in client.nthreads().values()))
