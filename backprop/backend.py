"""Which array library computes: NumPy on a CPU, CuPy on a GPU, one code for both.

Every array operation of the core goes through ``Backend.xp``. The two libraries share one
interface, so a stage reads the same on both; what differs (where memory is, how it gets there)
is decided here and nowhere else.
"""

from dataclasses import dataclass
from types import ModuleType
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

Array: TypeAlias = Any
"""An array of the backend in use, ``numpy.ndarray`` or ``cupy.ndarray``."""

HostArray: TypeAlias = npt.NDArray[Any]
"""An array in host memory, always ``numpy.ndarray``."""

Device = Literal["auto", "cpu", "gpu"]


class DeviceError(RuntimeError):
    """The device asked for is not usable on this machine."""


@dataclass(frozen=True)
class Backend:
    """An array library and the moves between host memory and its own.

    Attributes
    ----------
    xp : module
        ``numpy`` or ``cupy``.
    """

    xp: ModuleType

    @property
    def name(self) -> str:
        """``"numpy"`` or ``"cupy"``."""
        return self.xp.__name__

    def to_device(self, host: HostArray, dtype: npt.DTypeLike | None = None) -> Array:
        """Move an array from host memory, any shape, converting to `dtype` if given.

        On NumPy an array that has the dtype already is returned as it is, so a memory map stays one.
        """
        return self.xp.asarray(host, dtype=dtype)

    def to_host(self, array: Array) -> HostArray:
        """Move an array to host memory, same shape and dtype. On a GPU this waits for the device."""
        if isinstance(array, np.ndarray):
            return array
        return np.asarray(array.get())


def select_backend(device: Device = "auto") -> Backend:
    """Return the backend of a device; ``"auto"`` is a GPU where one is usable, otherwise the CPU.

    Raises
    ------
    DeviceError
        ``"gpu"`` was asked for and CuPy is not installed or finds no CUDA device.
    ValueError
        No device has that name.
    """
    if device not in ("auto", "cpu", "gpu"):
        raise ValueError(f"device is {device!r}: use 'auto', 'cpu' or 'gpu'")
    if device == "cpu":
        return Backend(np)
    cupy = _usable_cupy()
    if cupy is not None:
        return Backend(cupy)
    if device == "gpu":
        raise DeviceError(
            "device 'gpu': CuPy is not installed or finds no CUDA device; "
            "install the extra with `pip install 'backprop[gpu]'` and check `nvidia-smi`, or use device 'cpu'"
        )
    return Backend(np)


def _usable_cupy() -> ModuleType | None:
    # `import cupy` succeeds without a driver and only an allocation would fail: is_available() is the test.
    try:
        import cupy
    except ImportError:
        return None
    return cupy if cupy.is_available() else None
