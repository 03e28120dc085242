"""How fast: samples x trials a second, on the GPU and on this machine's CPU. Printed, not asserted."""

import time

import numpy as np
import pytest

from backprop import Architecture, Backend, Samples, Stack, Trial, one_hot, train
from backprop.kernels import CupyBackend

CASES = [
    # inputs, hidden, classes, trials, batch, samples
    (64, (32,), 10, 64, 32, 4_096),
    (64, (32,), 10, 1024, 32, 4_096),
    (784, (128,), 10, 64, 128, 8_192),
    (784, (256, 256), 10, 32, 128, 8_192),
]


def data(inputs: int, classes: int, count: int) -> Samples:
    draw = np.random.default_rng(0)
    return Samples(
        draw.normal(size=(count, inputs)).astype("float32"), one_hot(draw.integers(0, classes, count), classes)
    )


def rate(stack: Stack, training: Samples, backend: Backend) -> float:
    """Return samples x trials a second of the fastest epoch; the first compiles and is not counted."""
    few = Samples(training.x[:64], training.y[:64])
    times, before = [], time.perf_counter()
    for _ in train(stack, training, few, backend):
        now = time.perf_counter()
        times.append(now - before)
        before = now
    return len(training) * len(stack.trials) / min(times[1:])


@pytest.mark.parametrize("case", CASES, ids=str)
def test_minibatches(gpu, case, capsys):
    inputs, hidden, classes, trials, batch, count = case
    training = data(inputs, classes, count)
    stack = Stack(Architecture(inputs, hidden, classes), batch, tuple(Trial(0.01, 4, seed=k) for k in range(trials)))
    on_gpu, on_cpu = rate(stack, training, gpu), rate(stack, training, Backend(np))
    with capsys.disabled():
        print(f"\n{case}: GPU {on_gpu / 1e6:.2f} M/s, CPU {on_cpu / 1e6:.2f} M/s, {on_gpu / on_cpu:.1f}x")  # noqa: T201
    assert on_gpu > 0


@pytest.mark.parametrize("trials", [1, 132, 1056])
def test_one_sample_an_update(gpu, trials, capsys):
    assert isinstance(gpu, CupyBackend)
    inputs, hidden, classes, count = 64, 32, 10, 4_096
    training, xp = data(inputs, classes, count), gpu.xp
    weights = [xp.zeros((trials, inputs, hidden), "float32"), xp.zeros((trials, hidden, classes), "float32")]
    biases = [xp.zeros((trials, 1, hidden), "float32"), xp.zeros((trials, 1, classes), "float32")]
    moved = [gpu.to_device(a) for a in (training.x, training.y, np.arange(count), np.full(trials, 0.01, "float32"))]
    times = []
    for _ in range(3):
        before = time.perf_counter()
        total = gpu.online_epoch(weights, biases, *moved, sigma="relu", phi="softmax", loss="cross_entropy")
        assert np.isfinite(gpu.to_host(total)).all()
        times.append(time.perf_counter() - before)
    with capsys.disabled():
        print(f"\nonline, {trials} trials: {trials * count / min(times) / 1e6:.2f} M samples x trials/s")  # noqa: T201
