import sys
from dataclasses import fields
from types import ModuleType

import numpy as np
import pytest

from backprop import Backend, DeviceError, select_backend
from backprop.activations import ACTIVATIONS
from backprop.backend import OutOfMemoryError, _usable_cupy
from backprop.dropout import Dropout
from backprop.kernels import CupyBackend
from backprop.losses import output_stage
from backprop.optimizers import OPTIMIZERS

without_gpu = pytest.mark.skipif(_usable_cupy() is not None, reason="this machine has a CUDA device")


def a_cupy(monkeypatch, *, usable: bool) -> ModuleType:
    """Install a module named cupy that finds a device or does not."""
    module = ModuleType("cupy")
    module.is_available = lambda: usable  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "cupy", module)
    return module


def test_cpu_is_numpy():
    backend = select_backend("cpu")
    assert backend.xp is np
    assert backend.name == "numpy"


@without_gpu
def test_auto_is_the_cpu_where_there_is_no_gpu():
    assert select_backend() == select_backend("auto") == select_backend("cpu")


@without_gpu
def test_gpu_without_a_device_says_what_to_do():
    with pytest.raises(DeviceError, match=r"device 'gpu'.*pip install 'backprop\[gpu\]'.*nvidia-smi.*device 'cpu'"):
        select_backend("gpu")


@pytest.mark.parametrize("installed", [False, True])
def test_a_cupy_that_is_missing_or_finds_no_device_is_not_used(monkeypatch, installed):
    if installed:
        a_cupy(monkeypatch, usable=False)
    else:
        monkeypatch.setitem(sys.modules, "cupy", None)
    assert select_backend("auto").xp is np
    with pytest.raises(DeviceError):
        select_backend("gpu")


@pytest.mark.parametrize("device", ["auto", "gpu"])
def test_a_usable_cupy_is_the_gpu(monkeypatch, device):
    cupy = a_cupy(monkeypatch, usable=True)
    backend = select_backend(device)
    assert backend.xp is cupy
    assert backend.name == "cupy"


def test_cpu_is_numpy_even_where_there_is_a_gpu(monkeypatch):
    a_cupy(monkeypatch, usable=True)
    assert select_backend("cpu").xp is np


@pytest.mark.parametrize("device", ["cuda", "GPU", ""])
def test_an_unknown_device_is_refused_and_not_taken_for_auto(device):
    with pytest.raises(ValueError, match=f"device is '{device}': use 'auto', 'cpu' or 'gpu'"):
        select_backend(device)


def test_a_memory_map_of_the_right_dtype_stays_one(tmp_path):
    np.save(tmp_path / "x.npy", np.arange(6, dtype="float32").reshape(2, 3))
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    for moved in (Backend(np).to_device(mapped), Backend(np).to_device(mapped, "float32")):
        assert np.shares_memory(moved, mapped)
        assert not moved.flags.owndata
        assert not moved.flags.writeable


def test_a_move_to_the_device_converts_when_asked_and_leaves_the_original():
    host = np.array([1.5, 2.25])
    moved = Backend(np).to_device(host, "float32")
    assert moved.dtype == np.float32
    assert host.dtype == np.float64
    np.testing.assert_array_equal(moved, host)


def test_an_array_of_numpy_is_in_host_memory_already():
    array = np.arange(3)
    assert Backend(np).to_host(array) is array


def test_an_array_of_a_device_is_fetched():
    class OnDevice:
        def get(self) -> np.ndarray:
            return np.arange(3)

    np.testing.assert_array_equal(Backend(np).to_host(OnDevice()), [0, 1, 2])


# The named operations, on every backend

DTYPES = [("float64", 1e-13), ("float32", 1e-5)]


def on(backend: Backend, *arrays: np.ndarray) -> list:
    return [backend.to_device(array) for array in arrays]


