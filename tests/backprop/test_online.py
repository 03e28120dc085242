"""One sample per update on a GPU, through `train`: one launch an epoch, and the numbers of the plain form on NumPy."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from backprop import (
    Architecture,
    Backend,
    EarlyStopping,
    EpochReport,
    Samples,
    Stack,
    Training,
    Trial,
    initial_parameters,
    one_hot,
    train,
)
from backprop.activations import ACTIVATIONS
from backprop.kernels import ONLINE_THREADS, CupyBackend, online_shared_bytes
from backprop.network import Parameters
from backprop.optimizers import AdamW, Momentum
from backprop.schedules import Adaptive, Cosine
from backprop.stack import stack_of_one
from backprop.training import histories

PLAIN = Backend(np)
D, H, C, N = 6, 5, 3, 40
TOLERANCE = {"float32": 1e-4, "float64": 1e-10}
CLASSES = Architecture(D, (H,), C, "tanh")
TRIALS = (Trial(0.1, 4, seed=3), Trial(0.02, 2, seed=1), Trial(0.05, 3, seed=4))
STACK = Stack(CLASSES, 1, TRIALS, shuffle_seed=5)
IN = {name: replace(STACK, dtype=name) for name in TOLERANCE}
"""The stack, of four epochs, in either dtype."""


@pytest.fixture(params=sorted(TOLERANCE))
def dtype(request) -> str:
    return request.param


def samples(n: int = N, seed: int = 1) -> Samples:
    x = np.random.default_rng(seed).normal(size=(n, D))
    return Samples(x, one_hot(np.abs(x[:, :C]).argmax(axis=1), C, "float64"))


def launches(backend: CupyBackend) -> int:
    """Return how many epochs one launch has trained so far."""
    return backend.xp.kernel_launches["online_epoch"]


def assert_same(found: list[EpochReport], wanted: list[EpochReport], stack: Stack, tolerance: float) -> None:
    assert [report.trials for report in found] == [report.trials for report in wanted]
    trials = len(stack.trials)
    for curve, other in zip(histories(found, trials), histories(wanted, trials), strict=True):
        assert curve.keys() == other.keys()
        for name in other:
            np.testing.assert_allclose(curve[name], other[name], rtol=tolerance, atol=tolerance)
    for report, twin in zip(found, wanted, strict=True):
        for done, other in zip(report.finished, twin.finished, strict=True):
            assert replace(done, parameters=None) == replace(other, parameters=None)
            for a, b in zip(done.parameters, other.parameters, strict=True):
                assert (type(a), a.dtype) == (np.ndarray, b.dtype)
                np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)


def trains_as_numpy(backend: CupyBackend, stack: Stack, training: Samples | None = None, **settings) -> int:
    """Hold a training on the double to one on NumPy; return how many of its epochs were one launch."""
    training = samples() if training is None else training
    validation = samples(20, 2)
    before = launches(backend)
    found = list(train(stack, training, validation, backend, **settings))
    wanted = list(train(stack, training, validation, PLAIN, **settings))
    assert_same(found, wanted, stack, TOLERANCE[stack.dtype])
    assert len(found) > 1
    return launches(backend) - before


# One launch an epoch


@pytest.mark.parametrize("sigma", sorted(ACTIVATIONS.keys() - {"softmax"}))
@pytest.mark.parametrize(
    ("phi", "loss"), [("softmax", "cross_entropy"), ("identity", "mse"), ("sigmoid", "mse"), ("softplus", "mse")]
)
def test_an_epoch_of_all_trials_is_one_launch_and_the_numbers_are_those_of_numpy(
    kernels_on_double, sigma, phi, loss, dtype
):
    task = "regression" if loss == "mse" else "classification"
    stack = replace(STACK, architecture=Architecture(D, (H,), C, sigma, phi, loss), task=task, dtype=dtype)
    assert trains_as_numpy(kernels_on_double, stack) == 4


@pytest.mark.parametrize("architecture", [Architecture(D, (1,), C), Architecture(D, (40,), C), CLASSES])
@pytest.mark.parametrize("shuffle", [True, False])
def test_any_width_and_the_samples_as_they_come(kernels_on_double, architecture, shuffle, dtype):
    stack = replace(STACK, architecture=architecture, shuffle=shuffle, dtype=dtype)
    assert trains_as_numpy(kernels_on_double, stack) == 4


def test_one_trial_one_sample_and_one_output(kernels_on_double, dtype):
    stack = Stack(Architecture(D, (H,), 1, "relu", "identity", "mse"), 1, TRIALS[:1], "regression", dtype=dtype)
    x = samples(20).x
    data, rest = Samples(x[:1], x[:1, :1] ** 2), Samples(x[1:], x[1:, :1] ** 2)
    found, wanted = (list(train(stack, data, rest, backend)) for backend in (kernels_on_double, PLAIN))
    assert_same(found, wanted, stack, TOLERANCE[dtype])
    assert launches(kernels_on_double) == 4


@pytest.mark.parametrize("targets", ["uint8", "float32"])
def test_samples_of_bytes(kernels_on_double, targets, dtype):
    given = samples()
    x = np.clip(given.x * 40 + 100, 0, 255).astype("uint8")
    stack = replace(STACK, dtype=dtype, trials=tuple(replace(each, learning_rate=1e-4) for each in TRIALS))
    assert trains_as_numpy(kernels_on_double, stack, Samples(x, given.y.astype(targets))) == 4


def test_samples_and_weights_stored_by_columns_as_those_of_a_data_frame_are(kernels_on_double, dtype):
    given = samples()
    by_columns = Samples(np.asfortranarray(given.x.astype(dtype)), np.asfortranarray(given.y.astype(dtype)))
    assert trains_as_numpy(kernels_on_double, IN[dtype], by_columns) == 4
    drawn = initial_parameters(CLASSES, [1, 2, 3], dtype)
    initial = Parameters([np.asfortranarray(w) for w in drawn.weights], drawn.biases)
    trains_as_numpy(kernels_on_double, IN[dtype], initial=initial)


@pytest.mark.parametrize("schedule", [Cosine(), Adaptive(patience=0, min_delta=0.05, minimum=0.001)])
def test_a_rate_that_changes_from_epoch_to_epoch(kernels_on_double, schedule, dtype):
    stack = replace(IN[dtype], trials=(replace(TRIALS[0], schedule=schedule), *TRIALS[1:]))
    assert trains_as_numpy(kernels_on_double, stack) == 4


# Trials that leave


def test_trials_that_leave_early_for_every_reason(kernels_on_double, dtype):
    trials = (
        Trial(0.3, 9, seed=3, early_stopping=EarlyStopping(patience=0, min_delta=0.05)),
        Trial(0.02, 9, seed=1),
        Trial(0.05, 7, seed=4, early_stopping=EarlyStopping(patience=3, metric="val/accuracy", restore=False)),
        Trial(0.01, 9, seed=9, schedule=Adaptive(patience=0, factor=0.1, min_delta=0.05, minimum=0.001)),
        Trial(0.03, 2, seed=6),
    )
    stack = replace(STACK, trials=trials, dtype=dtype)
    reasons = {}

    def stop(report: EpochReport) -> list[int]:
        reasons.update({done.trial: done.reason for done in report.finished})
        return [1] if report.epoch == 3 else []

    count = trains_as_numpy(kernels_on_double, stack, on_epoch=stop)
    assert {reasons[k] for k in (0, 3, 4)} == {"early_stopping", "schedule", "epochs"}
    assert 3 < count <= 9


def test_a_trial_is_trained_to_the_same_bits_whoever_is_beside_it(kernels_on_double, dtype):
    stack = IN[dtype]
    together = list(train(stack, samples(), None, kernels_on_double))
    for place in range(len(TRIALS)):
        alone = list(train(stack_of_one(stack, place), samples(), None, kernels_on_double))
        (mine,) = [done for report in together for done in report.finished if done.trial == place]
        for a, b in zip(mine.parameters, alone[-1].finished[0].parameters, strict=True):
            np.testing.assert_array_equal(a, b)


def test_a_trial_that_diverges_is_told_and_hurts_no_other(kernels_on_double, dtype):
    stack = Stack(
        Architecture(D, (H,), C, "relu", "identity", "mse"),
        1,
        (Trial(0.01, 4, seed=3), Trial(1e6, 4, seed=1), Trial(0.005, 3, seed=4)),
        "regression",
        dtype=dtype,
    )
    reports = list(train(stack, samples(), samples(20, 2), kernels_on_double))
    assert [done.trial for done in reports[0].finished if done.diverged] == [1]
    others = replace(stack, trials=stack.trials[::2])
    wanted = list(train(others, samples(), samples(20, 2), PLAIN))
    assert [report.trials for report in reports[1:]] == [(0, 2), (0, 2), (0,)]
    for report, other in zip(reports[1:], wanted[1:], strict=True):
        np.testing.assert_allclose(report.metrics["train/loss"], other.metrics["train/loss"], TOLERANCE[dtype])


# Kept and resumed


@pytest.mark.parametrize("broken_off", [1, 2, 3])
def test_a_training_resumed_from_a_checkpoint_goes_on_to_the_same_bits(kernels_on_double, broken_off, dtype, tmp_path):
    trials = (replace(TRIALS[0], early_stopping=EarlyStopping(3)), *TRIALS[1:])
    stack = replace(STACK, trials=trials, dtype=dtype)
    wanted = list(train(stack, samples(), samples(20, 2), kernels_on_double))
    path: Path = tmp_path / "some.checkpoint"
    reports = train(stack, samples(), samples(20, 2), kernels_on_double, checkpoint=path)
    seen = [next(reports) for _ in range(broken_off)]
    reports.close()
    before = launches(kernels_on_double)
    resumed = list(train(stack, samples(), samples(20, 2), kernels_on_double, checkpoint=path))
    assert_same(seen, wanted[:broken_off], stack, 0)
    # The epoch over whose report the caller broke off is trained again.
    assert_same(resumed, wanted[broken_off - 1 :], stack, 0)
    assert launches(kernels_on_double) - before == len(wanted) - broken_off + 1
    assert_same(wanted, list(train(stack, samples(), samples(20, 2), PLAIN)), stack, TOLERANCE[dtype])


# What the kernel does not know is trained as ever


def every_trial(**changes) -> Callable[[Stack], Stack]:
    return lambda stack: replace(stack, trials=tuple(replace(each, **changes) for each in stack.trials))


def one_trial(**changes) -> Callable[[Stack], Stack]:
    return lambda stack: replace(stack, trials=(stack.trials[0], replace(stack.trials[1], **changes), stack.trials[2]))


def of(*architecture, **changes) -> Callable[[Stack], Stack]:
    return lambda stack: replace(stack, architecture=Architecture(*architecture), **changes)


UNKNOWN = {
    "two hidden layers": of(D, (H, 4), C, "tanh"),
    "no hidden layer": of(D, (), C),
    "softmax in the hidden layer": of(D, (H,), C, "softmax"),
    "softmax with mse": of(D, (H,), C, "tanh", "softmax", "mse"),
    "labels": of(D, (H,), C, "tanh", "sigmoid", "binary_cross_entropy"),
    "huber": of(D, (H,), C, "tanh", "identity", "huber", task="regression"),
    "momentum": every_trial(optimizer=Momentum(0.5)),
    "adamw": every_trial(optimizer=AdamW()),
    "l2 of one trial": one_trial(l2=0.01),
    "l1 of one trial": one_trial(l1=0.01),
    "a norm clipped": one_trial(clip_norm=0.1),
    "dropout in one trial": one_trial(dropout=0.5),
    "smoothing in one trial": one_trial(label_smoothing=0.2),
    "a narrower trial": one_trial(hidden=(H - 2,)),
    "two samples an update": lambda stack: replace(stack, batch_size=2),
}


@pytest.mark.parametrize("name", UNKNOWN)
def test_what_the_kernel_does_not_know_is_trained_in_the_plain_form(kernels_on_double, name, dtype):
    # The double counts every one of some fifty launches an update, and there is one for each sample.
    assert trains_as_numpy(kernels_on_double, UNKNOWN[name](IN[dtype]), samples(12)) == 0


def test_a_trial_of_its_own_width_that_is_the_widest_is_no_narrower_one(kernels_on_double):
    assert trains_as_numpy(kernels_on_double, one_trial(hidden=(H,))(STACK)) == 4


def test_a_stack_keeps_its_way_when_the_trial_that_decided_it_has_left(kernels_on_double):
    """Which trials have left changes no bit of the others."""
    stack = one_trial(dropout=0.5)(STACK)
    assert [len(each.trials) for each in train(stack, samples(), None, kernels_on_double)] == [3, 3, 2, 1]
    assert launches(kernels_on_double) == 0


def test_samples_with_weights_are_trained_in_the_plain_form(kernels_on_double, dtype):
    weights = np.random.default_rng(0).uniform(0, 3, N)
    assert trains_as_numpy(kernels_on_double, IN[dtype], replace(samples(), weights=weights)) == 0


def test_pieces_with_weights_and_without_follow_each_other(kernels_on_double, dtype):
    weighted = replace(samples(seed=3), weights=np.linspace(0, 2, N))
    pieces = [samples(), weighted, samples(seed=4), weighted]
    runs = [Training(IN[dtype], backend) for backend in (kernels_on_double, PLAIN)]
    found, wanted = ([run.epoch(run.place(piece)) for piece in pieces] for run in runs)
    assert_same(found, wanted, STACK, TOLERANCE[dtype])
    assert launches(kernels_on_double) == 2


@pytest.mark.parametrize(("missing", "launched"), [(0, 4), (1, 0)])
def test_what_needs_more_shared_memory_than_a_block_of_the_device_may_have(
    strict_cupy, kernels_on_double, missing, launched, dtype
):
    needed = online_shared_bytes(ONLINE_THREADS, H, C, np.dtype(dtype).itemsize)
    strict_cupy.shared_limit = needed - missing
    assert trains_as_numpy(kernels_on_double, IN[dtype]) == launched


def test_a_layer_that_needs_more_shared_memory_than_comes_unasked(strict_cupy, kernels_on_double):
    """4 bytes for each of 512 lanes and, four times, of the units: 48 KiB end at about 2950 units."""
    stack = replace(STACK, architecture=Architecture(D, (3_000,), C), trials=(Trial(1e-3, 2, seed=1),))
    assert trains_as_numpy(kernels_on_double, stack, samples(8)) == 2
    strict_cupy.shared_limit = 48 * 1024
    assert trains_as_numpy(CupyBackend(strict_cupy, kernels_on_double.cublas), stack, samples(8)) == 0
