# ruff: noqa: N802 - the names are CuPy's
"""A strict double of CuPy over NumPy: what CuPy would refuse it refuses, what would cost it counts.

`StrictCupy` stands where the core expects the module `cupy`. It offers only what the installed CuPy has, called as
the installed CuPy is called. Its arrays never turn into host arrays, nor host arrays into them, without being asked.
It counts launches (every operation that computes), reads by the host (each waits for a device) and transfers to the
device. Kernels run too, from the same CUDA source, compiled by g++.

Where CuPy does something by itself that costs, the double is stricter than CuPy and refuses: NumPy functions on
device arrays, assignment of and indexing by host arrays, random numbers.
"""

import ctypes
import operator
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields
from types import GetSetDescriptorType, ModuleType, SimpleNamespace
from typing import Any
from weakref import WeakValueDictionary

import cupy
import numpy as np
import scipy.special

from double.cpu_kernels import cpu_kernels
from double.signatures import cublas_signature, signature_of

SYNCHRONISING = {"nonzero", "argwhere", "flatnonzero", "unique", "compress", "extract"}
"""Functions whose result has a size only the device knows: the host must wait to allocate it."""

HANDLE = 4711
STREAM_LIMIT = 65535

SHARED_BYTES = 48 * 1024
"""Shared memory that every block may have without asking for more."""

H100_SHARED_BYTES = 227 * 1024
"""And what a block of an H100 may ask for."""


@dataclass
class Counts:
    """What was asked of the device."""

    launches: int = 0
    host_reads: int = 0
    transfers: int = 0

    def __sub__(self, before: "Counts") -> "Counts":
        return Counts(*(getattr(self, f.name) - getattr(before, f.name) for f in fields(self)))

    def copy(self) -> "Counts":
        return Counts(self.launches, self.host_reads, self.transfers)


class DeviceArray:
    """An array on the double's device. `_host` is where its numbers really are; only the double may look."""

    # NumPy's operators then leave `numpy_scalar * array` to the array, and its ufuncs refuse it.
    __array_ufunc__ = None

    def __init__(self, device: "StrictCupy", host: np.ndarray) -> None:
        self._device, self._host = device, host
        self._taken = device.take(host.nbytes) if host.base is None else 0

    def __del__(self) -> None:
        self._device.live_bytes -= getattr(self, "_taken", 0)

    # Conversions to the host

    def __array__(self, *_: Any, **__: Any) -> np.ndarray:
        raise TypeError("implicit conversion of a device array to a NumPy array: use Backend.to_host")

    def __array_function__(self, function: Callable[..., Any], *_: Any) -> Any:
        raise TypeError(f"numpy.{function.__name__} on a device array: use Backend.xp.{function.__name__}")

    def get(self, *arguments: Any, **keywords: Any) -> np.ndarray:
        """Copy to host memory: the host waits."""
        signature_of(cupy.ndarray.get).bind(*arguments, **keywords)
        return self._read().copy()

    def _read(self) -> np.ndarray:
        self._device.counts.host_reads += 1
        return self._host

    def __bool__(self) -> bool:
        return bool(self._read())

    def __float__(self) -> float:
        return float(self._read())

    def __int__(self) -> int:
        return int(self._read())

    def item(self) -> Any:
        return self._read().item()

    def tolist(self) -> Any:
        return self._read().tolist()

    def __repr__(self) -> str:
        return f"DeviceArray(shape={self.shape}, dtype={self.dtype})"

    def __len__(self) -> int:
        return len(self._host)

    def __iter__(self) -> Iterator["DeviceArray"]:
        return (self[k] for k in range(len(self)))

    __hash__ = None  # type: ignore[assignment]

    # Attributes and methods, those of the installed ndarray only

    @property
    def data(self) -> SimpleNamespace:
        address = self._host.ctypes.data
        self._device.pointers[address] = self
        return SimpleNamespace(ptr=address)

    def __getattr__(self, name: str) -> Any:
        real = getattr(cupy.ndarray, name)
        if name.startswith("_"):
            raise AttributeError(name)
        found = getattr(self._host, name)
        if not callable(found):
            return self._device.wrap(found, self) if isinstance(found, np.ndarray) else found

        def method(*arguments: Any, **keywords: Any) -> Any:
            signature_of(real).bind(*arguments, **keywords)
            return self._device.run(name, found, arguments, keywords, self)

        return method

    def __getitem__(self, key: Any) -> "DeviceArray":
        return self._device.run("getitem", lambda k: self._host[k], (self._device.index(key),), {}, self)

    def __setitem__(self, key: Any, value: Any) -> None:
        self._device.counts.launches += 1
        self._host[self._device.index(key)] = self._device.operand(value)


