"""The products of an affine stage, in loops that keep a tile of the result in registers.

    z = h W + b          mode AFFINE
    dh = delta W^T       mode SET
    W := W - h^T delta   mode DESCEND; the gradient alone is mode SET

A tile is `TILE_ROWS` rows by `ROW` columns of the result. For each of the inner places it loads one row of the right
factor and spreads one number a row of the left one: eight products for six loads, and no memory is written
before a tile is done. The right factor is copied a panel at a time, `PANEL_ROWS` by `ROW`, so that it lies without
gaps in the first cache while all rows of the left one pass by. (Goto and van de Geijn, Anatomy of high-performance
matrix multiplication, 2008, section 4, with the roles of the factors exchanged.) With 32 vector registers a tile is
twice as wide (`WIDE_TILES`): every element's sum is taken in the same order, so the numbers are the same.

Matrices are pointers to their first element. Element (i, k) of the left factor is at `a[i a_row + k a_column]`, so a
transposed one needs no copy; the rows of the right factor and of the result are contiguous and padded with zeros to a
multiple of `ROW`.
"""

import numpy as np
from llvmlite.binding import get_host_cpu_features
from numba.extending import register_jitable

from backprop.compiled.compiling import inlined, part
from backprop.compiled.lanes import LANES, add_product, further, load, minus, number, plus, spread, store, total, zeros

ROW = 2 * LANES
"""Columns of a tile: rows of every matrix are padded to a multiple of it."""

TILE_ROWS = 4
"""Rows of a tile."""

SET, AFFINE, ADD, DESCEND = np.arange(4)
"""What becomes of the result: it is the product, that plus a row of biases, or has it added or taken off."""

UNIT = np.int64(1)
"""From an element to the next of its row. It and the modes are typed, since Numba compiles anew for every bare one."""

WIDTH = np.int64(ROW)

WIDE_TILES = bool(get_host_cpu_features().get("avx512vl"))
"""Whether two tiles side by side are computed as one where there are columns enough: 16 sums and 5 factors stay in
registers only where there are 32 of them. With 4 + 4 loads for 16 products and half as many steps through a list of
places it took a tenth off a training of 784-128-10 at 512, and a twentieth at 64."""

UNPACKED = 4096
"""Numbers of a right factor that lies in the first cache as it is: 16 KiB of float32."""

PANEL_ROWS = 256
"""Rows of a panel: with `ROW` columns of float32 it takes half of a first cache of 32 KiB. Half as many were no faster
with twice the columns."""

PANEL_SIZE = PANEL_ROWS * 2 * ROW
"""Elements of scratch for a panel."""


