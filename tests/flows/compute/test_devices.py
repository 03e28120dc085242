"""What a cluster's devices hold, asked of real workers."""

import pytest
from distributed import Client, LocalCluster

from flows.compute.devices import CPU_SHARE, CPU_TRIALS, UNLIMITED_BYTES, smallest_device
from flows.errors import ClusterError

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
