r"""An epoch of trials, compiled: gather, forward, loss, backward and update, as `descent.py` has them.

Rows come in pieces. A piece is put in the order of the epoch once and then all trials train on it, one after another,
so a trial's weights stay in the cache and what is done for the rows is done once for all trials.

**Blocks.** A small minibatch makes the first layer slow: all of W1 is read and written for a few rows. With plain SGD
there is a way to read it once for a block of minibatches, and get the same numbers. W1 changes by
`W1 := W1 - x_i^T delta_i` and b1 by `- sum delta_i`, so in the block's j-th minibatch

    z_j = x_j W1 + b1 = (x_j W1_0 + b1_0) - sum_{i<j} (x_j x_i^T + 1) delta_i

with W1_0 and b1_0 as they were when the block began. The first term is one product for all of the block, the factors of
the second are small and the same for all trials, and after the block `W1 := W1_0 - x^T delta` is one product again.

**Teams.** Where there are more threads than trials, the threads of a team share a minibatch: each takes some of its
rows up to the deltas, and some rows of every weight matrix in the update, with a barrier before and after.
"""

from typing import Any, NamedTuple

import numpy as np

from backprop.compiled.compiling import entry, part, sources, spliced
from backprop.compiled.lanes import further, number, pointer
from backprop.compiled.pieces import find_in_columns, find_in_rows, gather, multiply_rows
from backprop.compiled.products import (
    AFFINE,
    DESCEND,
    SET,
    TILE_ROWS,
    UNIT,
    padded,
    panels_of,
    product,
    product_with_transposed,
    row_product,
    row_product_with_transposed,
    sparse_product,
    sum_rows,
)
from backprop.compiled.stages import (
    BINARY_CROSS_ENTROPY,
    CROSS_ENTROPY,
    KEEPS_Z,
    SOFTMAX,
    activate,
    chain,
    drop,
    elementwise_loss,
    softmax,
    softmax_cross_entropy,
)
from backprop.compiled.teams import wait_for_team
from backprop.compiled.updates import clip, penalise, update
from backprop.randomness import LAYER, STEP


class _Trial(NamedTuple):
    """What trains one trial, as numbers and pointers: parameters, memories, and its row of all that differs."""

    p: Any
    m: Any
    v: Any
    fan_in: Any
    fan_out: Any
    rate: float
    l2: float
    l1: float
    clip_norm: float
    keep: float
    lift: float
    numbers: Any
    key: int
    threshold: int
    scale: float


class _Shape(NamedTuple):
    """What all trials share, as numbers and pointers; named as in `Net`, `Rule` and `Scratch`."""

    inputs: int
    outputs: int
    layers: int
    row: Any
    w_at: Any
    b_at: Any
    units_at: Any
    sigma: Any
    phi: int
    loss: int
    plain: bool
    kind: int
    dropout: bool
    batch: int
    block: int


class _Desk(NamedTuple):
    """What a team writes on, as pointers; named as in `Scratch`."""

    x: Any
    y: Any
    weights: Any
    weighted: bool
    grams: Any
    z: Any
    h: Any
    apart: bool
    mask: Any
    delta: Any
    g: Any
    yhat: Any
    panel: Any
    sparse: bool
    flags: Any
    row_places: Any
    row_counts: Any
    column_places: Any
    column_counts: Any


class _Seat(NamedTuple):
    """Which member of which team works here."""

    me: Any
    members: Any
    barrier: Any
    give_way: Any


@spliced
def _train(net, rule, state, data, order, batch, done, scratch, trials, losses, me, members, barrier, give_way):
    """Train some trials for an epoch, as member number `me` of a team, and add their losses to `losses`, (members, T).

    Parameters
    ----------
    data : Data
    order : (N,) int64 array
    batch : int
        Rows of a minibatch.
    done : int
        Updates before.
    trials : (n,) int64 array
        Which.
    """
    piece, block = len(scratch.x), scratch.block
    seat = _Seat(me, members, pointer(barrier), give_way)
    shape, desk = _shape(net, rule, data, batch, block), _desk(scratch, data, me)
    for start in range(0, len(order), piece):
        rows = min(piece, len(order) - start)
        gather(data, pointer(order), start, rows, desk.x, desk.y, desk.weights, me, members)
        wait_for_team(seat.barrier, members, give_way)
        if block > batch:
            multiply_rows(desk.x, shape.inputs, rows, block, desk.grams, desk.panel)
        if desk.sparse:
            _find_in_rows(shape, desk, seat, rows)
            _find_in_columns(shape, desk, seat, rows)
            wait_for_team(seat.barrier, members, give_way)
        for t in trials:
            trial = _trial(net, rule, state, t)
            # Where a narrower trial has no parameters it has no gradients, and nobody writes them.
            if me == 0:
                scratch.g[:] = 0
            for at in range(0, rows, block):
                losses[me, t] += _train_block(
                    shape, trial, desk, seat, at, min(block, rows - at), done + (start + at) // batch
                )  # fmt: skip
        wait_for_team(seat.barrier, members, give_way)


