"""What no training of one sample an update can beat that changes all weights: reading and writing each of them once.

An array of exactly the parameters' bytes, so in the cache that they live in, is changed in place, `a += s`, once for
every sample, in a loop compiled by Numba. Where Numba is not installed NumPy does it, and the limit contains the cost
of calling it.
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from benchmarks.contestants import Weights
from benchmarks.task import Task

Passes = Callable[[npt.NDArray[np.float32], np.float32, int], None]
STEP = np.float32(1e-30)


class Updates:
    """A pass over an array of the parameters' size for every sample."""

    def __init__(self, task: Task) -> None:
        self._array = np.ones(sum(array.size for array in (*task.weights, *task.biases)), "float32")
        self._samples = len(task.x)
        self._passes = _passes()

    def reset(self) -> None:
        """Do nothing: no weight is changed."""

    def train(self, epochs: int) -> None:
        """Pass over the array."""
        self._passes(self._array, STEP, epochs * self._samples)

    def weights(self) -> Weights:
        """Return nothing: nothing was trained."""
        return [], []


def build(task: Task, variant: str, threads: int) -> Updates:  # noqa: ARG001 - there is one way
    """Return the limit."""
    return Updates(task)


def _passes() -> Passes:
    try:
        import numba
    except ModuleNotFoundError:
        return _by_numpy

    passes: Passes = numba.njit(_loops)
    return passes


def _loops(array: npt.NDArray[np.float32], step: np.float32, count: int) -> None:
    for _ in range(count):
        for i in range(array.size):
            array[i] += step


def _by_numpy(array: npt.NDArray[np.float32], step: np.float32, count: int) -> None:
    for _ in range(count):
        np.add(array, step, out=array)
