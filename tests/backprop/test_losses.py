import re
from decimal import Decimal, localcontext
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from backprop.activations import ACTIVATIONS, activation
from backprop.losses import LOSSES, OutputStage, Staged, output_stage, smooth_labels

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


def exact_binary_cross_entropy(z: float, y: float) -> tuple[float, float]:
    """The definition in 400 digits: -y log s - (1 - y) log(1 - s) and s - y, with s = 1 / (1 + e^-z)."""
    with localcontext(prec=400):
        s, target = 1 / (1 + (-Decimal(z)).exp()), Decimal(y)
        return float(-target * s.ln() - (1 - target) * (1 - s).ln()), float(s - target)


def staged(phi: str, loss: str = "cross_entropy") -> Staged:
    return Staged(activation(phi), LOSSES[loss])


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


# Binary cross-entropy


@pytest.mark.parametrize("y", [0.0, 1.0, 0.25])
@pytest.mark.parametrize("z", [-700.0, -40.0, -30.0, -1.0, 0.0, 0.5, 2.0, 30.0, 40.0, 700.0])
def test_binary_cross_entropy_is_exact_to_the_last_digits_at_any_logit(z, y):
    exact_loss, exact_delta = exact_binary_cross_entropy(z, y)
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        loss, delta = output_stage("sigmoid", "binary_cross_entropy").loss_and_delta(
            np, np.array([[[z]]]), np.array([[y]])
        )
    np.testing.assert_allclose(loss[0, 0], exact_loss, rtol=1e-15)
    np.testing.assert_allclose(delta[0, 0, 0], exact_delta, rtol=1e-14)


@pytest.mark.parametrize(
    ("z", "y", "loss", "delta"),
    [
        (0.0, 1.0, 0.6931471805599453, -0.5),
        (0.0, 0.0, 0.6931471805599453, 0.5),
        (2.0, 1.0, 0.1269280110429725, -0.11920292202211755),
        (2.0, 0.0, 2.1269280110429727, 0.8807970779778824),
        (-2.0, 1.0, 2.1269280110429727, -0.8807970779778824),
        (2.0, 0.5, 1.1269280110429727, 0.3807970779778824),
        (1000.0, 0.0, 1000.0, 1.0),
        (1000.0, 1.0, 0.0, 0.0),
        (-1000.0, 1.0, 1000.0, -1.0),
        (-1e4, 0.0, 0.0, 0.0),
    ],
)
def test_binary_cross_entropy_of_one_label(z, y, loss, delta):
    found, slope = output_stage("sigmoid", "binary_cross_entropy").loss_and_delta(
        np, np.array([[[z]]]), np.array([[y]])
    )
    assert found[0, 0] == pytest.approx(loss, rel=1e-15)
    assert slope[0, 0, 0] == pytest.approx(delta, rel=1e-15)


def test_the_binary_cross_entropy_of_several_labels_is_the_sum_over_labels():
    stage = output_stage("sigmoid", "binary_cross_entropy")
    z, y = np.array([[[2.0, 0.0, -3.0]]]), np.array([[1.0, 1.0, 0.0]])
    each = [stage.loss_and_delta(np, z[..., [label]], y[:, [label]]) for label in range(3)]
    loss, delta = stage.loss_and_delta(np, z, y)
    np.testing.assert_allclose(loss, sum(one for one, _ in each), rtol=1e-15)
    np.testing.assert_array_equal(delta, np.concatenate([one for _, one in each], axis=-1))


def test_one_binary_column_is_the_softmax_of_two_classes_with_one_logit_at_zero():
    z, y = np.linspace(-5, 5, 8).reshape(1, 8, 1), np.tile([[0.0], [1.0]], (4, 1))
    binary = output_stage("sigmoid", "binary_cross_entropy").loss(np, z, y)
    classes = output_stage("softmax", "cross_entropy").loss(
        np, np.concatenate([0 * z, z], axis=-1), np.concatenate([1 - y, y], axis=-1)
    )
    np.testing.assert_allclose(binary, classes, rtol=1e-13)


def labels() -> st.SearchStrategy:
    return arrays(np.float64, (4, C), elements=st.sampled_from([0.0, 1.0, 0.1, 0.95]))


