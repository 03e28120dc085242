"""scikit-learn's losses of regression, which the core has in another form or not at all.

They are added to the core's tables when an estimator first needs them, under names that say what they are, so
that whoever does not use scikit-learn's names does not meet them.
"""

from types import ModuleType

from backprop import activations, losses
from backprop.activations import Elementwise, special_functions
from backprop.backend import Array
from backprop.losses import Loss


class HalfSquaredError(Loss):
    """`loss_b = 1/2 sum_l (y_l - yhat_l)^2`: scikit-learn's `squared_error`, whose learning rates it keeps."""

    name = "half_squared_error"

    def value(self, xp: ModuleType, yhat: Array, y: Array) -> Array:  # noqa: ARG002 - one signature for all
        """Return half the squared error summed over outputs."""
        return 0.5 * ((yhat - y) ** 2).sum(axis=-1)

    def derivative(self, xp: ModuleType, yhat: Array, y: Array) -> Array:  # noqa: ARG002 - one signature for all
        """Return `yhat - y`."""
        return yhat - y


class HalfPoissonDeviance(Loss):
    """`loss_b = sum_l y_l log(y_l / yhat_l) - y_l + yhat_l` for y of 0 or more: scikit-learn's `poisson`.

    McCullagh and Nelder, Generalized linear models, 1989, section 2.3.
    """

    name = "half_poisson_deviance"

    def value(self, xp: ModuleType, yhat: Array, y: Array) -> Array:
        """Return half the deviance summed over outputs; 0 log 0 is 0."""
        return (special_functions(xp).xlogy(y, y / yhat) - y + yhat).sum(axis=-1)

    def derivative(self, xp: ModuleType, yhat: Array, y: Array) -> Array:  # noqa: ARG002 - one signature for all
        """Return `1 - y / yhat`."""
        return 1 - y / yhat


class Exponential(Elementwise):
    """`h = e^z`, `dh/dz = h`: the output of a Poisson regression, whose logarithm is the affine stage."""

    name = "exponential"

    def value(self, xp: ModuleType, z: Array) -> Array:
        """Return `e^z`."""
        return xp.exp(z)

    def derivative(self, xp: ModuleType, z: Array, h: Array) -> Array:  # noqa: ARG002 - one signature for all
        """Return `h`."""
        return h


def add_to_core() -> None:
    """Make the core know them by name; again is harmless."""
    for loss in (HalfSquaredError(), HalfPoissonDeviance()):
        losses.LOSSES.setdefault(loss.name, loss)
    activations.ACTIVATIONS.setdefault(Exponential.name, Exponential())