@spliced
def _evaluate(net, rule, state, data, order, scratch, trials, losses, hits, squares):
    """Add up some trials' losses, hits and squared residuals over all samples.

    Parameters
    ----------
    data : Data
    order : (N,) int64 array
        Counts the samples.
    losses, hits : (T,) float64 arrays
        Hits are samples that are predicted right (`evaluation.py`), as their weights count.
    squares : (T, C) float64 array
        Of residuals, or (T, 0) where they are not asked for.
    """
    block = scratch.block
    shape, desk = _shape(net, rule, data, block, block), _desk(scratch, data, 0)
    # Typed, so that nothing is compiled again for a bare number.
    none, one, never = np.int64(0), np.int64(1), block < 1
    seat = _Seat(none, one, pointer(order), none)
    for start in range(0, len(order), block):
        rows = min(block, len(order) - start)
        gather(data, pointer(order), start, rows, desk.x, desk.y, desk.weights, none, one)
        if desk.sparse:
            _find_in_rows(shape, desk, seat, rows)
        for t in trials:
            trial = _trial(net, rule, state, t)
            _forward(shape, trial, desk, none, none, none, rows, never, none)
            z = further(desk.z, _at(shape, shape.layers - 1, 0, 0))
            if squares.shape[1]:
                _add_squares(shape, desk, z, rows, pointer(squares[t]))
            else:
                hits[t] += _hits(shape, desk, z, rows)
            # Last, as it writes over the logits.
            losses[t] += _output(shape, trial, desk, none, none, none, rows, one)


@spliced
def _shape(net, rule, data, batch, block):
    return _Shape(
        data.inputs, net.outputs, len(net.row), pointer(net.row), pointer(net.w_at), pointer(net.b_at),
        pointer(net.units_at), pointer(net.sigma), net.phi, net.loss, rule.plain, rule.kind, rule.dropout, batch, block,
    )  # fmt: skip


@spliced
def _desk(scratch, data, me):
    return _Desk(
        pointer(scratch.x), pointer(scratch.y), pointer(scratch.weights), data.weighted, pointer(scratch.grams),
        pointer(scratch.z), pointer(scratch.h), scratch.z.ctypes.data != scratch.h.ctypes.data, pointer(scratch.mask),
        pointer(scratch.delta), pointer(scratch.g), pointer(scratch.yhat[me]), pointer(scratch.panels[me]),
        scratch.sparse, pointer(scratch.flags[me]), pointer(scratch.row_places), pointer(scratch.row_counts),
        pointer(scratch.column_places), pointer(scratch.column_counts),
    )  # fmt: skip


@spliced
def _trial(net, rule, state, t):
    return _Trial(
        pointer(state.p[t]), pointer(state.m[t]), pointer(state.v[t]), pointer(net.fan_in[t]), pointer(net.fan_out[t]),
        rule.rate[t], rule.l2[t], rule.l1[t], rule.clip_norm[t], 1 - rule.smoothing[t], rule.lift[t],
        pointer(rule.numbers[t]), rule.keys[t], rule.thresholds[t], rule.scales[t],
    )  # fmt: skip


