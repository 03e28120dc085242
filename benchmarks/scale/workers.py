"""Workers: the same stacks on the pipeline's Dask cluster of one worker, and of two."""

import time
from collections.abc import Callable
from statistics import median
from typing import Any

from distributed import Client
from threadpoolctl import threadpool_limits

from backprop import Stack, select_backend
from benchmarks.scale.sizes import Sizes
from benchmarks.scale.workload import SMALL, digits, flop, seconds_to_train, stacks
from flows.compute.local_cluster import start_local_cluster

BATCH = 32
COUNTS = (1, 2)


def measure_workers(sizes: Sizes, tell: Callable[[str], None] = lambda _: None) -> dict[str, Any]:
    """Return the times of the same work on one worker and on two, taken in turn, and the efficiency of two."""
    given = [sizes.stack_trials] * sizes.stacks
    runs: list[dict[str, Any]] = []
    epochs = 1
    for repeat in range(sizes.worker_repeats):
        for workers in COUNTS:
            tell(f"{workers} workers, repeat {repeat + 1} of {sizes.worker_repeats}")
            started = time.perf_counter()
            with start_local_cluster(workers) as cluster, Client(cluster) as client:
                client.wait_for_workers(workers)
                client.run(train_stack, stacks(SMALL, BATCH, [1])[0])
                start_up = time.perf_counter() - started
                if not runs:
                    one_epoch = _seconds(client, stacks(SMALL, BATCH, given))
                    epochs = max(1, round(sizes.worker_seconds / one_epoch))
                taken = _seconds(client, stacks(SMALL, BATCH, given, epochs))
            runs.append({"workers": workers, "repeat": repeat, "start_up_seconds": start_up, "seconds": taken})
    medians = {n: median(run["seconds"] for run in runs if run["workers"] == n) for n in COUNTS}
    work = len(digits()) * sum(given) * epochs
    return {
        "stacks": sizes.stacks,
        "stack_trials": sizes.stack_trials,
        "epochs": epochs,
        "samples_trials": work,
        "flop": work * flop(SMALL),
        "seconds": {str(n): seconds for n, seconds in medians.items()},
        "start_up_seconds": {
            str(n): median(run["start_up_seconds"] for run in runs if run["workers"] == n) for n in COUNTS
        },
        "efficiency": medians[1] / (2 * medians[2]),
        "runs": runs,
    }


def train_stack(stack: Stack) -> float:
    """Train a stack in a worker; return how long that took there."""
    with threadpool_limits(1):
        return seconds_to_train([stack], digits(), select_backend("cpu"))


def _seconds(client: Client, given: list[Stack]) -> float:
    started = time.perf_counter()
    client.gather([client.submit(train_stack, stack, pure=False) for stack in given])
    return time.perf_counter() - started
