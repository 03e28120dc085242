from distributed import Client
from mlflow import MlflowClient
from prefect import flow

from flows.compute.worker_metrics import MOST_WORKERS, WorkerMetrics, measured
from flows.data.store import Dataset
from flows.tracking.search_runs import search_run
from flows.tracking.store import Tracking
from tests.flows.conftest import SPACE


def test_each_worker_of_a_cluster_is_on_the_run_of_the_search(wine: Dataset, tracking: Tracking, cluster: str) -> None:
    @flow
    def searching() -> str:
        with Client(cluster) as client, search_run(tracking, wine, "space", SPACE) as run:
            with WorkerMetrics(client, run):
                pass
            return run.run_id

    run_id = searching()

    metrics = tracking.client().get_run(run_id).data.metrics
    assert metrics.keys() >= {"system/worker-0/cpu_percent", "system/worker-0/memory_megabytes"}
    assert 50 < metrics["system/worker-0/memory_megabytes"] < 10_000
    [point] = tracking.client().get_metric_history(run_id, "system/worker-0/memory_megabytes")
    assert point.step >= 0


def test_a_store_that_is_gone_costs_no_search(wine: Dataset, tracking: Tracking, cluster: str) -> None:
    @flow
    def searching() -> str:
        with Client(cluster) as client, search_run(tracking, wine, "space", SPACE) as run:
            gone = run.model_copy(update={"run_id": "0" * 32})
            with WorkerMetrics(client, gone):
                pass
            return run.run_id

    found = MlflowClient(tracking.uri).get_run(searching())

    assert found.info.status == "FINISHED"
    assert not found.data.metrics


def test_workers_are_called_by_their_number_or_address_and_a_gpu_has_numbers_of_its_own() -> None:
    workers = {
        "a": {"name": 10, "metrics": {"cpu": 50.0, "memory": 2_000_000}},
        "b": {"name": 2, "metrics": {"cpu": 1.0, "memory": 1, "gpu_utilization": 70, "gpu_memory_used": 3_000_000}},
        "c": {"name": "tcp://10.0.0.1:80", "metrics": {"cpu": 3.0}},
        "starting": {"name": "new"},
    }

    assert list(measured(workers)) == [
        ("system/worker-2/cpu_percent", 1.0),
        ("system/worker-2/memory_megabytes", 1e-6),
        ("system/worker-2/gpu_percent", 70.0),
        ("system/worker-2/gpu_memory_megabytes", 3.0),
        ("system/worker-10/cpu_percent", 50.0),
        ("system/worker-10/memory_megabytes", 2.0),
        ("system/tcp-10.0.0.1-80/cpu_percent", 3.0),
    ]


def test_of_a_large_cluster_the_first_workers_are_shown() -> None:
    workers = {str(name): {"name": name, "metrics": {"cpu": 1.0}} for name in range(1000)}

    assert len(list(measured(workers))) == MOST_WORKERS
