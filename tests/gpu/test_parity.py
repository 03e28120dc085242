"""A GPU computes what the CPU computes: 1e-10 in float64, 1e-4 in float32, relative to the size of what is compared."""

from dataclasses import replace

import numpy as np
import pytest
from double.cpu_kernels import kernel_parameters

from backprop import (
    Architecture,
    Backend,
    EarlyStopping,
    Network,
    Samples,
    Stack,
    Trial,
    initial_parameters,
    one_hot,
    train,
)
from backprop.activations import ACTIVATIONS
from backprop.backend import OutOfMemoryError
from backprop.halving import train_in_halves
from backprop.kernels import ACTIVATION_CODES, CupyBackend, source
from backprop.optimizers import Momentum
from backprop.training import histories

CPU = Backend(np)
D, C = 6, 3
DTYPES = [("float64", 1e-10), ("float32", 1e-4)]
ARCHITECTURES = {
    "two layers": Architecture(D, (8,), C, "sigmoid"),
    "three layers": Architecture(D, (8, 5), C, "tanh"),
    "linear": Architecture(D, (), C),
    "labels": Architecture(D, (8,), C, "relu", "sigmoid", "cross_entropy"),
    "regression": Architecture(D, (8,), C, "softplus", "identity", "mse"),
    "sigmoid mse": Architecture(D, (8,), C, "tanh", "sigmoid", "mse"),
    "softmax mse": Architecture(D, (8,), C, "silu", "softmax", "mse"),
}


def samples(n: int, seed: int, dtype: str = "float64") -> Samples:
    x = np.random.default_rng(seed).normal(size=(n, D)).astype(dtype)
    return Samples(x, one_hot(np.abs(x[:, :C]).argmax(axis=1), C, dtype))


def stack(architecture: Architecture, dtype: str, batch_size: int = 7) -> Stack:
    trials = (Trial(0.1, 3, seed=3), Trial(0.02, 1, seed=1), Trial(0.3, 2, seed=4))
    task = "regression" if architecture.loss == "mse" else "classification"
    return Stack(architecture, batch_size, trials, task, shuffle_seed=5, dtype=dtype)


def assert_close(found, wanted, tolerance: float) -> None:
    np.testing.assert_allclose(found, wanted, rtol=tolerance, atol=tolerance)


def assert_same_training(reports, wanted, trials: int, tolerance: float) -> None:
    for curve, other in zip(histories(reports, trials), histories(wanted, trials), strict=True):
        assert curve.keys() == other.keys()
        for name in other:
            assert_close(curve[name], other[name], tolerance)
    finished = {done.trial: done for report in reports for done in report.finished}
    for done in (done for report in wanted for done in report.finished):
        assert finished[done.trial].diverged == done.diverged
        for a, b in zip(finished[done.trial].parameters, done.parameters, strict=True):
            assert isinstance(a, np.ndarray)
            assert_close(a, b, tolerance)


@pytest.mark.parametrize(("dtype", "tolerance"), DTYPES)
@pytest.mark.parametrize("name", ARCHITECTURES)
@pytest.mark.parametrize("batch_size", [1, 7, 50])
def test_a_stack_trains_to_the_same_curves_and_weights(device, name, batch_size, dtype, tolerance):
    given = stack(ARCHITECTURES[name], dtype, batch_size)
    data = samples(50, 1, dtype), samples(20, 2, dtype)
    assert_same_training(list(train(given, *data, device)), list(train(given, *data, CPU)), 3, tolerance)


@pytest.mark.parametrize(("dtype", "tolerance"), DTYPES)
@pytest.mark.parametrize("sigma", ACTIVATIONS)
def test_gradients(device, sigma, dtype, tolerance):
    architecture = Architecture(D, (8, 5), C, sigma)
    host = initial_parameters(architecture, [1, 2], dtype)
    data = samples(9, 3, dtype)
    wanted_loss, wanted = Network(architecture, CPU).gradients(host, data.x, data.y)
    x, y = device.to_device(data.x), device.to_device(data.y)
    loss, gradients = Network(architecture, device).gradients(host.to_device(device), x, y)
    assert_close(device.to_host(loss), wanted_loss, tolerance)
    for a, b in zip(gradients.to_host(device), wanted, strict=True):
        assert_close(a, b, tolerance)


@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (3, 33, 17, 65), (2, 128, 784, 128), (64, 32, 64, 10)])
@pytest.mark.parametrize("transpose_a", [False, True])
@pytest.mark.parametrize("transpose_b", [False, True])
def test_products_of_real_sizes_accumulate_into_the_weights(device, shape, transpose_a, transpose_b):
    trials, rows, inner, columns = shape
    draw = np.random.default_rng(0)
    a = draw.normal(size=(trials, inner, rows) if transpose_a else (trials, rows, inner))
    b = draw.normal(size=(trials, columns, inner) if transpose_b else (trials, inner, columns))
    out = draw.normal(size=(trials, rows, columns))
    flags = {"alpha": -1, "beta": 1, "transpose_a": transpose_a, "transpose_b": transpose_b}
    wanted = CPU.multiply(a, b, out.copy(), **flags)
    moved = [device.to_device(array) for array in (a, b, out)]
    assert_close(device.to_host(device.multiply(*moved, **flags)), wanted, 1e-10)


