import sys
from types import ModuleType

import numpy as np
import pytest

from backprop import Backend, DeviceError, select_backend
from backprop.backend import _usable_cupy

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
