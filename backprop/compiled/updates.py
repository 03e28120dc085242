"""The optimisers of one trial on its parameters as one array, by the rules of `optimizers.py`."""

import math

import numpy as np
from numba import njit

from backprop.compiled.compiling import part
from backprop.compiled.lanes import number
from backprop.optimizers import NORM_FLOOR

SGD, MOMENTUM, NESTEROV, RMSPROP, ADAM, ADAMW = range(6)

OPTIMIZER_CODES = {
    "sgd": SGD,
    "momentum": MOMENTUM,
    "nesterov": NESTEROV,
    "rmsprop": RMSPROP,
    "adam": ADAM,
    "adamw": ADAMW,
}
"""The optimisers that are compiled."""

NUMBERS = {
    "sgd": (),
    "momentum": ("momentum",),
    "nesterov": ("momentum",),
    "rmsprop": ("decay", "epsilon"),
    "adam": ("beta_1", "beta_2", "epsilon"),
    "adamw": ("beta_1", "beta_2", "epsilon", "weight_decay"),
}
"""The numbers that each takes, by the names of its fields, in this order."""


@njit(error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True, fastmath={"reassoc"})
def clip(g, size, limit):
    """Shorten a gradient to its limit: `g := g min(1, limit / (|g| + 1e-6))`."""
    square = number(g, 0)
    for i in range(size):
        square += g[i] * g[i]
    factor = number(g, limit / (math.sqrt(square) + NORM_FLOOR))
    # Written so that a NaN shortens: a divergence is seen.
    if not factor >= number(g, 1):
        for i in range(size):
            g[i] *= factor


@part
def penalise(w, g, size, l2, l1):
    """Add the penalties of a layer's weights to their gradient: `g := g + l2 W + l1 sign(W)`."""
    strength, pull, zero, one = number(w, l2), number(w, l1), number(w, 0), number(w, 1)
    for i in range(size):
        sign = one if w[i] > zero else (-one if w[i] < zero else w[i])
        g[i] += strength * w[i] + pull * sign


@part
def update(kind, p, g, m, v, size, rate, numbers, step, decays):
    """Update a stretch of parameters and its memories in place.

    Parameters
    ----------
    p, g, m, v : pointers
        Parameters, gradient and memories, first and second; a memory that the optimiser lacks is not looked at.
    numbers : pointer to float64
        As in `NUMBERS`.
    step : int
        Number of the update, from 1 on.
    decays : bool
        AdamW's decay is for these parameters.
    """
    mu = number(p, rate)
    if kind == SGD:
        for i in range(size):
            p[i] -= mu * g[i]
    elif kind == MOMENTUM:
        b = number(p, numbers[0])
        for i in range(size):
            m[i] = b * m[i] + g[i]
            p[i] -= mu * m[i]
    elif kind == NESTEROV:
        b = number(p, numbers[0])
        for i in range(size):
            m[i] = b * m[i] + g[i]
            p[i] -= mu * (g[i] + b * m[i])
    elif kind == RMSPROP:
        b, take, epsilon = number(p, numbers[0]), number(p, 1 - numbers[0]), number(p, numbers[1])
        for i in range(size):
            m[i] = b * m[i] + take * (g[i] * g[i])
            p[i] -= mu * g[i] / (np.sqrt(m[i]) + epsilon)
    else:
        b1, take1, b2, take2 = (
            number(p, numbers[0]),
            number(p, 1 - numbers[0]),
            number(p, numbers[1]),
            number(p, 1 - numbers[1]),
        )
        epsilon = number(p, numbers[2])
        unbias = number(p, 1 / math.sqrt(1 - numbers[1] ** step))
        mu = number(p, rate / (1 - numbers[0] ** step))
        keep = number(p, 1 - rate * numbers[3]) if kind == ADAMW and decays else number(p, 1)
        for i in range(size):
            m[i] = b1 * m[i] + take1 * g[i]
            v[i] = b2 * v[i] + take2 * (g[i] * g[i])
            p[i] = keep * p[i] - mu * (m[i] / (np.sqrt(v[i]) * unbias + epsilon))
