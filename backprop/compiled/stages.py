"""The stages between the products: activations, output stage and dropout of one trial, on rows of a minibatch.

The formulas are those of `activations.py`, `losses.py` and `dropout.py`; here they run on stretches of
one-dimensional arrays. A derivative is taken from `a = sigma(z)` alone or from z alone, so that one array is
enough for both: `KEEPS_Z` says which activations need z.
"""

import math

import numpy as np

from backprop.activations import LEAKY_RELU_SLOPE
from backprop.compiled.compiling import inlined, part
from backprop.compiled.elementary import exp, tanh
from backprop.compiled.lanes import (
    LANES,
    add_product,
    every,
    further,
    larger,
    largest,
    load,
    minus,
    number,
    plus,
    store,
    total,
    zeros,
)
from backprop.randomness import ELEMENT

IDENTITY, SIGMOID, TANH, RELU, LEAKY_RELU, ELU, SOFTPLUS, GELU, SILU, SOFTMAX = range(10)

ACTIVATION_CODES = {
    "identity": IDENTITY,
    "sigmoid": SIGMOID,
    "tanh": TANH,
    "relu": RELU,
    "leaky_relu": LEAKY_RELU,
    "elu": ELU,
    "softplus": SOFTPLUS,
    "gelu": GELU,
    "silu": SILU,
}
"""The elementwise activations that are compiled."""

FAR_BELOW = -(2.0**100)
"""Added to what is no logit; far above the least number, so that no difference from a logit overflows."""

KEEPS_Z = (GELU, SILU)
"""Activations whose derivative is taken from z; that of the others is taken from a."""

CROSS_ENTROPY, BINARY_CROSS_ENTROPY, MSE, MAE, HUBER = range(5)

LOSS_CODES = {
    "cross_entropy": CROSS_ENTROPY,
    "binary_cross_entropy": BINARY_CROSS_ENTROPY,
    "mse": MSE,
    "mae": MAE,
    "huber": HUBER,
}


@part
def activate(sigma, z, a, count):
    """Write `a = sigma(z)` of `count` units; a may be z itself."""
    zero, half = number(z, 0), number(z, 0.5)
    if sigma == RELU:
        for i in range(count):
            a[i] = zero if z[i] < zero else z[i]
    elif sigma == TANH:
        for i in range(count):
            a[i] = tanh(z[i])
    elif sigma == SIGMOID:
        for i in range(count):
            a[i] = half * tanh(half * z[i]) + half
    elif sigma == LEAKY_RELU:
        slope = number(z, LEAKY_RELU_SLOPE)
        for i in range(count):
            a[i] = slope * z[i] if z[i] < zero else z[i]
    elif sigma == ELU:
        for i in range(count):
            a[i] = number(z, math.expm1(z[i])) if z[i] < zero else z[i]
    elif sigma == SOFTPLUS:
        for i in range(count):
            a[i] = (zero if z[i] < zero else z[i]) + number(z, math.log1p(math.exp(-abs(z[i]))))
    elif sigma == GELU:
        for i in range(count):
            a[i] = z[i] * _normal_distribution(z, z[i])
    elif sigma == SILU:
        for i in range(count):
            a[i] = z[i] * (half * tanh(half * z[i]) + half)
    else:
        for i in range(count):
            a[i] = z[i]


@part
def chain(sigma, delta, kept, count):
    """Multiply delta of `count` units in place by the local derivative, from z or a, as `KEEPS_Z` says."""
    zero, half, one = number(delta, 0), number(delta, 0.5), number(delta, 1)
    if sigma == RELU:
        for i in range(count):
            delta[i] = delta[i] if kept[i] > zero else zero
    elif sigma == TANH:
        for i in range(count):
            delta[i] *= one - kept[i] * kept[i]
    elif sigma == SIGMOID:
        for i in range(count):
            delta[i] *= kept[i] * (one - kept[i])
    elif sigma == LEAKY_RELU:
        slope = number(kept, LEAKY_RELU_SLOPE)
        for i in range(count):
            delta[i] *= one if kept[i] > zero else slope
    elif sigma == ELU:
        for i in range(count):
            delta[i] *= one if kept[i] > zero else one + kept[i]
    elif sigma == SOFTPLUS:
        for i in range(count):
            delta[i] *= -number(kept, math.expm1(-kept[i]))
    elif sigma == GELU:
        density = number(kept, 1 / math.sqrt(2 * math.pi))
        for i in range(count):
            z = kept[i]
            delta[i] *= _normal_distribution(kept, z) + z * exp(-half * z * z) * density
    elif sigma == SILU:
        for i in range(count):
            z = kept[i]
            s = half * tanh(half * z) + half
            delta[i] *= s + z * s * (one - s)


@inlined
def _normal_distribution(kept, z):
    return number(kept, 0.5) * (number(kept, 1) + number(kept, math.erf(z * number(kept, math.sqrt(0.5)))))


@part
def softmax(z, a, count):
    """Write the softmax of `count` logits to a."""
    largest, total = z[0], number(z, 0)
    for c in range(1, count):
        largest = largest if z[c] <= largest else z[c]
    for c in range(count):
        a[c] = exp(z[c] - largest)
        total += a[c]
    for c in range(count):
        a[c] /= total


