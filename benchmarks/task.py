"""What a contestant is given: data, orders of the samples, initial weights, learning rates.

It travels between processes as files. NumPy and nothing else, as every contestant's process reads it.
"""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

ARRAYS = ("x", "codes", "orders", "rates")


@dataclass(frozen=True)
class Task:
    """Trials of one architecture to be trained by plain SGD: relu, softmax, mean cross-entropy of a minibatch.

    Attributes
    ----------
    x : (N, D) float32 array
    codes : (N,) int64 array
        Class of every sample.
    orders : (E, N) int64 array
        Order of the samples in every epoch; the last minibatch of an epoch may be smaller.
    weights : list of (T, fan_in, fan_out) float32 arrays
    biases : list of (T, 1, fan_out) float32 arrays
        The initial ones.
    rates : (T,) float64 array
        Learning rate of every trial.
    batch : int
        Samples of a minibatch.
    shuffle_seed : int
        What the project draws `orders` from.
    """

    x: npt.NDArray[np.float32]
    codes: npt.NDArray[np.int64]
    orders: npt.NDArray[np.int64]
    weights: list[npt.NDArray[np.float32]]
    biases: list[npt.NDArray[np.float32]]
    rates: npt.NDArray[np.float64]
    batch: int
    shuffle_seed: int = 0

    @property
    def trials(self) -> int:
        """Number of trials."""
        return len(self.rates)

    @property
    def layers(self) -> list[tuple[int, int]]:
        """(fan_in, fan_out) of every layer."""
        return [(w.shape[1], w.shape[2]) for w in self.weights]

    @property
    def classes(self) -> int:
        """Number of classes."""
        return self.layers[-1][1]

    def part(self, start: int, stop: int) -> "Task":
        """Return the task of some of the trials."""
        return replace(
            self,
            weights=[w[start:stop] for w in self.weights],
            biases=[b[start:stop] for b in self.biases],
            rates=self.rates[start:stop],
        )

    def save(self, directory: Path) -> None:
        """Write the task as files of a directory."""
        directory.mkdir(parents=True, exist_ok=True)
        for name in ARRAYS:
            np.save(directory / f"{name}.npy", getattr(self, name))
        for k, (w, b) in enumerate(zip(self.weights, self.biases, strict=True)):
            np.save(directory / f"weights_{k}.npy", w)
            np.save(directory / f"biases_{k}.npy", b)
        scalars = {"layers": len(self.weights), "batch": self.batch, "shuffle_seed": self.shuffle_seed}
        (directory / "scalars.json").write_text(json.dumps(scalars))

    @classmethod
    def load(cls, directory: Path, start: int, stop: int) -> "Task":
        """Read some of the trials of a task."""
        scalars: dict[str, Any] = json.loads((directory / "scalars.json").read_text())
        layers = range(scalars.pop("layers"))
        # Of the weights only the trials asked for are read: a process that trains half of them holds half.
        weights, biases = (
            [np.array(np.load(directory / f"{kind}_{k}.npy", mmap_mode="r")[start:stop]) for k in layers]
            for kind in ("weights", "biases")
        )
        arrays = {name: np.load(directory / f"{name}.npy") for name in ARRAYS}
        arrays["rates"] = arrays["rates"][start:stop]
        return cls(**arrays, **scalars, weights=weights, biases=biases)


def minibatches(samples: int, batch: int) -> list[slice]:
    """Return the minibatches of an epoch as slices of its order."""
    return [slice(start, min(start + batch, samples)) for start in range(0, samples, batch)]
