import math
import re
import warnings
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.metrics import accuracy_score, log_loss, mean_squared_error, r2_score, root_mean_squared_error

from backprop import (
    Architecture,
    Backend,
    EpochReport,
    Finished,
    Network,
    Parameters,
    Samples,
    Stack,
    Trial,
    evaluation,
    initial_parameters,
    one_hot,
    train,
    training,
)
from backprop.randomness import Stream, generator
from backprop.training import histories, stack_of_one

CPU = Backend(np)
N, D, C = 50, 6, 3

with np.load(Path(__file__).parents[1] / "references" / "trajectories.npz") as archive:
    TRAJECTORIES = dict(archive)


def classes(n: int, seed: int = 0) -> Samples:
    draw = np.random.default_rng(seed)
    x = draw.normal(size=(n, D))
    return Samples(x, one_hot(np.abs(x[:, :C]).argmax(axis=1), C, "float64"))


def values(n: int, seed: int = 0) -> Samples:
    draw = np.random.default_rng(seed)
    x = draw.normal(size=(n, D))
    return Samples(x, np.tanh(x[:, :C]) + 0.1 * draw.normal(size=(n, C)))


CLASSIFIER = Architecture(D, (8, 5), C, "relu", "softmax", "cross_entropy")
REGRESSOR = Architecture(D, (8,), C, "tanh", "identity", "mse")
FRAGILE = Architecture(D, (8,), C, "relu", "identity", "mse")


def classifier_stack(batch_size: int = 7, dtype: str = "float64", **changes) -> Stack:
    trials = (Trial(0.1, 5, seed=3), Trial(0.02, 2, seed=1), Trial(0.3, 4, seed=4), Trial(0.1, 5, seed=9))
    return replace(Stack(CLASSIFIER, batch_size, trials, shuffle_seed=5, dtype=dtype), **changes)


def regressor_stack(batch_size: int = 7, dtype: str = "float64", **changes) -> Stack:
    trials = (Trial(0.05, 3, seed=3), Trial(0.01, 6, seed=3), Trial(0.02, 1, seed=0))
    return replace(Stack(REGRESSOR, batch_size, trials, "regression", shuffle_seed=5, dtype=dtype), **changes)


TASKS = {"classification": (classifier_stack, classes), "regression": (regressor_stack, values)}


def trained(stack: Stack, samples: Samples, validation: Samples) -> tuple[list[EpochReport], dict[int, Finished]]:
    reports = list(train(stack, samples, validation, CPU))
    return reports, {done.trial: done for report in reports for done in report.finished}


def assert_same_curve(found: dict[str, list[float]], wanted: dict[str, list[float]], tolerance: float) -> None:
    assert found.keys() == wanted.keys()
    for name in wanted:
        np.testing.assert_allclose(found[name], wanted[name], rtol=tolerance, err_msg=name)


def assert_same_weights(found: Finished, wanted: Finished, tolerance: float) -> None:
    for a, b in zip(found.parameters, wanted.parameters, strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)


# A stack equals its trials


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("batch_size", [1, 7, 32, N])
@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-10), ("float32", 1e-4)])
def test_a_trial_in_a_stack_trains_as_it_does_alone(task, batch_size, dtype, tolerance):
    make_stack, make_samples = TASKS[task]
    stack = make_stack(batch_size, dtype)
    samples, validation = make_samples(N), make_samples(20, seed=1)
    reports, finished = trained(stack, samples, validation)
    curves = histories(reports, len(stack.trials))
    for trial, settings in enumerate(stack.trials):
        alone_reports, alone_finished = trained(stack_of_one(stack, trial), samples, validation)
        (alone,) = histories(alone_reports, 1)
        assert len(alone["train/loss"]) == settings.epochs
        assert_same_curve(curves[trial], alone, tolerance)
        assert_same_weights(finished[trial], alone_finished[0], tolerance)


