import numpy as np
import pytest
from everything import CPU, D, samples
from hypothesis import given
from hypothesis import strategies as st

from backprop import Architecture, Network, Stack, Training, Trial, initial_parameters
from backprop.dropout import Dropout
from backprop.randomness import Stream, hash_keys, hash_offset, hashed_bits

RATES, SEEDS, HIDDEN = [0.0, 0.5, 0.9], [3, 3, 8], (7, 4)


def dropout(rates=RATES, seeds=SEEDS, hidden=HIDDEN, dtype="float64") -> Dropout:
    return Dropout(CPU, rates, seeds, hidden, dtype)


def masks(drawn: Dropout, step: int, batch: int) -> list[np.ndarray]:
    return [CPU.to_host(mask) for mask in drawn.masks(step, batch)]


# The bits


def splitmix64(start: int, count: int) -> list[int]:
    """The generator of the paper, a number at a time, with the constants of Stafford's variant 13."""
    found, state = [], start
    for _ in range(count):
        state = (state + 0x9E3779B97F4A7C15) % 2**64
        z = state
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) % 2**64
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) % 2**64
        found.append(z ^ (z >> 31))
    return found


@given(key=st.integers(0, 2**64 - 1), offset=st.integers(0, 2**64 - 1), count=st.integers(1, 9))
def test_the_bits_are_those_of_splitmix64_in_halves(key, offset, count):
    found = hashed_bits(np, np.array([key], np.uint64), offset, count)
    words = splitmix64((key + offset) % 2**64, 5)
    halves = [half for word in words for half in (word % 2**32, word >> 32)]
    assert found.dtype == np.uint32
    assert found.tolist() == [halves[:count]]


def test_the_first_output_of_splitmix64_from_0_is_the_one_everyone_publishes():
    assert splitmix64(0, 1) == [0xE220A8397B1DCDAF]


def test_no_two_keys_steps_or_layers_share_their_bits():
    keys = hash_keys(range(20), Stream.DROPOUT)
    rows = [
        row.tobytes()
        for step in range(50)
        for layer in range(3)
        for row in hashed_bits(np, keys, hash_offset(step, layer), 4)
    ]
    assert len(set(rows)) == len(rows) == 20 * 50 * 3


def test_the_keys_of_a_seed_are_pinned_because_they_are_a_part_of_every_trial():
    assert [hex(key) for key in hash_keys([0, 1], Stream.DROPOUT)] == ["0xeea20bbdbb39a27f", "0xd78548c15f2d64ab"]


# The masks


def test_a_mask_is_0_or_makes_up_for_what_is_left_out():
    for mask, units in zip(masks(dropout(), step=5, batch=6), HIDDEN, strict=True):
        assert mask.shape == (3, 6, units)
        assert (mask[0] == 1).all()
        assert set(np.unique(mask[1])) <= {0.0, 2.0}
        assert set(np.unique(mask[2])) <= {0.0, 1 / (1 - 0.9)}


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_units_are_left_out_at_the_rate_independently_of_each_other_and_of_the_step_before(rate):
    units, batch, steps = 50, 20, 40
    drawn = dropout([rate], [1], (units,))
    left_out = np.array([masks(drawn, step, batch)[0][0] == 0 for step in range(steps)])
    n = left_out.size
    assert abs(left_out.mean() - rate) < 4 * np.sqrt(rate * (1 - rate) / n)
    for axis in range(3):
        together = np.mean(left_out & np.roll(left_out, 1, axis=axis))
        assert abs(together - rate**2) < 5 * np.sqrt(rate**2 * (1 - rate**2) / n)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_masks_have_the_dtype_of_the_stack(dtype):
    assert {mask.dtype.name for mask in masks(dropout(dtype=dtype), 0, 3)} == {dtype}


def test_a_mask_is_a_function_of_seed_and_step_wherever_the_trial_is():
    together = masks(dropout(), 7, 6)
    for place in range(3):
        alone = masks(dropout([RATES[place]], [SEEDS[place]]), 7, 6)
        for one, all_of_them in zip(alone, together, strict=True):
            np.testing.assert_array_equal(one[0], all_of_them[place])
    other_step = masks(dropout(), 8, 6)
    assert not np.array_equal(together[0][1], other_step[0][1])
    assert not np.array_equal(*(masks(dropout([0.5], [seed]), 7, 6)[0] for seed in (1, 2)))


# In the network


def test_without_masks_and_with_masks_of_ones_the_network_is_the_same():
    network = Network(Architecture(D, HIDDEN, 3, ("tanh", "relu")), CPU)
    parameters = initial_parameters(network.architecture, [0, 1], "float64")
    x = samples().x
    ones = [np.ones((2, len(x), units)) for units in HIDDEN]
    np.testing.assert_array_equal(network.forward(parameters, x).logits, network.forward(parameters, x, ones).logits)


def test_a_unit_left_out_passes_nothing_on_and_gets_no_gradient():
    network = Network(Architecture(D, (4,), 3, "sigmoid"), CPU)
    parameters = initial_parameters(network.architecture, [0], "float64")
    mask = np.array([0.0, 2.0, 0.0, 2.0]) * np.ones((1, len(samples().x), 1))
    kept = parameters.select([0])
    _, gradients = network.gradients(parameters, samples().x, samples().y, masks=[mask])
    assert (gradients.weights[0][0][:, [0, 2]] == 0).all()
    assert (gradients.weights[1][0][[0, 2]] == 0).all()
    assert (gradients.weights[0][0][:, [1, 3]] != 0).all()
    kept.weights[0][0][:, [0, 2]] = 99.0
    np.testing.assert_array_equal(
        network.forward(kept, samples().x, [mask]).logits, network.forward(parameters, samples().x, [mask]).logits
    )


def test_validation_is_measured_without_dropout():
    stack = Stack(
        Architecture(D, (16,), 3, "tanh"), 50, (Trial(1e-12, 1, dropout=0.5), Trial(1e-12, 1)), dtype="float64"
    )
    run = Training(stack, CPU)
    report = run.epoch(run.place(samples()), run.place(samples()))
    assert report.metrics["val/loss"][0] == pytest.approx(report.metrics["val/loss"][1], rel=1e-9)
    assert report.metrics["train/loss"][0] != pytest.approx(report.metrics["train/loss"][1], rel=1e-3)
