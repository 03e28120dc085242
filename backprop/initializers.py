"""Initial weights, drawn on the host in float64 so that neither device nor dtype changes the numbers."""

from collections.abc import Callable
from typing import TypeAlias

import numpy as np

from backprop.backend import HostArray

Initializer: TypeAlias = Callable[[np.random.Generator, int, int], HostArray]


def glorot_uniform(generator: np.random.Generator, fan_in: int, fan_out: int) -> HostArray:
    """Return (fan_in, fan_out) weights uniform in +-sqrt(6 / (fan_in + fan_out)), float64.

    Glorot and Bengio, Understanding the difficulty of training deep feedforward neural networks, 2010, eq. 16.
    """
    limit = np.sqrt(6 / (fan_in + fan_out))
    return generator.uniform(-limit, limit, (fan_in, fan_out))


def he_uniform(generator: np.random.Generator, fan_in: int, fan_out: int) -> HostArray:
    """Return (fan_in, fan_out) weights uniform in +-sqrt(6 / fan_in), variance 2 / fan_in, float64.

    He et al., Delving Deep into Rectifiers, 2015, eq. 10: a relu halves the variance, so it is doubled here.
    """
    limit = np.sqrt(6 / fan_in)
    return generator.uniform(-limit, limit, (fan_in, fan_out))


def initializer_for(activation: str) -> Initializer:
    """Return the initializer that keeps the variance through a layer of that activation."""
    return he_uniform if activation == "relu" else glorot_uniform
