"""From what scikit-learn's users pass to samples of the core, and back from its logits."""

from dataclasses import replace
from typing import Any

import numpy as np
from scipy import sparse

from backprop.backend import Backend, HostArray
from backprop.network import Architecture, Network, host_parameters
from backprop.samples import Samples

PREDICTION_BYTES = 16 * 2**20
"""Largest activation array of a prediction, in bytes."""

FLOATS = (np.float64, np.float32)
"""What features may be computed in; others become the first."""


def dense(x: Any) -> HostArray:
    """Return (N, D) features as an array, also if they are sparse."""
    return np.asarray(x.toarray() if sparse.issparse(x) else x)


def sample_weights(given: Any, samples: int) -> HostArray | None:
    """Return the weight of every sample, (N,) float64.

    Raises
    ------
    ValueError
        Their shape does not fit, or one is negative or not finite.
    """
    if given is None:
        return None
    weights = np.asarray(given, "float64")
    if weights.ndim == 0:
        weights = np.full(samples, weights)
    if weights.shape != (samples,):
        raise ValueError(f"sample_weight has shape {weights.shape}: use ({samples},), a number for each sample")
    wrong = np.flatnonzero(~(np.isfinite(weights) & (weights >= 0)))
    if len(wrong):
        raise ValueError(f"sample_weight[{wrong[0]}] is {weights[wrong[0]]}: use finite numbers, 0 or more")
    return weights


def rows_of(samples: Samples, rows: HostArray) -> Samples:
    """Return those samples."""
    weights = None if samples.weights is None else samples.weights[rows]
    return replace(samples, x=samples.x[rows], y=samples.y[rows], weights=weights)


def without_weightless(samples: Samples) -> Samples:
    """Return the samples without those of weight 0, which would take places in minibatches.

    Raises
    ------
    ValueError
        None is left.
    """
    if samples.weights is None or samples.weights.all():
        return samples
    if not samples.weights.any():
        raise ValueError("sample_weight, with class_weight, is zero for all samples: use a positive number for some")
    return rows_of(samples, np.flatnonzero(samples.weights))


def logits_of(
    architecture: Architecture, weights: list[HostArray], biases: list[HostArray], x: HostArray, backend: Backend
) -> HostArray:
    """Return the logits of a fitted network, (N, C) in the dtype of its weights.

    Parameters
    ----------
    weights : list of (fan_in, fan_out) arrays
    biases : list of (fan_out,) arrays
    x : (N, D) array
    """
    network = Network(architecture, backend)
    parameters = host_parameters(weights, biases).to_device(backend)
    dtype = weights[0].dtype
    rows_at_once = max(1, PREDICTION_BYTES // (max(max(layer) for layer in architecture.layers) * dtype.itemsize))
    pieces = [
        backend.to_host(network.forward(parameters, backend.to_device(x[start : start + rows_at_once], dtype)).logits)
        for start in range(0, len(x), rows_at_once)
    ]
    return np.asarray(np.concatenate(pieces, axis=1)[0])
