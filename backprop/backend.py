# ruff: noqa: ARG002 - where the plain form has nothing to do it takes the arguments all the same
"""Which array library computes: NumPy on a CPU, CuPy on a GPU, one code for both.

Every array operation of the core goes through ``Backend``. The two libraries share one interface,
``Backend.xp``, so a stage reads the same on both. Where a GPU needs another way there is a **named
operation**: here in its plain form, which runs on either library and is the specification, and in
`kernels.CupyBackend` with cuBLAS and kernels of our own. Tests hold each to the other.

Shapes, as everywhere: T trials, B batch, D inputs, C outputs, N samples.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from backprop.reductions import sum_rows

if TYPE_CHECKING:
    from backprop.network import Network, Parameters
    from backprop.samples import Samples
    from backprop.stack import Stack, Trial

Array: TypeAlias = Any
"""An array of the backend in use, ``numpy.ndarray`` or ``cupy.ndarray``."""

HostArray: TypeAlias = npt.NDArray[Any]
"""An array in host memory, always ``numpy.ndarray``."""

Device = Literal["auto", "cpu", "gpu"]


class DeviceError(RuntimeError):
    """The device asked for is not usable on this machine."""


class OutOfMemoryError(MemoryError):
    """The stack does not fit into the memory of its device, or into the limit set on it. Halve the stack."""


class ActivationStage(Protocol):
    """What a backend must know of an activation (`activations.Activation`)."""

    name: str

    def value(self, xp: ModuleType, z: Array) -> Array:
        """Return `h = sigma(z)`."""

    def chain(self, xp: ModuleType, delta: Array, z: Array, h: Array) -> Array:
        """Return `dL/dz`, given `delta = dL/dh`."""


class LossStage(Protocol):
    """What a backend must know of an output stage (`losses.OutputStage`)."""

    def loss_and_delta(self, xp: ModuleType, z: Array, y: Array) -> tuple[Array, Array]:
        """Return the loss of every sample, (T, B), and `dL/dz`, (T, B, C)."""


class EpochDescent(Protocol):
    """What trains a stack an epoch a call (`descent.Descent`)."""

    memories: "dict[str, Parameters]"

    def over(self, samples: "Samples", order: Array, rates: HostArray, done: int) -> Array:
        """Update the parameters over one pass; return each trial's mean loss, (T,) float64."""


class EvaluationSums(Protocol):
    """Sums over samples, as their weights count: losses and hits, (T,) float64, and squared residuals, (T, C)."""

    @property
    def loss(self) -> Array:
        """Of the losses."""

    @property
    def hits(self) -> Array:
        """Of the samples that are predicted right."""

    @property
    def squares(self) -> Array:
        """Of the squared residuals of every output."""


