"""Where a stack lies in one-dimensional arrays: the host's side of `epoch.py`."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from backprop.backend import HostArray
from backprop.compiled.products import PANEL_SIZE, TILE_ROWS, padded, panels_of
from backprop.compiled.stages import ACTIVATION_CODES, KEEPS_Z, LOSS_CODES, SOFTMAX
from backprop.compiled.updates import NUMBERS, OPTIMIZER_CODES
from backprop.losses import CrossEntropy
from backprop.network import Architecture, Parameters
from backprop.randomness import Stream, hash_keys
from backprop.samples import Samples
from backprop.stack import Trial

DENSE_FROM = 0.8
"""Part of the places that a tile may need before leaving out the others costs more than it saves."""

LEAST_INPUTS = 256
"""Fewest columns of x for which it is looked whether zeros can be left out."""

ZEROS_LOOKED_AT = 512
"""Rows that are looked at to know that."""

PIECE_BYTES = 2**21
"""Most bytes of a piece of the samples that trials train on in turn."""


class Net(NamedTuple):
    """Where everything of a network lies in one-dimensional arrays.

    Attributes
    ----------
    outputs : int
    fan_in, fan_out : (T, K) int64 arrays
        Own widths of every trial.
    row : (K,) int64 array
        Columns of each layer's matrices, of the widest trial and padded.
    w_at, b_at : (K,) int64 arrays
        In a trial's parameters.
    units_at : (K,) int64 array
        Where a layer's units begin in an array of units, for a block of one row; for more, that many times further.
    sigma : (K - 1,) int64 array
        Codes of the activations, as those of phi and loss in `stages.py`.
    phi, loss : int
    """

    outputs: int
    fan_in: HostArray
    fan_out: HostArray
    row: HostArray
    w_at: HostArray
    b_at: HostArray
    units_at: HostArray
    sigma: HostArray
    phi: int
    loss: int


class Rule(NamedTuple):
    """How trials are updated.

    Attributes
    ----------
    plain : bool
        Plain SGD: the learning rate goes into delta, and the product is the update.
    kind : int
        Code of the optimiser.
    rate, l2, l1, clip_norm, smoothing, lift : (T,) float64 arrays
    numbers : (T, 4) float64 array
    dropout : bool
    keys, thresholds, scales : (T,) uint64, uint64 and float64 arrays
        Of dropout.
    """

    plain: bool
    kind: int
    rate: HostArray
    l2: HostArray
    l1: HostArray
    clip_norm: HostArray
    smoothing: HostArray
    lift: HostArray
    numbers: HostArray
    dropout: bool
    keys: HostArray
    thresholds: HostArray
    scales: HostArray


class State(NamedTuple):
    """What trials are made of: (T, size) arrays, a row a trial. Memories that the optimiser lacks have no columns."""

    p: HostArray
    m: HostArray
    v: HostArray


class Data(NamedTuple):
    """Samples, as the addresses of contiguous arrays: so one compiled function takes arrays that may not be written.

    Attributes
    ----------
    x, y, weights : int
    bytes : bool
        x is of uint8; all else is of the stack's dtype.
    shift, scale : float
        What the network sees of x is `(x - shift) / scale`.
    weighted : bool
        Samples have weights.
    inputs, outputs : int
    """

    x: int
    bytes: bool
    shift: float
    scale: float
    y: int
    weights: int
    weighted: bool
    inputs: int
    outputs: int


class Scratch(NamedTuple):
    """What a team writes on.

    Attributes
    ----------
    x, y, weights : (P, D), (P, padded C) and (P,) arrays
        A piece of the samples.
    block : int
        Rows of a block.
    grams : array
        `x_j x_i^T + 1` of every block of a piece.
    z, h, mask, delta : one-dimensional arrays
        Of units.
    g : (size,) array
        A gradient.
    yhat : (members, row) array
    panels : (members, PANEL_SIZE) array
    sparse : bool
        Whether zeros of x are left out.
    flags : (members, D) uint8 array
    row_places, row_counts, column_places, column_counts : int32 arrays
        Where x is not 0 (`pieces.py`).
    """

    x: HostArray
    y: HostArray
    weights: HostArray
    block: int
    grams: HostArray
    z: HostArray
    h: HostArray
    mask: HostArray
    delta: HostArray
    g: HostArray
    yhat: HostArray
    panels: HostArray
    sparse: bool
    flags: HostArray
    row_places: HostArray
    row_counts: HostArray
    column_places: HostArray
    column_counts: HostArray


def layout(architecture: Architecture, own: Sequence[tuple[int, ...]]) -> tuple[Net, int]:
    """Return where everything of a network lies, and the size of a trial's parameters."""
    row = np.array([padded(fan_out) for _, fan_out in architecture.layers])
    fan_in = np.array([fan_in for fan_in, _ in architecture.layers])
    ends = np.cumsum((fan_in + 1) * row)
    b_at = ends - row
    layers = [replace(architecture, hidden=tuple(hidden)).layers for hidden in own]
    net = Net(
        outputs=architecture.outputs,
        fan_in=np.array([[fan_in for fan_in, _ in each] for each in layers]),
        fan_out=np.array([[fan_out for _, fan_out in each] for each in layers]),
        row=row,
        w_at=b_at - fan_in * row,
        b_at=b_at,
        units_at=np.cumsum(row) - row,
        sigma=np.array([ACTIVATION_CODES[name] for name in architecture.activations], np.int64),
        phi=ACTIVATION_CODES.get(architecture.output_activation, SOFTMAX),
        loss=LOSS_CODES[architecture.loss],
    )
    return net, int(ends[-1])


