"""A user's own local derivatives, held to central differences before anything is trained with them.

    df/dx ~ (f(x + e) - f(x - e)) / 2e

at points in float64 that stay clear of 0, of whole and of half numbers, where hand-made functions have
their kinks. (Step and error: Press et al., Numerical Recipes, 3rd ed., 2007, section 5.7.)
"""

import math
from collections.abc import Callable
from types import ModuleType
from typing import TypeAlias

import numpy as np

from backprop.backend import Array, HostArray

ActivationFunction: TypeAlias = Callable[[ModuleType, Array], Array]
"""`(xp, z)` to `h`."""

ActivationDerivative: TypeAlias = Callable[[ModuleType, Array, Array], Array]
"""`(xp, z, h)` to `dh/dz`."""

LossFunction: TypeAlias = Callable[[ModuleType, Array, Array], Array]
"""`(xp, yhat, y)` to the loss of every sample, or to its derivative by `yhat`."""

Range: TypeAlias = tuple[float, float]

STEP = float(np.finfo(np.float64).eps) ** (1 / 3)
TOLERANCE = 1e-7

ACTIVATION_POINTS: HostArray = (0.05 + 0.3 * np.arange(-20, 20)).reshape(2, 4, 5)
"""(T, B, units) between -5.95 and 5.75, each 0.05 away from the nearest multiple of 0.1."""

LOSS_SHAPE = (2, 5, 3)
"""(T, B, C) of the outputs a loss is checked on."""


@np.errstate(all="ignore")
def check_activation_derivative(name: str, function: ActivationFunction, derivative: ActivationDerivative) -> None:
    """Hold a user's activation and its derivative to each other and to what a stage may do.

    Raises
    ------
    ValueError
        As `backprop.activations.register_activation` says.
    """
    what = f"activation {name!r}"
    z = ACTIVATION_POINTS
    h = _finite(f"{what}: function", function(np, z.copy()), z.shape, "z")
    single = function(np, z.astype("float32"))
    _check_dtype(f"{what}: function", single)
    if not np.allclose(function(np, z[:1, :2, :3].copy()), h[:1, :2, :3], rtol=1e-12, atol=1e-12):
        raise ValueError(f"{what}: function mixes units, samples or trials; it must treat every entry of z alone")
    claimed = _finite(f"{what}: derivative", derivative(np, z.copy(), h.copy()), z.shape, "z")
    _check_dtype(f"{what}: derivative", derivative(np, z.astype("float32"), single))
    slopes = (function(np, z + STEP) - function(np, z - STEP)) / (2 * STEP)
    _compare(what, claimed, slopes, np.abs(h), lambda place: f"z = {z[place]:.6g}")


@np.errstate(all="ignore")
def check_loss_derivative(
    name: str, value: LossFunction, derivative: LossFunction, outputs: Range, targets: Range
) -> None:
    """Hold a user's loss and its derivative to each other and to what an output stage may do.

    Raises
    ------
    ValueError
        As `backprop.losses.register_loss` says.
    """
    what = f"loss {name!r}"
    yhat, y = loss_points(outputs, targets)
    hint = "yhat; if it is defined on fewer outputs or targets, name their range"
    losses = _finite(f"{what}: value", value(np, yhat.copy(), y.copy()), LOSS_SHAPE[:2], hint)
    if not np.allclose(value(np, yhat[:1, :2].copy(), y[:2].copy()), losses[:1, :2], rtol=1e-12, atol=1e-12):
        raise ValueError(
            f"{what}: value mixes samples or trials; the loss of a sample must depend on that sample alone"
        )
    claimed = _finite(f"{what}: derivative", derivative(np, yhat.copy(), y.copy()), LOSS_SHAPE, hint)
    for function, part in ((value, "value"), (derivative, "derivative")):
        _check_dtype(f"{what}: {part}", function(np, yhat.astype("float32"), y.astype("float32")))
    slopes = np.empty(LOSS_SHAPE)
    for output in range(LOSS_SHAPE[2]):
        step = STEP * np.eye(LOSS_SHAPE[2])[output]
        slopes[..., output] = (value(np, yhat + step, y) - value(np, yhat - step, y)) / (2 * STEP)
    _compare(
        what,
        claimed,
        slopes,
        np.abs(losses)[..., None],
        lambda place: f"yhat = {yhat[place]:.6g}, y = {y[place[1:]]:.6g}",
    )


def loss_points(outputs: Range, targets: Range) -> tuple[HostArray, HostArray]:
    """Return (T, B, C) outputs and (B, C) targets spread over the inside of their ranges.

    The fractions of multiples of irrational numbers fill a range evenly and meet no round number.

    Raises
    ------
    ValueError
        A range is not (low, high) with finite low < high.
    """
    for argument, (low, high) in (("outputs", outputs), ("targets", targets)):
        if not (np.isfinite(low) and np.isfinite(high) and low < high):
            raise ValueError(f"{argument} is ({low}, {high}): use a finite range (low, high) with low < high")
    return _spread(LOSS_SHAPE, math.sqrt(5), outputs), _spread(LOSS_SHAPE[1:], math.sqrt(2), targets)


def _spread(shape: tuple[int, ...], irrational: float, between: Range) -> HostArray:
    low, high = between
    fractions = np.arange(1, math.prod(shape) + 1) * irrational % 1
    return (low + (high - low) * (0.02 + 0.96 * fractions)).reshape(shape)


def _finite(what: str, found: Array, shape: tuple[int, ...], argument: str) -> HostArray:
    if np.shape(found) != shape:
        raise ValueError(f"{what} returns shape {np.shape(found)}: it must be {shape} here")
    numbers = np.asarray(found)
    if not np.isfinite(numbers).all():
        raise ValueError(f"{what} is not finite for every {argument}")
    return numbers


def _check_dtype(what: str, found: Array) -> None:
    dtype = np.asarray(found).dtype
    if np.result_type(np.float32, dtype) != np.float32:
        raise ValueError(f"{what} makes {dtype} of float32: it must keep the dtype")


def _compare(
    what: str, claimed: HostArray, slopes: HostArray, size: HostArray, point: Callable[[tuple[np.intp, ...]], str]
) -> None:
    """Compare relative to a slope and to the largest of them, but leave room for the rounding of values of a size."""
    scale = np.maximum(np.abs(slopes), min(1.0, np.abs(slopes).max()))
    allowed = TOLERANCE * scale + np.finfo(np.float64).eps * size / STEP + np.finfo(np.float64).tiny
    differences = np.abs(claimed - slopes)
    wrong = differences > allowed
    if not wrong.any():
        return
    worst = np.unravel_index((wrong * differences).argmax(), wrong.shape)
    raise ValueError(
        f"{what}: the derivative is wrong at {point(worst)}: it returns {claimed[worst]:.8g}, central differences "
        f"give {slopes[worst]:.8g} (and {wrong.sum()} of {wrong.size} points disagree)"
    )