def same(backend: Backend, found, wanted, tolerance: float) -> None:
    found = backend.to_host(found)
    assert found.dtype == wanted.dtype
    np.testing.assert_allclose(found, wanted, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize(("dtype", "tolerance"), DTYPES)
@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("transpose_a", [False, True])
@pytest.mark.parametrize("transpose_b", [False, True])
@pytest.mark.parametrize(("alpha", "beta"), [(1, 0), (-1, 1), (0.5, 0), (2, -0.5), (1, 1)])
@pytest.mark.parametrize("with_scratch", [False, True])
def test_multiply(backend, dtype, tolerance, shared, transpose_a, transpose_b, alpha, beta, with_scratch):
    draw = np.random.default_rng(1)
    a = draw.normal(size=(*(() if shared else (3,)), *((5, 4) if transpose_a else (4, 5)))).astype(dtype)
    b = draw.normal(size=(3, *((2, 5) if transpose_b else (5, 2)))).astype(dtype)
    out = draw.normal(size=(3, 4, 2)).astype(dtype)
    left, right = (a.swapaxes(-1, -2) if transpose_a else a), (b.swapaxes(-1, -2) if transpose_b else b)
    wanted = (alpha * (left @ right) + beta * out).astype(dtype)
    given = np.full_like(out, np.nan) if beta == 0 else out
    on_a, on_b, on_out = on(backend, a, b, given.copy())
    scratch = backend.xp.empty_like(on_out) if with_scratch else None
    result = backend.multiply(
        on_a, on_b, on_out, alpha=alpha, beta=beta, transpose_a=transpose_a, transpose_b=transpose_b, scratch=scratch
    )
    assert result is on_out
    same(backend, on_out, wanted, tolerance)
    same(backend, on_a, a, 0)
    same(backend, on_b, b, 0)


@pytest.mark.parametrize(("dtype", "tolerance"), DTYPES)
@pytest.mark.parametrize(("alpha", "beta"), [(1, 0), (-1, 1), (0.5, 2)])
def test_sum_batch(backend, dtype, tolerance, alpha, beta):
    draw = np.random.default_rng(2)
    delta, out = draw.normal(size=(3, 7, 4)).astype(dtype), draw.normal(size=(3, 1, 4)).astype(dtype)
    wanted = (alpha * delta.sum(axis=1, keepdims=True) + beta * out).astype(dtype)
    on_delta, on_out = on(backend, delta, out.copy())
    assert backend.sum_batch(on_delta, on_out, alpha=alpha, beta=beta) is on_out
    same(backend, on_out, wanted, tolerance)
    same(backend, on_delta, delta, 0)


@pytest.mark.parametrize(("dtype", "tolerance"), DTYPES)
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_affine_activation_and_chain(backend, dtype, tolerance, name):
    draw = np.random.default_rng(3)
    h, w = draw.normal(size=(6, 5)).astype(dtype), draw.normal(size=(3, 5, 4)).astype(dtype)
    b, delta = draw.normal(size=(3, 1, 4)).astype(dtype), draw.normal(size=(3, 6, 4)).astype(dtype)
    sigma = ACTIVATIONS[name]
    wanted_z = h @ w + b
    wanted_h = sigma.value(np, wanted_z)
    wanted_delta = sigma.chain(np, delta, wanted_z, wanted_h)
    on_h, on_w, on_b, on_delta = on(backend, h, w, b, delta.copy())
    same(backend, backend.affine(on_h, on_w, on_b), wanted_z, tolerance)
    z, activated = backend.affine_activation(on_h, on_w, on_b, sigma)
    same(backend, z, wanted_z, tolerance)
    same(backend, activated, wanted_h, tolerance)
    same(backend, backend.chain(sigma, on_delta, z, activated), wanted_delta, tolerance)


@pytest.mark.parametrize(("dtype", "tolerance"), DTYPES)
@pytest.mark.parametrize(
    ("phi", "loss"), [("softmax", "cross_entropy"), ("sigmoid", "cross_entropy"), ("identity", "mse")]
)
@pytest.mark.parametrize("targets", [[0, 1, 2, 3, 0, 1], [[0, 1, 2, 3, 0, 1], [3] * 6, [1, 0] * 3]])
def test_loss_and_delta_come_scaled_per_trial(backend, dtype, tolerance, phi, loss, targets):
    draw = np.random.default_rng(4)
    z, y = draw.normal(size=(3, 6, 4)).astype(dtype), np.eye(4)[targets].astype(dtype)
    scale = np.array([0.1, 1, 3], dtype)
    losses, delta = output_stage(phi, loss).loss_and_delta(np, z, y)
    total = np.array([1.0, 2, 3])
    found, found_delta = backend.loss_and_delta(output_stage(phi, loss), *on(backend, z, y, scale))
    same(backend, found, losses, tolerance)
    same(backend, found_delta, delta * scale[:, None, None], tolerance)
    (on_total,) = on(backend, total.copy())
    backend.add_losses(on_total, found)
    same(backend, on_total, total + losses.sum(axis=1, dtype="float64"), tolerance)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("stored", ["uint8", "float32", "float64", "int16"])
def test_samples_are_gathered_as_the_dtype_whatever_they_are_kept_as(backend, stored, dtype):
    host = np.random.default_rng(5).integers(0, 200, (9, 5)).astype(stored)
    order = np.array([8, 0, 3, 3])
    samples, rows = backend.keep_samples(host, dtype), backend.to_device(order)
    assert samples.dtype == ("uint8" if stored == "uint8" and isinstance(backend, CupyBackend) else dtype)
    same(backend, backend.gather(samples, rows, dtype), host[order].astype(dtype), 0)
    same(backend, backend.gather(samples, slice(2, 5), dtype), host[2:5].astype(dtype), 0)
    shift, scale = np.array([33.318, 78.567], dtype)
    for chosen, mine in ((order, rows), (slice(2, 5), slice(2, 5))):
        standardised = backend.gather(samples, mine, dtype, shift=33.318, scale=78.567)
        same(backend, standardised, (host[chosen].astype(dtype) - shift) / scale, 0)
    same(backend, samples, host.astype(samples.dtype), 0)


NUMBERS = {
    "momentum": [0.0, 0.5, 0.9],
    "decay": [0.9, 0.99, 0.5],
    "beta_1": [0.9, 0.8, 0.0],
    "beta_2": [0.999, 0.99, 0.9],
    "epsilon": [1e-8, 1e-3, 0.1],
    "weight_decay": [0.0, 0.01, 0.1],
}


@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-12), ("float32", 1e-5)])
@pytest.mark.parametrize("step", [1, 100])
@pytest.mark.parametrize("decays", [False, True])
@pytest.mark.parametrize("rule", OPTIMIZERS)
def test_an_update_on_a_gpu_is_one_launch_and_equals_the_optimiser(
    kernels_on_double, rule, decays, step, dtype, tolerance
):
    backend, kind, draw = kernels_on_double, OPTIMIZERS[rule], np.random.default_rng(8)
    p, g = draw.normal(size=(2, 3, 4, 5)).astype(dtype)
    memory = list(draw.uniform(size=(len(kind.memories), 3, 4, 5)).astype(dtype))
    numbers = {field.name: np.array(NUMBERS[field.name])[:, None, None] for field in fields(kind)}
    rate = np.array([0.1, 0.01, 1.0])[:, None, None]
    on_p, on_g, on_rate, *on_memory = on(backend, p, g, rate, *memory)
    on_numbers = {name: backend.to_device(value) for name, value in numbers.items()}
    with backend.xp.counted() as counts:
        assert backend.fused_update(rule, on_p, on_g, on_memory, on_numbers, on_rate, step, decays=decays)
    assert counts == type(counts)(launches=1, host_reads=0, transfers=0)
    coefficients = {name: c.astype(dtype) for name, c in kind.coefficients(np, numbers, rate, step).items()}
    if decays and "keep" in coefficients:
        p *= coefficients["keep"]
    kind.update(np, p, g, memory, coefficients, np.empty_like(p))
    for found, wanted in zip((on_p, *on_memory), (p, *memory), strict=True):
        same(backend, found, wanted, tolerance)