@given(z=logits(30), y=labels())
def test_fused_binary_equals_the_staged_chain_within_what_a_rounded_probability_can_tell(z, y):
    fused_loss, fused_delta = output_stage("sigmoid", "binary_cross_entropy").loss_and_delta(np, z, y)
    staged_loss, staged_delta = staged("sigmoid", "binary_cross_entropy").loss_and_delta(np, z, y)
    np.testing.assert_allclose(fused_delta, staged_delta, rtol=1e-12, atol=1e-12)
    # yhat and 1 - yhat are rounded to 1e-16 of 1, so the smaller carries that much relative error into its logarithm.
    lost = (2e-16 * (y * np.exp(np.maximum(-z, 0)) + (1 - y) * np.exp(np.maximum(z, 0)))).sum(axis=-1)
    assert (np.abs(fused_loss - staged_loss) <= 1e-12 + lost).all()


def test_the_staged_binary_chain_breaks_at_a_logit_of_1000_where_the_fused_stage_is_exact():
    z, y = np.array([[[1000.0, -1000.0, 1000.0]]]), np.array([[0.0, 1.0, 1.0]])
    with np.errstate(divide="ignore", invalid="ignore"):
        staged_loss, staged_delta = staged("sigmoid", "binary_cross_entropy").loss_and_delta(np, z, y)
    assert not np.isfinite(staged_loss).all()
    assert not np.isfinite(staged_delta).any()
    loss, delta = output_stage("sigmoid", "binary_cross_entropy").loss_and_delta(np, z, y)
    assert loss[0, 0] == 2000
    np.testing.assert_array_equal(delta[0, 0], [1, -1, 0])


def test_the_staged_cross_entropies_are_their_definitions():
    yhat, y = np.array([[[0.5, 0.25]]]), np.array([[1.0, 0.0]])
    classes, binary = LOSSES["cross_entropy"], LOSSES["binary_cross_entropy"]
    assert classes.value(np, yhat, y)[0, 0] == pytest.approx(np.log(2), rel=1e-15)
    np.testing.assert_array_equal(classes.derivative(np, yhat, y), [[[-2, 0]]])
    assert binary.value(np, yhat, y)[0, 0] == pytest.approx(np.log(2) - np.log(0.75), rel=1e-15)
    np.testing.assert_allclose(binary.derivative(np, yhat, y), [[[-2, 4 / 3]]], rtol=1e-15)


STAGES = [("softmax", "cross_entropy"), ("sigmoid", "cross_entropy"), ("sigmoid", "binary_cross_entropy")]


@pytest.mark.parametrize(("phi", "loss"), STAGES)
@given(z=logits(20), y=labels())
def test_the_fused_delta_is_the_derivative_of_the_fused_loss_found_by_a_complex_step(phi, loss, z, y):
    stage = output_stage(phi, loss)
    # A softmax's delta is simplified for rows that sum to 1.
    y = (y + 1) / (y + 1).sum(axis=-1, keepdims=True) if phi == "softmax" else y
    for output in range(C):
        moved = z.astype(complex)
        moved[..., output] += 1e-30j
        slope = stage.loss(np, moved, y).imag / 1e-30
        np.testing.assert_allclose(stage.loss_and_delta(np, z, y)[1][..., output], slope, rtol=1e-14, atol=1e-14)


def test_scikit_learn_clips_what_we_do_not():
    from sklearn.metrics import log_loss

    probabilities = activation("softmax").value(np, np.array([[40.0, -40.0, 0.0]]))
    assert log_loss([1], probabilities, labels=[0, 1, 2]) == pytest.approx(36.04, abs=0.01)


# Losses of plain outputs


RESIDUALS = [-3.0, -1.0, -0.5, 0.0, 0.25, 1.0, 1.5, 1e4]
PLAIN = {
    "mse": ([9, 1, 0.25, 0, 0.0625, 1, 2.25, 1e8], [-6, -2, -1, 0, 0.5, 2, 3, 2e4]),
    "mae": ([3, 1, 0.5, 0, 0.25, 1, 1.5, 1e4], [-1, -1, -1, 0, 1, 1, 1, 1]),
    "huber": ([2.5, 0.5, 0.125, 0, 0.03125, 0.5, 1, 9999.5], [-1, -1, -0.5, 0, 0.25, 1, 1, 1]),
}


