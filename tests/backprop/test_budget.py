"""What a training costs on a GPU, counted on the strict double: launches a step, reads and transfers an epoch.

A launch costs the host 15 to 25 microseconds whatever it computes, a read waits for the device: they, not the
arithmetic, bound small stacks. A number that grows here is a regression; one that shrinks is to be written down.
"""

from dataclasses import replace

import numpy as np
import pytest

from backprop import Architecture, Backend, Samples, Stack, Training, Trial, one_hot, train
from backprop.optimizers import SGD, Adam, AdamW, Momentum, Nesterov, RMSProp

BATCH = 8
TWO_LAYERS = Architecture(6, (5,), 3, "relu")
TRIALS = tuple(Trial(0.01, 3, seed=k) for k in range(4))
STACK = Stack(TWO_LAYERS, BATCH, TRIALS)


def samples(steps: int) -> Samples:
    x = np.random.default_rng(0).normal(size=(BATCH * steps, 6)).astype("float32")
    return Samples(x, one_hot(np.abs(x[:, :3]).argmax(axis=1), 3))


VALIDATION = samples(2)


def epochs(backend, stack: Stack, steps: int, validation: Samples | None = VALIDATION) -> list:
    """Return what each epoch asked of the device; the first also brings the data and the weights."""
    reports = train(stack, samples(steps), validation, backend)
    counted = []
    while True:
        with backend.xp.counted() as counts:
            if next(reports, None) is None:
                return counted
        counted.append(counts)


def launches_a_step(backend, stack: Stack) -> int:
    """Return how many launches one more step of an epoch adds."""
    few, many = [epochs(backend, stack, steps)[1].launches for steps in (4, 14)]
    assert (many - few) % 10 == 0
    return (many - few) // 10


def with_every_trial(**changes) -> Stack:
    return replace(STACK, trials=tuple(replace(trial, **changes) for trial in TRIALS))


FORWARD = 2 + 2 + 2  # rows of x and y; product, and bias with activation; product, and bias
LOSS = 1 + 1 + 1  # rate / B; loss and delta; their sum
BACKWARD = 4 + 2  # a product and a sum for each layer; delta through the weights and the activation


@pytest.mark.parametrize("sigma", ["relu", "sigmoid", "gelu"])
def test_a_step_of_plain_sgd_is_15_launches_updates_included(kernels_on_double, sigma):
    stack = replace(STACK, architecture=replace(TWO_LAYERS, activation=sigma))
    assert launches_a_step(kernels_on_double, stack) == FORWARD + LOSS + BACKWARD == 15


@pytest.mark.parametrize("optimizer", [Momentum(), Nesterov(), RMSProp(), Adam(), AdamW()], ids=lambda each: each.name)
def test_another_optimizer_adds_a_launch_for_each_parameter(kernels_on_double, optimizer):
    assert launches_a_step(kernels_on_double, with_every_trial(optimizer=optimizer)) == 15 + 4


def test_dropout_adds_three_launches_for_each_hidden_layer(kernels_on_double):
    assert launches_a_step(kernels_on_double, with_every_trial(dropout=0.5)) == 15 + 3


@pytest.mark.parametrize(("optimizer", "launches"), [(SGD(), 35), (Adam(), 99)], ids=["sgd", "adam"])
def test_the_same_code_on_cupy_without_kernels_of_ours_takes_many_more(strict_cupy, optimizer, launches):
    """What they are worth."""
    assert launches_a_step(Backend(strict_cupy), with_every_trial(optimizer=optimizer)) == launches


@pytest.mark.parametrize("steps", [2, 20])
@pytest.mark.parametrize("changes", [{}, {"optimizer": Adam()}, {"dropout": 0.5}, {"optimizer": SGD(), "l2": 0.1}])
def test_an_epoch_is_read_once_and_sent_only_its_order_and_rates(kernels_on_double, changes, steps):
    """However many steps it has. The order of the samples is drawn on the host, so that it is the CPU's."""
    first, second, last = epochs(kernels_on_double, with_every_trial(**changes), steps)
    assert second.host_reads == 1
    assert second.transfers <= 3
    assert first.host_reads == 1
    # Then each of the four trials hands out its weights, four arrays.
    assert last.host_reads == 1 + 4 * 4


@pytest.mark.parametrize("steps", [1, 20])
def test_an_epoch_of_one_sample_an_update_is_three_launches_however_many_samples(kernels_on_double, steps):
    """The epoch itself; its losses over N; those put together for the one read."""
    _, second, last = epochs(kernels_on_double, replace(STACK, batch_size=1), steps, validation=None)
    assert (second.launches, second.host_reads, second.transfers) == (3, 1, 2)
    assert last.host_reads == 1 + 4 * 4


def test_one_sample_an_update_takes_no_memory_beside_that_of_the_parameters_and_the_samples(kernels_on_double):
    """But for the order, 8 bytes a sample, and a few numbers a trial."""
    given, device, before = samples(2), kernels_on_double.xp, kernels_on_double.xp.live_bytes
    run = Training(replace(STACK, batch_size=1), kernels_on_double)
    assert device.live_bytes - before == 4 * len(TRIALS) * TWO_LAYERS.parameter_count
    placed = run.place(given)
    device.peak_bytes = before = device.live_bytes
    run.epoch(placed)
    assert device.peak_bytes - before <= 8 * len(given) + 4 * 8 * len(TRIALS)


def test_bytes_stay_bytes_on_the_device(kernels_on_double):
    """An image set of bytes takes a quarter of the memory there, and trains to the same numbers."""
    given = samples(50)
    x = np.clip(given.x * 40 + 100, 0, 255).astype("uint8")
    peaks, losses = [], []
    for stored in (x, x.astype("float32")):
        kernels_on_double.xp.peak_bytes = kernels_on_double.xp.live_bytes
        before = kernels_on_double.xp.live_bytes
        stack = replace(STACK, trials=tuple(replace(trial, learning_rate=1e-5) for trial in TRIALS))
        reports = list(train(stack, Samples(stored, given.y), None, kernels_on_double))
        losses.append([report.metrics["train/loss"] for report in reports])
        peaks.append(kernels_on_double.xp.peak_bytes - before)
        del reports
    np.testing.assert_array_equal(*losses)
    assert peaks[1] - peaks[0] == 3 * x.size


@pytest.mark.parametrize("optimizer", [SGD(), Adam()], ids=["sgd", "adam"])
def test_a_stack_of_four_widths_launches_hardly_more_than_one_of_a_single_width(kernels_on_double, optimizer):
    """Separate stacks would launch four times as often: what padding saves where launches are all that costs."""
    architecture = Architecture(6, (8, 8), 3)
    widths = [(8, 8), (4, 8), (4, 4), (2, 6)]
    trials = [Trial(0.1, 2, seed, optimizer=optimizer, hidden=own) for seed, own in enumerate(widths)]
    single = launches_a_step(kernels_on_double, Stack(architecture, BATCH, tuple(trials[:1])))

    padded = launches_a_step(kernels_on_double, Stack(architecture, BATCH, tuple(trials)))

    # Two hidden layers, each masked on the way forth and back.
    assert padded == single + 4
