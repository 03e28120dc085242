from decimal import Decimal, localcontext

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from backprop.activations import ACTIVATIONS, activation
from backprop.losses import LOSSES, OutputStage, Staged, output_stage

C = 3


def one_row(*z: float, true_class: int) -> tuple[np.ndarray, np.ndarray]:
    return np.array([[z]], dtype=float), np.eye(len(z))[[true_class]]


def exact_softmax_cross_entropy(row: list[float], true_class: int) -> tuple[float, list[float]]:
    """The definition in 60 digits: -log(e^z_t / sum e^z) and its derivative e^z / sum e^z - y."""
    with localcontext(prec=60):
        e = [Decimal(z).exp() for z in row]
        total = sum(e)
        delta = [each / total - (k == true_class) for k, each in enumerate(e)]
        return float(-(e[true_class] / total).ln()), [float(each) for each in delta]


def exact_sigmoid_cross_entropy(z: float) -> tuple[float, float]:
    """The definition in 400 digits, for y = 1: log(1 + e^-z) and -1 / (1 + e^z)."""
    with localcontext(prec=400):
        return float((1 + (-Decimal(z)).exp()).ln()), float(-1 / (1 + Decimal(z).exp()))


def staged(phi: str) -> Staged:
    return Staged(activation(phi), LOSSES["cross_entropy"])


def logits(bound: float) -> st.SearchStrategy:
    return arrays(np.float64, (2, 4, C), elements=st.floats(-bound, bound))


def one_hot_rows() -> st.SearchStrategy:
    return st.lists(st.integers(0, C - 1), min_size=4, max_size=4).map(lambda codes: np.eye(C)[codes])


def test_cross_entropy_of_a_confident_mistake_is_what_it_is_and_not_clipped():
    z, y = one_row(40, -40, 0, true_class=1)
    loss, delta = output_stage("softmax", "cross_entropy").loss_and_delta(np, z, y)
    exact_loss, exact_delta = exact_softmax_cross_entropy([40, -40, 0], 1)
    assert loss[0, 0] == 80
    assert exact_loss == 80
    np.testing.assert_allclose(delta[0, 0], exact_delta, rtol=1e-15)


@pytest.mark.parametrize("size", [1e3, 1e4])
@pytest.mark.parametrize(
    ("signs", "true_class"), [((1, -1, 0), 0), ((1, -1, 0), 1), ((-1, -1, -1), 2), ((1, 1, -1), 2)]
)
def test_softmax_cross_entropy_is_exact_at_any_logit(size, signs, true_class):
    row = [size * sign for sign in signs]
    z, y = one_row(*row, true_class=true_class)
    exact_loss, exact_delta = exact_softmax_cross_entropy(row, true_class)
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        loss, delta = output_stage("softmax", "cross_entropy").loss_and_delta(np, z, y)
    np.testing.assert_allclose(loss[0, 0], exact_loss, rtol=1e-15)
    np.testing.assert_allclose(delta[0, 0], exact_delta, rtol=1e-15)


@pytest.mark.parametrize("z", [-1e4, -1e3, -40.0, -1.0, 0.0, 1.0, 30.0, 40.0, 700.0])
def test_sigmoid_cross_entropy_is_exact_to_the_last_digits_at_any_logit(z):
    exact_loss, exact_delta = exact_sigmoid_cross_entropy(z)
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        loss, delta = output_stage("sigmoid", "cross_entropy").loss_and_delta(np, *one_row(z, true_class=0))
    np.testing.assert_allclose(loss[0, 0], exact_loss, rtol=1e-15)
    np.testing.assert_allclose(delta[0, 0, 0], exact_delta, rtol=1e-15)


@pytest.mark.parametrize("z", [1e3, 1e4])
def test_sigmoid_cross_entropy_of_a_sure_hit_is_zero(z):
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        loss, delta = output_stage("sigmoid", "cross_entropy").loss_and_delta(np, *one_row(z, true_class=0))
    assert loss[0, 0] == 0
    assert delta[0, 0, 0] == 0