def test_a_trial_trains_the_same_at_any_place_in_the_stack():
    stack = classifier_stack()
    turned = replace(stack, trials=stack.trials[::-1])
    samples, validation = classes(N), classes(20, seed=1)
    reports, finished = trained(stack, samples, validation)
    turned_reports, turned_finished = trained(turned, samples, validation)
    last = len(stack.trials) - 1
    for trial, curve in enumerate(histories(reports, len(stack.trials))):
        assert_same_curve(histories(turned_reports, len(stack.trials))[last - trial], curve, 1e-10)
        assert_same_weights(turned_finished[last - trial], finished[trial], 1e-10)


def test_a_trial_leaves_the_stack_after_its_epochs_with_the_weights_of_then():
    stack = classifier_stack(trials=(Trial(0.1, 3), Trial(0.1, 1), Trial(0.1, 2)))
    at_leaving, reports = {}, []
    for report in train(stack, classes(N), classes(20, seed=1), CPU):
        reports.append(report)
        at_leaving |= {done.trial: [p.copy() for p in done.parameters] for done in report.finished}
    assert [report.epoch for report in reports] == [1, 2, 3]
    assert [report.trials for report in reports] == [(0, 1, 2), (0, 2), (0,)]
    assert [[done.trial for done in report.finished] for report in reports] == [[1], [2], [0]]
    for report in reports:
        assert {len(measured) for measured in report.metrics.values()} == {len(report.trials)}
        for done in report.finished:
            assert not done.diverged
            for kept, now in zip(at_leaving[done.trial], done.parameters, strict=True):
                assert now.shape[0] == 1
                np.testing.assert_array_equal(kept, now)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("batch_size", [7, N])
