"""The CUDA kernels without a GPU: compiled for every architecture, run on the CPU, and held to NumPy and to each other.

What is proven here is the source: it compiles, it computes what its NumPy twin computes with blocks of one thread
and of several, it writes no shared memory it did not ask for, and it has no race. What is not: that a GPU runs it.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from double.cpu_kernels import CpuKernels, compile_host, cpu_kernels, host_program, kernel_parameters

from backprop import kernels
from backprop.activations import ACTIVATIONS, activation
from backprop.backend import Backend
from backprop.kernels import ACTIVATION_CODES, ONLINE_THREADS, compile_options, online_shared_bytes, source
from backprop.losses import output_stage

CPU = Backend(np)
TOLERANCE = {"float32": 2e-6, "float64": 2e-15}
THREADS = [1, 3, 8]
ELEMENTWISE = sorted(ACTIVATION_CODES)


def unavailable(reason: str) -> None:
    """Skip, but not where CI runs: there the proof would fall silent."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="session", autouse=True)
def compiler() -> None:
    if shutil.which("g++") is None:
        unavailable("g++ is not installed, and it compiles the CUDA kernels for the CPU: apt install g++")


@pytest.fixture(params=["float32", "float64"])
def dtype(request) -> str:
    return request.param


@pytest.fixture
def draw():
    return np.random.default_rng(7)


def run(name: str, dtype: str, *arguments, grid=(1, 1), threads: int = 1, shared: int = 0) -> CpuKernels:
    """Run a kernel on NumPy arrays, and see that it used no more shared memory than it asked for."""
    library = cpu_kernels(dtype)
    parameters = library.parameters[name]
    assert len(arguments) == len(parameters)
    for parameter, given in zip(parameters, arguments, strict=True):
        if parameter.is_array:
            assert given.dtype == parameter.dtype, parameter.name
            assert given.flags.c_contiguous
    memory = np.frombuffer(library.shared_memory, np.uint8)
    memory[:] = 0xFF  # NaN
    addresses = [a.ctypes.data if isinstance(a, np.ndarray) else a for a in arguments]
    library(name, grid, threads, *addresses)
    assert (memory[shared:] == 0xFF).all(), "wrote shared memory beyond what it asked for"
    return library


def assert_equal(found, wanted, dtype: str, scale: float = 1.0) -> None:
    assert found.dtype == wanted.dtype
    tolerance = scale * TOLERANCE[dtype]
    np.testing.assert_allclose(found, wanted, rtol=tolerance, atol=tolerance)


# Compiled


@pytest.fixture(scope="session")
def nvrtc() -> ModuleType:
    """NVIDIA's compiler of CUDA source, which needs neither a GPU nor a driver."""
    try:
        from cupy.cuda import nvrtc

        nvrtc.getVersion()
    except (ImportError, RuntimeError) as error:
        unavailable(f"no NVRTC: {error}; pip install cupy-cuda12x nvidia-cuda-nvrtc-cu12")
    return nvrtc


@dataclass(frozen=True)
class Compiled:
    """A cubin, and what the assembler told of it."""

    binary: bytes
    told: str


def compiled(nvrtc: ModuleType, code: str, dtype: str, architecture: int) -> Compiled:
    program = nvrtc.createProgram(code, "kernels.cu", (), ())
    try:
        nvrtc.compileProgram(program, (*compile_options(dtype), f"-arch=sm_{architecture}", "--ptxas-options=-v"))
        return Compiled(nvrtc.getCUBIN(program), nvrtc.getProgramLog(program))
    except nvrtc.NVRTCError as error:
        raise AssertionError(f"sm_{architecture}, {dtype}: {nvrtc.getProgramLog(program)}") from error
    finally:
        nvrtc.destroyProgram(program)


@pytest.fixture(scope="module")
def for_every_architecture(nvrtc) -> Callable[[str], dict[int, Compiled]]:
    """The source for each architecture from sm_75 to sm_100, in a dtype; compiled once, it takes seconds."""
    supported = [each for each in nvrtc.getSupportedArchs() if 75 <= each <= 100]

    @cache
    def of(dtype: str) -> dict[int, Compiled]:
        with ThreadPoolExecutor() as pool:
            made = pool.map(lambda each: compiled(nvrtc, source(), dtype, each), supported)
            return dict(zip(supported, made, strict=True))

    return of


