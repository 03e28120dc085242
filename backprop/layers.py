r"""What goes on in the layers while a stack trains: how large weights and gradients are, and which units are dead.

Layers are counted from 1; the last is the output. Of each trial, at some of its epochs, with its weights after them:

* ``layer/1/weight_norm``: Frobenius norm of W_k, `sqrt(sum W^2)`.
* ``layer/1/dead_share``, of hidden layers: the part of a layer's units that are dead on a few validation rows, the
  same every time. A unit is dead where its local derivative `dh/dz` is under `DEAD_SLOPE` of the largest that its
  activation has on **every** one of the rows, so that they send no gradient through it: a relu that never fires (Lu,
  Shin, Su and Karniadakis, Dying ReLU and initialization, 2020), a sigmoid or tanh that is saturated on all rows, at
  either end (Glorot and Bengio, Understanding the difficulty of training deep feedforward neural networks, 2010,
  section 3). The units of an identity or a leaky relu are never dead, and a softmax has no units of its own.
* ``layer/1/gradient_norm``: Frobenius norm of `dL/dW_k`, where L is the mean loss of a few training rows, the same
  every time, without dropout, smoothed labels and penalties.

They are computed beside the training, by the plain stages of `network`, and change no bit of it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from backprop.activations import Elementwise
from backprop.backend import Array, HostArray
from backprop.network import Network, Parameters
from backprop.padding import unit_masks
from backprop.ranges import check_count
from backprop.samples import Samples

DEAD_SLOPE = 0.005
"""Part of the largest local derivative below which a unit passes nothing on: |z| > 3.3 of a tanh, 6.7 of a sigmoid."""

LARGEST_SLOPE = {"sigmoid": 0.25}
"""Largest local derivative of an activation, where it is not about 1."""

PIECE_BYTES = 4 * 2**20
"""Largest array of a layer's units, in bytes: what is done at a time stays near the caches."""


@dataclass(frozen=True)
class LayerWatch:
    """What is measured of the layers, and how often.

    Attributes
    ----------
    gradients : bool
        Whether the norms of the gradients are, which takes a backward pass.
    epochs : int
        At how many epochs of a trial, evenly from its first to its last. One more, where it ends before.
    rows : int
        Most rows that units and gradients are measured on, evenly from all there are.

    Raises
    ------
    ValueError
        A number is not at least 1.
    """

    gradients: bool = False
    epochs: int = 10
    rows: int = 64

    def __post_init__(self) -> None:
        check_count("epochs", self.epochs)
        check_count("rows", self.rows)

    def is_due(self, epoch: int, planned: int) -> bool:
        """Return whether an epoch, counted from 1, is one of those of a trial that is planned to have so many."""
        return epoch in watched_epochs(planned, self.epochs)


@lru_cache(maxsize=1024)
def watched_epochs(planned: int, most: int) -> frozenset[int]:
    """Return at most so many epochs from 1 to the last, both included if there may be two, evenly."""
    count = min(planned, most)
    return frozenset({planned} if count == 1 else {1 + k * (planned - 1) // (count - 1) for k in range(count)})


def measure_layers(
    network: Network,
    parameters: Parameters,
    hidden: Sequence[tuple[int, ...]],
    training: Samples,
    validation: Samples | None,
    watch: LayerWatch,
) -> dict[str, HostArray]:
    """Return the numbers of every layer of T trials, each (T,) float64 in host memory.

    Parameters
    ----------
    parameters : Parameters
        In the backend's memory, as the samples.
    hidden : sequence of tuple of int
        Own widths of every trial: padded units do not count.
    validation : Samples or None
        Without them units are measured on training rows.
    """
    pieces = [
        _measure(network, piece, widths, training, validation, watch)
        for piece, widths in _in_pieces(network, parameters, hidden, watch.rows)
    ]
    fetched = [network.backend.fetch(measured) for measured in pieces]
    return {name: np.concatenate([measured[name] for measured in fetched]) for name in fetched[0]}


def _in_pieces(
    network: Network, parameters: Parameters, hidden: Sequence[tuple[int, ...]], rows: int
) -> Iterator[tuple[Parameters, Sequence[tuple[int, ...]]]]:
    widest = max(fan_out for _, fan_out in network.architecture.layers)
    trials = max(1, PIECE_BYTES // (rows * widest * parameters.biases[0].dtype.itemsize))
    for start in range(0, len(hidden), trials):
        here = slice(start, start + trials)
        piece = Parameters([w[here] for w in parameters.weights], [b[here] for b in parameters.biases])
        yield piece, hidden[here]


def _measure(
    network: Network,
    parameters: Parameters,
    hidden: Sequence[tuple[int, ...]],
    training: Samples,
    validation: Samples | None,
    watch: LayerWatch,
) -> dict[str, Array]:
    dtype = parameters.biases[0].dtype
    masks = unit_masks(network.backend, hidden, network.architecture.hidden, dtype)
    measured = {f"layer/{k}/weight_norm": _norm(network, w) for k, w in enumerate(parameters.weights, start=1)}
    if hidden[0]:
        measured |= _dead_shares(network, parameters, hidden, masks, validation or training, watch)
    if watch.gradients:
        x, y, weights = _probe_of(network, training, watch.rows, dtype)
        _, gradients = network.gradients(parameters, x, y, weights=weights, masks=masks)
        measured |= {f"layer/{k}/gradient_norm": _norm(network, g) for k, g in enumerate(gradients.weights, start=1)}
    return measured


def _dead_shares(
    network: Network,
    parameters: Parameters,
    hidden: Sequence[tuple[int, ...]],
    masks: Sequence[Array] | None,
    samples: Samples,
    watch: LayerWatch,
) -> dict[str, Array]:
    backend = network.backend
    xp = backend.xp
    x, _, _ = _probe_of(network, samples, watch.rows, parameters.biases[0].dtype)
    trace = network.forward(parameters, x, masks)
    shares = {}
    for k, (sigma, z, a) in enumerate(zip(network.sigmas, trace.z, trace.a, strict=False)):
        if not isinstance(sigma, Elementwise):
            continue
        slope = backend.chain(sigma, xp.ones_like(a), z, a)
        alive = (xp.abs(slope) >= DEAD_SLOPE * LARGEST_SLOPE.get(sigma.name, 1.0)).any(axis=1)
        if masks is not None:
            alive = alive & (masks[k][:, 0] > 0)
        units = backend.to_device(np.array([own[k] for own in hidden], "float64"))
        # Of a network that diverged nothing is said.
        unknown = xp.where(xp.isfinite(z).all(axis=(1, 2)), 0.0, np.nan)
        shares[f"layer/{k + 1}/dead_share"] = 1 - alive.sum(axis=1, dtype="float64") / units + unknown
    return shares


def _probe_of(network: Network, samples: Samples, most: int, dtype: np.dtype) -> tuple[Array, Array, Array | None]:
    """Return at most so many rows as gathered, evenly from all: rows may lie in the order of their classes."""
    count = min(most, len(samples))
    step = len(samples) // count
    rows = slice(0, count * step, step)
    backend = network.backend
    x = backend.gather(samples.x, rows, dtype, shift=samples.shift, scale=samples.scale)
    y = backend.gather(samples.y, rows, dtype)
    return x, y, None if samples.weights is None else samples.weights[rows]


def _norm(network: Network, values: Array) -> Array:
    """Return the Frobenius norms of (T, rows, columns), (T,) float64."""
    return network.backend.xp.sqrt((values * values).sum(axis=(1, 2), dtype="float64"))
