"""Trials: one epoch of 1 to thousands of small networks on digits, in one process with one thread."""

from collections.abc import Iterator
from typing import Any

from threadpoolctl import threadpool_limits

from backprop import select_backend
from benchmarks.scale.processes import in_own_process
from benchmarks.scale.residence import forget_peak, residence
from benchmarks.scale.sizes import Sizes
from benchmarks.scale.workload import SMALL, cut, digits, flop, seconds_to_train, stacks, typical_seconds

BATCH = 32


def measure_trials(sizes: Sizes, stack_trials: int) -> Iterator[dict[str, Any]]:
    """Yield what each number of trials took, in stacks as the pipeline cuts them and as one stack of all.

    Parameters
    ----------
    stack_trials : int
        Most trials of a stack of the pipeline.
    """
    for trials in sizes.trials:
        ways = {"pipeline": stack_trials}
        # A stack that the pipeline does not cut is the same both ways.
        if stack_trials < trials <= sizes.stack_most:
            ways["one_stack"] = trials
        for way, most in ways.items():
            yield {"way": way, **in_own_process(train_trials, trials, most, sizes.seconds, sizes.repeats)}


def train_trials(trials: int, most: int, seconds: float, repeats: int) -> dict[str, Any]:
    """Return speed and memory of training so many trials in stacks of at most `most`."""
    samples, backend = digits(), select_backend("cpu")
    with threadpool_limits(1):
        seconds_to_train(stacks(SMALL, BATCH, [1]), samples, backend)
        # Loading the compiled functions takes more for a moment than most trainings.
        forget_peak()
        before = residence()
        given = stacks(SMALL, BATCH, cut(trials, most))
        taken, count = typical_seconds(given, samples, backend, seconds, repeats)
    work = len(samples) * trials
    return {
        "trials": trials,
        "stacks": len(given),
        "seconds": taken,
        "repeats": count,
        "samples_trials_per_second": work / taken,
        "gflop_per_second": work * flop(SMALL) / taken / 1e9,
        "peak_bytes": residence()["peak"],
        "resident_before_bytes": before["resident"],
    }
