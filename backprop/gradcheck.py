"""Central differences against the explicit gradients, for every parameter of every trial.

    dL/dp ~ (L(p + e) - L(p - e)) / 2e

whose error is O(e^2) from the series and O(eps / e) from rounding; e near the cube root of the
machine epsilon balances the two. (Press et al., Numerical Recipes, 3rd ed., 2007, section 5.7.)
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from backprop.backend import Array
from backprop.network import Network, Parameters


@dataclass(frozen=True)
class GradientCheck:
    """The explicit and the numerical gradient of every parameter.

    Attributes
    ----------
    explicit, numerical : Parameters
        Shaped like the parameters of the stack, in host memory.
    """

    explicit: Parameters
    numerical: Parameters

    @property
    def worst(self) -> float:
        """Largest difference over all parameters and trials, relative to the larger of 1 and the gradient.

        NaN if any is NaN, which no tolerance accepts.
        """
        differences = [
            np.max(np.abs(explicit - numerical) / np.maximum(1, np.abs(explicit)))
            for explicit, numerical in zip(self.explicit, self.numerical, strict=True)
        ]
        return float(np.max(differences))


def check_gradients(
    network: Network,
    parameters: Parameters,
    x: Array,
    y: Array,
    step: float = np.finfo(float).eps ** (1 / 3),
    *,
    weights: Array | None = None,
    masks: Sequence[Array] | None = None,
) -> GradientCheck:
    """Compare explicit gradients with central differences, perturbing each entry in all trials at once.

    Trials do not touch each other, so two forward passes give one entry's derivative for all T of them.

    Parameters
    ----------
    parameters : Parameters
        float64; left as they were.
    x, y : (B, D) and (B, C) arrays
    weights, masks
        As for `Network.gradients`; the masks of dropout stay the same throughout.

    Raises
    ------
    ValueError
        The parameters are not float64: in float32 a central difference says nothing.
    """
    if any(parameter.dtype != np.float64 for parameter in parameters):
        raise ValueError("parameters are not float64: central differences need it, use dtype 'float64'")
    _, explicit = network.gradients(parameters, x, y, weights=weights, masks=masks)
    numerical = parameters.empty_like(network.backend)
    for parameter, slope in zip(parameters, numerical, strict=True):
        for entry in np.ndindex(*parameter.shape[1:]):
            place = (slice(None), *entry)
            kept = parameter[place].copy()
            parameter[place] = kept + step
            above = _mean_loss(network, parameters, x, y, weights, masks)
            parameter[place] = kept - step
            below = _mean_loss(network, parameters, x, y, weights, masks)
            parameter[place] = kept
            slope[place] = (above - below) / (2 * step)
    return GradientCheck(explicit.to_host(network.backend), numerical.to_host(network.backend))


def _mean_loss(
    network: Network,
    parameters: Parameters,
    x: Array,
    y: Array,
    weights: Array | None,
    masks: Sequence[Array] | None,
) -> Array:
    logits = network.forward(parameters, x, masks).logits
    loss = network.output_stage.loss(network.backend.xp, logits, y)
    return (loss if weights is None else loss * weights).mean(axis=1)
