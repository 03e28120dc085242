"""Who races: one module each, found by its name, and imported in a process of its own only.

A module has ``build(task, variant, threads)``, which returns a `Contestant`. Variants are ways an expert would write
it, where it takes a measurement to tell which is fastest: the race tries each and goes on with the fastest.
"""

from typing import Protocol

import numpy as np
import numpy.typing as npt

Weights = tuple[list[npt.NDArray[np.float32]], list[npt.NDArray[np.float32]]]
"""(T, fan_in, fan_out) weights and (T, 1, fan_out) biases of every layer."""


class Contestant(Protocol):
    """Trains a task, as often as it is asked to, each time from the initial weights."""

    def reset(self) -> None:
        """Put the initial weights back."""

    def train(self, epochs: int) -> None:
        """Train the first `epochs` epochs, and return when the weights are there."""

    def weights(self) -> Weights:
        """Return the weights as trained."""
