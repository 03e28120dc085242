"""Width: one trial of 784-H-10 by the compiled loops and by NumPy's BLAS, with one thread each."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from backprop import Architecture, select_backend
from backprop.backend import Backend
from benchmarks.scale.processes import in_own_process
from benchmarks.scale.sizes import Sizes
from benchmarks.scale.workload import CLASSES, WIDE_INPUTS, drawn, flop, seconds_to_train, stacks, typical_seconds

BATCH = 128


def measure_width(sizes: Sizes) -> Iterator[dict[str, Any]]:
    """Yield the speed of every width, by both ways."""
    for width in sizes.widths:
        each = flop(Architecture(WIDE_INPUTS, (width,), CLASSES))
        rows = int(min(sizes.width_rows, max(4 * BATCH, sizes.width_flop // each)))
        yield in_own_process(train_width, width, rows, sizes.seconds, sizes.repeats)


def train_width(width: int, rows: int, seconds: float, repeats: int) -> dict[str, Any]:
    """Return the speed of training one width on so many rows."""
    architecture = Architecture(WIDE_INPUTS, (width,), CLASSES)
    samples, given = drawn(rows, WIDE_INPUTS), stacks(architecture, BATCH, [1])
    result: dict[str, Any] = {"width": width, "rows": rows, "parameters": architecture.parameter_count}
    with threadpool_limits(1):
        for way, backend in (("compiled", select_backend("cpu")), ("numpy", Backend(np))):
            seconds_to_train(given, drawn(BATCH, WIDE_INPUTS), backend)
            taken, count = typical_seconds(given, samples, backend, seconds, repeats)
            result[way] = {
                "seconds": taken,
                "repeats": count,
                "gflop_per_second": rows * flop(architecture) / taken / 1e9,
                "samples_per_second": rows / taken,
            }
    result["compiled_over_numpy"] = result["numpy"]["seconds"] / result["compiled"]["seconds"]
    return result


def overtaken_at(measured: list[dict[str, Any]]) -> int | None:
    """Return the least width from which on BLAS is the faster of the two, or None."""
    least = None
    for one in sorted(measured, key=lambda one: one["width"], reverse=True):
        if one["compiled_over_numpy"] >= 1:
            break
        least = int(one["width"])
    return least
