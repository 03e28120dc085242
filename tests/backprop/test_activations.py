import math
import sys
from types import ModuleType

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from backprop.activations import ACTIVATIONS, Elementwise, activation, special_functions

SMOOTH = ["identity", "sigmoid", "tanh", "softplus", "gelu", "silu", "softmax"]
FORMULAS = {
    "identity": lambda row: row,
    "sigmoid": lambda row: [1 / (1 + math.exp(-z)) for z in row],
    "tanh": lambda row: [math.sinh(z) / math.cosh(z) for z in row],
    "relu": lambda row: [z if z > 0 else 0.0 for z in row],
    "leaky_relu": lambda row: [z if z > 0 else z / 100 for z in row],
    "elu": lambda row: [z if z > 0 else math.expm1(z) for z in row],
    "softplus": lambda row: [math.log1p(math.exp(z)) for z in row],
    "gelu": lambda row: [z * math.erfc(-z / math.sqrt(2)) / 2 for z in row],
    "silu": lambda row: [z / (1 + math.exp(-z)) for z in row],
    "softmax": lambda row: [math.exp(z) / sum(math.exp(other) for other in row) for z in row],
}


def logits(low: float, high: float, shape: tuple[int, ...] = (2, 3, 4)) -> st.SearchStrategy:
    return arrays(np.float64, shape, elements=st.floats(low, high))


@pytest.mark.parametrize("name", sorted(ACTIVATIONS))
@given(z=logits(-30, 30))
def test_value_is_the_textbook_formula(name, z):
    expected = np.array([[FORMULAS[name](row) for row in batch] for batch in z.tolist()])
    # z times a number rounded to 1e-16 of 1.
    rounding = 4e-15 if name in ("gelu", "silu") else 2e-16
    np.testing.assert_allclose(activation(name).value(np, z), expected, rtol=1e-12, atol=rounding)


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
    np.testing.assert_allclose(found, expected, rtol=1e-14, atol=1e-14)


POINTS = [-20, -3, -1, -0.25, 0, 0.5, 1, 2, 10]
# Values and derivatives at POINTS, computed with 50 digits.
TABLE = {
    "identity": (
        [-20, -3, -1, -0.25, 0, 0.5, 1, 2, 10],
        [1, 1, 1, 1, 1, 1, 1, 1, 1],
    ),
    "sigmoid": (
        [
            2.0611536181902037e-09,
            0.04742587317756678,
            0.2689414213699951,
            0.4378234991142019,
            0.5,
            0.6224593312018546,
            0.7310585786300049,
            0.8807970779778824,
            0.9999546021312976,
        ],
        [
            2.061153613941849e-09,
            0.04517665973091213,
            0.19661193324148185,
            0.24613408273759835,
            0.25,
            0.2350037122015945,
            0.19661193324148185,
            0.10499358540350652,
            4.5395807735951673e-05,
        ],
    ),
    "tanh": (
        [
            -1.0,
            -0.9950547536867305,
            -0.7615941559557649,
            -0.24491866240370913,
            0.0,
            0.46211715726000974,
            0.7615941559557649,
            0.9640275800758169,
            0.9999999958776927,
        ],
        [
            1.6993417021166355e-17,
            0.00986603716544019,
            0.4199743416140261,
            0.940014848806378,
            1.0,
            0.7864477329659274,
            0.4199743416140261,
            0.07065082485316447,
            8.244614455767397e-09,
        ],
    ),
    "relu": ([0, 0, 0, 0, 0, 0.5, 1, 2, 10], [0, 0, 0, 0, 0, 1, 1, 1, 1]),
    "leaky_relu": (
        [-0.2, -0.03, -0.01, -0.0025, 0, 0.5, 1, 2, 10],
        [0.01, 0.01, 0.01, 0.01, 0.01, 1, 1, 1, 1],
    ),
    "elu": (
        [-0.9999999979388464, -0.950212931632136, -0.6321205588285577, -0.22119921692859512, 0, 0.5, 1, 2, 10],
        [2.061153622438558e-09, 0.049787068367863944, 0.36787944117144233, 0.7788007830714049, 1, 1, 1, 1, 1],
    ),
    "softplus": (
        [
            2.061153620314381e-09,
            0.04858735157374206,
            0.3132616875182228,
            0.5759394198788436,
            0.6931471805599453,
            0.9740769841801067,
            1.3132616875182228,
            2.1269280110429727,
            10.000045398899218,
        ],
        [
            2.0611536181902037e-09,
            0.04742587317756678,
            0.2689414213699951,
            0.4378234991142019,
            0.5,
            0.6224593312018546,
            0.7310585786300049,
            0.8807970779778824,
            0.9999546021312976,
        ],
    ),
    "gelu": (
        [
            0.0,
            -0.0040496940948902835,
            -0.15865525393145705,
            -0.10032341857926907,
            0.0,
            0.34573123063700656,
            0.8413447460685429,
            1.9544997361036416,
            10.0,
        ],
        [
            0.0,
            -0.011945647204183927,
            -0.0833154705876863,
            0.30462664511636395,
            0.5,
            0.8674951246561629,
            1.0833154705876864,
            1.085231801078197,
            1.0,
        ],
    ),
    "silu": (
        [
            -4.122307236380407e-08,
            -0.14227761953270035,
            -0.2689414213699951,
            -0.10945587477855047,
            0.0,
            0.3112296656009273,
            0.7310585786300049,
            1.7615941559557649,
            9.999546021312975,
        ],
        [
            -3.9161918660646786e-08,
            -0.08810410601516962,
            0.07232948812851327,
            0.37628997842980233,
            0.5,
            0.7399611873026518,
            0.9276705118714867,
            1.0907842487848955,
            1.000408560208657,
        ],
    ),
}