def _operator(name: str, *, reflected: bool = False) -> Callable[..., Any]:
    function = getattr(operator, name)

    def apply(self: DeviceArray, *others: Any) -> Any:
        operands = (*others, self) if reflected else (self, *others)
        return self._device.run(name, function, operands, {}, self)

    return apply


def _in_place(name: str) -> Callable[..., Any]:
    function = getattr(operator, name)

    def apply(self: DeviceArray, other: Any) -> DeviceArray:
        self._device.counts.launches += 1
        function(self._host, self._device.operand(other))
        return self

    return apply


for _name in (
    "add",
    "sub",
    "mul",
    "truediv",
    "floordiv",
    "mod",
    "pow",
    "matmul",
    "and_",
    "or_",
    "xor",
    "lshift",
    "rshift",
):
    _dunder = _name.strip("_")
    setattr(DeviceArray, f"__{_dunder}__", _operator(_name))
    setattr(DeviceArray, f"__r{_dunder}__", _operator(_name, reflected=True))
    if _name != "matmul":
        setattr(DeviceArray, f"__i{_dunder}__", _in_place(f"i{_dunder}"))
for _name in ("eq", "ne", "lt", "le", "gt", "ge", "neg", "pos", "abs", "invert"):
    setattr(DeviceArray, f"__{_name}__", _operator(_name))


