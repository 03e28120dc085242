r"""The functions sigma (hidden layers) and phi (the output): value and local derivative, side by side.

Shapes: `z` and `h` are (T, B, units), a leading axis of trials and one of the batch. An activation
knows nothing of the network. It answers two questions: what is `h = sigma(z)`, and, given
`delta = dL/dh` from the stage above, what is `dL/dz = dL/dh * dh/dz`.
"""

from abc import ABC, abstractmethod
from types import ModuleType
from typing import ClassVar

from backprop.backend import Array
from backprop.choices import choose


class Activation(ABC):
    """A stage `h = sigma(z)` and the multiplication by its local derivative."""

    name: ClassVar[str]

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
        return 0.5 * xp.tanh(0.5 * z) + 0.5

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


ACTIVATIONS: dict[str, Activation] = {
    activation.name: activation for activation in (Identity(), Sigmoid(), Tanh(), Relu(), Softmax())
}


def activation(name: str) -> Activation:
    """Return the activation of that name.

    Raises
    ------
    ValueError
        No activation has that name; the message suggests the nearest.
    """
    return choose("activation", name, ACTIVATIONS)
