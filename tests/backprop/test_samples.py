"""Samples that do not count alike, and samples that are refused."""

import re

import numpy as np
import pytest
from everything import CPU, samples
from sklearn.metrics import accuracy_score, log_loss, mean_squared_error, r2_score
from sklearn.utils.class_weight import compute_sample_weight

from backprop import Architecture, Network, Samples, Stack, Trial, class_weights, initial_parameters, one_hot, train
from backprop.samples import check_samples
from backprop.training import evaluate

D, C, N = 6, 3, 50
CLASSES = Architecture(D, (5,), C, "tanh")
LABELS = Architecture(D, (5,), C, "tanh", "sigmoid", "binary_cross_entropy")
VALUES = Architecture(D, (5,), C, "tanh", "identity", "mse")


def drawn(architecture: Architecture) -> Samples:
    draw = np.random.default_rng(0)
    x, weights = draw.normal(size=(N, D)), draw.uniform(0, 3, size=N)
    y = {
        "cross_entropy": one_hot(draw.integers(C, size=N), C, "float64"),
        "binary_cross_entropy": draw.integers(2, size=(N, C)).astype("float64"),
        "mse": draw.normal(size=(N, C)),
    }[architecture.loss]
    return Samples(x, y, weights)


def ends(
    architecture: Architecture, training: Samples, batch_size: int = N, epochs: int = 5, rate: float = 0.1, **settings
) -> list:
    task = "regression" if architecture.loss == "mse" else "classification"
    stack = Stack(architecture, batch_size, (Trial(rate, epochs, seed=1),), task, dtype="float64", **settings)
    *_, last = train(stack, training, None, CPU)
    return [last.metrics["train/loss"], *last.finished[0].parameters]


def assert_same(found: list, wanted: list, tolerance: float = 1e-12) -> None:
    for a, b in zip(found, wanted, strict=True):
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)


# Weights


@pytest.mark.parametrize("architecture", [CLASSES, LABELS, VALUES], ids=lambda a: a.loss)
def test_a_weight_of_0_is_a_sample_that_is_not_there_and_one_of_2_is_two_samples(architecture):
    full = drawn(architecture)
    weights = np.random.default_rng(1).integers(0, 3, size=N)
    rows = np.repeat(np.arange(N), weights)
    repeated = Samples(full.x[rows], full.y[rows])
    weighted = Samples(full.x, full.y, weights)
    assert_same(ends(architecture, weighted), ends(architecture, repeated, batch_size=len(rows)), 1e-10)


@pytest.mark.parametrize("batch_size", [1, 7, N])
def test_only_the_ratios_of_weights_matter_and_equal_ones_are_none(batch_size):
    full = drawn(CLASSES)
    scaled = Samples(full.x, full.y, 12.5 * full.weights)
    assert_same(ends(CLASSES, scaled, batch_size), ends(CLASSES, full, batch_size), 1e-10)
    equal, none = Samples(full.x, full.y, np.full(N, 0.3)), Samples(full.x, full.y)
    assert_same(ends(CLASSES, equal, batch_size), ends(CLASSES, none, batch_size))


def test_weights_count_also_when_updates_are_made_one_sample_at_a_time():
    full = drawn(CLASSES)
    weighted, plain = [ends(CLASSES, s, batch_size=1) for s in (full, Samples(full.x, full.y))]
    assert np.abs(weighted[1] - plain[1]).max() > 1e-2


def test_a_minibatch_of_weight_0_moves_nothing_and_divides_by_no_0():
    full = drawn(CLASSES)
    weights = np.where(np.arange(N) < 5, 0.0, 1.0)
    with np.errstate(all="raise"):
        found = ends(CLASSES, Samples(full.x, full.y, weights), batch_size=5, epochs=1, shuffle=False)
    # The mean weight of all is 0.9, of those that count 1.
    wanted = ends(CLASSES, Samples(full.x[5:], full.y[5:]), batch_size=5, epochs=1, rate=0.1 / 0.9, shuffle=False)
    assert_same(found, wanted)