@pytest.mark.parametrize(("dtype", "tolerance"), DTYPES)
@pytest.mark.parametrize("hidden", [3, 32, 600])
def test_an_online_epoch_equals_batches_of_one(device, hidden, dtype, tolerance):
    architecture = Architecture(D, (hidden,), C, "tanh")
    data, steps = samples(40, 4, dtype), np.random.default_rng(0).permutation(40)
    rates = np.array([0.1, 0.05, 0.01], dtype)
    host = initial_parameters(architecture, [1, 2, 3], dtype)
    moved = host.to_device(device)
    network, total = Network(architecture, CPU), np.zeros(3)
    for n in steps:
        loss, slope = network.gradients(host, data.x[[n]], data.y[[n]])
        total += loss
        for parameter, step in zip(host, slope, strict=True):
            parameter -= rates[:, None, None] * step
    assert isinstance(device, CupyBackend)
    found = device.online_epoch(
        moved.weights, moved.biases, *map(device.to_device, (data.x, data.y, steps, rates)),
        sigma="tanh", phi="softmax", loss="cross_entropy",
    )  # fmt: skip
    assert_close(device.to_host(found), total, tolerance)
    for a, b in zip(moved.to_host(device), host, strict=True):
        assert_close(a, b, tolerance)


# One sample an update through `train`: a launch an epoch where the kernel has the network, and the same numbers


@pytest.fixture
def epochs_of_one_launch(monkeypatch) -> list[str]:
    """The dtype of every epoch that one launch trained."""
    seen: list[str] = []
    launch = CupyBackend.online_epoch

    def noted(self, weights, *arguments, **names):
        seen.append(weights[0].dtype.name)
        return launch(self, weights, *arguments, **names)

    monkeypatch.setattr(CupyBackend, "online_epoch", noted)
    return seen


ONLINE = {
    **{f"{sigma}, softmax": Architecture(D, (8,), C, sigma) for sigma in ACTIVATION_CODES},
    "identity mse": Architecture(D, (8,), C, "relu", "identity", "mse"),
    "sigmoid mse": Architecture(D, (8,), C, "tanh", "sigmoid", "mse"),
    "a unit": Architecture(D, (1,), C, "tanh"),
    "more units than threads": Architecture(D, (700,), C, "tanh"),
}


@pytest.mark.parametrize(("dtype", "tolerance"), DTYPES)
@pytest.mark.parametrize("name", ONLINE)
def test_one_sample_an_update_is_one_launch_an_epoch(device, epochs_of_one_launch, name, dtype, tolerance):
    given, data = online(ONLINE[name], dtype), (samples(50, 1, dtype), samples(20, 2, dtype))
    assert_same_training(list(train(given, *data, device)), list(train(given, *data, CPU)), 3, tolerance)
    assert epochs_of_one_launch == [dtype] * 3


@pytest.mark.parametrize(("dtype", "tolerance", "units"), [(*DTYPES[0], 1_600), (*DTYPES[1], 3_000)])
def test_one_sample_an_update_in_more_shared_memory_than_comes_unasked(
    device, epochs_of_one_launch, dtype, tolerance, units
):
    """Between the 48 KiB that come unasked and the 64 KiB that every GPU from sm_75 on has."""
    architecture = Architecture(D, (units,), C, "tanh")
    assert 48 * 1024 < device._online_shared_bytes(architecture, dtype) < 64 * 1024
    given, data = online(architecture, dtype), (samples(50, 1, dtype), samples(20, 2, dtype))
    assert_same_training(list(train(given, *data, device)), list(train(given, *data, CPU)), 3, tolerance)
    assert epochs_of_one_launch == [dtype] * 3


def online(architecture: Architecture, dtype: str) -> Stack:
    """A stack of one sample an update; the wider the layer, the smaller the rates."""
    given = stack(architecture, dtype, batch_size=1)
    shrink = 0.3 * min(1, 8 / architecture.hidden[0])
    return replace(given, trials=tuple(replace(t, learning_rate=t.learning_rate * shrink) for t in given.trials))


