"""What is done once for a piece of the samples, before all trials train on it.

**Zeros.** Images and one-hot columns are mostly zeros, and a product with zero changes nothing. A tile of the first
layer's products covers `TILE_ROWS` rows of x, or as many columns of it in the update, and needs only the places where
one of them is not 0: those are listed here, and `products.sparse_product` goes through the lists.
"""

import numpy as np

from backprop.compiled.compiling import part
from backprop.compiled.lanes import byte_pointer_to, further, number, pointer_to
from backprop.compiled.products import PANEL_ROWS, TILE_ROWS, padded, panels_of, product_with_transposed


@part
def gather(data, order, start, rows, x, y, weights, me, members):
    """Copy some rows of the samples, in the order of the epoch, to x, y and weights; every members-th is this member's.

    Features are standardised in x, where a row of them lies in the first cache.

    Parameters
    ----------
    data : Data
    order : pointer to int64
    y : pointer
        Has padded rows; what fills them up stays as it is.
    """
    inputs, outputs, row = data.inputs, data.outputs, padded(data.outputs)
    shift, scale = number(x, data.shift), number(x, data.scale)
    standardised = data.shift != 0 or data.scale != 1
    for i in range(me, rows, members):
        source = order[start + i]
        to = further(x, i * inputs)
        if data.bytes:
            whole = further(byte_pointer_to(data.x), source * inputs)
            for j in range(inputs):
                to[j] = number(x, whole[j])
        else:
            real = further(pointer_to(data.x, x), source * inputs)
            for j in range(inputs):
                to[j] = real[j]
        if standardised:
            for j in range(inputs):
                to[j] = (to[j] - shift) / scale
        target = further(pointer_to(data.y, y), source * outputs)
        for j in range(outputs):
            y[i * row + j] = target[j]
        if data.weighted:
            weights[i] = pointer_to(data.weights, x)[source]


@part
def multiply_rows(x, inputs, rows, block, grams, panel):
    """Write `x_j x_i^T + 1` of every block of a piece, (block, block) with padded rows."""
    row = padded(block)
    for at in range(0, rows, block):
        count = min(block, rows - at)
        mine, gram = further(x, at * inputs), further(grams, at * row)
        product_with_transposed(mine, inputs, mine, inputs, gram, row, count, count, inputs, panel)
        for i in range(count * row):
            gram[i] += number(grams, 1)


@part
def find_in_rows(x, inputs, low, high, flags, places, counts):
    """List, for every `TILE_ROWS` rows of a block, the columns where one of them is not 0; for `sparse_product`.

    Parameters
    ----------
    low, high : int
        Groups of rows to look at, from the one to before the other.
    flags : pointer to uint8
        `inputs` of scratch.
    places, counts : pointers to int32
        `inputs` places a group of rows, and a count for each of its panels.
    """
    panels, zero = panels_of(inputs), number(x, 0)
    for group in range(low, high):
        first = further(x, group * TILE_ROWS * inputs)
        second, third, fourth = further(first, inputs), further(first, 2 * inputs), further(first, 3 * inputs)
        for k in range(inputs):
            flags[k] = (first[k] != zero) | (second[k] != zero) | (third[k] != zero) | (fourth[k] != zero)
        for panel in range(panels):
            start = panel * PANEL_ROWS
            mine, found = further(places, group * inputs + start), np.int64(0)
            for k in range(min(PANEL_ROWS, inputs - start)):
                # Written in any case, and written over if it does not count: no branch to guess.
                mine[found] = np.int32(k)
                found += flags[start + k]
            counts[group * panels + panel] = np.int32(found)


@part
def find_in_columns(x, inputs, low, high, rows, most, places, counts):
    """List, for every `TILE_ROWS` columns of x, the rows of a block where one of them is not 0; for `sparse_product`.

    Parameters
    ----------
    low, high : int
        Groups of columns to look at, from the one to before the other.
    most : int
        Rows that any block has.
    places, counts : pointers to int32
        `most` places a group of columns, and a count for each of its panels.
    """
    panels, zero = panels_of(most), number(x, 0)
    for i in range(low * panels, high * panels):
        counts[i] = np.int32(0)
    for row in range(rows):
        values, panel = further(x, row * inputs), row // PANEL_ROWS
        mine = further(places, panel * PANEL_ROWS)
        for group in range(low, high):
            k = group * TILE_ROWS
            flag = (values[k] != zero) | (values[k + 1] != zero) | (values[k + 2] != zero) | (values[k + 3] != zero)
            found = counts[group * panels + panel]
            mine[group * most + found] = np.int32(row - panel * PANEL_ROWS)
            counts[group * panels + panel] = np.int32(found + flag)
