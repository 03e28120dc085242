"""Random numbers keyed by what they are for, never by when or where they are drawn.

A generator is a function of (seed, stream, step). So a trial draws the same weights whichever place
it has in a stack, and an epoch has the same order of samples whether or not the ones before it ran.

What is drawn at every step of a training is drawn where the arrays are, by a hash of its place:
`hashed_bits` needs no generator, no state and no transfer, and gives the same bits on NumPy and CuPy.
"""

from collections.abc import Sequence
from enum import IntEnum
from types import ModuleType

import numpy as np

from backprop.backend import Array, HostArray

WORD = 2**64

ELEMENT, STEP, LAYER = 0x9E3779B97F4A7C15, 0xD1B54A32D192ED03, 0x8CB92BA72F3D8DD7
"""Odd strides of the counter: 2^64 over the golden ratio, and its like in two and three dimensions."""


class Stream(IntEnum):
    """What a sequence of random numbers is used for; the values are part of every trial's identity."""

    WEIGHTS = 0
    SHUFFLE = 1
    DROPOUT = 2


def generator(seed: int, stream: Stream, step: int = 0) -> np.random.Generator:
    """Return the generator of (seed, stream, step); all three are non-negative integers."""
    return np.random.default_rng([seed, int(stream), step])


def hash_keys(seeds: Sequence[int], stream: Stream) -> HostArray:
    """Return the key of every (seed, stream) for `hashed_bits`, (T,) uint64 in host memory."""
    return np.array([np.random.SeedSequence([seed, int(stream)]).generate_state(1, np.uint64)[0] for seed in seeds])


def hash_offset(step: int, layer: int) -> int:
    """Return where the counter of `hashed_bits` starts for a step and a layer, below 2^64."""
    return (step * STEP + layer * LAYER) % WORD


def hashed_bits(xp: ModuleType, keys: Array, offset: int, count: int) -> Array:
    """Return `count` random numbers of 32 bits for every key: a function of (key, offset) and the position.

    SplitMix64's output function on a counter that starts at the sum of key and offset.
    (Steele, Lea and Flood, Fast splittable pseudorandom number generators, 2014, figure 16, with the
    constants of Stafford's variant 13.)

    Parameters
    ----------
    keys : (T,) uint64 array of the module `xp`
    offset : int
        From `hash_offset`.

    Returns
    -------
    (T, count) uint32 array
    """
    x = (keys + np.uint64(offset))[:, None] + xp.arange(1, count // 2 + 2, dtype="uint64") * np.uint64(ELEMENT)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        x ^= x >> np.uint64(shift)
        x *= np.uint64(factor)
    x ^= x >> np.uint64(31)
    return x.view("uint32")[:, :count]