@given(z=logits(30), y=one_hot_rows())
def test_fused_softmax_equals_the_staged_chain_where_that_is_safe(z, y):
    fused_loss, fused_delta = output_stage("softmax", "cross_entropy").loss_and_delta(np, z, y)
    staged_loss, staged_delta = staged("softmax").loss_and_delta(np, z, y)
    np.testing.assert_allclose(fused_loss, staged_loss, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(fused_delta, staged_delta, rtol=1e-12, atol=1e-12)


@given(z=logits(30), y=one_hot_rows())
def test_fused_sigmoid_equals_the_staged_chain_within_what_a_rounded_probability_can_tell(z, y):
    fused_loss, fused_delta = output_stage("sigmoid", "cross_entropy").loss_and_delta(np, z, y)
    staged_loss, staged_delta = staged("sigmoid").loss_and_delta(np, z, y)
    np.testing.assert_allclose(fused_delta, staged_delta, rtol=1e-12, atol=1e-12)
    # yhat is rounded to 1e-16 of 1, so a small yhat carries that much relative error into its logarithm.
    lost = (y * 2e-16 * np.exp(np.maximum(-z, 0))).sum(axis=-1)
    assert (np.abs(fused_loss - staged_loss) <= 1e-12 + lost).all()


@pytest.mark.parametrize("phi", ["softmax", "sigmoid"])
def test_the_staged_chain_breaks_at_a_logit_of_1000_where_the_fused_stage_is_exact(phi):
    z, y = one_row(1000, -1000, 0, true_class=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        staged_loss, staged_delta = staged(phi).loss_and_delta(np, z, y)
    assert not np.isfinite(staged_loss).all()
    assert not np.isfinite(staged_delta).all()
    loss, delta = output_stage(phi, "cross_entropy").loss_and_delta(np, z, y)
    assert loss[0, 0] == {"softmax": 2000, "sigmoid": 1000}[phi]
    np.testing.assert_array_equal(delta[0, 0], {"softmax": [1, -1, 0], "sigmoid": [0, -1, 0]}[phi])


@pytest.mark.parametrize("phi", sorted(ACTIVATIONS))
def test_mse_sums_the_squared_error_over_outputs_and_leaves_the_mean_over_samples_to_the_batch(phi):
    z = np.array([[[0.5, -1.0, 2.0], [1.5, 0.25, -0.5]]])
    y = np.array([[1.0, 0.0, -1.0], [0.5, 0.5, 0.5]])
    stage = output_stage(phi, "mse")
    yhat = stage.outputs(np, z)
    expected = [sum((y[b, c] - yhat[0, b, c]) ** 2 for c in range(C)) for b in range(2)]
    np.testing.assert_allclose(stage.loss(np, z, y), [expected], rtol=1e-15)


OFFERED = [(phi, "mse") for phi in sorted(ACTIVATIONS)] + [("sigmoid", "cross_entropy"), ("softmax", "cross_entropy")]


@pytest.mark.parametrize(("phi", "loss"), OFFERED)
def test_outputs_are_those_of_the_output_activation(phi, loss):
    z = np.linspace(-3, 3, 24).reshape(2, 4, C)
    np.testing.assert_array_equal(output_stage(phi, loss).outputs(np, z), activation(phi).value(np, z))


@pytest.mark.parametrize(("phi", "loss"), OFFERED)
@given(z=logits(20), y=one_hot_rows())
def test_loss_alone_equals_the_loss_that_comes_with_the_delta(phi, loss, z, y):
    stage: OutputStage = output_stage(phi, loss)
    np.testing.assert_allclose(stage.loss(np, z, y), stage.loss_and_delta(np, z, y)[0], rtol=1e-15)


@pytest.mark.parametrize(("phi", "loss"), OFFERED)
def test_delta_may_be_scaled_in_place_without_touching_logits_or_targets(phi, loss):
    z, y = np.linspace(-2, 2, 24).reshape(2, 4, C), np.eye(C)[[0, 1, 2, 0]]
    kept = z.copy(), y.copy()
    _, delta = output_stage(phi, loss).loss_and_delta(np, z, y)
    delta *= 0
    np.testing.assert_array_equal(z, kept[0])
    np.testing.assert_array_equal(y, kept[1])


@pytest.mark.parametrize(("phi", "loss"), OFFERED)
def test_float32_stays_float32(phi, loss):
    z, y = np.linspace(-2, 2, 24, dtype="float32").reshape(2, 4, C), np.eye(C, dtype="float32")[[0, 1, 2, 0]]
    value, delta = output_stage(phi, loss).loss_and_delta(np, z, y)
    assert value.dtype == delta.dtype == np.float32
    assert (value.shape, delta.shape) == ((2, 4), (2, 4, C))


@pytest.mark.parametrize("phi", ["identity", "relu", "tanh"])
def test_cross_entropy_of_outputs_that_are_no_probabilities_is_refused(phi):
    with pytest.raises(ValueError, match=f"'cross_entropy' .* '{phi}' .* use output_activation 'softmax' or 'sigmoid'"):
        output_stage(phi, "cross_entropy")


@pytest.mark.parametrize(("mistyped", "suggested"), [("crossentropy", "cross_entropy"), ("msee", "mse")])
def test_a_mistyped_loss_suggests_the_nearest(mistyped, suggested):
    with pytest.raises(ValueError, match=f"loss '{mistyped}' is unknown: did you mean '{suggested}'?"):
        output_stage("softmax", mistyped)