def test_without_kernels_an_update_is_left_to_the_optimiser(strict_cupy, kernels_on_double):
    array, one = kernels_on_double.xp.zeros((2, 3, 4)), kernels_on_double.xp.ones((2, 1, 1))
    given = array, array, [], {}, one, 1
    assert not Backend(strict_cupy).fused_update("sgd", *given, decays=False)
    assert not kernels_on_double.fused_update("a user's own", *given, decays=False)
    assert not kernels_on_double.fused_update("sgd", array[:, ::2], *given[1:], decays=False)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(("batch", "units"), [(5, 4), (3, 3), (1, 1)])
def test_masks_of_dropout_are_the_same_bits_on_every_backend(backend, batch, units, dtype):
    rates, seeds, hidden = [0.0, 0.5, 0.9], [1, 2, 3], [units, 2 * units]
    wanted = Dropout(Backend(np), rates, seeds, hidden, dtype).masks(2**40 + 3, batch)
    found = Dropout(backend, rates, seeds, hidden, dtype).masks(2**40 + 3, batch)
    for mask, twin in zip(found, wanted, strict=True):
        assert mask.shape == (3, batch, mask.shape[2])
        same(backend, mask, twin, 0)


def test_fetch_brings_all_by_name(backend):
    arrays = {"a": np.array([1.0, 2]), "b": np.array([3.0, np.nan])}
    found = backend.fetch({name: backend.to_device(array) for name, array in arrays.items()})
    assert list(found) == ["a", "b"]
    for name, wanted in arrays.items():
        np.testing.assert_array_equal(found[name], wanted)
    assert backend.fetch({}) == {}