def test_a_diverging_neighbour_changes_no_survivor_and_leaves_the_stack(batch_size, dtype):
    calm, wild, short = Trial(0.01, 60, seed=1), Trial(1e6, 60, seed=2), Trial(0.002, 3, seed=3)
    stack = Stack(FRAGILE, batch_size, (calm, wild, short), "regression", dtype=dtype)
    samples, validation = values(N), values(20, seed=1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        reports, finished = trained(stack, samples, validation)
    without_reports, without = trained(replace(stack, trials=(calm, short)), samples, validation)

    left_at = next(report.epoch for report in reports if any(done.trial == 1 for done in report.finished))
    curves, wanted = histories(reports, 3), histories(without_reports, 2)
    finite = np.isfinite([curves[1]["train/loss"], curves[1]["val/loss"]]).all(axis=0)
    assert finished[1].diverged
    assert left_at < wild.epochs
    assert finite.tolist() == [True] * (left_at - 1) + [False]
    assert all((1 in report.trials) == (report.epoch <= left_at) for report in reports)

    tolerance = {"float64": 1e-10, "float32": 1e-4}[dtype]
    for trial, same in ((0, 0), (2, 1)):
        assert not finished[trial].diverged
        assert_same_curve(curves[trial], wanted[same], tolerance)
        assert_same_weights(finished[trial], without[same], tolerance)


@pytest.mark.parametrize("which", ["training", "validation"])
def test_a_loss_that_overflows_on_either_set_alone_is_a_divergence(which):
    tame = Samples(np.ones((4, 1)), np.ones((4, 1)))
    given = {"training": tame, "validation": tame} | {which: Samples(tame.x, 1e20 * tame.y)}
    linear = Architecture(1, (), 1, output_activation="identity", loss="mse")
    stack = Stack(linear, 4, (Trial(1e-20, 3),), "regression")
    reports, finished = trained(stack, given["training"], given["validation"])
    measured = reports[0].metrics
    assert np.isfinite(measured["train/loss"]) == (which == "validation")
    assert np.isfinite(measured["val/loss"]) == (which == "training")
    assert finished[0].diverged
    assert len(reports) == 1


def test_training_ends_when_the_last_trial_has_diverged():
    stack = Stack(FRAGILE, 7, (Trial(1e6, 50), Trial(1e8, 50)), "regression")
    reports, finished = trained(stack, values(N), values(20, seed=1))
    assert len(reports) < 50
    assert all(finished[trial].diverged for trial in (0, 1))


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_two_runs_are_identical_to_the_bit(task, dtype):
    make_stack, make_samples = TASKS[task]
    runs = [trained(make_stack(dtype=dtype), make_samples(N), make_samples(20, seed=1)) for _ in range(2)]
    (reports, finished), (again_reports, again_finished) = runs
    for report, again in zip(reports, again_reports, strict=True):
        assert (report.epoch, report.trials, report.metrics.keys()) == (again.epoch, again.trials, again.metrics.keys())
        for name in report.metrics:
            np.testing.assert_array_equal(report.metrics[name], again.metrics[name])
    for trial, done in finished.items():
        for a, b in zip(done.parameters, again_finished[trial].parameters, strict=True):
            np.testing.assert_array_equal(a, b)


# The textbook's update


def textbook_sgd(weights, samples: Samples, rate: float, batch: int, orders: list[np.ndarray]):
    """One hidden layer by the formulas, a sample at a time.

    h = sigma(x W1 + b1), yhat = h W2 + b2, L = sum (y - yhat)^2.

    Every update is `W := W - mu dL/dW` with the mean gradient of its samples. Returns the weights at the end and,
    for each epoch, the mean over samples of the loss each had when its turn came.
    """
    w1, b1, w2, b2 = [parameter.copy() for parameter in weights]
    epoch_losses = []
    for order in orders:
        losses = []
        for start in range(0, len(order), batch):
            rows = order[start : start + batch]
            dw1, db1, dw2, db2 = [np.zeros_like(parameter) for parameter in (w1, b1, w2, b2)]
            for n in rows:
                x, y = samples.x[n], samples.y[n]
                h = np.array([1 / (1 + math.exp(-z)) for z in x @ w1 + b1])
                error = h @ w2 + b2 - y
                losses.append((error**2).sum())
                dh = w2 @ (2 * error)
                dw2 += np.outer(h, 2 * error) / len(rows)
                db2 += 2 * error / len(rows)
                dw1 += np.outer(x, dh * h * (1 - h)) / len(rows)
                db1 += dh * h * (1 - h) / len(rows)
            w1, b1, w2, b2 = w1 - rate * dw1, b1 - rate * db1, w2 - rate * dw2, b2 - rate * db2
        epoch_losses.append(np.mean(losses))
    return (w1, b1, w2, b2), epoch_losses


def shuffled(seed: int, epochs: int) -> list[np.ndarray]:
    return [generator(seed, Stream.SHUFFLE, epoch).permutation(N) for epoch in range(1, epochs + 1)]


@pytest.mark.parametrize("batch", [1, 7, 32, N, 3 * N])
def test_training_is_the_textbook_update_in_the_order_of_the_shuffle_seed_and_the_epoch(batch):
    """With one sample at a time, and with a short last batch that counts for no more than its samples."""
    architecture = Architecture(D, (5,), C, "sigmoid", "identity", "mse")
    trials = (Trial(0.01, 4, seed=2), Trial(0.05, 3, seed=8))
    samples = values(N)
    reports, finished = trained(
        Stack(architecture, batch, trials, "regression", shuffle_seed=21, dtype="float64"), samples, values(20, seed=1)
    )
    curves = histories(reports, len(trials))
    for place, trial in enumerate(trials):
        start = initial_parameters(architecture, [trial.seed], "float64")
        (w1, w2), (b1, b2) = start.weights, start.biases
        weights, losses = textbook_sgd(
            (w1[0], b1[0, 0], w2[0], b2[0, 0]), samples, trial.learning_rate, batch, shuffled(21, trial.epochs)
        )
        (w1, w2), (b1, b2) = finished[place].parameters.weights, finished[place].parameters.biases
        for found, wanted in zip((w1[0], b1[0, 0], w2[0], b2[0, 0]), weights, strict=True):
            np.testing.assert_allclose(found, wanted, rtol=1e-10, atol=1e-12)
        np.testing.assert_allclose(curves[place]["train/loss"], losses, rtol=1e-10)


def test_another_shuffle_seed_gives_another_order_and_another_curve():
    curves = [
        histories(trained(classifier_stack(shuffle_seed=seed), classes(N), classes(20, seed=1))[0], 4)[0]["val/loss"]
        for seed in (0, 1)
    ]
    assert not np.allclose(*curves, rtol=1e-6)


# Against torch.optim.SGD


def trajectory_stack(name: str) -> tuple[Stack, Samples]:
    x, y = TRAJECTORIES[f"{name}/x"], TRAJECTORIES[f"{name}/y"]
    stacks = {
        "classification": Stack(
            Architecture(4, (5,), 3, "tanh", "softmax", "cross_entropy"),
            batch_size=8,
            trials=(Trial(0.05, 10, seed=3), Trial(0.2, 10, seed=1), Trial(0.5, 10, seed=4)),
            shuffle_seed=11,
            dtype="float64",
        ),
        "regression": Stack(
            Architecture(4, (5,), 3, "relu", "identity", "mse"),
            batch_size=8,
            trials=(Trial(0.01, 10, seed=0), Trial(0.05, 10, seed=7), Trial(0.002, 10, seed=7)),
            task="regression",
            shuffle_seed=11,
            dtype="float64",
        ),
    }
    return stacks[name], Samples(x, y)


@pytest.mark.parametrize("name", ["classification", "regression"])
def test_fifty_updates_end_where_pytorch_ends(name):
    stack, samples = trajectory_stack(name)
    reports, finished = trained(stack, samples, samples)
    start = initial_parameters(stack.architecture, [trial.seed for trial in stack.trials], "float64")
    losses = np.array([curve["train/loss"] for curve in histories(reports, len(stack.trials))])
    np.testing.assert_allclose(losses, TRAJECTORIES[f"{name}/losses"], rtol=1e-9)
    for trial, layer in np.ndindex(len(stack.trials), 2):
        end = finished[trial].parameters
        recorded = {kind: TRAJECTORIES[f"{name}/{trial}/{kind}{layer}"] for kind in ("start", "weight", "bias")}
        np.testing.assert_array_equal(start.weights[layer][trial], recorded["start"])
        np.testing.assert_allclose(end.weights[layer][0], recorded["weight"], rtol=0, atol=1e-9)
        np.testing.assert_allclose(end.biases[layer][0, 0], recorded["bias"], rtol=0, atol=1e-9)
        assert np.abs(recorded["weight"] - recorded["start"]).max() > 1e-2


def test_pytorch_still_takes_the_recorded_trajectories(recording):
    computed = recording.trajectories()
    assert computed.keys() == TRAJECTORIES.keys()
    for name, wanted in TRAJECTORIES.items():
        assert (np.abs(computed[name] - wanted) <= 1e-12 * np.maximum(1, np.abs(wanted))).all(), name


# What is measured


def last_epoch(stack: Stack, samples: Samples, validation: Samples) -> Iterator[tuple[dict[str, float], np.ndarray]]:
    """The metrics of every trial's last epoch, and its predictions on the validation samples."""
    reports, finished = trained(stack, samples, validation)
    network = Network(stack.architecture, CPU)
    for trial, curve in enumerate(histories(reports, len(stack.trials))):
        (yhat,) = network.predict(finished[trial].parameters, validation.x)
        yield {name: curve[-1] for name, curve in curve.items()}, yhat


def test_classification_metrics_are_those_of_scikit_learn():
    validation = classes(23, seed=1)
    codes = validation.y.argmax(axis=1)
    for measured, yhat in last_epoch(classifier_stack(), classes(N), validation):
        assert set(measured) == {"train/loss", "val/loss", "val/accuracy"}
        assert measured["val/loss"] == pytest.approx(log_loss(codes, yhat, labels=range(C)), rel=1e-10)
        assert measured["val/accuracy"] == accuracy_score(codes, yhat.argmax(axis=1))


def test_regression_metrics_are_those_of_scikit_learn():
    validation = values(23, seed=1)
    for measured, yhat in last_epoch(regressor_stack(), values(N), validation):
        assert set(measured) == {"train/loss", "val/loss", "val/rmse", "val/r2"}
        assert measured["val/loss"] == pytest.approx(C * mean_squared_error(validation.y, yhat), rel=1e-10)
        assert measured["val/r2"] == pytest.approx(r2_score(validation.y, yhat), rel=1e-10)
        every_value = root_mean_squared_error(validation.y.ravel(), yhat.ravel())
        assert measured["val/rmse"] == pytest.approx(every_value, rel=1e-10)


@pytest.mark.parametrize("target", [0.5, 0.75])
def test_r2_of_a_constant_target_met_or_missed_is_that_of_scikit_learn(target):
    architecture = Architecture(2, (), 1, output_activation="identity", loss="mse")
    always_a_half = Parameters([np.zeros((1, 2, 1))], [np.full((1, 1, 1), 0.5)])
    samples = Samples(np.ones((4, 2)), np.full((4, 1), target))
    measured = training.evaluate(Network(architecture, CPU), always_a_half, samples, "regression", prefix="test")
    assert measured["test/r2"].tolist() == [r2_score(samples.y, np.full(4, 0.5))]


def test_r2_of_a_constant_target_among_others_divides_by_no_zero():
    samples, validation = values(N), values(20, seed=1)
    flat = Samples(validation.x, np.where([True, False, False], 0.5, validation.y))
    with np.errstate(divide="raise", invalid="raise"):
        for measured, yhat in last_epoch(regressor_stack(), samples, flat):
            assert measured["val/r2"] == pytest.approx(r2_score(flat.y, yhat), rel=1e-10)


@pytest.mark.parametrize("task", TASKS)
def test_metrics_do_not_depend_on_how_many_rows_are_evaluated_at_once(task, monkeypatch):
    make_stack, make_samples = TASKS[task]
    at_once, _ = trained(make_stack(), make_samples(N), make_samples(20, seed=1))
    monkeypatch.setattr(evaluation, "EVALUATION_BYTES", 3 * len(make_stack().trials) * 8 * 8)
    in_pieces, _ = trained(make_stack(), make_samples(N), make_samples(20, seed=1))
    for wanted, found in zip(at_once, in_pieces, strict=True):
        for name in wanted.metrics:
            np.testing.assert_allclose(found.metrics[name], wanted.metrics[name], rtol=1e-10)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_metrics_are_float64_in_host_memory_and_weights_keep_the_dtype(dtype):
    reports, finished = trained(classifier_stack(dtype=dtype), classes(N), classes(20, seed=1))
    assert {measured.dtype.name for report in reports for measured in report.metrics.values()} == {"float64"}
    assert {array.dtype.name for done in finished.values() for array in done.parameters} == {dtype}


@pytest.mark.parametrize("given", ["float32", "float64", "int64"])
def test_samples_of_any_dtype_are_converted_and_left_as_they_were(given):
    samples = classes(N)
    samples = Samples((10 * samples.x).astype(given), samples.y.astype(given))
    kept = samples.x.copy(), samples.y.copy()
    reports, _ = trained(classifier_stack(dtype="float32"), samples, samples)
    wanted, _ = trained(
        classifier_stack(dtype="float32"), *[Samples(samples.x.astype("float32"), samples.y.astype("float32"))] * 2
    )
    np.testing.assert_array_equal(reports[-1].metrics["val/loss"], wanted[-1].metrics["val/loss"])
    np.testing.assert_array_equal(samples.x, kept[0])
    np.testing.assert_array_equal(samples.y, kept[1])


def test_digits_are_learned():
    x, codes = load_digits(return_X_y=True)
    draw = np.random.default_rng(0).permutation(len(x))
    x, y = x[draw] / 16, one_hot(codes[draw], 10)
    stack = Stack(Architecture(64, (32,), 10), 32, (Trial(0.1, 30, seed=0), Trial(0.3, 30, seed=1)))
    reports, _ = trained(stack, Samples(x[:1437], y[:1437]), Samples(x[1437:], y[1437:]))
    for curve in histories(reports, 2):
        assert curve["train/loss"][-1] < 0.1 < 0.5 < curve["train/loss"][0]
        assert all(later < earlier for earlier, later in pairwise(curve["train/loss"][:5]))
        assert curve["val/loss"][-1] < curve["val/loss"][0]
        assert curve["val/accuracy"][-1] >= 0.95


def test_regression_metrics_move_the_way_a_better_model_moves_them():
    stack = regressor_stack(trials=(Trial(0.05, 40),))
    (curve,) = histories(trained(stack, values(N), values(200, seed=1))[0], 1)
    assert curve["train/loss"][-1] < 0.2 * curve["train/loss"][0]
    assert curve["val/rmse"][-1] < 0.5 * curve["val/rmse"][0]
    assert curve["val/r2"][0] < 0.5 < 0.8 < curve["val/r2"][-1] < 1


# Wrong arguments


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Trial(0, 1), "learning_rate is 0: use a positive finite number"),
        (lambda: Trial(-0.1, 1), "learning_rate is -0.1: use a positive finite number"),
        (lambda: Trial(float("nan"), 1), "learning_rate is nan: use a positive finite number"),
        (lambda: Trial(float("inf"), 1), "learning_rate is inf: use a positive finite number"),
        (lambda: Trial(0.1, 0), "epochs is 0: use at least 1"),
        (lambda: Trial(0.1, 1, seed=-1), "seed is -1: use 0 or more"),
        (lambda: classifier_stack(trials=()), "trials is empty: a stack needs at least one"),
        (lambda: classifier_stack(batch_size=0), "batch_size is 0: use at least 1"),
        (lambda: classifier_stack(shuffle_seed=-1), "shuffle_seed is -1: use 0 or more"),
        (lambda: classifier_stack(dtype="float16"), "dtype is 'float16': use 'float32' or 'float64'"),
        (lambda: classifier_stack(task="clasification"), "task is 'clasification': use 'classification' or 'regres"),
        (lambda: Samples(np.ones(3), np.ones((3, 1))), "x (3,) and y (3, 1) do not fit: use (N, D) and (N, C)"),
        (lambda: Samples(np.ones((3, 2)), np.ones(3)), "x (3, 2) and y (3,) do not fit: use (N, D) and (N, C)"),
        (lambda: Samples(np.ones((3, 2)), np.ones((4, 1))), "x (3, 2) and y (4, 1) do not fit: use (N, D) and (N, C)"),
        (lambda: Samples(np.ones((0, 2)), np.ones((0, 1))), "x has no rows: use at least one sample"),
        (lambda: one_hot(np.array([0, 3, 1]), 3), "codes span 0..3: use 0..2"),
        (lambda: one_hot(np.array([0, -1, 1]), 3), "codes span -1..1: use 0..2"),
    ],
)
def test_a_wrong_argument_is_named_with_its_value_and_what_is_allowed(make, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        make()


@pytest.mark.parametrize("which", ["training", "validation"])
@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (D + 1, C, f"x has {D + 1} columns but the architecture has {D} inputs"),
        (D, C - 1, f"y has {C - 1} columns but the architecture has {C} outputs"),
    ],
)
def test_samples_that_do_not_fit_the_architecture_are_refused_by_name(which, x, y, message):
    given = {"training": classes(N), "validation": classes(N)} | {which: Samples(np.ones((9, x)), np.ones((9, y)))}
    with pytest.raises(ValueError, match=re.escape(f"{which}.{message}")):
        next(train(classifier_stack(), given["training"], given["validation"], CPU))


# One-hot rows


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_one_hot_puts_a_single_one_at_each_code(dtype):
    rows = one_hot(np.array([2, 0, 0, 1]), 4, dtype)
    assert rows.dtype == dtype
    np.testing.assert_array_equal(rows, [[0, 0, 1, 0], [1, 0, 0, 0], [1, 0, 0, 0], [0, 1, 0, 0]])


def test_one_hot_of_no_codes_has_no_rows():
    assert one_hot(np.array([], dtype=int), 3).shape == (0, 3)
