"""Samples that are standardised where they are gathered train and measure as those that were before."""

import re
from dataclasses import replace

import numpy as np
import pytest

from backprop import Architecture, Backend, Samples, Stack, Trial, one_hot, train
from backprop.optimizers import Momentum

CPU = Backend(np)
D, C, N = 300, 3, 70
SHIFT, SCALE = 33.318, 78.567
CLASSES = Architecture(D, (6,), C, "tanh")
VALUES = replace(CLASSES, output_activation="identity", loss="mse")


def images(rows: int = N, seed: int = 0, *, there: float = 0.5) -> Samples:
    """Bytes, of which a part is not 0, and classes."""
    draw = np.random.default_rng(seed)
    x = draw.integers(1, 256, (rows, D)) * (draw.random((rows, D)) < there)
    return Samples(x.astype("uint8"), one_hot(x[:, :C].argmax(axis=1), C), shift=SHIFT, scale=SCALE)


def before(samples: Samples, dtype: str) -> Samples:
    """The same samples, standardised before the training knows of them."""
    real = np.dtype(dtype).type
    return replace(samples, x=(samples.x.astype(dtype) - real(samples.shift)) / real(samples.scale), shift=0, scale=1)


def trained(samples: Samples, stack: Stack) -> list[np.ndarray]:
    """Everything a training leaves: the metrics of its epochs and its weights."""
    reports = list(train(stack, samples, samples, CPU))
    metrics = [report.metrics[name] for report in reports for name in sorted(report.metrics)]
    return [*metrics, *(array for report in reports for done in report.finished for array in done.parameters)]


def assert_trains_as_before(samples: Samples, dtype: str, architecture: Architecture = CLASSES, **settings) -> None:
    """Bit for bit: the arithmetic is the same, in the dtype of the stack."""
    optimizer = settings.pop("optimizer", None)
    changes = {} if optimizer is None else {"optimizer": optimizer}
    trials = (Trial(0.01, 2, seed=1, **changes), Trial(0.02, 3, seed=2, **changes))
    task = "regression" if architecture.loss == "mse" else "classification"
    stack = Stack(architecture, settings.pop("batch_size", 32), trials, task, dtype=dtype, **settings)
    found = trained(samples, stack)
    assert all(np.isfinite(each).all() for each in found)
    for mine, other in zip(found, trained(before(samples, dtype), stack), strict=True):
        np.testing.assert_array_equal(mine, other)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("batch_size", [1, 5, 32, N])
@pytest.mark.parametrize("stored", ["uint8", "float32", "int16"])
def test_an_update_from_one_sample_or_many_of_any_number_type(stored, batch_size, dtype):
    given = images()
    assert_trains_as_before(replace(given, x=given.x.astype(stored)), dtype, batch_size=batch_size)


@pytest.mark.parametrize("batch_size", [1, 32])
@pytest.mark.parametrize("architecture", [VALUES, Architecture(D, (), C), Architecture(D, (6, 4), C)])
def test_any_task_and_depth(architecture, batch_size):
    assert_trains_as_before(images(), "float32", architecture, batch_size=batch_size)


@pytest.mark.parametrize("weighted", [True, False])
def test_any_optimiser_and_samples_with_weights(weighted):
    given = images()
    weights = np.random.default_rng(1).uniform(0, 2, N) if weighted else None
    for changes in ({}, {"optimizer": Momentum(0.5)}):
        assert_trains_as_before(replace(given, weights=weights), "float32", batch_size=16, **changes)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("shift", "scale"), [(0, 255), (SHIFT, SCALE), (-7.5, 1), (0, 1)])
def test_images_that_are_mostly_zeros(shift, scale, dtype):
    """Where nothing is shifted a zero stays one, and may be left out; else it may not."""
    assert_trains_as_before(replace(images(there=0.02), shift=shift, scale=scale), dtype)


def test_samples_stay_as_they_were():
    for stored in ("uint8", "float32"):
        given = images()
        x = given.x.astype(stored)
        kept = x.copy()
        trained(replace(given, x=x), Stack(CLASSES, 32, (Trial(0.01, 1),)))
        np.testing.assert_array_equal(x, kept)


@pytest.mark.parametrize("number", [float, np.float64, np.float32])
def test_numbers_of_numpy_do_not_widen_a_training_in_float32(number):
    given = replace(images(), shift=number(32), scale=number(64))
    stack = Stack(CLASSES, 32, (Trial(0.01, 2),))
    for mine, other in zip(trained(given, stack), trained(replace(given, shift=32.0, scale=64.0), stack), strict=True):
        assert mine.dtype == other.dtype
        np.testing.assert_array_equal(mine, other)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"shift": np.nan}, "shift is nan: use a finite number"),
        ({"shift": -np.inf}, "shift is -inf: use a finite number"),
        ({"shift": "1"}, "shift is '1': use a finite number"),
        ({"shift": np.ones(3)}, "shift is array([1., 1., 1.]): use a finite number"),
        ({"scale": 0}, "scale is 0: use a positive finite number"),
        ({"scale": -2.0}, "scale is -2.0: use a positive finite number"),
        ({"scale": np.inf}, "scale is inf: use a positive finite number"),
        ({"scale": np.ones(3)}, "scale is array([1., 1., 1.]): use a positive finite number"),
    ],
)
def test_what_is_no_number_to_standardise_by_is_refused(changes, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        replace(images(), **changes)