@dataclass(frozen=True)
class Backend:
    """An array library, the moves between host memory and its own, and the named operations in plain form.

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

    # Where arrays are

    def to_device(self, host: HostArray, dtype: npt.DTypeLike | None = None) -> Array:
        """Move an array from host memory, any shape, converting to `dtype` if given.

        On NumPy an array that has the dtype already is returned as it is, so a memory map stays one.
        """
        return self.xp.asarray(host, dtype=dtype)

    def keep_samples(self, host: HostArray, dtype: npt.DTypeLike) -> Array:
        """Move samples, (N, D), for a whole training. Whatever their dtype here, `gather` returns `dtype`."""
        return self.to_device(host, dtype)

    def to_host(self, array: Array) -> HostArray:
        """Move an array to host memory, same shape and dtype. On a GPU this waits for the device."""
        if isinstance(array, np.ndarray):
            return array
        return np.asarray(array.get())

    def fetch(self, arrays: Mapping[str, Array]) -> dict[str, HostArray]:
        """Move (T,) float64 arrays to host memory together: on a GPU one wait, however many they are."""
        return {name: self.to_host(array) for name, array in arrays.items()}

    @contextmanager
    def epoch(self) -> Iterator[None]:
        """Surround an epoch's work: on a GPU it is queued on a stream of this backend's own.

        Raises
        ------
        OutOfMemoryError
            Memory ran out in the block.
        """
        try:
            yield
        except Exception as error:
            if is_out_of_memory(error):
                raise OutOfMemoryError(f"out of memory on {self.name}: {error}") from error
            raise

    def limit_memory(self, size: int) -> None:
        """Let this process take at most `size` bytes of the device; host memory is not limited."""

    def release_memory(self) -> None:
        """Give freed memory back to the device, after an `OutOfMemoryError`; host memory needs no such call."""

    # Named operations

    def gather(
        self, samples: Array, order: Array | slice, dtype: npt.DTypeLike, *, shift: float = 0.0, scale: float = 1.0
    ) -> Array:
        """Return `(samples[order] - shift) / scale`, computed in `dtype`, (B, D).

        Parameters
        ----------
        samples : (N, D) array of any number type
        order : (B,) int64 array, or a slice
        """
        rows = samples[order].astype(dtype, copy=False)
        if (shift, scale) == (0, 1):
            return rows
        real: type[Any] = np.dtype(dtype).type
        # Not in place at first: a slice of samples of the dtype is still the samples.
        rows = rows - real(shift)
        rows /= real(scale)
        return rows

    def multiply(
        self,
        a: Array,
        b: Array,
        out: Array | None = None,
        *,
        alpha: float = 1.0,
        beta: float = 0.0,
        transpose_a: bool = False,
        transpose_b: bool = False,
        scratch: Array | None = None,
    ) -> Array:
        """Write `out = alpha op(a) op(b) + beta out` for every trial and return `out`, a new array where none is given.

        With `alpha=-1, beta=1` and the learning rate in the delta, a gradient and its SGD update are one call.

        Parameters
        ----------
        a, b : (T, rows, columns) or (rows, columns) arrays
            A matrix without trials is shared by all of them. `transpose_a` and `transpose_b` transpose
            what is multiplied, without a copy.
        out : (T, rows, columns) array, optional
            Needed where `beta` is not 0.
        scratch : array like out, optional
            Where the plain form may put the product; without it one is allocated when `beta` is not 0.
        """
        left = a.swapaxes(-1, -2) if transpose_a else a
        right = b.swapaxes(-1, -2) if transpose_b else b
        product = self.xp.matmul(left, right, out=scratch if beta else out)
        return _combine(product if out is None else out, product, alpha, beta)

    def sum_batch(
        self, delta: Array, out: Array, *, alpha: float = 1.0, beta: float = 0.0, scratch: Array | None = None
    ) -> Array:
        """Write `out = alpha (sum of delta over the batch) + beta out` and return `out`: what biases need.

        Parameters
        ----------
        delta : (T, B, units) array
        out, scratch : (T, 1, units) arrays
        """
        total = sum_rows(self.xp, delta, out=scratch if beta else out)
        return _combine(out, total, alpha, beta)

    def affine(self, h: Array, w: Array, b: Array) -> Array:
        """Return `z = h w + b`, (T, B, units).

        Parameters
        ----------
        h : (T, B, inputs) or (B, inputs) array
        w : (T, inputs, units) array
        b : (T, 1, units) array
        """
        z = self.xp.matmul(h, w)
        z += b
        return z

    def affine_activation(self, h: Array, w: Array, b: Array, sigma: ActivationStage) -> tuple[Array, Array]:
        """Return `z = h w + b` and `sigma(z)`, both (T, B, units)."""
        z = self.affine(h, w, b)
        return z, sigma.value(self.xp, z)

    def chain(self, sigma: ActivationStage, delta: Array, z: Array, h: Array) -> Array:
        """Return `delta sigma'(z)`, all (T, B, units). `delta` may be overwritten: use it no more."""
        return sigma.chain(self.xp, delta, z, h)

    def loss_and_delta(self, stage: LossStage, z: Array, y: Array, scale: Array) -> tuple[Array, Array]:
        """Return every sample's loss, (T, B), and `scale dL/dz`, (T, B, C).

        Parameters
        ----------
        z : (T, B, C) array
            Logits.
        y : (B, C) or (T, B, C) array
            Targets, shared by all trials or each its own.
        scale : (T,) array
            A factor of each trial's delta, such as `learning_rate / B`.
        """
        loss, delta = stage.loss_and_delta(self.xp, z, y)
        delta *= scale[:, None, None]
        return loss, delta

    def fused_update(
        self,
        rule: str,
        p: Array,
        g: Array,
        memory: Sequence[Array],
        numbers: Mapping[str, Array],
        rate: Array,
        step: int,
        *,
        decays: bool,
    ) -> bool:
        """Update a parameter and its memories in place by one kernel; return False where there is none.

        The plain form is `optimizers.Optimizer.update`: whoever gets False calls that.

        Parameters
        ----------
        rule : str
            Name of the optimiser.
        p, g, memory : (T, rows, columns) arrays
            The gradient g may be overwritten.
        numbers, rate : (T, 1, 1) float64 arrays
            The trials' numbers by the names of the optimiser's fields, and their learning rates.
        step : int
            Number of the update, from 1 on.
        decays : bool
            AdamW's decay is for this parameter.
        """
        return False

    def fused_dropout_mask(
        self, keys: Array, offset: int, thresholds: Array, scales: Array, shape: tuple[int, int]
    ) -> Array | None:
        """Return the masks of a hidden layer, (T, B, units), by one kernel, or None where there is none.

        The plain form is `dropout.Dropout`, which calls this first.

        Parameters
        ----------
        keys, thresholds : (T,) uint64 and (T, 1) uint32 arrays
        offset : int
            What the hash adds to the keys, below 2^64.
        scales : (T, 1) array of the masks' dtype
        shape : tuple of int
            (B, units).
        """
        return None

    def faster_descent(
        self,
        network: "Network",
        stack: "Stack",
        trials: "Sequence[Trial]",
        parameters: "Parameters",
        memories: "dict[str, Parameters]",
        *,
        plain: bool,
    ) -> "EpochDescent | None":
        """Return what trains a stack an epoch a call, or None where there is nothing faster than the plain form.

        The plain form is `descent.Descent`, whose arguments these are.
        """
        return None

    def evaluation_sums(
        self,
        network: "Network",
        parameters: "Parameters",
        samples: "Samples",
        hidden: "Sequence[tuple[int, ...]] | None",
        *,
        residuals: bool,
    ) -> "EvaluationSums | None":
        """Return the sums of an evaluation, or None where there is nothing faster than the plain form.

        The plain form is `evaluation.measure`, which calls this first.

        Parameters
        ----------
        hidden : sequence of tuple of int or None
            Own widths of every trial, where some are padded.
        residuals : bool
            Whether squared residuals are asked for, or hits.
        """
        return None

    def add_losses(self, total: Array, loss: Array) -> None:
        """Add the sum over the batch of loss, (T, B), to total, (T,) float64."""
        total += loss.sum(axis=1, dtype="float64")


def _combine(out: Array, product: Array, alpha: float, beta: float) -> Array:
    """Write `alpha product + beta out` to `out`, which with `beta` 0 is `product` itself; no pass for a factor of 1."""
    if beta == 1 and alpha == -1:
        out -= product
        return out
    if alpha != 1:
        product *= alpha
    if beta:
        if beta != 1:
            out *= beta
        out += product
    return out


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an exception of NumPy, CuPy, CUDA or cuBLAS says that memory ran out.

    CuPy's own is a `MemoryError`, as NumPy's; the runtime and cuBLAS, which allocate work space of their own,
    say it by a status in the message.
    """
    return isinstance(error, MemoryError) or any(
        status in str(error)
        for status in ("cudaErrorMemoryAllocation", "CUDA_ERROR_OUT_OF_MEMORY", "CUBLAS_STATUS_ALLOC_FAILED")
    )


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
        return _cpu()
    cupy = _usable_cupy()
    if cupy is not None:
        from backprop.kernels import CupyBackend

        return CupyBackend(cupy)
    if device == "gpu":
        raise DeviceError(
            "device 'gpu': CuPy is not installed or finds no CUDA device; "
            "install the extra with `pip install 'backprop[gpu]'` and check `nvidia-smi`, or use device 'cpu'"
        )
    return _cpu()


def _cpu() -> Backend:
    # Here, since importing Numba takes half a second that a GPU's user need not spend.
    from backprop.compiled.backend import CompiledBackend

    return CompiledBackend(np)


def _usable_cupy() -> ModuleType | None:
    # `import cupy` succeeds without a driver and only an allocation would fail: is_available() is the test.
    try:
        import cupy
    except ImportError:
        return None
    return cupy if cupy.is_available() else None
