"""What is said of SLURM where there is none; tests/deployments has a real one."""

import sys
from pathlib import Path

import pytest

from flows.compute.slurm_cluster import require_slurm
from flows.errors import ClusterError
from flows.parameters import ComputeParameters
from tests.flows.commands import Forked, error_of


def test_a_machine_without_slurm_is_told_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ClusterError, match="there is no sbatch here"):
        require_slurm()


def test_what_submits_jobs_is_named_where_it_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "dask_jobqueue", None)
    with pytest.raises(ClusterError, match=r"pip install 'backprop\[slurm\]'"):
        require_slurm()


def test_only_a_cluster_of_this_machine_is_local() -> None:
    assert ComputeParameters().is_local
    assert not ComputeParameters(cluster="slurm", workers=2).is_local
    assert not ComputeParameters(scheduler="tcp://127.0.0.1:8786").is_local


@pytest.mark.parametrize(
    ("options", "part"),
    [
        (["--cluster", "slurm"], "set workers"),
        (["--cluster", "slurm", "--workers", "2", "--scheduler", "tcp://host:1"], "leave out cluster or scheduler"),
        (["--cluster", "slrm"], "cluster: Input should be 'local' or 'slurm'"),
    ],
)
def test_a_cluster_that_cannot_be_is_refused_at_once(
    options: list[str], part: str, forked: Forked, tmp_path: Path
) -> None:
    refused = forked(tmp_path, "train", "--data", "wine", *options)
    assert refused.returncode == 2
    assert part in error_of(refused.stderr)
