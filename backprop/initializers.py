"""Initial weights, drawn on the host in float64 so that neither device nor dtype changes the numbers.

A layer `z = x W` of independent weights of mean 0 multiplies the signal's mean square by
`fan_in Var(W)`, and on the way back that of delta by `fan_out Var(W)`. An initializer is a choice of the
variance, and uniform or normal a choice of the shape: a uniform in +-a has variance `a^2 / 3`.

    lecun       Var(W) = 1 / fan_in                 keeps the signal before an activation of slope 1
    glorot      Var(W) = 2 / (fan_in + fan_out)     between the signal's need and delta's
    he          Var(W) = 2 / fan_in                 makes up for an activation that halves the mean square
    orthogonal  W W^T = 1 or W^T W = 1              keeps every length, not only their mean
"""

from collections.abc import Callable
from typing import TypeAlias

import numpy as np

from backprop.backend import HostArray
from backprop.choices import choose

Initializer: TypeAlias = Callable[[np.random.Generator, int, int], HostArray]
"""`(generator, fan_in, fan_out)` to (fan_in, fan_out) weights in float64."""


def glorot_uniform(generator: np.random.Generator, fan_in: int, fan_out: int) -> HostArray:
    """Return (fan_in, fan_out) weights uniform in +-sqrt(6 / (fan_in + fan_out)), float64.

    Glorot and Bengio, Understanding the difficulty of training deep feedforward neural networks, 2010, eq. 16.
    """
    return _uniform(generator, fan_in, fan_out, 6 / (fan_in + fan_out))


def glorot_normal(generator: np.random.Generator, fan_in: int, fan_out: int) -> HostArray:
    """Return (fan_in, fan_out) weights normal with variance 2 / (fan_in + fan_out), float64.

    Glorot and Bengio, 2010, eq. 12.
    """
    return generator.normal(0, np.sqrt(2 / (fan_in + fan_out)), (fan_in, fan_out))


def he_uniform(generator: np.random.Generator, fan_in: int, fan_out: int) -> HostArray:
    """Return (fan_in, fan_out) weights uniform in +-sqrt(6 / fan_in), variance 2 / fan_in, float64.

    He et al., Delving Deep into Rectifiers, 2015, eq. 10: a relu halves the variance, so it is doubled here.
    """
    return _uniform(generator, fan_in, fan_out, 6 / fan_in)


def he_normal(generator: np.random.Generator, fan_in: int, fan_out: int) -> HostArray:
    """Return (fan_in, fan_out) weights normal with variance 2 / fan_in, float64. He et al., 2015, eq. 10."""
    return generator.normal(0, np.sqrt(2 / fan_in), (fan_in, fan_out))


def lecun_uniform(generator: np.random.Generator, fan_in: int, fan_out: int) -> HostArray:
    """Return (fan_in, fan_out) weights uniform in +-sqrt(3 / fan_in), variance 1 / fan_in, float64.

    LeCun et al., Efficient BackProp, 1998, eq. 16.
    """
    return _uniform(generator, fan_in, fan_out, 3 / fan_in)


def lecun_normal(generator: np.random.Generator, fan_in: int, fan_out: int) -> HostArray:
    """Return (fan_in, fan_out) weights normal with variance 1 / fan_in, float64. LeCun et al., 1998, eq. 16."""
    return generator.normal(0, np.sqrt(1 / fan_in), (fan_in, fan_out))


def orthogonal(generator: np.random.Generator, fan_in: int, fan_out: int) -> HostArray:
    """Return (fan_in, fan_out) weights with orthonormal columns, or rows where those are fewer, float64.

    The Q of a normal matrix's QR, each column with the sign that makes R's diagonal positive: without that
    the draw is not uniform over the orthogonal matrices. (Saxe, McClelland and Ganguli, Exact solutions to
    the nonlinear dynamics of learning in deep linear networks, 2014; Mezzadri, How to generate random
    matrices from the classical compact groups, 2007, section 5.)
    """
    normal = generator.normal(size=(max(fan_in, fan_out), min(fan_in, fan_out)))
    q, r = np.linalg.qr(normal)
    q *= np.where(np.diag(r) < 0, -1, 1)
    return np.ascontiguousarray(q if fan_in >= fan_out else q.T)


def zeros(generator: np.random.Generator, fan_in: int, fan_out: int) -> HostArray:  # noqa: ARG001 - one signature for all
    """Return (fan_in, fan_out) zeros, float64.

    For a network without hidden layers: with one, its units would all start alike, and stay so.
    """
    return np.zeros((fan_in, fan_out))


INITIALIZERS: dict[str, Initializer] = {
    draw.__name__: draw
    for draw in (
        glorot_uniform,
        glorot_normal,
        he_uniform,
        he_normal,
        lecun_uniform,
        lecun_normal,
        orthogonal,
        zeros,
    )
}

HE_ACTIVATIONS = frozenset({"relu", "leaky_relu", "elu", "gelu", "silu"})
"""Activations whose mean square of a standard normal, E h^2, is nearer to He's 1/2 than to 1.

relu 0.50, leaky_relu 0.50, elu 0.64, gelu 0.43, silu 0.36: a layer drawn by he_uniform multiplies the signal's
mean square by twice that.
"""


def initializer(name: str) -> Initializer:
    """Return the initializer of that name.

    Raises
    ------
    ValueError
        No initializer has that name; the message suggests the nearest.
    """
    return choose("initializer", name, INITIALIZERS)


def initializer_for(activation: str) -> Initializer:
    """Return the default for a layer before that activation: he_uniform before the relu family, else glorot_uniform.

    The family is relu, leaky_relu, elu, gelu and silu. A user's own activation gets glorot_uniform.
    """
    return he_uniform if activation in HE_ACTIVATIONS else glorot_uniform


def _uniform(generator: np.random.Generator, fan_in: int, fan_out: int, limit_squared: float) -> HostArray:
    limit = np.sqrt(limit_squared)
    return generator.uniform(-limit, limit, (fan_in, fan_out))
