"""What the benchmark's tests share: a training that takes no time, and peers that may not be missing where CI runs."""

import importlib.util
import os
from collections.abc import Callable

import numpy as np
import pytest

from backprop import Architecture, initial_parameters
from backprop.randomness import Stream, generator
from benchmarks.task import Task


@pytest.fixture(scope="session")
def tiny() -> Callable[..., Task]:
    """Make a task of a few samples, whose last minibatch is smaller than the others."""

    def make(trials: int = 1, batch: int = 8, epochs: int = 2) -> Task:
        draw = np.random.default_rng(0)
        x = draw.normal(size=(43, 6)).astype("float32")
        codes = np.abs(x[:, :3]).argmax(axis=1)
        initial = initial_parameters(Architecture(6, (5, 4), 3), list(range(trials)), "float32")
        orders = [generator(0, Stream.SHUFFLE, epoch).permutation(len(x)) for epoch in range(1, epochs + 1)]
        rates = np.geomspace(0.02, 0.1, trials)
        return Task(x, codes, np.stack(orders), list(initial.weights), list(initial.biases), rates, batch)

    return make


@pytest.fixture(scope="session")
def needs() -> Callable[[str], None]:
    """Skip without a library; where CI runs, fail: a race without rivals is always won."""

    def check(library: str) -> None:
        if importlib.util.find_spec(library) is not None:
            return
        reason = f"{library} is not installed: `pip install 'backprop[bench]'` to race it"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)

    return check
