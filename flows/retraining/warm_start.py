"""A champion's weights as the start of a trial on newer data, which may be scaled differently.

The two preparations of a column are affine maps of its value v, `x = (v - s) / c` then and `x' = (v - s') / c'` now,
so an old input is `x = a x' + b` with `a = c' / c` and `b = (s' - s) / c`. The first layer of the champion is

    z_1 = x W_1 + b_1 = x' diag(a) W_1 + (b_1 + b W_1)

and with diag(a) W_1 and b_1 + b W_1 for its weights and biases the network says of a row what it said before. Likewise
the outputs of a regression: `y S + M = y' S' + M'`, so `y' = y S/S' + (M - M')/S'`, and its output activation is the
identity. Only a gap may be taken for another value than before: what fills it was fitted to the older rows.
"""

from itertools import zip_longest

import numpy as np

from backprop import Parameters
from flows.data.encodings import DateEncoding, Encoding, NumericEncoding
from flows.data.preparation import Preparation


class NoWarmStart(Exception):  # noqa: N818 - a reason that is told, not an error
    """Training cannot go on from a version's weights; the message says why."""


def carried_over(parameters: Parameters, before: Preparation, now: Preparation) -> Parameters:
    """Return the weights with which a network says behind one preparation what it said behind another.

    Parameters
    ----------
    parameters : Parameters
        (1, fan_in, fan_out) weights and (1, 1, fan_out) biases, in host memory.
    before, now : Preparation
        What the weights were trained behind, and what they are to be trained on behind.

    Raises
    ------
    NoWarmStart
        Inputs or outputs are not the same columns in the same order.
    """
    require_same_ends(before, now)
    factor, offset = _rescaled(*input_scales(now), *input_scales(before))
    weights = [np.asarray(w, np.float64) for w in parameters.weights]
    biases = [np.asarray(b, np.float64) for b in parameters.biases]
    biases[0] = biases[0] + offset @ weights[0]
    weights[0] = factor[:, None] * weights[0]
    if now.task == "regression":
        scale, mean = np.array(now.target_scale), np.array(now.target_mean)
        factor, offset = _rescaled(np.array(before.target_mean), np.array(before.target_scale), mean, scale)
        weights[-1], biases[-1] = weights[-1] * factor, biases[-1] * factor + offset
    dtype = parameters.weights[0].dtype
    return Parameters([w.astype(dtype) for w in weights], [b.astype(dtype) for b in biases])


def require_same_ends(before: Preparation, now: Preparation) -> None:
    """Raise NoWarmStart unless two preparations have the same inputs and outputs, by name and order."""
    if before.task != now.task:
        raise NoWarmStart(f"it was trained for a {before.task}, and this is a {now.task}")
    pairs = (
        ("input", before.input_names, now.input_names),
        ("target", before.targets, now.targets),
        ("class", before.classes or (), now.classes or ()),
    )
    for what, old, new in pairs:
        for place, (was, is_now) in enumerate(zip_longest(old, new), start=1):
            if was != is_now:
                raise NoWarmStart(f"{what} {place} is {_shown(is_now)} now and was {_shown(was)}")


def _shown(name: object) -> str:
    return "none" if name is None else repr(name)


def input_scales(preparation: Preparation) -> tuple[np.ndarray, np.ndarray]:
    """Return what each input is shifted and divided by, float64 (D,) each: 0 and 1 where a value stays as it is."""
    if preparation.pixels is not None:
        count = len(preparation.pixels.columns)
        return np.full(count, preparation.pixels.shift), np.full(count, preparation.pixels.scale)
    scales = [scale for encoding in preparation.features for scale in _scales_of(encoding)]
    shifts, divisors = zip(*scales, strict=True)
    return np.array(shifts, np.float64), np.array(divisors, np.float64)


def _scales_of(encoding: Encoding) -> list[tuple[float, float]]:
    """Return shift and scale of each input of a column."""
    scales = [(0.0, 1.0)] * len(encoding.input_names)
    if isinstance(encoding, NumericEncoding):
        scales[0] = (encoding.shift, encoding.scale)
    if isinstance(encoding, DateEncoding):
        for part, fitted in (("year", encoding.year), ("elapsed", encoding.elapsed)):
            if part in encoding.parts:
                scales[encoding.input_names.index(f"{encoding.column} {part}")] = (fitted.shift, fitted.scale)
    return scales


def _rescaled(
    shift: np.ndarray, scale: np.ndarray, other_shift: np.ndarray, other_scale: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return a and b of `(v - other_shift) / other_scale = a (v - shift) / scale + b`."""
    return scale / other_scale, (shift - other_shift) / other_scale