@pytest.mark.parametrize("loss", PLAIN)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_plain_loss_of_one_residual_by_hand(loss, dtype):
    value, derivative = PLAIN[loss]
    y = np.full((len(RESIDUALS), 1), 2, dtype)
    yhat = y + np.array(RESIDUALS, dtype)[None, :, None]
    np.testing.assert_array_equal(LOSSES[loss].value(np, yhat, y), [value])
    np.testing.assert_array_equal(LOSSES[loss].derivative(np, yhat, y)[0, :, 0], derivative)
    found, delta = output_stage("identity", loss).loss_and_delta(np, yhat, y)
    np.testing.assert_array_equal(found, [value])
    np.testing.assert_array_equal(delta[0, :, 0], derivative)
    assert found.dtype == delta.dtype == dtype


@pytest.mark.parametrize("loss", PLAIN)
def test_a_plain_loss_sums_over_outputs_and_pairs_every_target_with_its_sample_in_all_trials(loss):
    value, derivative = PLAIN[loss]
    yhat = np.array(RESIDUALS).reshape(1, 4, 2) + np.zeros((3, 1, 1))
    found, delta = output_stage("identity", loss).loss_and_delta(np, yhat, np.zeros((4, 2)))
    np.testing.assert_array_equal(found, [np.reshape(value, (4, 2)).sum(axis=1)] * 3)
    np.testing.assert_array_equal(delta, [np.reshape(derivative, (4, 2))] * 3)


