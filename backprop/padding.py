"""Trials of different widths in one stack: the narrower are padded with units that are never alive.

A padded unit has weights and bias of 0, and a mask of 0 holds its output and what comes back to it:

    h_k = m_k * sigma(z_k),    m_k = 1 for a trial's own units, 0 for padded ones

so the gradients of the weights that lead to it and from it are 0. Every optimiser here moves a weight of 0 with
gradients of 0 by 0, penalties and decay included, so the zeros stay and the trial's own units never notice.
Outside of training no mask is needed: what a padded unit says is multiplied by weights of 0.

Not for softmax in a hidden layer, whose every output depends on all units.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from backprop.backend import Array, Backend
from backprop.network import Architecture, Parameters


def narrowed(architecture: Architecture, hidden: tuple[int, ...] | None) -> Architecture:
    """Return the architecture with other hidden widths, or as it is for None.

    Raises
    ------
    ValueError
        There are not as many layers, a width is larger than the architecture's, or a padded layer is a softmax.
    """
    if hidden is None or tuple(hidden) == architecture.hidden:
        return architecture
    if len(hidden) != len(architecture.hidden) or any(
        own > most for own, most in zip(hidden, architecture.hidden, strict=True)
    ):
        raise ValueError(
            f"hidden is {tuple(hidden)} but the architecture has {architecture.hidden}: "
            "use as many layers, none of them wider"
        )
    for layer, (own, most, sigma) in enumerate(
        zip(hidden, architecture.hidden, architecture.activations, strict=True), start=1
    ):
        if own < most and sigma == "softmax":
            raise ValueError(
                f"hidden is {tuple(hidden)}, narrower than {architecture.hidden} in layer {layer}, which is a softmax: "
                "it depends on all units, so give such trials a stack of their own"
            )
    return replace(architecture, hidden=tuple(hidden))


def pad(parameters: Parameters, architecture: Architecture) -> Parameters:
    """Return parameters in host memory with zeros for the units that they lack of an architecture, if any.

    Weights become (T, fan_in, fan_out) of the architecture, biases (T, 1, fan_out).
    """
    if all(w.shape[1:] == layer for w, layer in zip(parameters.weights, architecture.layers, strict=True)):
        return parameters
    weights, biases = [], []
    for (fan_in, fan_out), w, b in zip(architecture.layers, parameters.weights, parameters.biases, strict=True):
        weights.append(np.pad(w, ((0, 0), (0, fan_in - w.shape[1]), (0, fan_out - w.shape[2]))))
        biases.append(np.pad(b, ((0, 0), (0, 0), (0, fan_out - b.shape[2]))))
    return Parameters(weights, biases)


def crop(parameters: Parameters, architecture: Architecture) -> Parameters:
    """Return the parameters of an architecture's own units, without the padded ones; what `pad` undoes."""
    layers = architecture.layers
    return Parameters(
        [w[:, :fan_in, :fan_out] for (fan_in, fan_out), w in zip(layers, parameters.weights, strict=True)],
        [b[:, :, :fan_out] for (_, fan_out), b in zip(layers, parameters.biases, strict=True)],
    )


def unit_masks(
    backend: Backend, hidden: Sequence[tuple[int, ...]], widest: tuple[int, ...], dtype: npt.DTypeLike
) -> list[Array] | None:
    """Return m_k of every hidden layer, (T, 1, units), for the own widths of T trials; None if nothing is padded."""
    if all(own == widest for own in hidden):
        return None
    own = np.array(hidden)
    return [
        backend.to_device((np.arange(units) < own[:, layer, None]).astype(dtype)[:, None])
        for layer, units in enumerate(widest)
    ]