def rule_of(architecture: Architecture, trials: Sequence[Trial], *, plain: bool) -> Rule:
    """Return how trials are updated, all but their learning rates."""
    name = trials[0].optimizer.name
    outcomes = architecture.outputs if architecture.loss == CrossEntropy.name else 2
    numbers = np.zeros((len(trials), 4))
    for row, trial in zip(numbers, trials, strict=True):
        row[: len(NUMBERS[name])] = [getattr(trial.optimizer, number) for number in NUMBERS[name]]
    dropout = np.array([t.dropout for t in trials])
    return Rule(
        plain=plain,
        kind=OPTIMIZER_CODES[name],
        rate=np.zeros(len(trials)),
        l2=np.array([t.l2 for t in trials], "float64"),
        l1=np.array([t.l1 for t in trials], "float64"),
        clip_norm=np.array([np.inf if t.clip_norm is None else t.clip_norm for t in trials], "float64"),
        smoothing=np.array([t.label_smoothing for t in trials], "float64"),
        lift=np.array([t.label_smoothing / outcomes for t in trials], "float64"),
        numbers=numbers,
        dropout=bool(dropout.any()),
        keys=hash_keys([t.seed for t in trials], Stream.DROPOUT),
        thresholds=(dropout * 2**32).astype("uint64"),
        scales=1 / (1 - dropout),
    )


def copy_in(parameters: Parameters, flat: HostArray, net: Net) -> None:
    """Copy parameters to the rows of `flat`, (T, size)."""
    for held, place in _places(parameters, flat, net):
        place[...] = held


def copy_out(parameters: Parameters, flat: HostArray, net: Net) -> None:
    """Copy the rows of `flat`, (T, size), to parameters."""
    for held, place in _places(parameters, flat, net):
        held[...] = place


def _places(parameters: Parameters, flat: HostArray, net: Net) -> Iterator[tuple[HostArray, HostArray]]:
    """Yield every weight matrix and row of biases with a view of its place in `flat`."""
    for k, (w, b) in enumerate(zip(parameters.weights, parameters.biases, strict=True)):
        trials, fan_in, fan_out = w.shape
        yield w, flat[:, net.w_at[k] : net.b_at[k]].reshape(trials, fan_in, net.row[k])[..., :fan_out]
        yield b, flat[:, None, net.b_at[k] : net.b_at[k] + fan_out]


