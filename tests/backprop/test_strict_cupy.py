"""The strict double of CuPy is under test itself: what it refuses, and what it counts."""

import numpy as np
import pytest


@pytest.fixture
def device(strict_cupy):
    return strict_cupy


@pytest.fixture
def array(device):
    return device.asarray(np.arange(6.0).reshape(2, 3))


@pytest.mark.parametrize(
    "convert",
    [
        lambda array: np.asarray(array),
        lambda array: np.array([array, array]),
        lambda array: np.exp(array),
        lambda array: np.sum(array),
        lambda array: array + np.ones((2, 3)),
        lambda array: np.ones((2, 3)) + array,
        lambda array: array @ np.ones((3, 2)),
        lambda array: array[np.array([0, 1])],
        lambda array: array.__setitem__(0, np.ones(3)),
        lambda array: array.__iadd__(np.ones(3)),
        lambda array: array._device.maximum(array, np.ones(3)),
        lambda array: array._device.stack([array, np.ones((2, 3))]),
    ],
)
def test_host_and_device_arrays_do_not_mix(array, convert):
    with pytest.raises(TypeError):
        convert(array)


def test_two_devices_do_not_mix(array):
    other = type(array._device)().zeros((2, 3))
    with pytest.raises(TypeError, match="another device"):
        array + other


@pytest.mark.parametrize("name", ["einsum_path", "save_compressed", "bool8", "trapz", "errstate2"])
def test_a_function_that_cupy_lacks_is_lacking(device, name):
    with pytest.raises(AttributeError):
        getattr(device, name)


def test_random_numbers_are_drawn_on_the_host(device):
    with pytest.raises(AttributeError, match="draw on the host"):
        _ = device.random


@pytest.mark.parametrize(
    "call",
    [
        lambda array: array._device.add(array, array, where=array > 1),
        lambda array: array._device.sum(array, initial=1),
        lambda array: array.sum(where=array > 1),
        lambda array: array._device.zeros(3, like=array),
        lambda array: array._device.clip(array, min=0, max=1),
        lambda array: array.max(axis=0, initial=0),
    ],
)
def test_a_keyword_that_cupy_lacks_is_refused(array, call):
    with pytest.raises(TypeError, match="argument"):
        call(array)


def test_every_operation_is_a_launch_and_a_view_is_none(device, array):
    with device.counted() as counts:
        view = array[0].reshape(1, 3).swapaxes(0, 1)[:, None]
        assert (view.shape, len(array), array.dtype, array.size) == ((3, 1, 1), 2, np.float64, 6)
        device.empty((4, 4))
    assert counts.launches == 0
    with device.counted() as counts:
        b = 2 * array + np.float64(1)  # two
        b += array
        b[0] = 0
        device.exp(b, out=b)
        b.sum(axis=0, keepdims=True)
        b[device.asarray(np.array([1, 0]))]
        b.copy()
    assert (counts.launches, counts.transfers, counts.host_reads) == (8, 1, 0)


def test_a_batched_product_of_transposed_operands_copies_them_first(device):
    a = device.zeros((2, 3, 4))
    with device.counted() as counts:
        device.matmul(a.swapaxes(1, 2), a)
    assert counts.launches == 2


@pytest.mark.parametrize(
    "read",
    [
        lambda array: array.get(),
        lambda array: float(array.sum()),
        lambda array: int(array.sum()),
        lambda array: bool((array > 0).any()),
        lambda array: array.sum().item(),
        lambda array: array.tolist(),
        lambda array: array[array > 1],
        lambda array: array._device.nonzero(array),
        lambda array: array._device.asnumpy(array),
    ],
)
def test_a_read_by_the_host_is_counted(device, array, read):
    with device.counted() as counts:
        read(array)
    assert counts.host_reads == 1


@pytest.mark.parametrize(
    "send", [lambda a: a._device.asarray(np.ones(2)), lambda a: a._device.array([1]), lambda a: a[[1, 0]]]
)
def test_a_transfer_to_the_device_is_counted(device, array, send):
    with device.counted() as counts:
        send(array)
    assert counts.transfers == 1


def test_results_are_those_of_numpy_and_reductions_stay_on_the_device(device, array):
    host = array.get()
    np.testing.assert_array_equal((1 / (array + 1) - array**2).get(), 1 / (host + 1) - host**2)
    total = array.sum()
    assert (type(total), total.shape) == (type(array), ())
    np.testing.assert_array_equal(device.where(array > 2, array, -1).get(), np.where(host > 2, host, -1))


def test_what_was_not_written_is_not_a_number(device):
    assert np.isnan(device.empty((2, 2)).get()).all()


def test_memory_is_counted_and_can_run_out(strict_cupy):
    strict_cupy.memory_limit = 1000
    kept = strict_cupy.zeros(100)
    for _ in range(5):
        strict_cupy.zeros(20)  # freed at once
    with pytest.raises(MemoryError, match="Out of memory allocating"):
        strict_cupy.zeros(26)
    assert strict_cupy.live_bytes == 800
    del kept
    strict_cupy.zeros(125)
