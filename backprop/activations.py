r"""The functions sigma (hidden layers) and phi (the output): value and local derivative, side by side.

Shapes: `z` and `h` are (T, B, units), a leading axis of trials and one of the batch. An activation
knows nothing of the network. It answers two questions: what is `h = sigma(z)`, and, given
`delta = dL/dh` from the stage above, what is `dL/dz = dL/dh * dh/dz`.

Every one is written with what NumPy and CuPy have in common, keeps the dtype of `z`, lets a NaN through
so that a divergence is seen, and is exact to rounding up to |z| = 1e4 and beyond. Steps at a kink take
the derivative from the left, as everywhere in the field. `register_activation` adds a user's own.
"""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from types import ModuleType

import numpy as np

from backprop.backend import Array
from backprop.choices import check_new_name, choose
from backprop.local_derivatives import ActivationDerivative, ActivationFunction, check_activation_derivative

LEAKY_RELU_SLOPE = 0.01
"""Slope of a leaky relu left of 0."""


class Activation(ABC):
    """A stage `h = sigma(z)` and the multiplication by its local derivative."""

    name: str

    @abstractmethod
    def value(self, xp: ModuleType, z: Array) -> Array:
        """Return `h = sigma(z)`, same shape and dtype as `z`."""

    @abstractmethod
    def chain(self, xp: ModuleType, delta: Array, z: Array, h: Array) -> Array:
        """Return `dL/dz`, given `delta = dL/dh` and the `z` and `h` of the forward pass."""


class Elementwise(Activation):
    """An activation of each unit alone: the chain rule is one product."""

    @abstractmethod
    def derivative(self, xp: ModuleType, z: Array, h: Array) -> Array:
        """Return the local derivative `dh/dz`, same shape as `z`."""

    def chain(self, xp: ModuleType, delta: Array, z: Array, h: Array) -> Array:
        """Return `delta * dh/dz`."""
        return delta * self.derivative(xp, z, h)


class Identity(Elementwise):
    """`h = z`, `dh/dz = 1`."""

    name = "identity"

    def value(self, xp: ModuleType, z: Array) -> Array:  # noqa: ARG002 - one signature for all
        """Return `z` itself."""
        return z

    def derivative(self, xp: ModuleType, z: Array, h: Array) -> Array:  # noqa: ARG002 - one signature for all
        """Return ones."""
        return xp.ones_like(z)

    def chain(self, xp: ModuleType, delta: Array, z: Array, h: Array) -> Array:  # noqa: ARG002 - one signature for all
        """Return `delta`: multiplying by one would only copy it."""
        return delta


class Sigmoid(Elementwise):
    """`h = 1 / (1 + e^-z)`, `dh/dz = h (1 - h)`."""

    name = "sigmoid"

    def value(self, xp: ModuleType, z: Array) -> Array:
        """Return `(1 + tanh(z/2)) / 2`, the same function with no exponential that overflows."""
        return _sigmoid(xp, z)

    def derivative(self, xp: ModuleType, z: Array, h: Array) -> Array:  # noqa: ARG002 - one signature for all
        """Return `h (1 - h)`."""
        return h * (1 - h)


class Tanh(Elementwise):
    """`h = tanh(z)`, `dh/dz = 1 - h^2`."""

    name = "tanh"

    def value(self, xp: ModuleType, z: Array) -> Array:
        """Return `tanh(z)`."""
        return xp.tanh(z)

    def derivative(self, xp: ModuleType, z: Array, h: Array) -> Array:  # noqa: ARG002 - one signature for all
        """Return `1 - h^2`."""
        return 1 - h * h


class Relu(Elementwise):
    """`h = max(z, 0)`, `dh/dz = 1 where z > 0, else 0` (0 at the kink, as everywhere in the field)."""

    name = "relu"

    def value(self, xp: ModuleType, z: Array) -> Array:
        """Return `max(z, 0)`; NaN stays NaN, so that a divergence is seen."""
        return xp.maximum(z, 0)

    def derivative(self, xp: ModuleType, z: Array, h: Array) -> Array:  # noqa: ARG002 - one signature for all
        """Return a boolean mask, which multiplies as 0 and 1."""
        return z > 0


