"""A local cluster that starts before it is asked for."""

import pytest
from distributed import Client, LocalCluster

from flows.compute.local_cluster import cluster_ahead, start_local_cluster
from flows.parameters import ComputeParameters

pytestmark = pytest.mark.slow


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[LocalCluster]:
    """All clusters that are started during the test."""
    import flows.compute.local_cluster as module

    clusters: list[LocalCluster] = []
    start = module._start

    def remembered(workers: int | None) -> LocalCluster:
        clusters.append(start(workers))
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
