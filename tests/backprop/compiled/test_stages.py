"""The stages between the products against the formulas they are taken from."""

import numpy as np
import pytest
from both_ways import HIDDEN, OUTPUTS
from hypothesis import given, settings
from hypothesis import strategies as st
from numba import njit

from backprop import Backend
from backprop.activations import ACTIVATIONS
from backprop.compiled.lanes import number, pointer
from backprop.compiled.products import padded
from backprop.compiled.stages import (
    ACTIVATION_CODES,
    CROSS_ENTROPY,
    KEEPS_Z,
    LOSS_CODES,
    SOFTMAX,
    activate,
    chain,
    drop,
    elementwise_loss,
    softmax_cross_entropy,
)
from backprop.dropout import Dropout
from backprop.losses import LOSSES, output_stage, smooth_labels
from backprop.randomness import Stream, hash_keys, hash_offset

GUARD = -7777.0
TOLERANCES = pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-13), ("float32", 2e-6)])


@njit(error_model="numpy")
def call_activate(sigma, z, a, count):
    activate(sigma, pointer(z), pointer(a), count)


@njit(error_model="numpy")
def call_chain(sigma, delta, kept, count):
    chain(sigma, pointer(delta), pointer(kept), count)


@njit(error_model="numpy")
def call_loss(loss, phi, z, y, rows, outputs, row, keep, lift, scale, weights, delta, yhat):
    to, weighted = pointer(z), weights.size > 0
    keep, lift, scale = number(to, keep), number(to, lift), number(to, scale)
    if loss == CROSS_ENTROPY and phi == SOFTMAX:
        return softmax_cross_entropy(
            to, pointer(y), rows, outputs, row, keep, lift, scale, pointer(weights), weighted, pointer(delta),
            pointer(yhat),
        )  # fmt: skip
    return elementwise_loss(
        loss, phi, to, pointer(y), rows, outputs, row, keep, lift, scale, pointer(weights), weighted, pointer(delta),
        pointer(yhat),
    )  # fmt: skip


@njit(error_model="numpy")
def call_drop(key, offset, threshold, scale, h, mask, rows, first, units, row):
    to = pointer(h)
    drop(key, offset, threshold, number(to, scale), to, pointer(mask), rows, first, units, row)


# Activations


def arguments(dtype: str) -> np.ndarray:
    sizes = np.concatenate([np.linspace(0, 12, 1201), [1e-30, 1e-8, 1e-4, 20, 50, 88, 100, 1000]])
    return np.concatenate([sizes, -sizes, [np.nan]]).astype(dtype)


def test_every_activation_but_softmax_is_compiled():
    assert ACTIVATION_CODES.keys() == ACTIVATIONS.keys() - {"softmax"}
    assert LOSS_CODES.keys() == LOSSES.keys()


@TOLERANCES
@pytest.mark.parametrize("in_place", [False, True])
@pytest.mark.parametrize("name", HIDDEN)
def test_a_value_is_that_of_the_activation_and_nothing_behind_the_units_is_written(name, in_place, dtype, tolerance):
    z = np.concatenate([arguments(dtype), [GUARD]]).astype(dtype)
    wanted = ACTIVATIONS[name].value(np, z[:-1].copy())
    a = z if in_place else np.full_like(z, GUARD)
    call_activate(ACTIVATION_CODES[name], z, a, len(z) - 1)
    np.testing.assert_allclose(a[:-1], wanted, rtol=tolerance, atol=tolerance)
    assert a[-1] == GUARD


@TOLERANCES
@pytest.mark.parametrize("name", HIDDEN)
def test_a_chain_is_that_of_the_activation_from_the_one_array_that_is_kept(name, dtype, tolerance):
    z = arguments(dtype)
    h = ACTIVATIONS[name].value(np, z)
    delta = np.random.default_rng(0).normal(size=len(z)).astype(dtype)
    wanted = ACTIVATIONS[name].chain(np, delta.copy(), z, h)
    found = np.append(delta, np.array(GUARD, dtype))
    call_chain(ACTIVATION_CODES[name], found, z if ACTIVATION_CODES[name] in KEEPS_Z else h, len(z))
    np.testing.assert_allclose(found[:-1], wanted, rtol=tolerance, atol=tolerance)
    assert found[-1] == GUARD


# Losses


def loss_and_delta(
    phi: str, loss: str, z: np.ndarray, y: np.ndarray, *, smoothing: float = 0.0, scale: float = 1.0, weights=None
) -> tuple[float, np.ndarray]:
    """The sum of the losses and `scale dL/dz` of the compiled stages, after a look at what they leave alone."""
    rows, outputs = z.shape
    row = padded(outputs)
    wide, targets = np.zeros((2, rows, row), z.dtype)
    wide[:, :outputs], targets[:, :outputs] = z, y
    delta, yhat = np.full(rows * row + 1, GUARD, z.dtype), np.full(row + 1, GUARD, z.dtype)
    outcomes = outputs if loss == "cross_entropy" else 2
    total = call_loss(
        LOSS_CODES[loss], ACTIVATION_CODES.get(phi, SOFTMAX), wide.ravel(), targets.ravel(),
        rows, outputs, row, 1 - smoothing, smoothing / outcomes, scale,
        np.empty(0, z.dtype) if weights is None else weights.astype(z.dtype), delta, yhat,
    )  # fmt: skip
    assert delta[-1] == yhat[-1] == GUARD
    delta = delta[:-1].reshape(rows, row)
    # Of a loss that is none nothing is used any more.
    assert not np.isfinite(total) or (delta[:, outputs:] == 0).all(), "columns filled up"
    return total, delta[:, :outputs]


