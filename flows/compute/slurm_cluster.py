"""The Dask cluster of a SLURM site: jobs that are submitted for a search, with single-threaded workers in each.

What a job asks SLURM for (partition, account, memory, walltime, GPUs) is dask-jobqueue's own configuration, as in
deployments/slurm/jobqueue.yaml. This module must not import Prefect: the command looks for SLURM before Prefect starts.
"""

import importlib.util
import math
import shlex
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dask
from dask.utils import parse_bytes

from flows.compute.dask_settings import SETTINGS_FILE, dask_settings
from flows.errors import ClusterError

if TYPE_CHECKING:
    from dask_jobqueue.slurm import SLURMCluster

LOOK_INTERVAL = "5s"
"""How often it is looked whether a job ended, by its walltime or by somebody, and is to be replaced."""


def require_slurm() -> None:
    """Check that jobs can be submitted from here.

    Raises
    ------
    ClusterError
        dask-jobqueue or SLURM's own commands are not here.
    """
    if importlib.util.find_spec("dask_jobqueue") is None:
        raise ClusterError("SLURM jobs are submitted by dask-jobqueue: pip install 'backprop[slurm]'")
    if shutil.which("sbatch") is None:
        raise ClusterError("there is no sbatch here: run this where SLURM jobs are submitted from, or without slurm")


def start_slurm_cluster(workers: int = 1, worker_memory: str | None = None) -> "SLURMCluster":
    """Return a scheduler in this process, after as many jobs were submitted as ``workers`` need.

    A job that ends while the cluster is open is replaced. ``worker_memory`` is what each worker may take; the part of
    ``jobqueue.slurm.memory`` that falls to it if None.

    Raises
    ------
    ClusterError
        It is not known how much memory a job needs, or SLURM refuses such jobs.
    """
    require_slurm()
    kind = _slurm_cluster()
    configured = dask.config.get("jobqueue.slurm")
    # A stack is trained by one thread.
    workers_of_job = int(configured["cores"] or 1)
    with dask_settings():
        cluster = kind(
            cores=workers_of_job,
            processes=workers_of_job,
            memory=_job_memory(configured, workers_of_job, worker_memory),
            job_script_prologue=[
                f"export DASK_CONFIG={shlex.quote(str(SETTINGS_FILE))}",
                *(configured["job-script-prologue"] or []),
            ],
            # That a worker died is said by the search, in its own words.
            silence_logs="critical",
            # A second search must find a port for its dashboard too.
            scheduler_options={"dashboard_address": ":0", **(configured["scheduler-options"] or {})},
        )
    try:
        _try(cluster.job_script())
    except BaseException:
        cluster.close()
        raise
    jobs = math.ceil(workers / workers_of_job)
    cluster.adapt(minimum_jobs=jobs, maximum_jobs=jobs, interval=LOOK_INTERVAL)
    return cluster


def _slurm_cluster() -> "type[SLURMCluster]":
    """Return dask-jobqueue's cluster, imported so that Ctrl-C goes on to end a search as it does elsewhere.

    Its package (0.9) sets, when it is imported, that SIGINT ends the process with exit code 0.
    """
    before = signal.getsignal(signal.SIGINT)
    from dask_jobqueue.slurm import SLURMCluster

    if signal.getsignal(signal.SIGINT) is not before:
        signal.signal(signal.SIGINT, before)
    return SLURMCluster


def _job_memory(configured: dict[str, Any], workers: int, worker_memory: str | None) -> int:
    if worker_memory is not None:
        return int(parse_bytes(worker_memory)) * workers
    if configured["memory"] is None:
        raise ClusterError(
            "it is not known how much memory a SLURM job needs: give --worker-memory 2GiB, or set "
            "jobqueue.slurm.memory in Dask's configuration (deployments/slurm/README.md)"
        )
    return int(parse_bytes(configured["memory"]))


def _try(job_script: str) -> None:
    """Let SLURM say whether it would run a job, without submitting it."""
    with tempfile.TemporaryDirectory(prefix="backprop-") as directory:
        script = Path(directory) / "job.sh"
        script.write_text(job_script, encoding="utf-8")
        tried = subprocess.run(  # noqa: S603 - our own script
            ["sbatch", "--test-only", script],  # noqa: S607 - found where the site has it
            capture_output=True,
            text=True,
            check=False,
        )
    if tried.returncode:
        reasons = [line.removeprefix("sbatch: error: ") for line in tried.stderr.splitlines()]
        raise ClusterError(
            f"SLURM refuses the jobs: {'; '.join(reasons)}; "
            "change jobqueue.slurm in Dask's configuration (deployments/slurm/README.md)"
        )
