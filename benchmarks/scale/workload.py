"""What is trained: digits or drawn samples, stacks of small networks, and the operations that they come to."""

import time
from collections.abc import Sequence
from functools import cache
from statistics import median

import numpy as np

from backprop import Architecture, Samples, Stack, Trial, one_hot, train
from backprop.backend import Backend

SMALL = Architecture(64, (32,), 10)
WIDE_INPUTS = 784
CLASSES = 10
RATE = 0.05
LEAST_REPEATS = 3


@cache
def digits() -> Samples:
    """Return scikit-learn's digits, pixels from 0 to 1, and one-hot classes."""
    from sklearn.datasets import load_digits

    x, codes = load_digits(return_X_y=True)
    return Samples((x / 16).astype("float32"), one_hot(codes, CLASSES))


def drawn(rows: int, inputs: int) -> Samples:
    """Return normal features, none of them 0, and drawn classes."""
    draw = np.random.default_rng(0)
    x = draw.standard_normal((rows, inputs), dtype="float32")
    return Samples(x, one_hot(draw.integers(0, CLASSES, rows), CLASSES))


def cut(trials: int, most: int) -> list[int]:
    """Return the sizes of the fewest stacks of at most `most` trials, as equal as they can be: the pipeline's way."""
    pieces = -(-trials // most)
    return [trials * (k + 1) // pieces - trials * k // pieces for k in range(pieces)]


def stacks(architecture: Architecture, batch: int, sizes: Sequence[int], epochs: int = 1) -> list[Stack]:
    """Return stacks of so many trials each; no two trials begin with the same weights."""
    made, seed = [], 0
    for size in sizes:
        trials = tuple(Trial(RATE, epochs, seed=seed + k) for k in range(size))
        made.append(Stack(architecture, batch, trials))
        seed += size
    return made


def seconds_to_train(given: Sequence[Stack], samples: Samples, backend: Backend) -> float:
    """Train stacks one after another, and return how long it took, initial weights, checks and reports included."""
    started = time.perf_counter()
    for stack in given:
        for _ in train(stack, samples, None, backend):
            pass
    return time.perf_counter() - started


def typical_seconds(
    given: Sequence[Stack], samples: Samples, backend: Backend, seconds: float, repeats: int
) -> tuple[float, int]:
    """Return the median time of repeated trainings, and how many there were."""
    taken = [seconds_to_train(given, samples, backend)]
    while len(taken) < repeats and (len(taken) < LEAST_REPEATS or sum(taken) < seconds):
        taken.append(seconds_to_train(given, samples, backend))
    return median(taken), len(taken)


def flop(architecture: Architecture) -> int:
    """Return the floating-point operations of the products for a sample and trial: forward, update and delta.

    Two for each weight and product; the first layer needs no delta of its inputs. Activations and biases are left out.
    """
    products = [fan_in * fan_out for fan_in, fan_out in architecture.layers]
    return 2 * (3 * sum(products) - products[0])
