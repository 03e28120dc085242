"""The named operations on CuPy: cuBLAS for the products, and CUDA kernels of our own for what surrounds them.

The kernels are in ``kernels.cu``, one file, one source for both dtypes. What is proven on a CPU, by the tests: the
source compiles for every architecture from sm_75 to sm_100 that NVRTC knows; run through g++ it equals the plain
operations of `Backend`; under ThreadSanitizer it has no race. **Nothing here has run on a GPU yet**:
``pytest tests/gpu`` does that where there is one.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache, cached_property
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from backprop import activations, losses
from backprop.backend import ActivationStage, Array, Backend, HostArray, LossStage

if TYPE_CHECKING:
    from backprop.network import Architecture, Network, Parameters
    from backprop.online import OnlineDescent
    from backprop.stack import Stack, Trial

SOURCE = Path(__file__).with_name("kernels.cu")

ACTIVATION_CODES = {
    name: code
    for code, name in enumerate(
        ("identity", "sigmoid", "tanh", "relu", "leaky_relu", "elu", "softplus", "gelu", "silu")
    )
}
"""The numbers ``kernels.cu`` knows the elementwise activations by."""

_KNOWN_ACTIVATIONS = {type(activations.ACTIVATIONS[name]) for name in ACTIVATION_CODES}

REAL = {"float32": "float", "float64": "double"}
"""What ``real`` is for each dtype of a stack."""

THREADS = 256
"""Threads of a block, but for the one of `online_epoch`."""

ONLINE_THREADS = 512
"""Threads of the block that trains a trial alone."""

MOST_BLOCKS = 4096
"""Blocks of a grid along one axis; the kernels stride over what is more."""

SHARED_BYTES = 48 * 1024
"""Shared memory a block has without asking for more."""


@dataclass(frozen=True)
class Update:
    """How an optimiser's kernel is called: its name, the trials' numbers and the flags it takes, its shared bytes."""

    name: str
    numbers: tuple[str, ...] = ()
    flags: tuple[str, ...] = ()
    shared: int = 0


_ADAM = ("beta_1", "beta_2", "epsilon")

UPDATES = {
    "sgd": Update("sgd_update"),
    "momentum": Update("momentum_update", ("momentum",), ("nesterov",)),
    "nesterov": Update("momentum_update", ("momentum",), ("nesterov",)),
    "rmsprop": Update("rmsprop_update", ("decay", "epsilon")),
    "adam": Update("adam_update", _ADAM, ("decays", "step"), shared=16),
    "adamw": Update("adam_update", (*_ADAM, "weight_decay"), ("decays", "step"), shared=16),
}
"""The kernels of the optimisers, by the names of `optimizers.OPTIMIZERS`."""


@cache
def source() -> str:
    """Return the CUDA source of all kernels."""
    return SOURCE.read_text(encoding="utf-8")


def compile_options(dtype: str) -> tuple[str, ...]:
    """Return NVRTC's options for a dtype, ``"float32"`` or ``"float64"``."""
    return (f"-DREAL={REAL[dtype]}", "-std=c++17")


def online_shared_bytes(threads: int, hidden: int, outputs: int, itemsize: int) -> int:
    """Return the shared memory `online_epoch` needs: its partial sums, z, h, logits and two deltas."""
    return itemsize * (max(threads, hidden) + 3 * hidden + max(threads, outputs) + 2 * outputs)