class LeakyRelu(Elementwise):
    """`h = max(z, a z)` with `a = 0.01`, `dh/dz = 1 where z > 0, else a`.

    Maas, Hannun and Ng, Rectifier nonlinearities improve neural network acoustic models, 2013, eq. 2.
    """

    name = "leaky_relu"

    def value(self, xp: ModuleType, z: Array) -> Array:
        """Return `max(z, a z)`, which is `z` or `a z` by sign because `a < 1`."""
        return xp.maximum(z, LEAKY_RELU_SLOPE * z)

    def derivative(self, xp: ModuleType, z: Array, h: Array) -> Array:  # noqa: ARG002 - one signature for all
        """Return 1 where `z > 0`, else `a`."""
        return xp.where(z > 0, xp.ones_like(z), LEAKY_RELU_SLOPE)


class Elu(Elementwise):
    """`h = z where z > 0, else e^z - 1`, `dh/dz = 1 where z > 0, else e^z = h + 1`: smooth once, at 0.

    Clevert, Unterthiner and Hochreiter, Fast and accurate deep network learning by exponential linear
    units, 2016, eq. 15, with alpha = 1.
    """

    name = "elu"

    def value(self, xp: ModuleType, z: Array) -> Array:
        """Return `max(z, 0) + expm1(min(z, 0))`: one term is always 0, and no exponential overflows."""
        return xp.maximum(z, 0) + xp.expm1(xp.minimum(z, 0))

    def derivative(self, xp: ModuleType, z: Array, h: Array) -> Array:  # noqa: ARG002 - one signature for all
        """Return `1 + min(h, 0)`."""
        return 1 + xp.minimum(h, 0)


class Softplus(Elementwise):
    """`h = log(1 + e^z)`, `dh/dz = sigmoid(z) = 1 - e^-h`.

    Dugas et al., Incorporating second-order functional knowledge for better option pricing, 2001, eq. 2.
    """

    name = "softplus"

    def value(self, xp: ModuleType, z: Array) -> Array:
        """Return `max(z, 0) + log1p(e^-|z|)`, the same function with no exponential that overflows."""
        return xp.maximum(z, 0) + xp.log1p(xp.exp(xp.minimum(z, -z)))

    def derivative(self, xp: ModuleType, z: Array, h: Array) -> Array:  # noqa: ARG002 - one signature for all
        """Return `-expm1(-h)`, which keeps all digits of a small derivative."""
        return -xp.expm1(-h)


class Gelu(Elementwise):
    """`h = z Phi(z)`, `dh/dz = Phi(z) + z phi(z)`, with the standard normal's distribution Phi and density phi.

    The exact function, by erf, not its tanh approximation. (Hendrycks and Gimpel, Gaussian error linear
    units, 2016, section 2.)
    """

    name = "gelu"

    def value(self, xp: ModuleType, z: Array) -> Array:
        """Return `z (1 + erf(z / sqrt 2)) / 2`."""
        return z * _normal_distribution(xp, z)

    def derivative(self, xp: ModuleType, z: Array, h: Array) -> Array:  # noqa: ARG002 - one signature for all
        """Return `Phi(z) + z e^{-z^2 / 2} / sqrt(2 pi)`."""
        return _normal_distribution(xp, z) + z * xp.exp(-0.5 * z * z) / math.sqrt(2 * math.pi)


class Silu(Elementwise):
    """`h = z s` with `s = sigmoid(z)`, `dh/dz = s + z s (1 - s) = s + h (1 - s)`.

    Elfwing, Uchibe and Doya, Sigmoid-weighted linear units for neural network function approximation in
    reinforcement learning, 2018, eq. 5 and 6; Ramachandran et al. call it swish.
    """

    name = "silu"

    def value(self, xp: ModuleType, z: Array) -> Array:
        """Return `z sigmoid(z)`."""
        return z * _sigmoid(xp, z)

    def derivative(self, xp: ModuleType, z: Array, h: Array) -> Array:
        """Return `s + h (1 - s)`."""
        s = _sigmoid(xp, z)
        return s + h * (1 - s)


