"""Random numbers keyed by what they are for, never by when or where they are drawn.

A generator is a function of (seed, stream, step). So a trial draws the same weights whichever place
it has in a stack, and an epoch has the same order of samples whether or not the ones before it ran.
"""

from enum import IntEnum

import numpy as np


class Stream(IntEnum):
    """What a sequence of random numbers is used for; the values are part of every trial's identity."""

    WEIGHTS = 0
    SHUFFLE = 1


def generator(seed: int, stream: Stream, step: int = 0) -> np.random.Generator:
    """Return the generator of (seed, stream, step); all three are non-negative integers."""
    return np.random.default_rng([seed, int(stream), step])
