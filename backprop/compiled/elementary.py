"""exp and tanh that LLVM can turn into vector instructions, for float32; for float64 they are the C library's.

Each is a polynomial on a short interval and arithmetic around it, without a branch; the coefficients are those of
Moshier's Cephes library (expf, tanhf). A NaN comes through, so that a divergence is seen.
"""

import math
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic, overload

from backprop.compiled.compiling import part

LOG2_E = np.float32(1.44269504088896341)

LN2_HIGH, LN2_LOW = np.float32(0.693359375), np.float32(-2.12194440e-4)
"""ln 2 in two parts: a whole number up to 128 times the first is exact."""

LOWEST, HIGHEST = np.float32(-87.3), np.float32(88.3)
"""Where exp is held, just before it leaves the normal numbers of float32: e^LOWEST is 1e-38."""

SMALL = np.float32(0.625)
"""Up to where tanh is a polynomial: further on `1 - 2 / (e^2x + 1)` loses no digits."""


def exp(x):
    """Return e^x, in the dtype of x. A name for compiled code, which gets `_exp`'s choice in its place."""
    raise NotImplementedError("exp is compiled code's: call math.exp or numpy.exp")


def tanh(x):
    """Return the hyperbolic tangent, in the dtype of x. A name for compiled code, which gets `_tanh`'s choice."""
    raise NotImplementedError("tanh is compiled code's: call math.tanh or numpy.tanh")


@overload(exp)
def _exp(x):
    if x == types.float32:
        return lambda x: _exp_single(x)
    return lambda x: math.exp(x)


@overload(tanh)
def _tanh(x):
    if x == types.float32:
        return lambda x: _tanh_single(x)
    return lambda x: math.tanh(x)


@part
def _exp_single(x):
    """Return `2^n e^r` with `x = n ln 2 + r` and |r| at most ln 2 / 2."""
    x = LOWEST if x < LOWEST else x
    x = HIGHEST if x > HIGHEST else x
    n = np.floor(x * LOG2_E + np.float32(0.5))
    r = (x - n * LN2_HIGH) - n * LN2_LOW
    q = np.float32(1.9875691500e-4)
    q = q * r + np.float32(1.3981999507e-3)
    q = q * r + np.float32(8.3334519073e-3)
    q = q * r + np.float32(4.1665795894e-2)
    q = q * r + np.float32(1.6666665459e-1)
    q = q * r + np.float32(5.0000001201e-1)
    return (q * (r * r) + r + np.float32(1)) * _power_of_two(np.int32(n))


@part
def _tanh_single(x):
    """Return `x + x^3 q(x^2)` for a small x, else `1 - 2 / (e^2|x| + 1)` with the sign of x."""
    size = abs(x)
    square = x * x
    q = np.float32(-5.70498872745e-3)
    q = q * square + np.float32(2.06390887954e-2)
    q = q * square + np.float32(-5.37397155531e-2)
    q = q * square + np.float32(1.33314422036e-1)
    q = q * square + np.float32(-3.33332819422e-1)
    near = q * square * x + x
    far = np.float32(1) - np.float32(2) / (_exp_single(size + size) + np.float32(1))
    far = -far if x < np.float32(0) else far
    return near if size < SMALL else far


@intrinsic
def _power_of_two(typing_context: Any, n: Any) -> Any:  # noqa: ARG001 - Numba's signature
    """Return 2^n, float32, for an int32 n from -126 to 127: n and the bias are the exponent's bits."""

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:  # noqa: ARG001 - Numba's signature
        integer = ir.IntType(32)
        return builder.bitcast(builder.shl(builder.add(arguments[0], integer(127)), integer(23)), ir.FloatType())

    return types.float32(types.int32), build
