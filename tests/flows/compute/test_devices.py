"""What a cluster's devices hold, asked of real workers."""

import pytest
from distributed import Client, LocalCluster

from flows.compute.clusters import slots
from flows.compute.devices import (
    CPU_SHARE,
    CPU_TRIALS,
    UNLIMITED_BYTES,
    local_device,
    local_workers,
    smallest_device,
)
from flows.compute.local_cluster import start_local_cluster
from flows.errors import ClusterError
from flows.parameters import ComputeParameters

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(("limit", "counted"), [("1GiB", 2**30), (0, UNLIMITED_BYTES)])
def test_a_stack_takes_a_share_of_a_workers_memory_limit(limit, counted):
    with (
        LocalCluster(
            n_workers=1, threads_per_worker=1, processes=False, memory_limit=limit, dashboard_address=None
        ) as cluster,
        Client(cluster) as client,
    ):
        facts = smallest_device(client, "cpu")
        assert facts.stack_bytes == int(CPU_SHARE * counted)
        assert facts.stack_trials == CPU_TRIALS


def test_a_device_that_no_worker_has_is_told_before_anything_is_trained():
    with (
        LocalCluster(n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None) as cluster,
        Client(cluster) as client,
        pytest.raises(ClusterError, match=r"'gpu'.*CUDA"),
    ):
        smallest_device(client, "gpu")


@pytest.mark.parametrize("compute", [{"workers": 1}, {"workers": 3, "worker_memory": "1GiB"}])
def test_a_local_cluster_is_known_before_it_is_started(compute):
    parameters = ComputeParameters(device="cpu", **compute)
    with start_local_cluster(parameters.workers, parameters.worker_memory) as cluster, Client(cluster) as client:
        client.wait_for_workers(parameters.workers)
        assert local_device(parameters) == smallest_device(client, "cpu")
        assert local_workers(parameters) == slots(client)


def test_a_device_that_this_machine_has_not_is_told():
    with pytest.raises(ClusterError, match=r"this machine cannot train on device 'gpu'.*CUDA"):
        local_device(ComputeParameters(device="gpu"))
