from collections.abc import Iterator

import numpy as np
import pytest

from backprop import Architecture, Backend, Samples, Stack, Trial, one_hot, train
from backprop.backend import OutOfMemoryError
from backprop.halving import train_in_halves
from backprop.training import EpochReport, histories

CPU = Backend(np)
TRIALS = tuple(Trial(0.1 * (k + 1), epochs=2 + k % 3, seed=k) for k in range(5))
STACK = Stack(Architecture(4, (3,), 2), 4, TRIALS, dtype="float64")


def samples(n: int, seed: int) -> Samples:
    x = np.random.default_rng(seed).normal(size=(n, 4))
    return Samples(x, one_hot((x[:, 0] > 0).astype(int), 2, "float64"))


def train_on_cpu(stack: Stack) -> Iterator[EpochReport]:
    return train(stack, samples(20, 1), samples(10, 2), CPU)


class Tight:
    """Trains on the CPU, but has no memory for more than `room` trials, or none from `epoch` on."""

    def __init__(self, room: int, epoch: int = 1) -> None:
        self.room, self.epoch, self.sizes = room, epoch, []

    def __call__(self, stack: Stack) -> Iterator[EpochReport]:
        self.sizes.append(len(stack.trials))
        reports = train_on_cpu(stack)
        for epoch in range(1, 10):
            if len(stack.trials) > self.room and epoch >= self.epoch:
                raise OutOfMemoryError("full")
            report = next(reports, None)
            if report is None:
                return
            yield report


def outcome(reports: Iterator[EpochReport]) -> tuple[list[dict[str, list[float]]], dict[int, list[np.ndarray]]]:
    listed = list(reports)
    weights = [(done.trial, list(done.parameters)) for report in listed for done in report.finished]
    assert len(dict(weights)) == len(weights), "a trial finished twice"
    return histories(listed, len(TRIALS)), dict(weights)


def assert_same(found, wanted) -> None:
    for curve, other in zip(found[0], wanted[0], strict=True):
        assert curve.keys() == other.keys()
        for name in other:
            np.testing.assert_allclose(curve[name], other[name], rtol=1e-12)
    assert found[1].keys() == wanted[1].keys()
    for trial, arrays in wanted[1].items():
        for a, b in zip(found[1][trial], arrays, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("room", "epoch", "sizes"),
    [
        (5, 1, [5]),
        (4, 1, [5, 3, 2]),
        (2, 1, [5, 3, 2, 1, 2]),
        (1, 1, [5, 3, 2, 1, 1, 1, 2, 1, 1]),
        (3, 2, [5, 3, 2]),
        # The trials of two epochs, 0 and 3, are finished when memory runs out: three are left to split.
        (4, 3, [5, 2, 1]),
    ],
)
def test_a_stack_that_does_not_fit_trains_as_its_halves_with_the_same_result(room, epoch, sizes):
    tight = Tight(room, epoch)
    assert_same(outcome(train_in_halves(tight, STACK, CPU)), outcome(train_on_cpu(STACK)))
    assert tight.sizes == sizes


def test_a_trial_that_does_not_fit_alone_says_which_and_what_to_do():
    with pytest.raises(OutOfMemoryError, match=r"trial 0 does not fit into memory alone: lower batch_size.*full"):
        list(train_in_halves(Tight(0), STACK, CPU))


def test_other_errors_pass():
    def broken(stack: Stack) -> Iterator[EpochReport]:
        raise ValueError(len(stack.trials))

    with pytest.raises(ValueError, match="5"):
        list(train_in_halves(broken, STACK, CPU))


@pytest.mark.parametrize("share", [0.9, 0.4])
def test_a_device_with_too_little_memory_trains_the_stack_in_parts(kernels_on_double, share):
    device = kernels_on_double.xp
    wide = Stack(Architecture(4, (300,), 2), 4, TRIALS, dtype="float64")
    parts = []

    def on_device(stack: Stack) -> Iterator[EpochReport]:
        parts.append(len(stack.trials))
        yield from train(stack, samples(20, 1), samples(10, 2), kernels_on_double)

    wanted = outcome(train_in_halves(on_device, wide, kernels_on_double))
    device.memory_limit = int(share * device.peak_bytes)
    device.peak_bytes = 0
    found = outcome(train_in_halves(on_device, wide, kernels_on_double))
    assert_same(found, wanted)
    assert parts[1] == 5
    assert len(parts) > 3
    assert device.peak_bytes <= device.memory_limit
    assert device.freed >= 1
