"""A local cluster that starts before it is asked for."""

import os
import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from distributed import Client, KilledWorker, LocalCluster

from flows.compute.local_cluster import cluster_ahead, start_local_cluster
from flows.parameters import ComputeParameters

pytestmark = pytest.mark.slow


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[LocalCluster]:
    """All clusters that are started during the test."""
    import flows.compute.local_cluster as module

    clusters: list[LocalCluster] = []
    start = module._start

    def remembered(workers: int | None, worker_memory: str | None) -> LocalCluster:
        clusters.append(start(workers, worker_memory))
        return clusters[-1]

    monkeypatch.setattr(module, "_start", remembered)
    return clusters


def test_who_asks_for_a_cluster_gets_the_one_that_was_started_ahead(started: list[LocalCluster]) -> None:
    with cluster_ahead(ComputeParameters(workers=1)), start_local_cluster(workers=1) as cluster:
        assert len(cluster.workers) == 1
    assert started == [cluster]


def test_a_cluster_that_nobody_asked_for_is_closed(started: list[LocalCluster]) -> None:
    with cluster_ahead(ComputeParameters(workers=1)):
        pass

    [cluster] = started
    assert cluster.status.name == "closed"


def test_a_search_on_a_cluster_of_ones_own_starts_none(started: list[LocalCluster]) -> None:
    with cluster_ahead(ComputeParameters(scheduler="tcp://127.0.0.1:8786")):
        pass

    assert started == []


def test_a_worker_has_imported_what_a_stack_needs_but_not_prefect(started: list[LocalCluster]) -> None:
    def imported() -> set[str]:
        import sys

        return {"flows.compute.stack_training", "mlflow", "prefect"} & set(sys.modules)

    with start_local_cluster(workers=1) as cluster, Client(cluster) as client:
        [found] = client.run(imported).values()
    assert found == {"flows.compute.stack_training", "mlflow"}
    assert started == [cluster]


@pytest.fixture
def small_worker() -> Iterator[Client]:
    """One worker that may take no more than 700 MB."""
    with start_local_cluster(workers=1, worker_memory="700MB") as cluster, Client(cluster) as client:
        yield client


def test_a_worker_reads_a_mapped_dataset_that_is_larger_than_its_limit(small_worker: Client, tmp_path: Path) -> None:
    path = tmp_path / "features.npy"
    np.lib.format.open_memmap(path, "w+", "float32", (300_000, 1000)).flush()

    def total(path: str) -> tuple[float, int]:
        import os
        import time

        mapped = np.load(path, mmap_mode="r")
        value = float(sum(mapped[start : start + 1000].sum() for start in range(0, len(mapped), 1000)))
        time.sleep(1)
        return value, os.getpid()

    [pid] = small_worker.run(os.getpid).values()
    assert small_worker.submit(total, str(path)).result() == (0.0, pid)


def test_a_worker_that_takes_more_than_its_limit_for_itself_is_ended(small_worker: Client) -> None:
    def hoard() -> float:
        import time

        kept = np.ones(1_000_000_000 // 8)
        time.sleep(30)
        return float(kept.sum())

    with pytest.raises(KilledWorker):
        small_worker.submit(hoard).result()


def test_a_cluster_says_nothing_of_a_port_that_another_program_has(recwarn):
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # Where it is taken already, as by somebody's own cluster, the case is there without us.
        with suppress(OSError):
            other.bind(("127.0.0.1", 8787))
            other.listen()
        start_local_cluster(1).close()
    assert not [found for found in recwarn if "8787" in str(found.message)]
