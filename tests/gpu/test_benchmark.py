"""How fast: samples x trials a second, on the GPU and on this machine's CPU. Printed, not asserted."""

import time
from dataclasses import replace

import numpy as np
import pytest

from backprop import Architecture, Backend, Samples, Stack, Trial, one_hot, select_backend, train
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


@pytest.mark.parametrize("sizes", [(64, 32, 10), (784, 128, 10)], ids=str)
@pytest.mark.parametrize("trials", [1, 132, 1056])
def test_one_sample_an_update(gpu, trials, sizes, monkeypatch, capsys):
    """As a search trains them; beside it the plain form on the GPU, launch by launch, and this machine's CPU."""
    inputs, hidden, classes = sizes
    training = data(inputs, classes, 1_024)
    stack = Stack(Architecture(inputs, (hidden,), classes), 1, tuple(Trial(0.01, 3, seed=k) for k in range(trials)))
    in_one_launch = rate(stack, training, gpu)
    # Which trains a trial after another, so that a few tell.
    on_cpu = rate(replace(stack, trials=stack.trials[:32]), training, select_backend("cpu"))
    monkeypatch.setattr(CupyBackend, "faster_descent", Backend.faster_descent)
    by_launches = rate(stack, training, gpu)
    with capsys.disabled():
        print(  # noqa: T201
            f"\nonline, {trials} trials of {sizes}: GPU {in_one_launch / 1e6:.2f} M/s, "
            f"launch by launch {by_launches / 1e6:.2f} M/s, CPU {on_cpu / 1e6:.2f} M/s"
        )
    assert in_one_launch > 0