@part
def _find_in_rows(shape, desk, seat, rows):
    """List where rows of x are not 0: in every block, this member's share of its groups of rows."""
    block, inputs = shape.block, shape.inputs
    for at in range(0, rows, block):
        group = at // block * (block // TILE_ROWS)
        low, high = _share(min(block, rows - at) // TILE_ROWS, seat)
        find_in_rows(
            further(desk.x, at * inputs), inputs, low, high, desk.flags, further(desk.row_places, group * inputs),
            further(desk.row_counts, group * panels_of(inputs)),
        )  # fmt: skip


@part
def _find_in_columns(shape, desk, seat, rows):
    """List where columns of x are not 0: in every block, this member's share of its groups of columns."""
    block, inputs = shape.block, shape.inputs
    low, high = _share(inputs // TILE_ROWS, seat)
    for at in range(0, rows, block):
        group = at // block * (inputs // TILE_ROWS)
        find_in_columns(
            further(desk.x, at * inputs), inputs, low, high, min(block, rows - at), block,
            further(desk.column_places, group * block), further(desk.column_counts, group * panels_of(block)),
        )  # fmt: skip


@spliced
def _share(count, seat):
    """Return where this member's part of `count` things begins and ends."""
    return count * seat.me // seat.members, count * (seat.me + 1) // seat.members


@part
def _multiply_samples(shape, desk, at, first, rows, w, row, z, bias, columns):
    """Write `z = x W + b` of the first layer for some rows of a block; `first` is a whole number of tiles."""
    inputs = shape.inputs
    x = further(desk.x, (at + first) * inputs)
    if rows == 1:
        row_product(x, w, row, z, bias, columns, inputs, AFFINE)
    elif desk.sparse:
        group = at // shape.block * (shape.block // TILE_ROWS) + first // TILE_ROWS
        sparse_product(
            x, inputs, UNIT, further(desk.row_places, group * inputs),
            further(desk.row_counts, group * panels_of(inputs)), inputs, w, row, z, row, bias, rows, columns, inputs,
            AFFINE, desk.panel,
        )  # fmt: skip
    else:
        product(x, inputs, UNIT, w, row, z, row, bias, rows, columns, inputs, AFFINE, desk.panel)


@part
def _multiply_transposed_samples(shape, desk, at, low, high, rows, delta, row, w, columns, mode):
    """Write `x^T delta` of a block for the rows of W1 from `low` to `high`; `low` is a whole number of tiles."""
    inputs, block = shape.inputs, shape.block
    x = further(desk.x, at * inputs + low)
    if desk.sparse:
        group = at // block * (inputs // TILE_ROWS) + low // TILE_ROWS
        sparse_product(
            x, UNIT, inputs, further(desk.column_places, group * block),
            further(desk.column_counts, group * panels_of(block)), block, delta, row, w, row, w, high - low, columns,
            rows, mode, desk.panel,
        )  # fmt: skip
    else:
        product(x, UNIT, inputs, delta, row, w, row, w, high - low, columns, rows, mode, desk.panel)


@spliced
def _train_block(shape, trial, desk, seat, at, rows, done):
    """Update a trial from a block of minibatches that begins at row `at` of the piece; return this member's loss."""
    deferred, none = rows > shape.batch, np.int64(0)
    row = shape.row[0]
    w, b, columns = further(trial.p, shape.w_at[0]), further(trial.p, shape.b_at[0]), padded(trial.fan_out[0])
    if deferred:
        _multiply_samples(shape, desk, at, none, rows, w, row, desk.z, b, columns)
    loss = 0.0
    for first in range(0, rows, shape.batch):
        size = min(shape.batch, rows - first)
        loss += _step(shape, trial, desk, seat, at, first, size, deferred, done + first // shape.batch)
    if deferred:
        _multiply_transposed_samples(shape, desk, at, none, shape.inputs, rows, desk.delta, row, w, columns, DESCEND)
        sum_rows(desk.delta, row, b, rows, columns, DESCEND)
    return loss


@spliced
def _step(shape, trial, desk, seat, at, first, size, deferred, done):
    """Update a trial from a minibatch; return the sum of the losses of this member's rows."""
    # A member's rows, in whole tiles.
    each = -(-size // (TILE_ROWS * seat.members)) * TILE_ROWS
    low, high = min(size, seat.me * each), min(size, (seat.me + 1) * each)
    loss = 0.0
    if high > low:
        _forward(shape, trial, desk, at, first, low, high - low, deferred, done)
        loss = _output(shape, trial, desk, at, first, low, high - low, size)
        _backward(shape, trial, desk, first, low, high - low)
    wait_for_team(seat.barrier, seat.members, seat.give_way)
    _update(shape, trial, desk, seat, at, first, size, deferred)
    if not shape.plain:
        wait_for_team(seat.barrier, seat.members, seat.give_way)
        if seat.me == 0:
            _apply(shape, trial, desk, done + 1)
    wait_for_team(seat.barrier, seat.members, seat.give_way)
    return loss


@part
def _forward(shape, trial, desk, at, first, low, rows, deferred, done):
    """Run the stages on some rows of a minibatch, up to the logits."""
    for k in range(shape.layers):
        row, units, to = shape.row[k], trial.fan_out[k], _at(shape, k, first, low)
        z, columns = further(desk.z, to), padded(units)
        if k == 0 and deferred:
            gram_row = padded(shape.block)
            if first:
                grams = further(desk.grams, (at + first + low) * gram_row)
                product(
                    grams, gram_row, UNIT, desk.delta, row, z, row, z, rows, columns, first, DESCEND, desk.panel
                )  # fmt: skip
        else:
            w, b = further(trial.p, shape.w_at[k]), further(trial.p, shape.b_at[k])
            if k == 0:
                # Not in a block of several minibatches, so that `first` is 0.
                _multiply_samples(shape, desk, at, low, rows, w, row, z, b, columns)
            else:
                h, h_row = further(desk.h, _at(shape, k - 1, first, low)), shape.row[k - 1]
                if rows == 1:
                    row_product(h, w, row, z, b, columns, trial.fan_in[k], AFFINE)
                else:
                    product(h, h_row, UNIT, w, row, z, row, b, rows, columns, trial.fan_in[k], AFFINE, desk.panel)
        if k < shape.layers - 1:
            h = further(desk.h, to)
            _activate(shape.sigma[k], z, h, rows * row, desk.apart)
            if shape.dropout:
                offset = np.uint64(done) * np.uint64(STEP) + np.uint64(k) * np.uint64(LAYER)
                drop(
                    trial.key, offset, trial.threshold, number(z, trial.scale), h, further(desk.mask, to), rows, low,
                    units, row,
                )  # fmt: skip


@spliced
def _activate(sigma, z, h, count, apart):
    """Write `sigma(z)` to h, and over z unless its derivative needs z. Where they are not `apart` they are one."""
    activate(sigma, z, h, count)
    if apart and sigma not in KEEPS_Z:
        for i in range(count):
            z[i] = h[i]


@part
def _output(shape, trial, desk, at, first, low, rows, size):
    """Write delta of the last layer for some rows of a minibatch, and return the sum of their losses."""
    last = shape.layers - 1
    units, row, source = _at(shape, last, first, low), shape.row[last], at + first + low
    z, delta, y = further(desk.z, units), further(desk.delta, units), further(desk.y, source * row)
    keep, lift = number(z, trial.keep), number(z, trial.lift)
    scale = (number(z, trial.rate) if shape.plain else number(z, 1)) / number(z, size)
    weights = further(desk.weights, source)
    if shape.loss == CROSS_ENTROPY and shape.phi == SOFTMAX:
        return softmax_cross_entropy(
            z, y, rows, shape.outputs, row, keep, lift, scale, weights, desk.weighted, delta, desk.yhat
        )
    return elementwise_loss(
        shape.loss, shape.phi, z, y, rows, shape.outputs, row, keep, lift, scale, weights, desk.weighted, delta,
        desk.yhat,
    )  # fmt: skip


@part
def _backward(shape, trial, desk, first, low, rows):
    """Chain the local derivatives of some rows from the last delta to the first."""
    for k in range(shape.layers - 1, 0, -1):
        row, below, to = shape.row[k], shape.row[k - 1], _at(shape, k - 1, first, low)
        delta, dh = further(desk.delta, _at(shape, k, first, low)), further(desk.delta, to)
        w = further(trial.p, shape.w_at[k])
        if rows == 1:
            row_product_with_transposed(delta, w, row, dh, trial.fan_in[k], padded(trial.fan_out[k]))
        else:
            product_with_transposed(delta, row, w, row, dh, below, rows, trial.fan_in[k], trial.fan_out[k], desk.panel)
        if shape.dropout:
            mask = further(desk.mask, to)
            for i in range(rows * below):
                dh[i] *= mask[i]
        chain(shape.sigma[k - 1], dh, further(desk.z, to), rows * below)


@part
def _update(shape, trial, desk, seat, at, first, size, deferred):
    """Update this member's rows of every weight matrix, and the biases of some layers; or write their gradients."""
    out, mode = (trial.p, DESCEND) if shape.plain else (desk.g, SET)
    for k in range(1 if deferred else 0, shape.layers):
        row, fan_in, columns = shape.row[k], trial.fan_in[k], padded(trial.fan_out[k])
        delta = further(desk.delta, _at(shape, k, first, 0))
        each = -(-fan_in // (TILE_ROWS * seat.members)) * TILE_ROWS
        low, high = min(fan_in, seat.me * each), min(fan_in, (seat.me + 1) * each)
        w = further(out, shape.w_at[k] + low * row)
        if k == 0:
            _multiply_transposed_samples(shape, desk, at, low, high, size, delta, row, w, columns, mode)
        else:
            h, h_row = further(desk.h, _at(shape, k - 1, first, 0)), shape.row[k - 1]
            product(further(h, low), UNIT, h_row, delta, row, w, row, w, high - low, columns, size, mode, desk.panel)
        if k % seat.members == seat.me:
            sum_rows(delta, row, further(out, shape.b_at[k]), size, columns, mode)


@part
def _apply(shape, trial, desk, step):
    """Clip, penalise and let the optimiser update all of a trial."""
    end = shape.b_at[shape.layers - 1] + shape.row[shape.layers - 1]
    if trial.clip_norm < np.inf:
        clip(desk.g, end, trial.clip_norm)
    for k in range(shape.layers):
        start, stop = shape.w_at[k], shape.b_at[k]
        if trial.l2 or trial.l1:
            penalise(further(trial.p, start), further(desk.g, start), stop - start, trial.l2, trial.l1)
        for at, size, decays in ((start, stop - start, True), (stop, shape.row[k], False)):
            update(
                shape.kind, further(trial.p, at), further(desk.g, at), further(trial.m, at), further(trial.v, at), size,
                trial.rate, trial.numbers, step, decays,
            )  # fmt: skip


@spliced
def _at(shape, k, first, row):
    """Return where a minibatch's row of units of layer k is. Only the first layer's units stay for a whole block."""
    return shape.units_at[k] * shape.block + ((first if k == 0 else 0) + row) * shape.row[k]


@part
def _hits(shape, desk, z, rows):
    """Return how many rows are predicted right, as their weights count."""
    hits, outputs, row = 0.0, shape.outputs, shape.row[shape.layers - 1]
    labels = shape.loss == BINARY_CROSS_ENTROPY or outputs == 1
    for i in range(rows):
        logits, y = further(z, i * row), further(desk.y, i * row)
        right = True
        if labels:
            _value(shape.phi, logits, desk.yhat, outputs)
            for c in range(outputs):
                right &= (desk.yhat[c] > 0.5) == (y[c] > 0.5)
        else:
            right = _largest(logits, outputs) == _largest(y, outputs)
        if right:
            hits += desk.weights[i] if desk.weighted else 1.0
    return hits


@spliced
def _largest(values, count):
    """Return the place of the first of the largest; of the first NaN, as NumPy, if there is one."""
    best = 0
    for c in range(1, count):
        if values[c] > values[best] or (values[c] != values[c] and values[best] == values[best]):
            best = c
    return best


@part
def _add_squares(shape, desk, z, rows, squares):
    """Add the squared residuals of every output, as the weights of the rows count."""
    outputs, row = shape.outputs, shape.row[shape.layers - 1]
    for i in range(rows):
        y, weight = further(desk.y, i * row), desk.weights[i] if desk.weighted else number(z, 1)
        _value(shape.phi, further(z, i * row), desk.yhat, outputs)
        for c in range(outputs):
            residual = desk.yhat[c] - y[c]
            squares[c] += residual * residual * weight


@spliced
def _value(phi, z, yhat, count):
    """Write `phi(z)`."""
    if phi == SOFTMAX:
        softmax(z, yhat, count)
    else:
        activate(phi, z, yhat, count)


def _entries(sources):
    """Return the compiled functions that Python calls; `compiling.sources` says why they close over a digest."""

    @entry
    def train_epoch(
        net, rule, state, data, order, batch, done, scratch, trials, losses, me, members, barrier, give_way
    ):  # fmt: skip
        sources  # noqa: B018
        _train(net, rule, state, data, order, batch, done, scratch, trials, losses, me, members, barrier, give_way)

    @entry
    def evaluate_rows(net, rule, state, data, order, scratch, trials, losses, hits, squares):
        sources  # noqa: B018
        _evaluate(net, rule, state, data, order, scratch, trials, losses, hits, squares)

    return train_epoch, evaluate_rows


train_epoch, evaluate_rows = _entries(sources())
