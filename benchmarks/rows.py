"""The rows of the benchmark: what is trained, and what the project has set itself to reach."""

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from benchmarks.data import DataName, load
from benchmarks.task import Task

Kind = Literal["online", "minibatch", "grid"]

FASTEST = "fastest"
LIMIT = "limit"


@dataclass(frozen=True)
class Target:
    """What a row has to reach: our speed over that of a peer, of the fastest peer, or of the row's limit."""

    against: str
    ratio: float


@dataclass(frozen=True)
class Row:
    """A training to be raced.

    Attributes
    ----------
    name : str
    kind : str
        ``"online"``: one sample per update, limited by the weights' way through the cache. ``"minibatch"``: one
        network, limited by its matrix products. ``"grid"``: many trials, in one process or parted among two.
    data, samples, dense
        As for `data.load`.
    hidden : tuple of int
    batch : int
    epochs : int
        Of one measurement; every contestant trains as many.
    rates : tuple of float
        Learning rate of every trial; trial k draws its weights from seed k.
    targets : tuple of Target
    """

    name: str
    kind: Kind
    data: DataName
    hidden: tuple[int, ...]
    batch: int
    epochs: int
    rates: tuple[float, ...]
    targets: tuple[Target, ...]
    samples: int | None = None
    dense: bool = False

    @property
    def memory_counts(self) -> bool:
        """Whether the memory that the race took is a row of its own."""
        return self.kind == "minibatch" or self.name == "grid-fashion-64"


def log_spaced(low: float, high: float, count: int) -> tuple[float, ...]:
    """Return learning rates from low to high, each the same factor above the one before."""
    return tuple(float(rate) for rate in np.geomspace(low, high, count))


DIGITS = (32,)
ONLINE_DIGITS = (Target(FASTEST, 1.7), Target("pytensor", 15))
GRID_FASHION = (Target("jax_vmap", 1.4),)

# Learning rates end where a training still comes to the same loss when its weights are moved by a millionth: beyond, a
# relu that is on for one contestant and off for another moves it by more than the judge allows (784-128-10 at 0.1 by
# 4e-3, 784-512-256-10 at 0.05 by 2e-3), and contestants that sum in another order are told apart for nothing.
ROWS = (
    Row("online-digits", "online", "digits", DIGITS, 1, 6, (0.01,), ONLINE_DIGITS),
    Row("online-digits-dense", "online", "digits", DIGITS, 1, 6, (0.003,), (), dense=True),
    Row("online-fashion", "online", "fashion", (128,), 1, 1, (0.003,), (Target(FASTEST, 2),), 10_000),
    Row("online-fashion-dense", "online", "fashion", (128,), 1, 1, (0.001,), (), 10_000, dense=True),
    Row("minibatch-digits", "minibatch", "digits", DIGITS, 32, 10, (0.05,), (Target(FASTEST, 1.2),)),
    Row(
        "minibatch-fashion-64",
        "minibatch",
        "fashion",
        (128,),
        64,
        2,
        (0.05,),
        (Target(FASTEST, 1.2), Target(LIMIT, 0.6)),
        20_000,
    ),
    Row(
        "minibatch-fashion-512",
        "minibatch",
        "fashion",
        (128,),
        512,
        3,
        (0.05,),
        (Target(FASTEST, 1.2), Target(LIMIT, 0.6)),
        20_000,
    ),
    Row(
        "minibatch-fashion-deep",
        "minibatch",
        "fashion",
        (512, 256),
        128,
        1,
        (0.01,),
        (Target(FASTEST, 1.05), Target(LIMIT, 0.75)),
        20_000,
    ),
    Row(
        "grid-digits",
        "grid",
        "digits",
        DIGITS,
        32,
        20,
        log_spaced(0.01, 0.3, 32),
        (Target("jax_vmap", 2.2), Target("scikit_learn", 20)),
    ),
    Row("grid-fashion-8", "grid", "fashion", (128,), 128, 1, log_spaced(0.005, 0.05, 8), GRID_FASHION, 20_000),
    Row("grid-fashion-64", "grid", "fashion", (128,), 128, 1, log_spaced(0.005, 0.05, 64), GRID_FASHION, 20_000),
)


QUICK_SAMPLES = 5_000
NOT_QUICK = ("online-digits-dense", "online-fashion-dense", "minibatch-fashion-512", "grid-fashion-64")


def quick(row: Row) -> Row | None:
    """Return a row with less data, None if another of its kind will do for a quick run."""
    if row.name in NOT_QUICK:
        return None
    samples = row.samples and min(row.samples, QUICK_SAMPLES)
    return replace(row, samples=samples, epochs=max(1, row.epochs // 2))


def task_of(row: Row) -> Task:
    """Return what a row's contestants are given: data, and what the project draws for these seeds."""
    from backprop import Architecture, initial_parameters
    from backprop.randomness import Stream, generator

    x, codes = load(row.data, row.samples, dense=row.dense)
    network = Architecture(x.shape[1], row.hidden, int(codes.max()) + 1)
    initial = initial_parameters(network, list(range(len(row.rates))), "float32", [None] * len(row.rates))
    orders = [generator(0, Stream.SHUFFLE, epoch).permutation(len(x)) for epoch in range(1, row.epochs + 1)]
    return Task(x, codes, np.stack(orders), list(initial.weights), list(initial.biases), np.array(row.rates), row.batch)