@dataclass(frozen=True)
class CupyBackend(Backend):
    """CuPy, with the named operations in as few launches as they can be.

    An operation on arrays our kernels do not take (a view that is not contiguous, another dtype, a user's own
    activation) falls back to its plain form, which CuPy runs too.

    Attributes
    ----------
    xp : module
        ``cupy``.
    cublas : module, optional
        CuPy's binding of cuBLAS; imported when first needed, since without a GPU there is none.
    """

    cublas: Any = field(default=None, compare=False)

    # Where arrays are

    def keep_samples(self, host: HostArray, dtype: npt.DTypeLike) -> Array:
        """Move samples, (N, D). Bytes stay bytes, an eighth or a quarter of the memory: `gather` converts a batch."""
        return self.to_device(host, None if host.dtype == np.uint8 else dtype)

    def fetch(self, arrays: Mapping[str, Array]) -> dict[str, HostArray]:
        """Move (T,) float64 arrays to host memory as one array: this is the one synchronisation of an epoch."""
        if not arrays:
            return {}
        together = self.xp.stack([array.astype("float64", copy=False) for array in arrays.values()])
        return dict(zip(arrays, self.to_host(together), strict=True))

    @contextmanager
    def epoch(self) -> Iterator[None]:
        """Queue an epoch's work on a stream of this backend's own.

        The stream waits for the default stream and it for this one, so arrays made outside are safe inside.

        Raises
        ------
        OutOfMemoryError
            The device, or the limit set on it, had no more memory.
        """
        with super().epoch(), self._stream:
            yield

    def limit_memory(self, size: int) -> None:
        """Let CuPy's pool of this process take at most `size` bytes of the device; 0 lifts the limit."""
        self.xp.get_default_memory_pool().set_limit(size=size)

    def release_memory(self) -> None:
        """Give the blocks CuPy's pool keeps for reuse back to the device."""
        self.xp.get_default_memory_pool().free_all_blocks()

    @cached_property
    def _stream(self) -> Any:
        return self.xp.cuda.Stream(non_blocking=False)

    # Named operations

    def gather(
        self, samples: Array, order: Array | slice, dtype: npt.DTypeLike, *, shift: float = 0.0, scale: float = 1.0
    ) -> Array:
        """Return `(samples[order] - shift) / scale`, computed in `dtype`, (B, D): one launch, from bytes too."""
        dtype = np.dtype(dtype)
        kernel = {dtype: "gather_rows", np.dtype(np.uint8): "gather_bytes"}.get(samples.dtype)
        if isinstance(order, slice) or kernel is None or not self._takes(dtype, order=order) or not _flat(samples):
            return super().gather(samples, order, dtype, shift=shift, scale=scale)
        rows, width = len(order), samples.shape[1]
        out = self.xp.empty((rows, width), dtype)
        real: type[Any] = dtype.type
        numbers = (real(shift), real(scale), np.int32(rows), np.int32(width))
        self._launch(kernel, dtype, (_blocks(rows, 1), 1), samples, order, out, *numbers)
        return out

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
        """Write `out = alpha op(a) op(b) + beta out`, one launch of a batched GEMM, with neither copies nor scratch.

        cuBLAS counts by columns, and a matrix stored by rows is its transpose stored by columns. So the product
        asked for is `out^T = op(b)^T op(a)^T`: the operands change places and keep their flags.
        """
        if out is None and self._takes(a.dtype, a, b):
            out = self.xp.empty(_product_shape(a, b, transpose_a, transpose_b), a.dtype)
        if out is None or not self._takes(out.dtype, a, b, out):
            return super().multiply(
                a, b, out, alpha=alpha, beta=beta, transpose_a=transpose_a, transpose_b=transpose_b, scratch=scratch
            )
        trials, rows, columns = out.shape
        inner = a.shape[-2] if transpose_a else a.shape[-1]
        # The factors are read by the host when the call is made, so they may live only as long.
        factors = np.array([alpha, beta], out.dtype)
        gemm = self._cublas.sgemmStridedBatched if out.dtype == np.float32 else self._cublas.dgemmStridedBatched
        with self._factors_on_host() as handle:
            gemm(
                handle,
                self._cublas.CUBLAS_OP_T if transpose_b else self._cublas.CUBLAS_OP_N,
                self._cublas.CUBLAS_OP_T if transpose_a else self._cublas.CUBLAS_OP_N,
                columns,
                rows,
                inner,
                factors.ctypes.data,
                b.data.ptr,
                b.shape[-1],
                _apart(b),
                a.data.ptr,
                a.shape[-1],
                _apart(a),
                factors.ctypes.data + factors.itemsize,
                out.data.ptr,
                columns,
                rows * columns,
                trials,
            )
        return out

    @contextmanager
    def _factors_on_host(self) -> Iterator[int]:
        """Give cuBLAS' handle, told that alpha and beta are in host memory, and leave it as it was."""
        handle = self.xp.cuda.device.get_cublas_handle()
        before = self._cublas.getPointerMode(handle)
        self._cublas.setPointerMode(handle, self._cublas.CUBLAS_POINTER_MODE_HOST)
        try:
            yield handle
        finally:
            self._cublas.setPointerMode(handle, before)

    @cached_property
    def _cublas(self) -> Any:
        return self.cublas if self.cublas is not None else import_module("cupy_backends.cuda.libs").cublas

    def sum_batch(
        self, delta: Array, out: Array, *, alpha: float = 1.0, beta: float = 0.0, scratch: Array | None = None
    ) -> Array:
        """Write `out = alpha (sum of delta over the batch) + beta out`, one launch and no scratch."""
        if not self._takes(out.dtype, delta, out):
            return super().sum_batch(delta, out, alpha=alpha, beta=beta, scratch=scratch)
        trials, rows, units = delta.shape
        real = out.dtype.type
        grid = (_blocks(units), trials)
        self._launch(
            "bias_accumulate", out.dtype, grid, delta, out, real(alpha), real(beta), np.int32(rows), np.int32(units)
        )
        return out

    def affine(self, h: Array, w: Array, b: Array) -> Array:
        """Return `z = h w + b`, two launches."""
        if not self._takes(w.dtype, h, w, b):
            return super().affine(h, w, b)
        return self._affine_activation(h, w, b, ACTIVATION_CODES["identity"])[0]

    def affine_activation(self, h: Array, w: Array, b: Array, sigma: ActivationStage) -> tuple[Array, Array]:
        """Return `z = h w + b` and `sigma(z)`, two launches: bias and activation are one."""
        code = activation_code(sigma)
        if code is None or not self._takes(w.dtype, h, w, b):
            return super().affine_activation(h, w, b, sigma)
        return self._affine_activation(h, w, b, code)

    def _affine_activation(self, h: Array, w: Array, b: Array, code: int) -> tuple[Array, Array]:
        trials, _, units = w.shape
        rows = h.shape[-2]
        z = self.multiply(h, w)
        activated = z if code == ACTIVATION_CODES["identity"] else self.xp.empty_like(z)
        self._launch(
            "bias_activation",
            w.dtype,
            (_blocks(rows * units), trials),
            z,
            b,
            activated,
            np.int32(code),
            np.int32(rows),
            np.int32(units),
        )
        return z, activated

    def chain(self, sigma: ActivationStage, delta: Array, z: Array, h: Array) -> Array:
        """Return `delta sigma'(z)`, one launch, written over `delta`."""
        code = activation_code(sigma)
        if code is None or not self._takes(delta.dtype, delta, z, h):
            return super().chain(sigma, delta, z, h)
        if code != ACTIVATION_CODES["identity"]:
            grid = (_blocks(delta.size), 1)
            self._launch("activation_chain", delta.dtype, grid, delta, z, h, np.int32(code), np.int64(delta.size))
        return delta

    def loss_and_delta(self, stage: LossStage, z: Array, y: Array, scale: Array) -> tuple[Array, Array]:
        """Return every sample's loss and `scale dL/dz`; for a softmax cross-entropy one launch."""
        if type(stage) is not losses.SoftmaxCrossEntropy or not self._takes(z.dtype, z, y, scale):
            return super().loss_and_delta(stage, z, y, scale)
        trials, rows, classes = z.shape
        loss, delta = self.xp.empty((trials, rows), z.dtype), self.xp.empty_like(z)
        threads = _threads_for(classes)
        self._launch(
            "softmax_cross_entropy",
            z.dtype,
            (_blocks(trials * rows, 1), 1),
            z,
            y,
            scale,
            loss,
            delta,
            np.int32(rows),
            np.int32(y.size // classes),
            np.int32(classes),
            np.int32(trials * rows),
            threads=threads,
            shared=threads * z.dtype.itemsize,
        )
        return loss, delta

    def add_losses(self, total: Array, loss: Array) -> None:
        """Add the sum over the batch of loss, (T, B), to total, (T,) float64; one launch."""
        if not self._takes(loss.dtype, loss) or not _flat(total):
            super().add_losses(total, loss)
            return
        trials, rows = loss.shape
        threads = _threads_for(rows)
        self._launch(
            "add_losses", loss.dtype, (trials, 1), loss, total, np.int32(rows), threads=threads, shared=8 * threads
        )

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
        """Update a parameter and its memories in place, one launch; the numbers are read as they are, in float64."""
        kernel = UPDATES.get(rule)
        if kernel is None or not self._takes(p.dtype, p, g, *memory):
            return False
        trials, size = len(p), p.size // len(p)
        given = [numbers[name] for name in kernel.numbers]
        flags = {"nesterov": rule == "nesterov", "decays": decays and rule == "adamw", "step": step}
        if rule == "adam":
            # A kernel of AdamW that does not decay; it reads the number, but uses it not.
            given.append(rate)
        self._launch(
            kernel.name,
            p.dtype,
            (_blocks(size), trials),
            *(p, g, *memory, rate, *given),
            *(np.int32(flags[flag]) for flag in kernel.flags),
            np.int32(size),
            shared=kernel.shared,
        )
        return True

    def fused_dropout_mask(
        self, keys: Array, offset: int, thresholds: Array, scales: Array, shape: tuple[int, int]
    ) -> Array | None:
        """Return the masks of a hidden layer, one launch."""
        if not self._takes(scales.dtype, scales):
            return None
        trials, size = len(keys), shape[0] * shape[1]
        mask = self.xp.empty((trials, *shape), scales.dtype)
        grid = (_blocks(size), trials)
        numbers = (keys, np.uint64(offset), thresholds, scales, mask, np.int32(size))
        self._launch("dropout_mask", scales.dtype, grid, *numbers)
        return mask

    def faster_descent(
        self,
        network: "Network",
        stack: "Stack",
        trials: "Sequence[Trial]",
        parameters: "Parameters",
        memories: "dict[str, Parameters]",  # noqa: ARG002 - plain SGD remembers nothing
        *,
        plain: bool,
    ) -> "OnlineDescent | None":
        """Return what trains a stack with one sample per update in one launch an epoch, where the kernel has it."""
        from backprop.online import OnlineDescent, trains_online

        architecture = stack.architecture
        sigma = architecture.activations[0] if architecture.hidden else ""
        known = online_kernel_trains(
            len(architecture.hidden), sigma, architecture.output_activation, architecture.loss
        ) and trains_online(stack, plain=plain)
        if not known or not self._takes(stack.dtype, *parameters):
            return None
        if self._online_shared_bytes(architecture, stack.dtype) > self._most_shared_bytes:
            return None
        return OnlineDescent(self, network, stack, trials, parameters)

    @staticmethod
    def _online_shared_bytes(architecture: "Architecture", dtype: str) -> int:
        return online_shared_bytes(
            ONLINE_THREADS, architecture.hidden[0], architecture.outputs, np.dtype(dtype).itemsize
        )

    @cached_property
    def _most_shared_bytes(self) -> int:
        """Shared memory that a block of this device may ask for."""
        return int(self.xp.cuda.Device().attributes["MaxSharedMemoryPerBlockOptin"])

    def online_epoch(
        self,
        weights: Sequence[Array],
        biases: Sequence[Array],
        x: Array,
        y: Array,
        order: Array,
        rates: Array,
        *,
        sigma: str,
        phi: str,
        loss: str,
    ) -> Array:
        """Train networks of one hidden layer for an epoch, an update a sample, in one launch: a block a trial.

        Parameters
        ----------
        weights, biases : [(T, D, H), (T, H, C)] and [(T, 1, H), (T, 1, C)] arrays
            Updated in place.
        x, y : (N, D) and (N, C) arrays of the dtype of the weights
        order : (steps,) int64 array
            The samples in the order of their updates.
        rates : (T,) array of the dtype of the weights
        sigma, phi, loss : str
            An elementwise activation; then softmax with cross_entropy, or an elementwise activation with mse.

        Returns
        -------
        (T,) float64 array
            The sum of every sample's loss before the update it led to.

        Raises
        ------
        ValueError
            The kernel has no such network: `online_kernel_trains` says so before.
        """
        if not online_kernel_trains(len(weights) - 1, sigma, phi, loss):
            raise ValueError(f"online_epoch trains no {len(weights) - 1} hidden layers of {sigma}, {phi} with {loss}")
        dtype = weights[0].dtype
        if not self._takes(dtype, *weights, *biases, x, y, rates, order=order):
            raise ValueError(f"online_epoch takes contiguous arrays of {dtype} and an order of int64")
        trials, inputs, hidden = weights[0].shape
        outputs = weights[1].shape[2]
        total = self.xp.empty(trials, "float64")
        codes = (ACTIVATION_CODES[sigma], ACTIVATION_CODES.get(phi, 0), loss == "mse")
        sizes = (len(order), inputs, hidden, outputs)
        self._launch(
            "online_epoch",
            dtype,
            (trials, 1),
            *(weights[0], biases[0], weights[1], biases[1], x, y, order, rates, total),
            *map(np.int32, (*codes, *sizes)),
            threads=ONLINE_THREADS,
            shared=online_shared_bytes(ONLINE_THREADS, hidden, outputs, dtype.itemsize),
        )
        return total

    # Launching

    def _takes(self, dtype: npt.DTypeLike, *arrays: Array, order: Array | None = None) -> bool:
        """Return whether our kernels take these arrays: on the device, contiguous, of one real dtype, not empty.

        A host array is left to the plain form, where CuPy refuses it with an error that says so.
        """
        return (
            np.dtype(dtype).name in REAL
            and all(isinstance(array, self.xp.ndarray) and array.dtype == dtype and _flat(array) for array in arrays)
            and (order is None or (order.dtype == np.int64 and _flat(order)))
        )

    def _launch(
        self,
        name: str,
        dtype: npt.DTypeLike,
        grid: tuple[int, int],
        *arguments: Any,
        threads: int = THREADS,
        shared: int = 0,
    ) -> None:
        """Queue a kernel; arrays go by their pointer, every number must be a NumPy scalar of the kernel's C type."""
        kernel = self._modules[np.dtype(dtype).name].get_function(name)
        if shared > SHARED_BYTES:
            kernel.max_dynamic_shared_size_bytes = shared
        kernel(grid, (threads,), arguments, shared_mem=shared)

    @cached_property
    def _modules(self) -> dict[str, Any]:
        """The compiled kernels of each dtype. CuPy compiles one at its first launch and keeps it in CUPY_CACHE_DIR."""
        return {dtype: self.xp.RawModule(code=source(), options=compile_options(dtype)) for dtype in REAL}


def online_kernel_trains(hidden_layers: int, sigma: str, phi: str, loss: str) -> bool:
    """Return whether `CupyBackend.online_epoch` has a network of these hidden layers, activations and loss."""
    output = (phi == "softmax" and loss == "cross_entropy") or (phi in ACTIVATION_CODES and loss == "mse")
    return hidden_layers == 1 and sigma in ACTIVATION_CODES and output


def activation_code(sigma: ActivationStage) -> int | None:
    """Return the number ``kernels.cu`` knows an activation by, or None for a user's own, whatever it is called."""
    return ACTIVATION_CODES.get(sigma.name) if type(sigma) in _KNOWN_ACTIVATIONS else None


def _flat(array: Array) -> bool:
    return bool(array.flags.c_contiguous) and array.size > 0


def _product_shape(a: Array, b: Array, transpose_a: bool, transpose_b: bool) -> tuple[int, ...]:
    trials = a.shape[:-2] or b.shape[:-2]
    return (*trials, a.shape[-1 if transpose_a else -2], b.shape[-2 if transpose_b else -1])


def _apart(matrices: Array) -> int:
    """Elements between a trial's matrix and the next one's; 0 where all trials share it."""
    return 0 if matrices.ndim == 2 else int(matrices.shape[-1] * matrices.shape[-2])


def _blocks(work: int, each: int = THREADS) -> int:
    return max(1, min(-(-work // each), MOST_BLOCKS))


def _threads_for(work: int) -> int:
    """Return the threads of a block as wide as the work, in whole warps of 32."""
    return min(THREADS, -(-work // 32) * 32)