def new_scratch(
    net: Net,
    rule: Rule,
    samples: Samples,
    dtype: npt.DTypeLike,
    *,
    block: int,
    members: int,
    size: int,
    blocked: bool = False,
    sparse: bool = False,
) -> Scratch:
    """Allocate what a team writes on.

    Parameters
    ----------
    block, members, size : int
        Rows of a block, members of the team, and size of a trial's parameters.
    blocked : bool
        Blocks are of several minibatches.
    sparse : bool
        Leave out zeros of x.
    """
    inputs, outputs = samples.x.shape[1], samples.y.shape[1]
    dtype = np.dtype(dtype)
    blocks = max(1, min(PIECE_BYTES // (block * inputs * dtype.itemsize), -(-len(samples) // block)))
    z = np.zeros(block * int(net.row.sum()), dtype)
    own_h = rule.dropout or any(code in KEEPS_Z for code in net.sigma)
    return Scratch(
        x=np.empty((blocks * block, inputs), dtype),
        y=np.zeros((blocks * block, padded(outputs)), dtype),
        # Also where these samples have none: those of the next epoch may have.
        weights=np.empty(blocks * block, dtype),
        block=block,
        grams=np.empty(blocks * block * padded(block) if blocked else 0, dtype),
        z=z,
        h=np.zeros_like(z) if own_h else z,
        mask=np.zeros(z.size if rule.dropout else 0, dtype),
        delta=np.zeros_like(z),
        g=np.zeros(0 if rule.plain else size, dtype),
        yhat=np.empty((members, int(net.row[-1])), dtype),
        panels=np.empty((members, PANEL_SIZE), dtype),
        sparse=sparse,
        flags=np.empty((members, inputs), np.uint8),
        row_places=_integers(sparse * blocks * (block // TILE_ROWS) * inputs),
        row_counts=_integers(sparse * blocks * (block // TILE_ROWS) * panels_of(inputs)),
        column_places=_integers(sparse * blocks * (inputs // TILE_ROWS) * block),
        column_counts=_integers(sparse * blocks * (inputs // TILE_ROWS) * panels_of(block)),
    )


def _integers(count: int) -> HostArray:
    # One more, since a place is written before it is known to count.
    return np.empty(count + 1, np.int32)


def data_of(samples: Samples, dtype: npt.DTypeLike) -> tuple[Data, Samples]:
    """Return samples as addresses, and the samples that must be kept while those are used."""
    x = np.ascontiguousarray(samples.x, None if samples.x.dtype == np.uint8 else dtype)
    y = np.ascontiguousarray(samples.y, dtype)
    weights = None if samples.weights is None else np.ascontiguousarray(samples.weights, dtype)
    data = Data(
        x=x.ctypes.data,
        bytes=x.dtype == np.uint8,
        # Typed, so that nothing is compiled again for an integer.
        shift=float(samples.shift),
        scale=float(samples.scale),
        y=y.ctypes.data,
        weights=0 if weights is None else weights.ctypes.data,
        weighted=weights is not None,
        inputs=x.shape[1],
        outputs=y.shape[1],
    )
    return data, replace(samples, x=x, y=y, weights=weights)


def mostly_zeros(samples: Samples) -> bool:
    """Return whether leaving out zeros of x pays, from `ZEROS_LOOKED_AT` rows."""
    if samples.shift != 0:
        # A zero of x is none of what the network sees.
        return False
    x = samples.x[:: max(1, len(samples) // ZEROS_LOOKED_AT)]
    rows, columns = len(x) - len(x) % TILE_ROWS, x.shape[1] - x.shape[1] % TILE_ROWS
    if not rows or columns < LEAST_INPUTS:
        return False
    there = x[:rows, :columns] != 0
    in_rows = there.reshape(-1, TILE_ROWS, columns).any(axis=1).mean()
    in_columns = there.reshape(rows, -1, TILE_ROWS).any(axis=2).mean()
    return bool(in_rows + in_columns < 2 * DENSE_FROM)
