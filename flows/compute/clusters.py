"""The Dask cluster that a search runs on: one made for it, here or by SLURM, or one that runs already."""

from collections.abc import Callable
from typing import Any

from distributed import Client
from prefect.client.orchestration import get_client
from prefect.task_runners import TaskRunner
from prefect_dask.task_runners import DaskTaskRunner

from flows.compute.local_cluster import start_local_cluster
from flows.compute.prefect_server import PrefectServer
from flows.compute.slurm_cluster import start_slurm_cluster
from flows.durations import readable_seconds
from flows.errors import ClusterError
from flows.parameters import ClusterParameters

ANSWER_SECONDS = 15
"""How long an existing scheduler may take to answer and to have a worker."""


def task_runner(compute: ClusterParameters) -> TaskRunner[Any]:
    """Return the task runner of a flow whose tasks run on the cluster."""
    return dask_runner(compute)


def dask_runner(compute: ClusterParameters) -> DaskTaskRunner:
    """Return a Prefect task runner; its cluster starts when it is connected to, unless it was started ahead."""
    if compute.scheduler is not None:
        return DaskTaskRunner(address=compute.scheduler, client_kwargs={"timeout": ANSWER_SECONDS})
    if compute.cluster == "slurm":
        return DaskTaskRunner(
            cluster_class=start_slurm_cluster,
            cluster_kwargs={"workers": compute.workers, "worker_memory": compute.worker_memory},
        )
    return DaskTaskRunner(
        cluster_class=start_local_cluster,
        cluster_kwargs={"workers": compute.workers, "worker_memory": compute.worker_memory},
    )


def connect(runner: DaskTaskRunner, compute: ClusterParameters, tell: Callable[[str], None]) -> Client:
    """Return the runner's client, with at least one worker behind it; ``tell`` is told if that takes long.

    Raises
    ------
    ClusterError
        The scheduler does not answer, or no worker appears.
    """
    seconds = compute.queue_seconds if compute.cluster == "slurm" else ANSWER_SECONDS
    try:
        client = runner.client
        _wait_for_worker(client, seconds, tell)
        with get_client(sync_client=True) as prefect:
            client.register_plugin(PrefectServer(str(prefect.api_url)))
    except ClusterError:
        raise
    except (OSError, ValueError) as error:
        raise ClusterError(_without_workers(compute, seconds, error)) from error
    return client


def _wait_for_worker(client: Client, seconds: float, tell: Callable[[str], None]) -> None:
    try:
        client.wait_for_workers(1, timeout=min(seconds, ANSWER_SECONDS))
    except TimeoutError:
        if seconds <= ANSWER_SECONDS:
            raise
        tell(f"no SLURM job runs yet; waiting for up to {readable_seconds(seconds)}, and `squeue --me` shows what for")
        client.wait_for_workers(1, timeout=seconds - ANSWER_SECONDS)


def _without_workers(compute: ClusterParameters, seconds: float, error: Exception) -> str:
    if compute.cluster == "slurm":
        return (
            f"SLURM: no job has a worker that reached this machine within {seconds:g} s ({error}); see `squeue --me` "
            "and what the jobs printed, or raise queue_seconds"
        )
    where = "the local Dask cluster" if compute.scheduler is None else f"scheduler {compute.scheduler!r}"
    return (
        f"{where}: no answer or no workers within {seconds:g} s ({error}); "
        "check the address with `dask worker ADDRESS`, or leave it out to use this machine"
    )


def slots(client: Client) -> int:
    """Return how many stacks the cluster trains at once: its threads."""
    return max(1, sum(int(threads) for threads in client.nthreads().values()))


def expected_slots(client: Client, compute: ClusterParameters) -> int:
    """Return how many stacks the cluster will train at once, when jobs that still wait in SLURM's queue run too."""
    waited_for = (compute.workers or 0) if compute.cluster == "slurm" else 0
    return max(slots(client), waited_for)