@pytest.mark.parametrize(("dtype", "tolerance"), DTYPES)
def test_one_sample_an_update_from_bytes_standardised_or_not_and_from_columns(
    device, epochs_of_one_launch, dtype, tolerance
):
    plain = samples(50, 1, dtype)
    pixels = Samples(np.clip(plain.x * 40 + 100, 0, 255).astype("uint8"), plain.y)
    by_columns = Samples(np.asfortranarray(plain.x), np.asfortranarray(plain.y))
    given = online(ARCHITECTURES["two layers"], dtype)
    low = replace(given, trials=tuple(replace(t, learning_rate=t.learning_rate / 100) for t in given.trials))
    standardised = replace(pixels, shift=100.0, scale=40.0)
    for stored, way in ((pixels, low), (by_columns, given), (standardised, given)):
        found, wanted = (list(train(way, stored, samples(20, 2, dtype), backend)) for backend in (device, CPU))
        assert_same_training(found, wanted, 3, tolerance)
    assert len(epochs_of_one_launch) == 3 * 3


@pytest.mark.parametrize(("dtype", "tolerance"), DTYPES)
def test_one_sample_an_update_where_trials_leave_and_a_checkpoint_is_resumed(
    device, epochs_of_one_launch, dtype, tolerance, tmp_path
):
    trials = (
        Trial(0.1, 6, seed=3, early_stopping=EarlyStopping(patience=0, min_delta=0.05)),
        Trial(0.02, 2, seed=1),
        Trial(0.05, 6, seed=4),
    )
    given = replace(stack(ARCHITECTURES["two layers"], dtype, 1), trials=trials)
    data = samples(50, 1, dtype), samples(20, 2, dtype)
    whole = list(train(given, *data, device))
    assert_same_training(whole, list(train(given, *data, CPU)), 3, tolerance)
    assert epochs_of_one_launch == [dtype] * len(whole)
    broken_off = train(given, *data, device, checkpoint=tmp_path / "some.checkpoint")
    seen = [next(broken_off) for _ in range(3)]
    broken_off.close()
    # The epoch over whose report the caller broke off is trained again.
    rest = list(train(given, *data, device, checkpoint=tmp_path / "some.checkpoint"))
    assert_same_training(seen[:2] + rest, whole, 3, 0)
    assert epochs_of_one_launch == [dtype] * (len(whole) + 3 + len(rest))


LEFT_TO_THE_PLAIN_FORM = {
    "momentum": {"optimizer": Momentum(0.5)},
    "dropout": {"dropout": 0.5},
    "smoothing": {"label_smoothing": 0.2},
    "a narrower layer": {"hidden": (5,)},
    "l2": {"l2": 0.01},
}


@pytest.mark.parametrize(("dtype", "tolerance"), DTYPES)
@pytest.mark.parametrize("name", [*LEFT_TO_THE_PLAIN_FORM, "weights", "shared memory"])
def test_one_sample_an_update_that_the_kernel_does_not_know(device, epochs_of_one_launch, name, dtype, tolerance):
    changes, data = LEFT_TO_THE_PLAIN_FORM.get(name, {}), samples(15, 1, dtype)
    architecture = Architecture(D, (8,), C, "sigmoid")
    if name == "weights":
        data = replace(data, weights=np.linspace(0, 2, 15))
    if name == "shared memory":
        # No GPU yet has so much: 4 reals a unit are 320 KB and more.
        architecture = Architecture(D, (20_000,), C, "sigmoid")
    given = online(architecture, dtype)
    given = replace(given, trials=tuple(replace(t, **changes) for t in given.trials))
    found, wanted = (list(train(given, data, samples(20, 2, dtype), backend)) for backend in (device, CPU))
    assert_same_training(found, wanted, 3, tolerance)
    assert epochs_of_one_launch == []


def test_two_runs_are_identical_to_the_bit(device):
    given, data = (
        stack(ARCHITECTURES["three layers"], "float32"),
        (samples(50, 1, "float32"), samples(20, 2, "float32")),
    )
    first, second = [list(train(given, *data, device)) for _ in range(2)]
    assert_same_training(first, second, 3, 0)


def test_a_stack_that_does_not_fit_the_limit_trains_in_halves(device):
    wide = Architecture(D, (20_000,), C)
    given = replace(stack(wide, "float32"), trials=tuple(Trial(0.01, 1, seed=k) for k in range(4)))
    data = samples(64, 1, "float32"), samples(20, 2, "float32")
    sizes = []

    def run(part: Stack):
        sizes.append(len(part.trials))
        yield from train(part, *data, device)

    device.release_memory()
    device.limit_memory(12 * 2**20)
    try:
        reports = list(train_in_halves(run, given, device))
    except OutOfMemoryError as error:
        pytest.fail(f"{error}; tried stacks of {sizes}")
    finally:
        device.limit_memory(0)
    assert sizes[0] == 4
    assert len(sizes) > 1
    assert_same_training(reports, list(train(given, *data, CPU)), 4, 1e-4)


def test_every_kernel_of_the_source_loads(device):
    assert isinstance(device, CupyBackend)
    for dtype in DTYPES:
        for name in kernel_parameters(source(), "real"):
            device._modules[dtype[0]].get_function(name)
