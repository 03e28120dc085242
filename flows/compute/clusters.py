"""The Dask cluster that a search runs on: one made for it, or one that runs already."""

from typing import Any

from distributed import Client
from prefect.client.orchestration import get_client
from prefect.task_runners import TaskRunner
from prefect_dask.task_runners import DaskTaskRunner

from flows.compute.local_cluster import start_local_cluster
from flows.compute.prefect_server import PrefectServer
from flows.errors import ClusterError
from flows.parameters import ComputeParameters

ANSWER_SECONDS = 15
"""How long an existing scheduler may take to answer and to have a worker."""


def task_runner(compute: ComputeParameters) -> TaskRunner[Any]:
    """Return a Prefect task runner; a local cluster starts with the first task, unless it was started ahead."""
    if compute.scheduler is not None:
        return DaskTaskRunner(address=compute.scheduler, client_kwargs={"timeout": ANSWER_SECONDS})
    return DaskTaskRunner(
        cluster_class=start_local_cluster,
        cluster_kwargs={"workers": compute.workers, "worker_memory": compute.worker_memory},
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
