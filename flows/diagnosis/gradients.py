"""Gradients that vanish or explode on their way back through the layers.

(Glorot and Bengio, Understanding the difficulty of training deep feedforward neural networks, 2010, section 4.2.)
"""

import math

from backprop.network import Architecture
from flows.diagnosis.finding import Evidence, Finding
from flows.diagnosis.probes import Probe
from flows.diagnosis.table import Table
from flows.trials import plan_trial_on

CHECK = "gradients"

VANISHING = 1e-3
"""Ratio of the first layer's root mean square gradient to the last's, early in training."""

EXPLODING = 1e3
"""Norm of a layer's gradient early in training, at the smallest rate: of scaled inputs and targets it is about 1."""


def check_gradients_of(table: Table, probe: Probe) -> list[Finding]:
    """Look at the gradients after the first epoch at the smallest rate: those of nearly the initial weights."""
    architecture = plan_trial_on(table.shape, probe.kind).architecture
    norms = {layer: values[0] for layer, values in probe.rates[0].layers("gradient_norm").items() if values}
    if len(norms) < len(architecture.layers):
        return []
    sizes = _root_mean_squares(architecture, norms)
    first, last = sizes[0], sizes[-1]
    evidence: Evidence = {"network": probe.name, "norms_by_layer": [norms[layer] for layer in sorted(norms)]}
    if max(norms.values()) > EXPLODING:
        return [
            Finding(
                check=CHECK,
                severity="problem",
                what=f"{probe.name}: gradients explode, their norm is {max(norms.values()):.3g}",
                evidence=evidence,
                remedy="scale inputs and targets (the preparation's file), or fewer layers in hidden",
            )
        ]
    if len(sizes) > 1 and first < VANISHING * last:
        return [
            Finding(
                check=CHECK,
                severity="problem",
                what=f"{probe.name}: gradients vanish, those of layer 1 are {_times(first, last)} smaller than those "
                "of the last",
                evidence={**evidence, "ratio": first / last},
                remedy="fewer layers in hidden, activation: [relu], or an optimizer such as adam, in the space",
            )
        ]
    return [
        Finding(check=CHECK, severity="ok", what="gradients reach every layer", evidence=evidence),
    ]


def _root_mean_squares(architecture: Architecture, norms: dict[int, float]) -> list[float]:
    return [
        norms[layer] / math.sqrt(fan_in * fan_out)
        for layer, (fan_in, fan_out) in enumerate(architecture.layers, start=1)
    ]


def _times(first: float, last: float) -> str:
    return f"{last / first:,.0f} times" if first > 0 else "infinitely"
