"""Trials of four widths, a few of each: a stack for every width against one stack of all, with one thread.

On the compiled loops every trial of a stack has its own widths; on NumPy, as on a GPU, the narrow are padded.
"""

import time
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from backprop import Architecture, Samples, Stack, Training, Trial, select_backend
from backprop.backend import Backend
from benchmarks.scale.processes import in_own_process
from benchmarks.scale.sizes import Sizes
from benchmarks.scale.workload import CLASSES, RATE, digits, drawn

INPUTS = 64
WIDTHS = {"24 to 32": (24, 26, 28, 32), "8 to 64": (8, 16, 32, 64), "16 to 256": (16, 64, 128, 256)}
WAYS = ("compiled", "numpy")
BATCH = 32
FOREVER = 10**9


def measure_joined(sizes: Sizes) -> Iterator[dict[str, Any]]:
    """Yield how long an epoch takes both ways, for several widths, trials of each, and backends."""
    for widths in sizes.joined_widths:
        for each in sizes.joined_trials:
            yield in_own_process(train_both_ways, widths, each, sizes.seconds, sizes.repeats)


def train_both_ways(widths: str, each: int, seconds: float, repeats: int) -> dict[str, Any]:
    """Return the time of an epoch of digits, and validation on a fifth of it, in stacks of one width and in one."""
    samples, validation = digits(), drawn(len(digits()) // 5, INPUTS)
    result: dict[str, Any] = {"widths": widths, "each": each}
    groups = [[width] * each for width in WIDTHS[widths]]
    with threadpool_limits(1):
        for way, backend in zip(WAYS, (select_backend("cpu"), Backend(np)), strict=True):
            runs = {
                "separate": [_Run(group, samples, validation, backend) for group in groups],
                "joined": [_Run([width for group in groups for width in group], samples, validation, backend)],
            }
            result[way] = _fastest(runs, seconds, repeats)
    return result


class _Run:
    """A stack in training."""

    def __init__(self, widths: Sequence[int], samples: Samples, validation: Samples, backend: Backend) -> None:
        widest = max(widths)
        trials = tuple(Trial(RATE, FOREVER, seed=place, hidden=(own,)) for place, own in enumerate(widths))
        self._training = Training(Stack(Architecture(INPUTS, (widest,), CLASSES), BATCH, trials), backend)
        self._samples = self._training.place(samples), self._training.place(validation, "validation")

    def epoch(self) -> None:
        self._training.epoch(*self._samples)


def _fastest(runs: dict[str, list[_Run]], seconds: float, repeats: int) -> dict[str, Any]:
    """Return the least CPU time of an epoch of each way, taken in turns: other work of the machine adds to all."""
    for stacks in runs.values():
        _epochs(stacks)
    taken: dict[str, list[float]] = {name: [] for name in runs}
    while len(taken["joined"]) < repeats and (not taken["joined"] or sum(map(sum, taken.values())) < 2 * seconds):
        for name, stacks in runs.items():
            taken[name].append(_epochs(stacks))
    least = {name: min(times) for name, times in taken.items()}
    return {**least, "repeats": len(taken["joined"]), "separate_over_joined": least["separate"] / least["joined"]}


def _epochs(stacks: list[_Run]) -> float:
    started = time.process_time()
    for stack in stacks:
        stack.epoch()
    return time.process_time() - started