class Softmax(Activation):
    """`h_i = e^{z_i} / sum_j e^{z_j}`; every output depends on every input of its row."""

    name = "softmax"

    def value(self, xp: ModuleType, z: Array) -> Array:
        """Return the softmax over the last axis; shifting by the row's maximum changes nothing but the overflow."""
        e = xp.exp(z - z.max(axis=-1, keepdims=True))
        return e / e.sum(axis=-1, keepdims=True)

    def chain(self, xp: ModuleType, delta: Array, z: Array, h: Array) -> Array:  # noqa: ARG002 - one signature for all
        """Return `J^T delta` with the row's Jacobian `J = diag(h) - h h^T`, without forming it."""
        return h * (delta - (delta * h).sum(axis=-1, keepdims=True))


def _sigmoid(xp: ModuleType, z: Array) -> Array:
    return 0.5 * xp.tanh(0.5 * z) + 0.5


def _normal_distribution(xp: ModuleType, z: Array) -> Array:
    return 0.5 * (1 + special_functions(xp).erf(z * math.sqrt(0.5)))


@cache
def special_functions(xp: ModuleType) -> ModuleType:
    """Return the special functions that belong to an array module: `scipy.special`, or CuPy's own of that name.

    Here is `erf`, which neither NumPy nor CuPy has at its top level.
    """
    return import_module("scipy.special" if xp is np else "cupyx.scipy.special")


@dataclass(frozen=True)
class UserActivation(Elementwise):
    """An activation made of a user's pair of functions.

    Attributes
    ----------
    name : str
    function : callable
        `(xp, z)` to `h`.
    local_derivative : callable
        `(xp, z, h)` to `dh/dz`.
    """

    name: str
    function: ActivationFunction
    local_derivative: ActivationDerivative

    def value(self, xp: ModuleType, z: Array) -> Array:
        """Return `function(xp, z)`."""
        return self.function(xp, z)

    def derivative(self, xp: ModuleType, z: Array, h: Array) -> Array:
        """Return `local_derivative(xp, z, h)`."""
        return self.local_derivative(xp, z, h)


ACTIVATIONS: dict[str, Activation] = {
    activation.name: activation
    for activation in (
        Identity(),
        Sigmoid(),
        Tanh(),
        Relu(),
        LeakyRelu(),
        Elu(),
        Softplus(),
        Gelu(),
        Silu(),
        Softmax(),
    )
}


def activation(name: str) -> Activation:
    """Return the activation of that name.

    Raises
    ------
    ValueError
        No activation has that name; the message suggests the nearest.
    """
    return choose("activation", name, ACTIVATIONS)


def register_activation(name: str, function: ActivationFunction, derivative: ActivationDerivative) -> None:
    """Make a user's own elementwise activation known by name, after checking its derivative.

    Any `Architecture` of this process may then use the name, for hidden layers and as output activation.
    Register in every process that trains or predicts. Its weights are drawn by `glorot_uniform` unless
    another initializer is named.

    Parameters
    ----------
    name : str
        A Python identifier no activation has yet.
    function : callable
        `function(xp, z)` returns `h`, with the shape and dtype of `z`, (T, B, units). `xp` is `numpy` or
        `cupy`: call only what both have.
    derivative : callable
        `derivative(xp, z, h)` returns the local derivative `dh/dz`, same shape; a boolean mask counts as 0 and 1.

    Raises
    ------
    ValueError
        The name is taken or no identifier; the function is not elementwise, not finite or changes shape
        or dtype; or the derivative differs from central differences: the message names the point and
        both values.
    """
    check_new_name("activation", name, ACTIVATIONS)
    check_activation_derivative(name, function, derivative)
    ACTIVATIONS[name] = UserActivation(name, function, derivative)