@part
def softmax_cross_entropy(z, y, rows, classes, row, keep, lift, scale, weights, weighted, delta, is_class):
    """Write `scale (softmax(z) - y)` to delta, and return the sum of the rows' `log sum_j e^{z_j} - sum_l y_l z_l`.

    Parameters
    ----------
    y : pointer
        Targets, with zeros where there are no classes. They count as `keep y + lift`, which smooths labels.
    row : int
        Columns of z, y and delta, a multiple of `LANES`, of which the first `classes` count. z and y have 0 in the
        others, and delta gets it.
    weights, weighted : pointer, bool
        Of the rows, and whether they are looked at.
    is_class : pointer
        Scratch, (row,).
    """
    one, far, near = number(z, 1), every(number(z, FAR_BELOW)), every(number(z, -FAR_BELOW))
    total_loss = 0.0
    for c in range(row):
        is_class[c] = one if c < classes else number(z, 0)
    for i in range(rows):
        at = i * row
        # Columns that are none of the classes go far below them: never the largest, and their exponential is nothing.
        top = plus(load(z, at), add_product(near, load(is_class, 0), far))
        for c in range(LANES, row, LANES):
            top = larger(top, plus(load(z, at + c), add_product(near, load(is_class, c), far)))
        top = largest(top)
        # The logits are not needed any more: their place keeps the shifted ones.
        for c in range(0, row, LANES):
            store(z, at + c, minus(plus(load(z, at + c), add_product(near, load(is_class, c), far)), top))
    for i in range(rows * row):
        delta[i] = exp(z[i])
    keeps, lifts = every(keep), every(lift)
    for i in range(rows):
        at = i * row
        sums, products = zeros(z), zeros(z)
        for c in range(0, row, LANES):
            counts = load(is_class, c)
            sums = add_product(counts, load(delta, at + c), sums)
            wanted = add_product(keeps, load(y, at + c), add_product(lifts, counts, zeros(z)))
            products = add_product(wanted, load(z, at + c), products)
        sum_of_all = total(sums)
        weight = weights[i] if weighted else one
        part, pull = every(scale * weight / sum_of_all), every(-scale * weight)
        for c in range(0, row, LANES):
            counts = load(is_class, c)
            wanted = add_product(keeps, load(y, at + c), add_product(lifts, counts, zeros(z)))
            exponentials = add_product(counts, load(delta, at + c), zeros(z))
            store(delta, at + c, add_product(part, exponentials, add_product(pull, wanted, zeros(z))))
        total_loss += weight * (number(z, math.log(sum_of_all)) - total(products))
    return total_loss


@part
def elementwise_loss(loss, phi, z, y, rows, outputs, row, keep, lift, scale, weights, weighted, delta, yhat):
    """Write `scale dL/dz` to delta, and return the sum of the rows' losses, for a loss of each output alone.

    Parameters
    ----------
    yhat : pointer
        Scratch, (row,).
    """
    zero, half, one, two = number(z, 0), number(z, 0.5), number(z, 1), number(z, 2)
    total_loss = 0.0
    for i in range(rows):
        logits, slope, target = further(z, i * row), further(delta, i * row), further(y, i * row)
        weight = weights[i] if weighted else one
        sample = zero
        if loss in (BINARY_CROSS_ENTROPY, CROSS_ENTROPY):
            for c in range(outputs):
                logit, wanted = logits[c], keep * target[c] + lift
                e = number(z, math.exp(-abs(logit)))
                tail = number(z, math.log1p(e))
                if loss == BINARY_CROSS_ENTROPY:
                    sample += (zero if logit < zero else logit) - logit * wanted + tail
                    slope[c] = ((one if logit > zero else e) - wanted - wanted * e) / (one + e)
                else:
                    sample += wanted * ((-logit if logit < zero else zero) + tail)
                    slope[c] = -wanted * (e if logit > zero else one) / (one + e)
        else:
            activate(phi, logits, yhat, outputs)
            for c in range(outputs):
                residual = yhat[c] - target[c]
                if loss == MSE:
                    sample += residual * residual
                    slope[c] = two * residual
                elif loss == MAE:
                    sample += abs(residual)
                    slope[c] = residual if residual == zero else (one if residual > zero else -one)
                else:
                    clipped = -one if residual < -one else (one if residual > one else residual)
                    sample += clipped * (residual - half * clipped)
                    slope[c] = clipped
            chain(phi, slope, logits if phi in KEEPS_Z else yhat, outputs)
        for c in range(outputs):
            slope[c] *= scale * weight
        for c in range(outputs, row):
            slope[c] = zero
        total_loss += weight * sample
    return total_loss


@part
def drop(key, offset, threshold, scale, h, mask, rows, first, units, row):
    """Write `mask` and `h := mask h` for rows of a minibatch, from `first` on; see `dropout.py` and `randomness.py`.

    Element k of a minibatch's (rows, units) masks is kept where the k-th number of 32 bits is at least `threshold`.
    """
    start = key + offset
    for i in range(rows):
        at = i * row
        k = (first + i) * units
        for j in range(units):
            word = start + np.uint64((k + j) // 2 + 1) * np.uint64(ELEMENT)
            word = (word ^ (word >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
            word = (word ^ (word >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
            word = word ^ (word >> np.uint64(31))
            bits = word >> np.uint64(32) if (k + j) % 2 else word & np.uint64(0xFFFFFFFF)
            mask[at + j] = scale if bits >= threshold else number(mask, 0)
            h[at + j] *= mask[at + j]
