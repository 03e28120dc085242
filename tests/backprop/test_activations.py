import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from backprop.activations import ACTIVATIONS, activation

SMOOTH = ["identity", "sigmoid", "tanh", "softmax"]
FORMULAS = {
    "identity": lambda row: row,
    "sigmoid": lambda row: [1 / (1 + math.exp(-z)) for z in row],
    "tanh": lambda row: [math.sinh(z) / math.cosh(z) for z in row],
    "relu": lambda row: [z if z > 0 else 0.0 for z in row],
    "softmax": lambda row: [math.exp(z) / sum(math.exp(other) for other in row) for z in row],
}


def logits(low: float, high: float, shape: tuple[int, ...] = (2, 3, 4)) -> st.SearchStrategy:
    return arrays(np.float64, shape, elements=st.floats(low, high))


@pytest.mark.parametrize("name", sorted(ACTIVATIONS))
@given(z=logits(-30, 30))
def test_value_is_the_textbook_formula(name, z):
    expected = np.array([[FORMULAS[name](row) for row in batch] for batch in z.tolist()])
    np.testing.assert_allclose(activation(name).value(np, z), expected, rtol=1e-12, atol=2e-16)


@pytest.mark.parametrize("name", SMOOTH)
@given(z=logits(-5, 5), delta=logits(-3, 3))
def test_chain_is_the_derivative_found_by_a_complex_step(name, z, delta):
    sigma = activation(name)
    step = 1e-30
    expected = np.empty_like(z)
    for place in np.ndindex(z.shape):
        moved = z.astype(complex)
        moved[place] += step * 1j
        expected[place] = (delta * sigma.value(np, moved)).sum().imag / step
    found = sigma.chain(np, delta, z, sigma.value(np, z))
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=2e-15)


def test_relu_passes_the_delta_of_positive_units_only_and_nothing_at_the_kink():
    relu = activation("relu")
    z = np.array([[[-2.0, -1e-300, 0.0, 1e-300, 2.0]]])
    delta = np.array([[[10.0, 20.0, 30.0, 40.0, 50.0]]])
    np.testing.assert_array_equal(relu.chain(np, delta, z, relu.value(np, z)), [[[0, 0, 0, 40, 50]]])


def test_relu_lets_a_nan_be_seen():
    assert np.isnan(activation("relu").value(np, np.array([np.nan]))).all()


def test_sigmoid_saturates_to_exactly_zero_and_one_without_a_floating_point_flag():
    with np.errstate(all="raise"):
        h = activation("sigmoid").value(np, np.array([-1e4, -1e3, 0.0, 1e3, 1e4]))
    np.testing.assert_array_equal(h, [0, 0, 0.5, 1, 1])


def test_tanh_saturates_without_a_floating_point_flag():
    with np.errstate(all="raise"):
        h = activation("tanh").value(np, np.array([-1e4, 1e4]))
    np.testing.assert_array_equal(h, [-1, 1])


def test_softmax_of_huge_logits_is_exact_and_does_not_overflow():
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        h = activation("softmax").value(np, np.array([[[1e4, -1e4, 1e4], [-1e4, -1e4, -1e4]]]))
    np.testing.assert_array_equal(h[0, 0], [0.5, 0, 0.5])
    np.testing.assert_allclose(h[0, 1], [1 / 3] * 3, rtol=1e-15)


@given(z=logits(-50, 50), shift=st.floats(-100, 100))
def test_softmax_rows_sum_to_one_and_ignore_a_shift_of_the_row(z, shift):
    softmax = activation("softmax")
    np.testing.assert_allclose(softmax.value(np, z).sum(axis=-1), 1, rtol=1e-14)
    np.testing.assert_allclose(softmax.value(np, z + shift), softmax.value(np, z), rtol=1e-11)


@given(z=logits(-5, 5), delta=logits(-3, 3))
def test_softmax_chain_is_the_product_with_the_jacobian_written_out(z, delta):
    softmax = activation("softmax")
    h = softmax.value(np, z)
    expected = np.empty_like(z)
    for t, b in np.ndindex(z.shape[:2]):
        jacobian = np.diag(h[t, b]) - np.outer(h[t, b], h[t, b])
        expected[t, b] = jacobian.T @ delta[t, b]
    np.testing.assert_allclose(softmax.chain(np, delta, z, h), expected, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("name", sorted(ACTIVATIONS))
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_shape_and_dtype_are_kept(name, dtype):
    sigma = activation(name)
    z = np.linspace(-2, 2, 24, dtype=dtype).reshape(2, 3, 4)
    h = sigma.value(np, z)
    delta = sigma.chain(np, np.ones_like(z), z, h)
    assert (h.shape, h.dtype) == (z.shape, z.dtype)
    assert (delta.shape, delta.dtype) == (z.shape, z.dtype)


def test_the_local_derivative_of_identity_is_one_for_every_unit():
    z = np.linspace(-2, 2, 24, dtype="float32").reshape(2, 3, 4)
    derivative = activation("identity").derivative(np, z, z)
    assert derivative.dtype == np.float32
    np.testing.assert_array_equal(derivative, np.ones((2, 3, 4)))


@pytest.mark.parametrize(
    ("mistyped", "suggested"), [("rleu", "relu"), ("sigmod", "sigmoid"), ("Tanh", "tanh"), ("soft_max", "softmax")]
)
def test_a_mistyped_name_suggests_the_nearest(mistyped, suggested):
    with pytest.raises(ValueError, match=f"activation '{mistyped}' is unknown: did you mean '{suggested}'?"):
        activation(mistyped)


def test_a_name_near_to_none_lists_all():
    with pytest.raises(ValueError, match="'qqq' is unknown: use one of identity, sigmoid, tanh, relu, softmax"):
        activation("qqq")