@register_jitable
def padded(columns):
    """Return a number of columns, an int, rounded up to whole tiles. For Python and for compiled code."""
    return -(-columns // ROW) * ROW


@register_jitable
def panels_of(inner):
    """Return how many panels an inner dimension, an int, takes. For Python and for compiled code."""
    return -(-inner // PANEL_ROWS)


@part
def product(a, a_row, a_column, b, b_row, c, c_row, bias, rows, columns, inner, mode, panel):
    """Compute `rows` by `columns` of a result, as `mode` says. Columns are filled up to whole tiles.

    Parameters
    ----------
    bias : pointer
        The row of biases for mode `AFFINE`; not looked at for others.
    panel : pointer
        PANEL_SIZE elements of scratch.
    """
    whole = rows - rows % TILE_ROWS
    for k in range(0, inner, PANEL_ROWS):
        deep = min(PANEL_ROWS, inner - k)
        then = mode if k == 0 or mode == DESCEND else ADD
        left = further(a, k * a_column)
        # A factor that is not packed has no columns side by side for two tiles.
        is_packed = inner * b_row > UNPACKED
        wide = columns - columns % (2 * ROW) if WIDE_TILES and is_packed else 0
        for j in range(0, wide, 2 * ROW):
            _pack(further(b, k * b_row + j), b_row, panel, deep, 2 * WIDTH)
            for i in range(0, whole, TILE_ROWS):
                _wide_tile(
                    further(left, i * a_row), a_row, a_column, panel, further(c, i * c_row + j), c_row,
                    further(bias, j), deep, then, c, False,
                )  # fmt: skip
            _wide_rows(left, a_row, a_column, panel, further(c, j), c_row, further(bias, j), whole, rows, deep, then)
        for j in range(wide, columns, ROW):
            right, right_row = further(b, k * b_row + j), b_row
            if is_packed:
                _pack(right, b_row, panel, deep, WIDTH)
                right, right_row = panel, WIDTH
            _column_of_tiles(
                left, a_row, a_column, right, right_row, further(c, j), c_row, further(bias, j), rows, deep, then
            )  # fmt: skip


@part
def sparse_product(
    a, a_row, a_column, places, counts, most, b, b_row, c, c_row, bias, rows, columns, inner, mode, panel
):  # fmt: skip
    """Compute what `product` does, without the places where all of a tile's rows of the left factor are 0.

    Parameters
    ----------
    places : pointer to int32
        For every `TILE_ROWS` rows, `most` entries: the inner places that count, those of a panel from its first row on.
    counts : pointer to int32
        How many there are, for every `TILE_ROWS` rows and every panel of `most` places.
    """
    panels = panels_of(most)
    whole = rows - rows % TILE_ROWS
    for k in range(0, inner, PANEL_ROWS):
        deep = min(PANEL_ROWS, inner - k)
        then = mode if k == 0 or mode == DESCEND else ADD
        left = further(a, k * a_column)
        wide = columns - columns % (2 * ROW) if WIDE_TILES else 0
        for j in range(0, wide, 2 * ROW):
            _pack(further(b, k * b_row + j), b_row, panel, deep, 2 * WIDTH)
            for i in range(0, whole, TILE_ROWS):
                group = i // TILE_ROWS
                _wide_tile(
                    further(left, i * a_row), a_row, a_column, panel, further(c, i * c_row + j), c_row,
                    further(bias, j), counts[group * panels + k // PANEL_ROWS], then, further(places, group * most + k),
                    True,
                )  # fmt: skip
            _wide_rows(left, a_row, a_column, panel, further(c, j), c_row, further(bias, j), whole, rows, deep, then)
        for j in range(wide, columns, ROW):
            _pack(further(b, k * b_row + j), b_row, panel, deep, WIDTH)
            for i in range(0, whole, TILE_ROWS):
                group = i // TILE_ROWS
                _tile(
                    further(left, i * a_row), a_row, a_column, panel, WIDTH, further(c, i * c_row + j), c_row,
                    further(bias, j), counts[group * panels + k // PANEL_ROWS], then, further(places, group * most + k),
                    True,
                )  # fmt: skip
            for i in range(whole, rows):
                _tile_row(
                    further(left, i * a_row), a_column, panel, WIDTH, further(c, i * c_row + j), further(bias, j), deep,
                    then,
                )  # fmt: skip


@part
def product_with_transposed(a, a_row, b, b_row, c, c_row, rows, columns, inner, panel):
    """Compute `c = a b^T`, `rows` by `columns`, with b stored as `columns` rows of at least `inner`."""
    for k in range(0, inner, PANEL_ROWS):
        deep = min(PANEL_ROWS, inner - k)
        for j in range(0, columns, ROW):
            _pack_transposed(further(b, j * b_row + k), b_row, panel, deep, min(ROW, columns - j))
            _column_of_tiles(
                further(a, k), a_row, UNIT, panel, WIDTH, further(c, j), c_row, c, rows, deep, SET if k == 0 else ADD
            )  # fmt: skip


@part
def row_product_with_transposed(a, b, b_row, c, columns, inner):
    """Compute `c = a b^T` of one row, and zeros up to a whole tile; a and the rows of b are padded with zeros."""
    for j in range(columns):
        row = further(b, j * b_row)
        sums = zeros(c)
        for k in range(0, inner, LANES):
            sums = add_product(load(a, k), load(row, k), sums)
        c[j] = total(sums)
    for j in range(columns, padded(columns)):
        c[j] = number(c, 0)


@part
def row_product(a, b, b_row, c, bias, columns, inner, mode):
    """Compute a result of one row: no panel would be read twice, so none is made."""
    for j in range(0, columns, ROW):
        _tile_row(a, UNIT, further(b, j), b_row, further(c, j), further(bias, j), inner, mode)


@part
def _column_of_tiles(a, a_row, a_column, b, b_row, c, c_row, bias, rows, inner, mode):
    whole = rows - rows % TILE_ROWS
    for i in range(0, whole, TILE_ROWS):
        _tile(
            further(a, i * a_row), a_row, a_column, b, b_row, further(c, i * c_row), c_row, bias, inner, mode, c, False
        )  # fmt: skip
    for i in range(whole, rows):
        _tile_row(further(a, i * a_row), a_column, b, b_row, further(c, i * c_row), bias, inner, mode)


@inlined
def _tile(a, a_row, a_column, b, b_row, c, c_row, bias, inner, mode, places, sparse):
    """Compute `TILE_ROWS` rows by `ROW` columns of a result; if `sparse`, from the first `inner` of `places` only."""
    if mode == AFFINE:
        left, right = load(bias, 0), load(bias, LANES)
    else:
        left, right = zeros(c), zeros(c)
    left0, left1, left2, left3 = left, left, left, left
    right0, right1, right2, right3 = right, right, right, right
    for n in range(inner):
        k = np.int64(places[n]) if sparse else n
        left, right = load(b, k * b_row), load(b, k * b_row + LANES)
        column = further(a, k * a_column)
        h = spread(column, 0)
        left0, right0 = add_product(h, left, left0), add_product(h, right, right0)
        h = spread(column, a_row)
        left1, right1 = add_product(h, left, left1), add_product(h, right, right1)
        h = spread(column, 2 * a_row)
        left2, right2 = add_product(h, left, left2), add_product(h, right, right2)
        h = spread(column, 3 * a_row)
        left3, right3 = add_product(h, left, left3), add_product(h, right, right3)
    _write(c, 0, left0, right0, mode)
    _write(c, c_row, left1, right1, mode)
    _write(c, 2 * c_row, left2, right2, mode)
    _write(c, 3 * c_row, left3, right3, mode)


@inlined
def _wide_tile(a, a_row, a_column, b, c, c_row, bias, inner, mode, places, sparse):
    """Compute `TILE_ROWS` rows by twice `ROW` columns of a result, as `_tile` does; the rows of b are as wide."""
    if mode == AFFINE:
        p, q, r, s = load(bias, 0), load(bias, LANES), load(bias, 2 * LANES), load(bias, 3 * LANES)
    else:
        p, q, r, s = zeros(c), zeros(c), zeros(c), zeros(c)
    p0, q0, r0, s0 = p, q, r, s
    p1, q1, r1, s1 = p, q, r, s
    p2, q2, r2, s2 = p, q, r, s
    p3, q3, r3, s3 = p, q, r, s
    for n in range(inner):
        k = np.int64(places[n]) if sparse else n
        at = k * (2 * ROW)
        p, q, r, s = load(b, at), load(b, at + LANES), load(b, at + 2 * LANES), load(b, at + 3 * LANES)
        column = further(a, k * a_column)
        h = spread(column, 0)
        p0, q0 = add_product(h, p, p0), add_product(h, q, q0)
        r0, s0 = add_product(h, r, r0), add_product(h, s, s0)
        h = spread(column, a_row)
        p1, q1 = add_product(h, p, p1), add_product(h, q, q1)
        r1, s1 = add_product(h, r, r1), add_product(h, s, s1)
        h = spread(column, 2 * a_row)
        p2, q2 = add_product(h, p, p2), add_product(h, q, q2)
        r2, s2 = add_product(h, r, r2), add_product(h, s, s2)
        h = spread(column, 3 * a_row)
        p3, q3 = add_product(h, p, p3), add_product(h, q, q3)
        r3, s3 = add_product(h, r, r3), add_product(h, s, s3)
    _write(c, 0, p0, q0, mode)
    _write(c, 0 + ROW, r0, s0, mode)
    _write(c, c_row, p1, q1, mode)
    _write(c, c_row + ROW, r1, s1, mode)
    _write(c, 2 * c_row, p2, q2, mode)
    _write(c, 2 * c_row + ROW, r2, s2, mode)
    _write(c, 3 * c_row, p3, q3, mode)
    _write(c, 3 * c_row + ROW, r3, s3, mode)


@inlined
def _tile_row(a, a_column, b, b_row, c, bias, inner, mode):
    """Compute a row of a tile. Two sums a lane, so that an addition need not wait for the one before."""
    if mode == AFFINE:
        left, right = load(bias, 0), load(bias, LANES)
    else:
        left, right = zeros(c), zeros(c)
    left_odd, right_odd = zeros(c), zeros(c)
    for _ in range(inner // 2):
        h = spread(a, 0)
        left, right = add_product(h, load(b, 0), left), add_product(h, load(b, LANES), right)
        h = spread(a, a_column)
        left_odd = add_product(h, load(b, b_row), left_odd)
        right_odd = add_product(h, load(b, b_row + LANES), right_odd)
        a, b = further(a, 2 * a_column), further(b, 2 * b_row)
    if inner % 2:
        h = spread(a, 0)
        left, right = add_product(h, load(b, 0), left), add_product(h, load(b, LANES), right)
    _write(c, 0, plus(left, left_odd), plus(right, right_odd), mode)


@inlined
def _wide_rows(a, a_row, a_column, b, c, c_row, bias, start, rows, inner, mode):
    """Compute the rows that fill no wide tile, from `start` on."""
    for i in range(start, rows):
        for j in range(0, 2 * ROW, ROW):
            _tile_row(
                further(a, i * a_row), a_column, further(b, j), 2 * WIDTH, further(c, i * c_row + j), further(bias, j),
                inner, mode,
            )  # fmt: skip


@inlined
def _write(c, at, left, right, mode):
    if mode == ADD:
        left, right = plus(load(c, at), left), plus(load(c, at + LANES), right)
    if mode == DESCEND:
        left, right = minus(load(c, at), left), minus(load(c, at + LANES), right)
    store(c, at, left)
    store(c, at + LANES, right)


@part
def sum_rows(delta, row, out, rows, columns, mode):
    """Compute the sum of the rows of delta: the gradient of biases, or with mode `DESCEND` their update."""
    for j in range(0, columns, ROW):
        left, right = zeros(out), zeros(out)
        for i in range(rows):
            left, right = plus(left, load(delta, i * row + j)), plus(right, load(delta, i * row + j + LANES))
        _write(out, j, left, right, mode)


@inlined
def _pack(b, b_row, panel, deep, columns):
    for k in range(deep):
        for j in range(0, columns, LANES):
            store(panel, k * columns + j, load(b, k * b_row + j))


@inlined
def _pack_transposed(b, b_row, panel, deep, have):
    for k in range(deep):
        for j in range(have):
            panel[k * ROW + j] = b[j * b_row + k]
        for j in range(have, ROW):
            panel[k * ROW + j] = number(panel, 0)