@pytest.mark.parametrize(("phi", "loss"), list(product(sorted(ACTIVATIONS), sorted(PLAIN))))
@settings(max_examples=20)
@given(z=logits(3), y=arrays(np.float64, (4, C), elements=st.floats(-3, 3)))
def test_a_staged_delta_is_the_derivative_by_central_differences(phi, loss, z, y):
    stage, step = output_stage(phi, loss), 1e-5
    _, delta = stage.loss_and_delta(np, z, y)
    residual = stage.outputs(np, z) - y
    # A row of a softmax moves in all its outputs at once; the others in one.
    bent = np.abs(z) if phi in ("relu", "leaky_relu", "elu") else np.ones_like(z)
    bent = np.minimum(bent, {"mse": 1, "mae": np.abs(residual), "huber": np.abs(np.abs(residual) - 1)}[loss])
    smooth = (bent > 1e-3).all(axis=-1)
    for output in range(C):
        moved = step * np.eye(C)[output]
        slope = (stage.loss(np, z + moved, y) - stage.loss(np, z - moved, y)) / (2 * step)
        np.testing.assert_allclose(delta[..., output][smooth], slope[smooth], rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize("loss", PLAIN)
def test_a_nan_output_gives_a_nan_loss_so_that_a_divergence_is_seen(loss):
    assert np.isnan(output_stage("identity", loss).loss(np, np.array([[[np.nan, 0.0]]]), np.zeros((1, 2)))).all()


@pytest.mark.parametrize(("phi", "loss"), STAGES)
def test_a_nan_logit_gives_a_nan_loss_so_that_a_divergence_is_seen(phi, loss):
    assert np.isnan(output_stage(phi, loss).loss(np, np.array([[[np.nan, 0.0]]]), np.array([[1.0, 0.0]]))).all()


# Label smoothing


def test_smoothing_gives_every_class_its_share_and_every_label_a_half():
    y = np.array([[1.0, 0.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0]])
    np.testing.assert_allclose(
        smooth_labels(y, 0.2, "cross_entropy"), [[0.85, 0.05, 0.05, 0.05], [0.05, 0.05, 0.85, 0.05]], rtol=1e-15
    )
    np.testing.assert_allclose(
        smooth_labels(y, 0.2, "binary_cross_entropy"), [[0.9, 0.1, 0.1, 0.1], [0.1, 0.1, 0.9, 0.1]], rtol=1e-15
    )


def test_the_classes_that_share_are_those_of_the_last_axis():
    y = np.broadcast_to(np.eye(4), (2, 4, 4))
    np.testing.assert_allclose(smooth_labels(y[:, :3], 0.2, "cross_entropy").sum(axis=-1), 1, rtol=1e-15)


@pytest.mark.parametrize("loss", ["cross_entropy", "binary_cross_entropy"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_smoothing_keeps_dtype_and_argument_and_none_is_none(loss, dtype):
    y = np.eye(3, dtype=dtype)
    smooth = smooth_labels(y, 0.1, loss)
    assert smooth.dtype == dtype
    np.testing.assert_array_equal(y, np.eye(3))
    np.testing.assert_array_equal(smooth_labels(y, 0.0, loss), y)
    assert smooth_labels(y, 0.99, loss).max() < 1


@given(z=logits(20), y=one_hot_rows(), smoothing=st.floats(0, 0.9))
def test_the_loss_of_smooth_classes_is_the_mixture_of_the_loss_and_of_that_of_no_knowledge(z, y, smoothing):
    loss = output_stage("softmax", "cross_entropy").loss
    smooth = loss(np, z, smooth_labels(y, smoothing, "cross_entropy"))
    mixture = (1 - smoothing) * loss(np, z, y) + smoothing * loss(np, z, np.full_like(y, 1 / C))
    np.testing.assert_allclose(smooth, mixture, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("smoothing", [-0.1, 1.0, 1.5, float("nan")])
def test_a_smoothing_that_leaves_nothing_or_sharpens_is_refused(smoothing):
    message = re.escape(f"label smoothing is {smoothing}: use at least 0 and less than 1")
    with pytest.raises(ValueError, match=message):
        smooth_labels(np.eye(3), smoothing, "cross_entropy")


@pytest.mark.parametrize("loss", ["mse", "huber", "nonsense"])
def test_smoothing_the_targets_of_any_other_loss_is_refused(loss):
    with pytest.raises(
        ValueError, match=f"no meaning for loss '{loss}': use 'cross_entropy' or 'binary_cross_entropy'"
    ):
        smooth_labels(np.eye(3), 0.1, loss)


# What is offered


@pytest.mark.parametrize("phi", sorted(ACTIVATIONS))
def test_mse_sums_the_squared_error_over_outputs_and_leaves_the_mean_over_samples_to_the_batch(phi):
    z = np.array([[[0.5, -1.0, 2.0], [1.5, 0.25, -0.5]]])
    y = np.array([[1.0, 0.0, -1.0], [0.5, 0.5, 0.5]])
    stage = output_stage(phi, "mse")
    yhat = stage.outputs(np, z)
    expected = [sum((y[b, c] - yhat[0, b, c]) ** 2 for c in range(C)) for b in range(2)]
    np.testing.assert_allclose(stage.loss(np, z, y), [expected], rtol=1e-15)


OFFERED = [*product(sorted(ACTIVATIONS), sorted(PLAIN)), *STAGES]


def test_the_losses_offered():
    assert list(LOSSES) == ["mse", "mae", "huber", "cross_entropy", "binary_cross_entropy"]
    assert all(name == loss.name for name, loss in LOSSES.items())


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


@pytest.mark.parametrize("phi", sorted(ACTIVATIONS.keys() - {"sigmoid", "softmax"}))
def test_cross_entropy_of_outputs_that_are_no_probabilities_is_refused(phi):
    message = (
        f"loss 'cross_entropy' takes the logarithm of the output, which output_activation '{phi}' can make zero or "
        "negative: use output_activation 'softmax' or 'sigmoid', or loss 'mse'"
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        output_stage(phi, "cross_entropy")


@pytest.mark.parametrize("phi", sorted(ACTIVATIONS.keys() - {"sigmoid"}))
def test_binary_cross_entropy_of_anything_but_a_sigmoid_is_refused(phi):
    message = (
        "loss 'binary_cross_entropy' takes every output for the probability of a label of its own, which "
        f"output_activation '{phi}' does not give: use output_activation 'sigmoid', or loss 'cross_entropy' with "
        "output_activation 'softmax' for classes that exclude each other"
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        output_stage(phi, "binary_cross_entropy")


@pytest.mark.parametrize(
    ("mistyped", "suggested"),
    [
        ("binary_crossentropy", "binary_cross_entropy"),
        ("hubert", "huber"),
        ("crossentropy", "cross_entropy"),
        ("msee", "mse"),
    ],
)
def test_a_mistyped_loss_suggests_the_nearest(mistyped, suggested):
    with pytest.raises(ValueError, match=f"loss '{mistyped}' is unknown: did you mean '{suggested}'?"):
        output_stage("softmax", mistyped)