class StrictCupy:
    """The module.

    `counts` is what was asked of the device, `kernel_launches` how often each kernel of ours was; `memory_limit` is
    what the device can hold, `shared_limit` what a block may ask for of its shared memory, both in bytes.
    """

    __name__ = "cupy"

    def __init__(self, memory_limit: int | None = None) -> None:
        self.counts = Counts()
        self.memory_limit = memory_limit
        self.live_bytes = 0
        self.peak_bytes = 0
        self.pointers: WeakValueDictionary[int, DeviceArray] = WeakValueDictionary()
        self.streams_made = self.stream_depth = 0
        self.freed = 0
        self.kernel_launches: Counter[str] = Counter()
        self.shared_limit = H100_SHARED_BYTES
        self.cuda = SimpleNamespace(
            Device=self._cuda_device,
            device=SimpleNamespace(get_cublas_handle=lambda: HANDLE),
            Stream=self._stream,
            memory=SimpleNamespace(OutOfMemoryError=cupy.cuda.memory.OutOfMemoryError),
        )
        self.ndarray = DeviceArray

    @contextmanager
    def counted(self) -> Iterator[Counts]:
        """Count what the block asks of the device; the numbers are there when it ends."""
        before, inside = self.counts.copy(), Counts()
        yield inside
        vars(inside).update(vars(self.counts - before))

    # Memory

    def take(self, size: int) -> int:
        if self.memory_limit is not None and self.live_bytes + size > self.memory_limit:
            raise cupy.cuda.memory.OutOfMemoryError(size, self.live_bytes, self.memory_limit)
        self.live_bytes += size
        self.peak_bytes = max(self.peak_bytes, self.live_bytes)
        return size

    def get_default_memory_pool(self) -> SimpleNamespace:
        def set_limit(*arguments: Any, **keywords: Any) -> None:
            bound = signature_of(cupy.cuda.MemoryPool.set_limit).bind(*arguments, **keywords)
            self.memory_limit = bound.arguments["size"] or None

        def free_all_blocks() -> None:
            self.freed += 1

        return SimpleNamespace(set_limit=set_limit, free_all_blocks=free_all_blocks)

    # Arrays in and out

    def wrap(self, result: Any, *sources: DeviceArray) -> Any:
        """Put an array on the device; one that shares memory with its source is a view and cost nothing."""
        if isinstance(result, tuple | list):
            return type(result)(self.wrap(each, *sources) for each in result)
        if not isinstance(result, np.ndarray | np.generic | bool):
            return result
        # Reductions of CuPy give arrays without dimensions where NumPy gives scalars.
        return DeviceArray(self, np.asarray(result))

    def operand(self, value: Any) -> Any:
        """Return what NumPy shall compute with, refusing a host array."""
        if isinstance(value, DeviceArray):
            if value._device is not self:
                raise TypeError("an array of another device")
            return value._host
        if isinstance(value, np.ndarray):
            raise TypeError(f"host array {value.shape} among device arrays: use Backend.to_device")
        if isinstance(value, tuple | list):
            return type(value)(self.operand(each) for each in value)
        return value

    def index(self, key: Any) -> Any:
        """Return an index for NumPy; a list is sent to the device first, and a mask makes the host wait."""
        if isinstance(key, tuple):
            return tuple(self.index(each) for each in key)
        if isinstance(key, list):
            self.counts.transfers += 1
            return key or np.empty(0, np.int64)
        if isinstance(key, DeviceArray) and key.dtype == bool:
            self.counts.host_reads += 1
        return self.operand(key)

    def run(
        self,
        name: str,
        function: Callable[..., Any],
        arguments: tuple[Any, ...],
        keywords: Mapping[str, Any],
        *sources: Any,
    ) -> Any:
        """Compute with NumPy, count, and put the result on the device."""
        out = keywords.get("out")
        given = tuple(self.operand(each) if name != "getitem" else each for each in arguments)
        result = function(*given, **{key: self.operand(value) for key, value in keywords.items()})
        inputs = [each for each in (*arguments, *sources) if isinstance(each, DeviceArray)]
        for each in inputs:
            # `ascontiguousarray`, or `astype` without a copy, of what is so already: CuPy returns the array itself.
            if out is None and result is each._host:
                return each
        view = isinstance(result, np.ndarray) and any(np.shares_memory(result, each._host) for each in inputs)
        if out is not None or not view:
            self.counts.launches += 1
        if name == "matmul":
            # CuPy copies an operand that is not contiguous before it multiplies more than two dimensions.
            self.counts.launches += sum(not each._host.flags.c_contiguous for each in inputs)
        if name in SYNCHRONISING:
            self.counts.host_reads += 1
        return out if out is not None else self.wrap(result, *inputs)

    def asarray(self, a: Any, *arguments: Any, **keywords: Any) -> DeviceArray:
        """Bring an array to the device: free if it is there already and its dtype too."""
        bound = signature_of(cupy.asarray).bind(a, *arguments, **keywords).arguments
        dtype = bound.get("dtype")
        if isinstance(a, DeviceArray):
            return a if dtype is None or a.dtype == dtype else a.astype(dtype)
        self.counts.transfers += 1
        return DeviceArray(self, np.array(a, dtype=dtype))

    def array(self, obj: Any, *arguments: Any, **keywords: Any) -> DeviceArray:
        """Bring a copy of an array to the device."""
        bound = signature_of(cupy.array).bind(obj, *arguments, **keywords).arguments
        if isinstance(obj, DeviceArray):
            return self.run("array", np.array, (obj,), {"dtype": bound.get("dtype")})
        return self.asarray(obj, dtype=bound.get("dtype"))

    def asnumpy(self, a: DeviceArray) -> np.ndarray:
        return a.get()

    # Functions, those of the installed module only

    def __getattr__(self, name: str) -> Any:
        real = getattr(cupy, name)
        if isinstance(real, ModuleType):
            if name != "linalg":
                raise AttributeError(f"cupy.{name} is not for the core: draw on the host, move with Backend.to_device")
            return _Submodule(self, real, np.linalg)
        if not callable(real) or isinstance(real, type):
            return real
        return self.function(name, real, getattr(np, name))

    def function(self, name: str, real: Callable[..., Any], twin: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **keywords: Any) -> Any:
            signature_of(real).bind(*arguments, **keywords)
            result = self.run(name, twin, arguments, keywords)
            if name in ("empty", "empty_like"):
                # An allocation is no launch. What is in it is nobody's business: NaN or nonsense.
                self.counts.launches -= 1
                result._host.fill(np.nan if result.dtype.kind == "f" else 77)
            return result

        return call

    # What kernels and cuBLAS need

    def _stream(self, *arguments: Any, **keywords: Any) -> Any:
        signature_of(cupy.cuda.Stream).bind(*arguments, **keywords)
        self.streams_made += 1
        return _Stream(self)

    def _cuda_device(self, *arguments: Any, **keywords: Any) -> "_CudaDevice":
        signature_of(cupy.cuda.Device).bind(*arguments, **keywords)
        return _CudaDevice(self)

    def RawModule(self, *arguments: Any, **keywords: Any) -> "_RawModule":
        return _RawModule(self, signature_of(cupy.RawModule).bind(*arguments, **keywords).arguments)

    def memory_at(self, address: int, dtype: Any) -> np.ndarray:
        """Return the numbers of the array whose pointer was handed out, from that address on."""
        array = self.pointers[address]
        if array.dtype != dtype or not array._host.flags.c_contiguous:
            raise TypeError(f"pointer to {array!r}, not a contiguous array of {np.dtype(dtype)}")
        return array._host.reshape(-1)


