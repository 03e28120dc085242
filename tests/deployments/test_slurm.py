"""Searches whose workers are jobs of a real SLURM on this machine, as deployments/slurm says."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import dask
import pytest
import yaml

from flows.compute import clusters
from flows.compute.slurm_cluster import start_slurm_cluster
from flows.errors import ClusterError
from flows.parameters import ComputeParameters
from tests.flows.commands import BACKPROP, Store
from tests.programs import PATIENCE, heed_interrupts
from tests.slurm import Slurm, slurm_cluster

CONFIGURATIONS = Path(__file__).parents[2] / "deployments" / "slurm"
TRIALS = 4
SPACE = "grid: {hidden: [[8], [16]], learning_rate: [0.1], epochs: [3], seed: [0, 1]}\n"
ENDLESS = "grid: {hidden: [[64]], learning_rate: [0.01], epochs: [100000], batch_size: [16, 32]}\n"


@pytest.fixture(scope="module")
def slurm() -> Iterator[Slurm]:
    with slurm_cluster() as started:
        yield started


@dataclass(frozen=True)
class Login:
    """The machine that jobs are submitted from."""

    directory: Path
    environment: dict[str, str]

    def search(self, space: str) -> subprocess.Popen[str]:
        """Start a search whose two workers are jobs."""
        (self.directory / "space.yaml").write_text(space)
        options = ["--space", "space.yaml", "--cluster", "slurm", "--workers", "2"]
        return subprocess.Popen(
            [BACKPROP, "train", "--data", "digits", *options],
            cwd=self.directory,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            preexec_fn=heed_interrupts,
        )


@pytest.fixture
def login(slurm: Slurm, prefect_server: str, tracking_store: str, tmp_path: Path) -> Login:
    assert tracking_store
    environment = {
        **os.environ,
        "SLURM_CONF": str(slurm.configuration),
        "DASK_CONFIG": str(CONFIGURATIONS / "jobqueue.yaml"),
        # Dask waits a quarter of a minute whether a worker comes back.
        "DASK_DISTRIBUTED__DEPLOY__LOST_WORKER_TIMEOUT": "1s",
        "PREFECT_API_URL": prefect_server,
    }
    return Login(tmp_path, environment)


@pytest.mark.slow
def test_a_search_is_trained_by_jobs_and_leaves_none(slurm: Slurm, login: Login) -> None:
    with login.search(SPACE) as search:
        printed, _ = search.communicate(timeout=PATIENCE)

    assert search.returncode == 0, printed
    assert f"Trained {TRIALS} of {TRIALS} trials" in printed
    assert Store(login.directory).statuses() == {"FINISHED": TRIALS}
    assert slurm.jobs() == []
    assert list((login.directory / "slurm-logs").glob("backprop-*.err"))


@pytest.mark.slow
def test_a_job_that_ends_is_replaced_and_all_are_cancelled_when_the_search_is_interrupted(
    slurm: Slurm, login: Login
) -> None:
    store = Store(login.directory)
    with login.search(ENDLESS) as search:
        try:
            wait_until(lambda: store.statuses()["RUNNING"] == 2, search)
            first, second = slurm.running()
            slurm.run("scancel", first)
            # Both train again, one of them in a new job.
            wait_until(lambda: store.statuses() == {"KILLED": 1, "RUNNING": 1}, search)
            wait_until(lambda: len({*slurm.running()} - {first}) == 2, search)
            wait_until(lambda: store.statuses()["RUNNING"] == 2, search)
            assert second in slurm.running()
        finally:
            search.send_signal(signal.SIGINT)
        printed, _ = search.communicate(timeout=PATIENCE)

    assert search.returncode == 130, printed
    assert store.statuses()["RUNNING"] == 0
    assert slurm.jobs() == []


def wait_until(come: Callable[[], bool], search: subprocess.Popen[str]) -> None:
    """Return when something has come about while a search runs."""
    deadline = time.monotonic() + PATIENCE
    while not come():
        assert search.poll() is None, search.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.3)


@pytest.mark.slow
def test_jobs_that_wait_too_long_are_said_to_and_cancelled(
    slurm: Slurm, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SLURM_CONF", str(slurm.configuration))
    monkeypatch.setattr(clusters, "ANSWER_SECONDS", 1)
    compute = ComputeParameters(cluster="slurm", workers=1, queue_seconds=3)
    told: list[str] = []
    slurm.run("scontrol", "update", "PartitionName=main", "State=DOWN")
    try:
        with (
            dask.config.set(configured("jobqueue.yaml")),
            clusters.task_runner(compute) as runner,
            pytest.raises(ClusterError, match="no job has a worker that reached this machine within 3 s"),
        ):
            clusters.connect(runner, compute, told.append)
    finally:
        slurm.run("scontrol", "update", "PartitionName=main", "State=UP")
    assert [line.partition(";")[0] for line in told] == ["no SLURM job runs yet"]
    assert slurm.jobs() == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"queue": "nowhere"}, "invalid partition specified: nowhere"),
        ({"memory": "900GiB"}, "Requested node configuration is not available"),
        ({"job-extra-directives": ["--gres=gpu:1"]}, "Invalid generic resource (gres) specification"),
        ({"memory": None}, "it is not known how much memory a SLURM job needs: give --worker-memory"),
    ],
)
def test_jobs_that_slurm_would_not_run_are_refused_before_one_is_submitted(
    changes: dict[str, object], part: str, slurm: Slurm, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SLURM_CONF", str(slurm.configuration))
    configuration = configured("jobqueue.yaml", **changes)
    with dask.config.set(configuration), pytest.raises(ClusterError) as raised:
        start_slurm_cluster(workers=1)
    assert part in str(raised.value)
    assert "\n" not in str(raised.value)
    assert slurm.jobs() == []


def configured(name: str, **changes: object) -> dict[str, object]:
    """Return a configuration of ours in Dask's words, with changes, over what dask-jobqueue has for the rest."""
    import dask_jobqueue  # noqa: F401 - tells Dask its defaults

    ours = yaml.safe_load((CONFIGURATIONS / name).read_text())["jobqueue"]["slurm"]
    return {"jobqueue.slurm": {**dask.config.get("jobqueue.slurm"), **ours, **changes}}


@pytest.mark.parametrize(
    ("name", "directives"),
    [
        ("jobqueue.yaml", ["-p main", "--cpus-per-task=1", "--mem=2G", "-t 04:00:00"]),
        ("jobqueue-gpu.yaml", ["-p gpu", "--cpus-per-task=2", "--mem=8G", "-t 04:00:00", "--gres=gpu:1"]),
    ],
)
def test_a_job_asks_for_what_the_configuration_says(
    name: str, directives: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from dask_jobqueue import SLURMCluster

    monkeypatch.chdir(tmp_path)
    with dask.config.set(configured(name)), SLURMCluster(scheduler_options={"dashboard_address": ":0"}) as cluster:
        script = cluster.job_script()
    asked = {line.removeprefix("#SBATCH ") for line in script.splitlines() if line.startswith("#SBATCH")}
    assert asked >= set(directives)
    assert "--nthreads 1" in script