def test_the_training_loss_is_the_weighted_mean():
    full = drawn(CLASSES)
    network = Network(CLASSES, CPU)
    start = initial_parameters(CLASSES, [1], "float64")
    each = network.output_stage.loss(np, network.forward(start, full.x).logits, full.y)[0]
    loss, *_ = ends(CLASSES, full, epochs=1)
    assert loss.item() == pytest.approx(np.average(each, weights=full.weights), rel=1e-12)


def test_measures_are_weighted_as_scikit_learns():
    full = drawn(CLASSES)
    parameters = initial_parameters(CLASSES, [1], "float64")
    network = Network(CLASSES, CPU)
    measured = evaluate(network, parameters, full, "classification", "val")
    codes, yhat = full.y.argmax(axis=1), network.predict(parameters, full.x)[0]
    assert measured["val/loss"].item() == pytest.approx(log_loss(codes, yhat, sample_weight=full.weights), rel=1e-10)
    wanted = accuracy_score(codes, yhat.argmax(axis=1), sample_weight=full.weights)
    assert measured["val/accuracy"].item() == pytest.approx(wanted, rel=1e-12)

    full, network = drawn(VALUES), Network(VALUES, CPU)
    measured = evaluate(network, parameters, full, "regression", "val")
    yhat = network.predict(parameters, full.x)[0]
    mse = mean_squared_error(full.y, yhat, sample_weight=full.weights)
    assert measured["val/loss"].item() == pytest.approx(C * mse, rel=1e-10)
    assert measured["val/rmse"].item() == pytest.approx(np.sqrt(mse), rel=1e-10)
    assert measured["val/r2"].item() == pytest.approx(r2_score(full.y, yhat, sample_weight=full.weights), rel=1e-10)


@pytest.mark.parametrize("outputs", [1, 3])
def test_accuracy_of_labels_is_that_of_a_sample_with_all_labels_right(outputs):
    architecture = Architecture(D, (5,), outputs, "tanh", "sigmoid", "binary_cross_entropy")
    draw = np.random.default_rng(3)
    parameters = initial_parameters(architecture, [1], "float64")
    network = Network(architecture, CPU)
    x = draw.normal(size=(N, D))
    y = draw.integers(2, size=(N, outputs)).astype("float64")
    measured = evaluate(network, parameters, Samples(x, y), "classification", "val")["val/accuracy"].item()
    yhat = network.predict(parameters, x)[0] > 0.5
    assert measured == pytest.approx(accuracy_score(y, yhat))
    assert 0 < measured < 1


def test_labels_are_learned():
    x = np.random.default_rng(0).normal(size=(400, D))
    given = Samples(x, (x[:, :C] + 0.5 * x[:, 1:4] > 0).astype("float64"))
    stack = Stack(LABELS, 16, (Trial(0.5, 40),), dtype="float64")
    *_, last = train(stack, Samples(given.x[:300], given.y[:300]), Samples(given.x[300:], given.y[300:]), CPU)
    assert last.metrics["val/accuracy"].item() > 0.85


def test_balanced_class_weights_are_those_of_scikit_learn():
    codes = np.array([0, 0, 0, 1, 2, 2])
    np.testing.assert_allclose(class_weights(one_hot(codes, 3)), compute_sample_weight("balanced", codes), rtol=1e-7)
    assert class_weights(one_hot(codes, 3), [1, 5, 0.5]).tolist() == [1, 1, 1, 5, 0.5, 0.5]