class _Stream:
    def __init__(self, device: StrictCupy) -> None:
        self._device = device

    def __enter__(self) -> "_Stream":
        self._device.stream_depth += 1
        return self

    def __exit__(self, *_: object) -> None:
        self._device.stream_depth -= 1


class _CudaDevice:
    """A `cupy.cuda.Device`, of which only the attributes are for the core."""

    def __init__(self, device: StrictCupy) -> None:
        self._device = device

    @property
    def attributes(self) -> dict[str, int]:
        """The numbers the double has, under names that the installed CuPy has: it takes them from CUDA's runtime."""
        numbers = {"MaxSharedMemoryPerBlock": SHARED_BYTES, "MaxSharedMemoryPerBlockOptin": self._device.shared_limit}
        assert hasattr(cupy.cuda.Device, "attributes")
        return {name: each for name, each in numbers.items() if hasattr(cupy.cuda.runtime, f"cudaDevAttr{name}")}


class _Submodule:
    def __init__(self, device: StrictCupy, real: ModuleType, twin: ModuleType) -> None:
        self._device, self._real, self._twin = device, real, twin

    def __getattr__(self, name: str) -> Any:
        return self._device.function(name, getattr(self._real, name), getattr(self._twin, name))


class StrictSpecial:
    """Stands for `cupyx.scipy.special`."""

    def erf(self, x: DeviceArray) -> DeviceArray:
        result: DeviceArray = x._device.run("erf", scipy.special.erf, (x,), {})
        return result


class _RawModule:
    """A compiled CUDA source. Its kernels run on the CPU, with one thread a block, which is legal for them."""

    def __init__(self, device: StrictCupy, arguments: Mapping[str, Any]) -> None:
        self._device = device
        (real,) = [option.removeprefix("-DREAL=") for option in arguments["options"] if option.startswith("-DREAL=")]
        self._dtype = {"float": "float32", "double": "float64"}[real]
        self._code = arguments["code"]

    def get_function(self, name: str) -> "_RawKernel":
        return _RawKernel(self._device, self._dtype, name)