def test_the_source_compiles_to_a_cubin_for_every_architecture_from_sm_75_to_sm_100(for_every_architecture, dtype):
    made = for_every_architecture(dtype)
    assert made.keys() >= {75, 80, 86, 89, 90}
    for architecture, one in made.items():
        assert one.binary[:4] == b"\x7fELF", architecture
        for name in kernel_parameters(source(), "real"):
            assert b".text." + name.encode() + b"\0" in one.binary, (architecture, name)


REGISTERS = 64 * 1024
"""Registers of 32 bits a block may have, on every architecture from sm_75 on."""


def test_a_block_of_any_kernel_fits_the_registers_of_every_architecture(for_every_architecture, dtype):
    """Or else a GPU would refuse the launch."""
    for architecture, one in for_every_architecture(dtype).items():
        used = registers(one.told)
        assert used.keys() == kernel_parameters(source(), "real").keys()
        for name, each in used.items():
            # A warp's registers are given by the 256, that is by 8 a thread.
            threads = ONLINE_THREADS if name == "online_epoch" else kernels.THREADS
            assert -(-each // 8) * 8 * threads <= REGISTERS, (architecture, name)


def registers(told: str) -> dict[str, int]:
    """Return how many registers a thread of each kernel uses, as the assembler told."""
    found = re.findall(r"Compiling entry function '(\w+)'.*?Used (\d+) registers", told, re.DOTALL)
    return {name: int(count) for name, count in found}


def test_the_compiler_is_listened_to(nvrtc):
    with pytest.raises(AssertionError, match=r"sm_80, float32: .*undeclared"):
        compiled(nvrtc, source() + "__global__ void broken() { undeclared = 1; }", "float32", 80)


# Against NumPy


def test_the_kernels_know_the_activations_by_the_numbers_of_the_source():
    enum = re.search(r"enum \{([^}]*)\}", source())
    assert enum is not None
    assert [name.strip().lower() for name in enum.group(1).split(",")] == list(ACTIVATION_CODES)
    assert set(ACTIVATION_CODES) == set(ACTIVATIONS) - {"softmax"}


@pytest.mark.parametrize("threads", THREADS)
@pytest.mark.parametrize("name", ELEMENTWISE)
def test_bias_and_activation_are_one_kernel(name, threads, dtype, draw):
    z = draw.normal(size=(2, 5, 3)).astype(dtype) * 4
    bias = draw.normal(size=(2, 1, 3)).astype(dtype)
    affine = z + bias
    wanted = activation(name).value(np, affine)
    h = np.full_like(z, np.nan)
    run("bias_activation", dtype, z, bias, h, ACTIVATION_CODES[name], 5, 3, grid=(2, 2), threads=threads)
    assert_equal(z, affine, dtype)
    if name != "identity":
        assert_equal(h, wanted, dtype)


@pytest.mark.parametrize("threads", THREADS)
@pytest.mark.parametrize("name", ELEMENTWISE)
def test_delta_is_multiplied_by_the_local_derivative(name, threads, dtype, draw):
    z = np.concatenate([draw.normal(size=40) * 3, [0, -0.0, 30, -30, 1000, -1000]]).astype(dtype)
    h = activation(name).value(np, z)
    delta = draw.normal(size=z.shape).astype(dtype)
    wanted = activation(name).chain(np, delta.copy(), z, h)
    run("activation_chain", dtype, delta, z, h, ACTIVATION_CODES[name], z.size, grid=(2, 1), threads=threads)
    assert_equal(delta, wanted.astype(dtype), dtype)


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_a_nan_comes_through_every_activation(name, dtype):
    z, h = np.full((1, 1, 2), np.nan, dtype), np.zeros((1, 1, 2), dtype)
    h = z if name == "identity" else h
    run("bias_activation", dtype, z, np.zeros((1, 2), dtype), h, ACTIVATION_CODES[name], 1, 2)
    assert np.isnan(h).all()


@pytest.mark.parametrize("threads", THREADS)
@pytest.mark.parametrize(("alpha", "beta"), [(1, 0), (-1, 1), (0.5, -2)])
def test_biases_accumulate_the_sum_over_the_batch(alpha, beta, threads, dtype, draw):
    delta = draw.normal(size=(3, 7, 5)).astype(dtype)
    bias = draw.normal(size=(3, 1, 5)).astype(dtype)
    wanted = CPU.sum_batch(delta, bias.copy(), alpha=alpha, beta=beta)
    if beta == 0:
        bias[:] = np.nan  # it may be uninitialised
    run("bias_accumulate", dtype, delta, bias, alpha, beta, 7, 5, grid=(1, 3), threads=threads)
    assert_equal(bias, wanted, dtype, scale=4)


@pytest.mark.parametrize("threads", THREADS)
@pytest.mark.parametrize("classes", [1, 2, 5, 17])
@pytest.mark.parametrize("size", [1, 30, 1000])
@pytest.mark.parametrize("shared", [True, False])
def test_loss_and_delta_of_a_softmax_cross_entropy(size, classes, shared, threads, dtype, draw):
    z = (size * draw.uniform(-1, 1, size=(3, 4, classes))).astype(dtype)
    codes = draw.integers(0, classes, 4 if shared else (3, 4))
    y = (np.eye(classes)[codes] * 0.9 + 0.1 / classes).astype(dtype)
    scale = np.array([0.1, 1, 3], dtype)
    wanted = CPU.loss_and_delta(output_stage("softmax", "cross_entropy"), z, y, scale)
    loss, delta = np.full((3, 4), np.nan, dtype), np.full_like(z, np.nan)
    run(
        "softmax_cross_entropy", dtype, z, y, scale, loss, delta, 4, 4 if shared else 12, classes, 12,
        grid=(5, 1), threads=threads, shared=threads * z.itemsize,
    )  # fmt: skip
    assert_equal(loss, wanted[0], dtype, scale=size)
    assert_equal(delta, wanted[1], dtype, scale=4)


def test_cross_entropy_of_logits_40_and_minus_40_where_the_second_is_true_is_80():
    loss, delta = np.zeros((1, 1)), np.zeros((1, 1, 3))
    z, y = np.array([[[40.0, -40, 0]]]), np.array([[0.0, 1, 0]])
    run("softmax_cross_entropy", "float64", z, y, np.ones(1), loss, delta, 1, 1, 3, 1, threads=3, shared=24)
    assert loss == pytest.approx(80, rel=1e-15)


@pytest.mark.parametrize("threads", THREADS)
def test_losses_are_added_in_float64(threads, dtype, draw):
    loss, total = draw.uniform(size=(3, 29)).astype(dtype), np.array([1.0, 0, 1e9])
    wanted = total + loss.sum(axis=1, dtype="float64")
    run("add_losses", dtype, loss, total, 29, grid=(3, 1), threads=threads, shared=8 * threads)
    np.testing.assert_allclose(total, wanted, rtol=1e-15)


@pytest.mark.parametrize("threads", THREADS)
@pytest.mark.parametrize("kernel", ["gather_rows", "gather_bytes"])
@pytest.mark.parametrize(("shift", "scale"), [(0, 1), (33.318, 78.567)])
def test_rows_are_gathered_converted_from_bytes_and_standardised(shift, scale, kernel, threads, dtype, draw):
    samples = draw.integers(0, 256, size=(9, 5)).astype("uint8" if kernel == "gather_bytes" else dtype)
    order = np.array([8, 0, 3, 3])
    out = np.full((4, 5), np.nan, dtype)
    run(kernel, dtype, samples, order, out, shift, scale, 4, 5, grid=(3, 1), threads=threads)
    shift, scale = np.array([shift, scale], dtype)
    np.testing.assert_array_equal(out, (samples[order].astype(dtype) - shift) / scale)


# One sample an update: a block trains a trial


def online_by_stages(parameters, x, y, order, rates, sigma: str, phi: str, loss: str) -> np.ndarray:
    """The same epoch by the stages of the core, trial by trial, one sample at a time; returns the summed losses."""
    stage, hidden = output_stage(phi, loss), activation(sigma)
    w1, b1, w2, b2 = parameters
    total = np.zeros(len(rates))
    for n in order:
        z = x[[n]] @ w1 + b1
        h = hidden.value(np, z)
        losses, delta = stage.loss_and_delta(np, h @ w2 + b2, y[[n]])
        total += losses[:, 0]
        delta = delta * rates[:, None, None]
        dz = hidden.chain(np, delta @ w2.swapaxes(1, 2), z, h)
        w2 -= h.swapaxes(1, 2) @ delta
        b2 -= delta
        w1 -= x[[n]].T @ dz
        b1 -= dz
    return total


@pytest.mark.parametrize("threads", THREADS)
@pytest.mark.parametrize("sigma", ["sigmoid", "tanh", "relu"])
@pytest.mark.parametrize(("phi", "loss"), [("softmax", "cross_entropy"), ("identity", "mse"), ("sigmoid", "mse")])
@pytest.mark.parametrize(("hidden", "outputs"), [(2, 2), (5, 3), (3, 1)])
def test_an_online_epoch_is_one_launch_and_equals_the_stages(hidden, outputs, phi, loss, sigma, threads, dtype, draw):
    trials, inputs, samples = 3, 4, 11
    x = draw.normal(size=(samples, inputs)).astype(dtype)
    y = np.eye(outputs)[draw.integers(0, outputs, samples)].astype(dtype)
    shapes = [(inputs, hidden), (1, hidden), (hidden, outputs), (1, outputs)]
    parameters = [draw.normal(size=(trials, *shape)).astype(dtype) * 0.5 for shape in shapes]
    order = draw.permutation(samples)[:9]
    rates = np.array([0.1, 0.02, 0.3], dtype)
    copies = [parameter.copy() for parameter in parameters]
    wanted = online_by_stages(copies, x, y, order, rates, sigma, phi, loss)
    total = np.full(trials, np.nan)
    run(
        "online_epoch", dtype, *parameters, x, y, order, rates, total,
        ACTIVATION_CODES[sigma], ACTIVATION_CODES.get(phi, 0), int(loss == "mse"), 9, inputs, hidden, outputs,
        grid=(trials, 1), threads=threads, shared=online_shared_bytes(threads, hidden, outputs, x.itemsize),
    )  # fmt: skip
    np.testing.assert_allclose(total, wanted, rtol=50 * TOLERANCE[dtype])
    for found, twin in zip(parameters, copies, strict=True):
        assert_equal(found, twin, dtype, scale=20)


def test_the_backend_launches_an_online_epoch_once(kernels_on_double, dtype, draw):
    backend, trials = kernels_on_double, 2
    shapes = [(4, 5), (1, 5), (5, 3), (1, 3)]
    parameters = [draw.normal(size=(trials, *shape)).astype(dtype) for shape in shapes]
    x, y = draw.normal(size=(6, 4)).astype(dtype), np.eye(3)[[0, 1, 2, 2, 1, 0]].astype(dtype)
    order, rates = np.array([5, 0, 3]), np.array([0.1, 0.3], dtype)
    w1, b1, w2, b2, *rest = [backend.to_device(each) for each in (*parameters, x, y, order, rates)]
    with backend.xp.counted() as counts:
        total = backend.online_epoch([w1, w2], [b1, b2], *rest, sigma="tanh", phi="softmax", loss="cross_entropy")
    assert counts == type(counts)(launches=1, host_reads=0, transfers=0)
    wanted = online_by_stages(parameters, x, y, order, rates, "tanh", "softmax", "cross_entropy")
    np.testing.assert_allclose(total.get(), wanted, rtol=50 * TOLERANCE[dtype])
    for found, twin in zip((w1, b1, w2, b2), parameters, strict=True):
        assert_equal(found.get(), twin, dtype, scale=20)
    with pytest.raises(ValueError, match="online_epoch trains no 1 hidden layers of tanh, softmax with mse"):
        backend.online_epoch([w1, w2], [b1, b2], *rest, sigma="tanh", phi="softmax", loss="mse")
    with pytest.raises(ValueError, match="online_epoch takes contiguous arrays"):
        backend.online_epoch([w1, w2[:, ::-1]], [b1, b2], *rest, sigma="tanh", phi="identity", loss="mse")


def test_the_double_refuses_shared_memory_that_was_not_asked_for_or_that_the_device_has_not(kernels_on_double):
    """As CUDA would; the tests of what needs much of it stand on that."""
    device = kernels_on_double.xp
    assert device.cuda.Device().attributes["MaxSharedMemoryPerBlockOptin"] == device.shared_limit
    with pytest.raises(TypeError, match="argument"):
        device.cuda.Device(ordinal=0)
    loss, total = device.zeros((2, 3), "float32"), device.zeros(2, "float64")
    kernel = device.RawModule(code=source(), options=compile_options("float32")).get_function("add_losses")
    arguments = ((2, 1), (32,), (loss, total, np.int32(3)))
    kernel(*arguments, shared_mem=kernels.SHARED_BYTES)
    with pytest.raises(ValueError, match="49153 bytes of shared memory were not asked for"):
        kernel(*arguments, shared_mem=kernels.SHARED_BYTES + 1)
    kernel.max_dynamic_shared_size_bytes = device.shared_limit
    kernel(*arguments, shared_mem=device.shared_limit)
    with pytest.raises(ValueError, match="a block of this device has no"):
        kernel.max_dynamic_shared_size_bytes = device.shared_limit + 1
    assert device.kernel_launches == {"add_losses": 2}


# The optimisers, by the formulas of their papers


def momentum(w, g, v, rate, mu, nesterov):
    v = mu * v + g
    return w - rate * (g + mu * v if nesterov else v), v


def rmsprop(w, g, s, rate, rho, epsilon):
    s = rho * s + (1 - rho) * g**2
    return w - rate * g / (np.sqrt(s) + epsilon), s


def adamw(w, g, m, v, rate, b1, b2, step, epsilon, decay):
    m, v = b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * g**2
    towards = (m / (1 - b1**step)) / (np.sqrt(v / (1 - b2**step)) + epsilon)
    return w - rate * decay * w - rate * towards, m, v


@pytest.fixture(params=THREADS)
def update(request, dtype, draw):
    """Run an update kernel on (3, 2, 5) parameters and state; return what it made of them and their old values."""

    def run_update(kernel: str, states: int, *numbers, per_trial: int, shared: int = 0):
        arrays = [draw.normal(size=(3, 2, 5)).astype(dtype) for _ in range(2 + states)]
        arrays[2:] = [np.abs(array) for array in arrays[2:]]
        before = [array.astype("float64") for array in arrays]
        given = [np.array(number, "float64") for number in numbers[:per_trial]] + list(numbers[per_trial:])
        run(kernel, dtype, *arrays, *given, 10, grid=(2, 3), threads=request.param, shared=shared)
        return [arrays[0], *arrays[2:]], before

    return run_update


def trialwise(*numbers):
    return [np.array(number, "float64")[:, None, None] for number in numbers]


def assert_updated(found, wanted, dtype):
    for array, twin in zip(found, wanted, strict=True):
        assert_equal(array, twin.astype(dtype), dtype, scale=8)


RATES = [0.1, 0.01, 1.0]


def test_sgd(update, dtype):
    found, (w, g) = update("sgd_update", 0, RATES, per_trial=1)
    assert_updated(found, [w - trialwise(RATES)[0] * g], dtype)


@pytest.mark.parametrize("nesterov", [0, 1])
def test_momentum(update, dtype, nesterov):
    mus = [0.0, 0.5, 0.9]
    found, (w, g, v) = update("momentum_update", 1, RATES, mus, nesterov, per_trial=2)
    assert_updated(found, momentum(w, g, v, *trialwise(RATES, mus), nesterov), dtype)


def test_rmsprop(update, dtype):
    numbers = RATES, [0.9, 0.99, 0.5], [1e-8, 1e-3, 0.1]
    found, (w, g, s) = update("rmsprop_update", 1, *numbers, per_trial=3)
    assert_updated(found, rmsprop(w, g, s, *trialwise(*numbers)), dtype)


@pytest.mark.parametrize("step", [1, 100])
@pytest.mark.parametrize("decays", [0, 1])
def test_adam_and_adamw(update, dtype, step, decays):
    b1, b2, epsilons, shrink = [0.9, 0.8, 0.0], [0.999, 0.99, 0.9], [1e-8, 1e-3, 0.1], [0.0, 0.01, 0.1]
    numbers = RATES, b1, b2, epsilons, shrink, decays, step
    found, (w, g, m, v) = update("adam_update", 2, *numbers, per_trial=5, shared=16)
    rates, c1, c2, eps, decay = trialwise(RATES, b1, b2, epsilons, shrink)
    assert_updated(found, adamw(w, g, m, v, rates, c1, c2, step, eps, decays * decay), dtype)


# Races


RACES = r"""
#include <cstdio>
static real number(int k) { return real(((k * 37) % 19 - 9) / 10.0); }
int main(int count, char **arguments) {
  removed_barrier = atoi(arguments[1]);
  vector<real> z(12), y(6), scale(2, 1), loss(4), delta(12), W1(12), b1(4), W2(8), b2(4), x(9), rate(2, real(0.1));
  vector<double> total(2), numbers(2, 0.5);
  vector<long long> order = {2, 0, 1, 2};
  for (auto *each : {&z, &y, &W1, &W2, &x}) for (size_t k = 0; k < each->size(); ++k) (*each)[k] = number(k);
  launch(2, 1, 4, [&] {
    softmax_cross_entropy(z.data(), y.data(), scale.data(), loss.data(), delta.data(), 2, 2, 3, 4); });
  launch(2, 1, 4, [&] { add_losses(loss.data(), total.data(), 2); });
  launch(2, 1, 4, [&] { online_epoch(W1.data(), b1.data(), W2.data(), b2.data(), x.data(), y.data(), order.data(),
      rate.data(), total.data(), TANH, IDENTITY, 0, 4, 3, 2, 2); });
  launch(2, 2, 4, [&] { bias_activation(z.data(), b1.data(), delta.data(), TANH, 3, 2); });
  launch(2, 1, 4, [&] { activation_chain(delta.data(), z.data(), delta.data(), IDENTITY, 12); });
  launch(2, 2, 4, [&] { bias_accumulate(delta.data(), b1.data(), -1, 1, 3, 2); });
  launch(2, 2, 4, [&] { sgd_update(z.data(), delta.data(), numbers.data(), 6); });
  launch(2, 2, 4, [&] { momentum_update(z.data(), delta.data(), W1.data(), numbers.data(), numbers.data(), 1, 6); });
  launch(2, 2, 4, [&] {
    rmsprop_update(z.data(), delta.data(), W1.data(), numbers.data(), numbers.data(), numbers.data(), 6); });
  launch(2, 2, 4, [&] { adam_update(z.data(), delta.data(), W1.data(), x.data(), numbers.data(), numbers.data(),
      numbers.data(), numbers.data(), numbers.data(), 1, 3, 4); });
  launch(2, 1, 4, [&] { gather_rows(x.data(), order.data(), z.data(), 1, 2, 4, 3); });
}
"""
BARRIERS = source().count("__syncthreads()")


@pytest.fixture(scope="session")
def racing(tmp_path_factory) -> Path:
    """The kernels that share anything between threads, four threads a block, under ThreadSanitizer."""
    program = host_program(source(), "float32") + RACES
    output = tmp_path_factory.mktemp("races") / "races"
    try:
        return compile_host(program, output, "-O1", "-g", "-fsanitize=thread")
    except subprocess.CalledProcessError as error:
        if "tsan" not in error.stderr:
            raise
        unavailable(f"g++ has no ThreadSanitizer: {error.stderr[-200:]}")
        raise


def race(racing: Path, removed: int) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "TSAN_OPTIONS": "exitcode=66 halt_on_error=1"}
    return subprocess.run([racing, str(removed)], capture_output=True, text=True, env=environment, check=False)


def test_no_kernel_has_a_race(racing):
    result = race(racing, removed=-1)
    assert (result.returncode, result.stderr) == (0, "")


@pytest.mark.parametrize("removed", range(BARRIERS))
def test_a_barrier_left_out_is_a_race_and_is_caught(racing, removed):
    """Every one of them: so each is needed, and the clean result above says something."""
    result = race(racing, removed)
    assert result.returncode == 66
    assert "data race" in result.stderr


def test_a_block_of_the_online_kernel_fits_the_shared_memory_of_any_gpu_up_to_1000_units():
    assert online_shared_bytes(ONLINE_THREADS, hidden=1000, outputs=100, itemsize=8) <= kernels.SHARED_BYTES