def test_a_class_without_samples_has_no_weight_to_give_and_divides_by_no_0():
    with np.errstate(all="raise"):
        assert np.isfinite(class_weights(one_hot(np.array([0, 0, 2]), 3))).all()


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ("balnced", "weights is 'balnced': use 'balanced' or a number for each class"),
        ([1, 2], "weights has 2 entries but y has 3 classes"),
    ],
)
def test_class_weights_that_do_not_fit_are_refused(weights, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        class_weights(np.eye(3), weights)


# What is refused before training starts


def with_value(array: np.ndarray, place: tuple, value: float) -> np.ndarray:
    changed = array.copy()
    changed[place] = value
    return changed


ONES, ROWS = np.ones((4, D)), one_hot(np.array([0, 1, 2, 0]), C, "float64")


@pytest.mark.parametrize(
    ("architecture", "given", "message"),
    [
        (CLASSES, (with_value(ONES, (2, 1), np.nan), ROWS), "training.x[2, 1] is nan: use finite numbers"),
        (CLASSES, (with_value(ONES, (3, 5), -np.inf), ROWS), "training.x[3, 5] is -inf: use finite numbers"),
        (VALUES, (ONES, with_value(ROWS, (0, 2), np.inf)), "training.y[0, 2] is inf: use finite numbers"),
        (CLASSES, (ONES.astype(complex), ROWS), "training.x has dtype complex128: use real numbers"),
        (CLASSES, (ONES.astype(object), ROWS), "training.x has dtype object: use real numbers"),
        (CLASSES, (ONES, 2 * ROWS), "training.y spans 0.0..2.0: loss 'cross_entropy' takes targets in 0..1"),
        (LABELS, (ONES, ROWS - 1), "training.y spans -1.0..0.0: loss 'binary_cross_entropy' takes targets in 0..1"),
        (CLASSES, (ONES, with_value(ROWS, (1, 0), 1)), "training.y[1] sums to 2: loss 'cross_entropy' takes one-hot"),
        (CLASSES, (ONES, 0 * ROWS), "training.y[0] sums to 0: loss 'cross_entropy' takes one-hot rows, see one_hot"),
        (
            CLASSES,
            (ONES, ROWS, np.array([1, -1, 1, 1.0])),
            "training.weights[1] is -1.0: use finite numbers, 0 or more",
        ),
        (
            CLASSES,
            (ONES, ROWS, np.array([1, 1, np.nan, 1])),
            "training.weights[2] is nan: use finite numbers, 0 or more",
        ),
        (CLASSES, (ONES, ROWS, np.zeros(4)), "training.weights is all 0: use a positive number for at least one"),
    ],
)
def test_samples_a_loss_cannot_take_are_refused_before_training_by_argument_place_and_value(
    architecture, given, message
):
    with pytest.raises(ValueError, match=re.escape(message)):
        next(train(Stack(architecture, 2, (Trial(0.1, 1),)), Samples(*given), None, CPU))


def test_validation_samples_are_checked_too_and_called_so():
    bad = Samples(with_value(ONES, (0, 0), np.nan), ROWS)
    with pytest.raises(ValueError, match=re.escape("validation.x[0, 0] is nan")):
        next(train(Stack(CLASSES, 2, (Trial(0.1, 1),)), Samples(ONES, ROWS), bad, CPU))


def test_a_bad_value_far_down_is_found_by_its_row(monkeypatch):
    monkeypatch.setattr("backprop.samples.CHECKED_AT_ONCE", 4 * D)
    many = Samples(with_value(np.ones((50, D)), (43, 2), np.nan), np.tile(ROWS, (13, 1))[:50])
    with pytest.raises(ValueError, match=re.escape("given.x[43, 2] is nan")):
        check_samples(CLASSES, many, "given")


@pytest.mark.parametrize("dtype", ["uint8", "int64", "bool", "float16", "float32"])
def test_features_of_any_real_dtype_are_taken(dtype):
    check_samples(CLASSES, Samples(ONES.astype(dtype), ROWS.astype(dtype)), "given")


def test_soft_targets_of_either_cross_entropy_are_taken():
    check_samples(CLASSES, Samples(ONES, np.full((4, C), 1 / C, "float16")), "given")
    check_samples(LABELS, Samples(ONES, np.full((4, C), 0.9)), "given")


def test_weights_that_are_not_one_a_sample_are_refused():
    with pytest.raises(ValueError, match=re.escape("weights (3,) and x (4, 6) do not fit: use (N,) and (N, D)")):
        Samples(ONES, ROWS, np.ones(3))


def test_shared_samples_stay_as_they_were():
    given = samples()
    kept = given.weights.copy()
    ends(CLASSES, given)
    np.testing.assert_array_equal(given.weights, kept)