def test_the_table_holds_every_elementwise_activation():
    assert set(TABLE) == {name for name, sigma in ACTIVATIONS.items() if isinstance(sigma, Elementwise)}


@pytest.mark.parametrize(("dtype", "rounding"), [("float64", 4e-15), ("float32", 2e-6)])
@pytest.mark.parametrize("name", sorted(TABLE))
def test_value_derivative_and_chain_are_those_of_the_table(name, dtype, rounding):
    sigma, z = activation(name), np.array(POINTS, dtype)
    value, derivative = np.array(TABLE[name])
    h = sigma.value(np, z)
    np.testing.assert_allclose(h, value, rtol=rounding / 4, atol=rounding)
    np.testing.assert_allclose(sigma.derivative(np, z, h), derivative, rtol=rounding / 4, atol=rounding)
    delta = np.linspace(-4, 4, len(z), dtype=dtype)
    np.testing.assert_allclose(sigma.chain(np, delta, z, h), delta * derivative, rtol=rounding, atol=4 * rounding)


@given(z=logits(-30, 30), size=st.floats(0.01, 0.99))
def test_the_derivative_of_a_smooth_stage_keeps_its_digits_in_the_tails(z, size):
    """softplus' = 1 - e^-h and elu' = 1 + h do not cancel where the derivative is small: compare with e^z."""
    z = -30 - size * np.abs(z)
    softplus = activation("softplus")
    np.testing.assert_allclose(softplus.derivative(np, z, softplus.value(np, z)), np.exp(z), rtol=1e-12)


@pytest.mark.parametrize(
    ("name", "value", "derivative"),
    [
        ("identity", [-1e4, 1e4], [1, 1]),
        ("relu", [0, 1e4], [0, 1]),
        ("leaky_relu", [-1e2, 1e4], [0.01, 1]),
        ("elu", [-1, 1e4], [0, 1]),
        ("softplus", [0, 1e4], [0, 1]),
        ("gelu", [0, 1e4], [0, 1]),
        ("silu", [0, 1e4], [0, 1]),
    ],
)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_huge_logit_gives_the_limit_exactly_and_overflows_nothing(name, value, derivative, dtype):
    sigma, z = activation(name), np.array([-1e4, 1e4], dtype)
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        h = sigma.value(np, z)
        slope = sigma.derivative(np, z, h)
    np.testing.assert_array_equal(h, np.array(value, dtype))
    np.testing.assert_array_equal(slope, np.array(derivative, dtype))


@pytest.mark.parametrize("name", ["leaky_relu", "elu"])
def test_a_kink_or_bend_takes_the_derivative_from_the_left(name):
    sigma, z = activation(name), np.array([-1e-300, 0.0, 1e-300])
    left = {"leaky_relu": 0.01, "elu": 1.0}[name]
    np.testing.assert_array_equal(sigma.derivative(np, z, sigma.value(np, z)), [left, left, 1])


@pytest.mark.parametrize("name", sorted(ACTIVATIONS))
def test_value_and_chain_leave_their_arguments_as_they_were(name):
    sigma = activation(name)
    z, delta = np.linspace(-2, 2, 24).reshape(2, 3, 4), np.linspace(1, 3, 24).reshape(2, 3, 4)
    h = sigma.value(np, z)
    kept = [array.copy() for array in (z, h, delta)]
    sigma.chain(np, delta, z, h)
    for array, copy in zip((z, h, delta), kept, strict=True):
        np.testing.assert_array_equal(array, copy)


def test_special_functions_are_those_of_the_array_library(monkeypatch):
    import scipy.special

    cupy, special = ModuleType("cupy"), ModuleType("cupyx.scipy.special")
    special.erf = lambda z: z - 1
    monkeypatch.setitem(sys.modules, "cupyx.scipy.special", special)
    assert special_functions(np) is scipy.special
    assert special_functions(cupy) is special
    assert activation("gelu").value(cupy, 2.0) == pytest.approx(2.0 * math.sqrt(2) / 2)


def test_relu_passes_the_delta_of_positive_units_only_and_nothing_at_the_kink():
    relu = activation("relu")
    z = np.array([[[-2.0, -1e-300, 0.0, 1e-300, 2.0]]])
    delta = np.array([[[10.0, 20.0, 30.0, 40.0, 50.0]]])
    np.testing.assert_array_equal(relu.chain(np, delta, z, relu.value(np, z)), [[[0, 0, 0, 40, 50]]])


@pytest.mark.parametrize("name", sorted(ACTIVATIONS))
def test_a_nan_is_let_through_so_that_a_divergence_is_seen(name):
    assert np.isnan(activation(name).value(np, np.array([[np.nan]]))).all()


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
    with pytest.raises(ValueError, match=r"'qqq' is unknown: use one of identity, sigmoid, tanh, relu, .*, softmax$"):
        activation("qqq")


@pytest.mark.parametrize("name", [None, 3, ("relu",), ["relu"]])
def test_a_name_that_is_no_text_is_refused_with_the_names_there_are(name):
    with pytest.raises(ValueError, match=r"is unknown: .*use one of identity, sigmoid"):
        activation(name)


def test_the_activations_offered():
    assert list(ACTIVATIONS) == [
        "identity",
        "sigmoid",
        "tanh",
        "relu",
        "leaky_relu",
        "elu",
        "softplus",
        "gelu",
        "silu",
        "softmax",
    ]
    assert all(name == sigma.name for name, sigma in ACTIVATIONS.items())