class _RawKernel:
    def __init__(self, device: StrictCupy, dtype: str, name: str) -> None:
        self._device, self._name, self._kernels = device, name, cpu_kernels(dtype)
        self._parameters = self._kernels.parameters[name]
        self._shared = SHARED_BYTES

    @property
    def max_dynamic_shared_size_bytes(self) -> int:
        return self._shared

    @max_dynamic_shared_size_bytes.setter
    def max_dynamic_shared_size_bytes(self, size: int) -> None:
        assert isinstance(cupy.RawKernel.max_dynamic_shared_size_bytes, GetSetDescriptorType)
        if size > self._device.shared_limit:
            raise ValueError(f"{self._name}: a block of this device has no {size} bytes of shared memory")
        self._shared = size

    def __call__(
        self, grid: tuple[int, ...], block: tuple[int, ...], args: tuple[Any, ...], *, shared_mem: int = 0
    ) -> None:
        threads = int(np.prod(block))
        if not 1 <= threads <= 1024 or not all(each >= 1 for each in grid) or any(e > STREAM_LIMIT for e in grid[1:]):
            raise ValueError(f"{self._name}: no such launch, grid {grid}, block {block}")
        if shared_mem > self.max_dynamic_shared_size_bytes:
            raise ValueError(f"{self._name}: {shared_mem} bytes of shared memory were not asked for")
        if len(args) != len(self._parameters):
            raise TypeError(f"{self._name} takes {len(self._parameters)} arguments, {len(args)} given")
        self._device.counts.launches += 1
        self._device.kernel_launches[self._name] += 1
        columns, rows = (*grid, 1)[:2]
        self._kernels(self._name, (columns, rows), 1, *map(self._argument, self._parameters, args))

    def _argument(self, parameter: Any, given: Any) -> Any:
        """Check an argument as no GPU would: a wrong type there is a wrong number, not an error."""
        if parameter.is_array != isinstance(given, DeviceArray) or not isinstance(given, DeviceArray | np.generic):
            raise TypeError(f"{self._name}: {parameter.name} is given {type(given).__name__}")
        if given.dtype.name != parameter.dtype:
            raise TypeError(f"{self._name}: {parameter.name} is {parameter.dtype}, given {given.dtype}")
        if not isinstance(given, DeviceArray):
            return given.item()
        if not given._host.flags.c_contiguous:
            raise TypeError(f"{self._name}: {parameter.name} is given a view that is not contiguous")
        return given._host.ctypes.data


class StrictCublas:
    """Stands for `cupy_backends.cuda.libs.cublas`, on the memory of a `StrictCupy`."""

    CUBLAS_OP_N, CUBLAS_OP_T = 0, 1
    CUBLAS_POINTER_MODE_HOST, CUBLAS_POINTER_MODE_DEVICE = 0, 1

    def __init__(self, device: StrictCupy) -> None:
        self._device, self.mode = device, self.CUBLAS_POINTER_MODE_DEVICE

    def getPointerMode(self, handle: int) -> int:
        self._check(handle)
        return self.mode

    def setPointerMode(self, handle: int, mode: int) -> None:
        self._check(handle)
        self.mode = mode

    def sgemmStridedBatched(self, *arguments: int) -> None:
        self._gemm("sgemmStridedBatched", ctypes.c_float, arguments)

    def dgemmStridedBatched(self, *arguments: int) -> None:
        self._gemm("dgemmStridedBatched", ctypes.c_double, arguments)

    def _check(self, handle: int) -> None:
        if handle != HANDLE:
            raise ValueError(f"{handle} is no handle of cuBLAS")

    def _gemm(self, name: str, real: Any, arguments: tuple[int, ...]) -> None:
        """C = alpha op(A) op(B) + beta C for every matrix of a batch, all stored by columns, as cuBLAS documents it."""
        g = SimpleNamespace(**cublas_signature(name).bind(*arguments).arguments)
        self._check(g.handle)
        if self.mode != self.CUBLAS_POINTER_MODE_HOST:
            raise ValueError(f"{name}: alpha and beta are in host memory, the pointer mode says device")
        alpha, beta = (real.from_address(address).value for address in (g.alpha, g.beta))
        dtype = np.dtype(real)
        for batch in range(g.batchCount):
            a = self._by_columns(g.A, dtype, (g.k, g.m) if g.transa else (g.m, g.k), g.lda, batch * g.strideA)
            b = self._by_columns(g.B, dtype, (g.n, g.k) if g.transb else (g.k, g.n), g.ldb, batch * g.strideB)
            c = self._by_columns(g.C, dtype, (g.m, g.n), g.ldc, batch * g.strideC)
            product = alpha * ((a.T if g.transa else a) @ (b.T if g.transb else b))
            # beta 0 must not read C, which may hold anything.
            c[...] = product if beta == 0 else product + beta * c
        self._device.counts.launches += 1

    def _by_columns(self, address: int, dtype: Any, shape: tuple[int, int], leading: int, offset: int) -> np.ndarray:
        rows, columns = shape
        if leading < rows:
            raise ValueError(f"leading dimension {leading} of a matrix of {rows} rows")
        memory = self._device.memory_at(address, dtype)[offset:]
        if memory.size < leading * (columns - 1) + rows:
            raise ValueError("a matrix that ends beyond its array")
        step = dtype.itemsize
        return np.lib.stride_tricks.as_strided(memory, shape, (step, leading * step))