def targets(phi: str, loss: str, rows: int, outputs: int, draw: np.random.Generator) -> np.ndarray:
    if phi == "softmax":
        return np.eye(outputs)[draw.integers(outputs, size=rows)]
    return (
        draw.integers(2, size=(rows, outputs)).astype(float) if "entropy" in loss else draw.normal(size=(rows, outputs))
    )


@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-12), ("float32", 1e-5)])
@pytest.mark.parametrize(("phi", "loss"), OUTPUTS)
@settings(max_examples=30)
@given(
    rows=st.integers(1, 20),
    outputs=st.integers(1, 40),
    smoothing=st.sampled_from([0, 0.1, 0.9]),
    weighted=st.booleans(),
    size=st.sampled_from([1, 10, 1000]),
    seed=st.integers(0, 99),
)
def test_losses_and_deltas_are_those_of_the_output_stage(
    phi, loss, dtype, tolerance, rows, outputs, smoothing, weighted, size, seed
):
    draw = np.random.default_rng(seed)
    z, y = (size * draw.normal(size=(rows, outputs))).astype(dtype), targets(phi, loss, rows, outputs, draw)
    weights = draw.uniform(0, 2, rows) if weighted else None
    smoothing = smoothing if "entropy" in loss else 0.0
    smoothed = smooth_labels(y, smoothing, loss) if smoothing else y
    losses, delta = output_stage(phi, loss).loss_and_delta(np, z[None].astype("float64"), smoothed)
    each = np.ones(rows) if weights is None else weights
    found, found_delta = loss_and_delta(phi, loss, z, y, smoothing=smoothing, scale=0.3, weights=weights)
    assert found == pytest.approx((losses[0] * each).sum(), rel=tolerance, abs=tolerance * size * rows)
    wanted = 0.3 * delta[0] * each[:, None]
    np.testing.assert_allclose(found_delta, wanted, rtol=tolerance, atol=tolerance * max(1, np.abs(wanted).max()))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("phi", "loss", "wanted"),
    [
        ("softmax", "cross_entropy", 80),
        ("sigmoid", "cross_entropy", 40),
        ("sigmoid", "binary_cross_entropy", 80 + np.log(2)),
    ],
)
def test_a_loss_of_large_logits_is_exact(phi, loss, wanted, dtype):
    z, y = np.array([[40, -40, 0]], dtype), np.array([[0, 1.0, 0]])
    found, delta = loss_and_delta(phi, loss, z, y)
    assert found == pytest.approx(wanted, rel=1e-6 if dtype == "float32" else 1e-15)
    assert np.isfinite(delta).all()
    assert delta[0, 1] == pytest.approx(-1)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_loss_of_logits_of_a_thousand_is_exact(dtype):
    z, y = np.array([[1000, -1000, 0], [-1000, 1000, 0]], dtype), np.array([[0, 1.0, 0], [0, 1, 0]])
    found, delta = loss_and_delta("softmax", "cross_entropy", z, y)
    assert found == 2000
    np.testing.assert_allclose(delta, [[1, -1, 0], [0, 0, 0]], atol=1e-37)
    found, delta = loss_and_delta("sigmoid", "binary_cross_entropy", z, y)
    assert found == pytest.approx(2000 + 2 * np.log(2))
    np.testing.assert_allclose(delta, [[1, -1, 0.5], [0, 0, 0.5]], atol=1e-37)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("place", [0, 1, 2])
@pytest.mark.parametrize(("phi", "loss"), OUTPUTS)
def test_a_logit_that_is_not_a_number_is_seen_in_the_loss(phi, loss, place, dtype):
    z, y = np.array([[1.0, 2, 3]], dtype), np.array([[0, 0, 0.0]])
    y[0, place], z[0, place] = 1, np.nan
    found, _ = loss_and_delta(phi, loss, z, y)
    assert np.isnan(found)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("value", [np.inf, -np.inf])
@pytest.mark.parametrize(("phi", "loss"), [("softmax", "cross_entropy"), ("identity", "mse"), ("identity", "mae")])
def test_an_infinite_logit_is_not_taken_for_a_finite_loss_where_it_is_wrong(phi, loss, value, dtype):
    z, y = np.array([[0, value, 0.0]], dtype), np.array([[0, float(value < 0), float(value > 0)]])
    found, _ = loss_and_delta(phi, loss, z, y)
    assert not np.isfinite(found)


# Dropout


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@given(
    rate=st.sampled_from([0.0, 0.1, 0.5, 0.9]),
    seed=st.integers(0, 50),
    step=st.integers(0, 2**40),
    layer=st.integers(0, 3),
    batch=st.integers(1, 9),
    units=st.integers(1, 33),
    data=st.data(),
)
def test_masks_are_those_of_dropout_bit_for_bit_from_any_row_on(dtype, rate, seed, step, layer, batch, units, data):
    widths = [1] * layer + [units]
    wanted = Dropout(Backend(np), [rate], [seed], widths, dtype).masks(step, batch)[layer][0]
    first = data.draw(st.integers(0, batch - 1))
    rows, row = batch - first, padded(units)
    h = np.random.default_rng(seed).normal(size=(rows, row)).astype(dtype)
    before, mask = h.copy(), np.full((rows, row), GUARD, dtype)
    (key,) = hash_keys([seed], Stream.DROPOUT)
    call_drop(
        key, np.uint64(hash_offset(step, layer)), np.uint64(rate * 2**32), 1 / (1 - rate), h.ravel(), mask.ravel(),
        rows, first, units, row,
    )  # fmt: skip
    np.testing.assert_array_equal(mask[:, :units], wanted[first:])
    np.testing.assert_array_equal(h[:, :units], before[:, :units] * wanted[first:])
    np.testing.assert_array_equal(h[:, units:], before[:, units:])
    assert (mask[:, units:] == GUARD).all()