def test_what_kernels_do_not_take_is_computed_plainly(kernels_on_double):
    """A view that is not contiguous, an empty stack, another dtype."""
    draw = np.random.default_rng(6)
    backend, host = kernels_on_double, draw.normal(size=(3, 8, 4))
    (array,) = on(backend, host)
    half = array[:, ::2]
    same(backend, backend.sum_batch(half, backend.xp.zeros((3, 1, 4))), host[:, ::2].sum(axis=1, keepdims=True), 1e-13)
    product = backend.multiply(half, array[:, ::2], backend.xp.zeros((3, 4, 4)), transpose_b=True)
    same(backend, product, host[:, ::2] @ host[:, ::2].swapaxes(1, 2), 1e-13)
    assert backend.affine(array[:0], backend.xp.zeros((0, 4, 2)), backend.xp.zeros((0, 1, 2))).shape == (0, 8, 2)
    whole = backend.to_device(np.ones((2, 3), "int64"))
    assert backend.chain(ACTIVATIONS["identity"], whole, whole, whole) is whole


def test_a_host_array_among_device_arrays_is_refused_as_such(kernels_on_double):
    with pytest.raises(TypeError, match=r"host array \(3, 5, 4\) among device arrays: use Backend.to_device"):
        kernels_on_double.affine(kernels_on_double.xp.zeros((6, 5)), np.ones((3, 5, 4)), np.ones((3, 1, 4)))


def test_each_operation_on_a_gpu_is_one_launch_or_two(kernels_on_double):
    backend, xp = kernels_on_double, kernels_on_double.xp
    x, w, b = xp.zeros((6, 5)), xp.zeros((3, 5, 4)), xp.zeros((3, 1, 4))
    delta, y, scale, total = xp.zeros((3, 6, 4)), xp.zeros((6, 4)), xp.ones(3), xp.zeros(3)
    loss = xp.zeros((3, 6))
    relu, stage = ACTIVATIONS["relu"], output_stage("softmax", "cross_entropy")
    rows = backend.to_device(np.arange(6))
    launches = {
        "gather": lambda: backend.gather(x, rows, "float64"),
        "gather, standardised": lambda: backend.gather(x, rows, "float64", shift=3.0, scale=2.0),
        "affine_activation": lambda: backend.affine_activation(x, w, b, relu),
        "affine": lambda: backend.affine(x, w, b),
        "loss_and_delta": lambda: backend.loss_and_delta(stage, delta, y, scale),
        "add_losses": lambda: backend.add_losses(total, loss),
        "multiply": lambda: backend.multiply(x, delta, w, alpha=-1, beta=1, transpose_a=True),
        "sum_batch": lambda: backend.sum_batch(delta, b, alpha=-1, beta=1),
        "chain": lambda: backend.chain(relu, delta, delta, delta),
    }
    counted = {}
    for name, operation in launches.items():
        with xp.counted() as counts:
            operation()
        counted[name] = counts.launches
        assert (counts.host_reads, counts.transfers) == (0, 0), name
    assert counted == {name: 2 if name.startswith("affine") else 1 for name in launches}


def test_cublas_finds_its_pointer_mode_as_it_was(kernels_on_double):
    backend = kernels_on_double
    before = backend.cublas.mode
    assert before != backend.cublas.CUBLAS_POINTER_MODE_HOST
    backend.affine(*on(backend, np.ones((2, 3)), np.ones((1, 3, 2)), np.ones((1, 1, 2))))
    assert backend.cublas.mode == before


# Memory and the stream


def test_an_epoch_on_a_gpu_is_queued_on_one_stream_of_the_backend(kernels_on_double):
    for _ in range(2):
        with kernels_on_double.epoch():
            assert kernels_on_double.xp.stream_depth == 1
    assert kernels_on_double.xp.stream_depth == 0
    assert kernels_on_double.xp.streams_made == 1


def test_running_out_of_memory_in_an_epoch_is_an_error_of_its_own(kernels_on_double):
    backend = kernels_on_double
    backend.limit_memory(1000)
    with pytest.raises(OutOfMemoryError, match="out of memory on cupy: Out of memory allocating"), backend.epoch():
        backend.xp.zeros(126)
    backend.release_memory()
    assert backend.xp.freed == 1
    backend.limit_memory(0)
    backend.xp.zeros(126)


@pytest.mark.parametrize(
    ("message", "memory"),
    [
        ("cudaErrorMemoryAllocation: out of memory", True),
        ("CUBLAS_STATUS_ALLOC_FAILED", True),
        ("CUDA_ERROR_OUT_OF_MEMORY: out of memory", True),
        ("cudaErrorIllegalAddress: an illegal memory access was encountered", False),
    ],
)
def test_other_errors_of_a_device_are_not_taken_for_a_lack_of_memory(message, memory):
    with pytest.raises(OutOfMemoryError if memory else RuntimeError, match=message), Backend(np).epoch():
        raise RuntimeError(message)


def test_a_lack_of_host_memory_is_the_same_error():
    with pytest.raises(OutOfMemoryError, match="out of memory on numpy: Unable to allocate"), Backend(np).epoch():
        np.empty(1 << 55)
    Backend(np).limit_memory(1)
    Backend(np).release_memory()
