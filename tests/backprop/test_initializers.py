import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backprop import Architecture, initial_parameters
from backprop.activations import ACTIVATIONS
from backprop.initializers import glorot_uniform, he_uniform, initializer_for

LIMITS = {glorot_uniform: lambda fan_in, fan_out: 6 / (fan_in + fan_out), he_uniform: lambda fan_in, _: 6 / fan_in}


@pytest.mark.parametrize("draw", LIMITS)
@pytest.mark.parametrize(("fan_in", "fan_out"), [(300, 200), (50, 800), (800, 50)])
def test_weights_fill_their_bounds_evenly_with_mean_zero_and_the_variance_of_the_paper(draw, fan_in, fan_out):
    weights = draw(np.random.default_rng(0), fan_in, fan_out)
    limit = np.sqrt(LIMITS[draw](fan_in, fan_out))
    assert weights.shape == (fan_in, fan_out)
    assert np.abs(weights).max() < limit
    assert np.abs(weights).max() > 0.99 * limit
    assert abs(weights.mean()) < 5 * limit / np.sqrt(3 * weights.size)
    assert weights.var() == pytest.approx(limit**2 / 3, rel=0.03)


def test_the_variances_are_two_over_the_mean_fan_for_glorot_and_two_over_fan_in_for_he():
    assert glorot_uniform(np.random.default_rng(0), 300, 100).var() == pytest.approx(2 / 400, rel=0.03)
    assert he_uniform(np.random.default_rng(0), 300, 100).var() == pytest.approx(2 / 300, rel=0.03)


@pytest.mark.parametrize("depth", [2, 6])
def test_a_deep_relu_network_keeps_the_size_of_its_signal(depth):
    """What He initialisation is for: the mean square neither vanishes nor explodes with depth."""
    draw = np.random.default_rng(0)
    h = draw.normal(size=(200, 256))
    for _ in range(depth):
        z = h @ he_uniform(draw, 256, 256)
        h = np.maximum(z, 0)
    assert 0.7 < (z**2).mean() / 2 < 1.4


@pytest.mark.parametrize("name", sorted(ACTIVATIONS))
def test_only_relu_layers_are_drawn_by_he(name):
    assert initializer_for(name) is (he_uniform if name == "relu" else glorot_uniform)


def test_every_layer_is_drawn_for_the_activation_that_follows_it():
    architecture = Architecture(200, (200, 200), 200, activation="relu", output_activation="softmax")
    variances = [w.var() for w in initial_parameters(architecture, [0], "float64").weights]
    assert variances == pytest.approx([2 / 200, 2 / 200, 2 / 400], rel=0.05)


@given(
    seeds=st.lists(st.integers(0, 2**63), min_size=1, max_size=5),
    place=st.integers(0, 4),
    dtype=st.sampled_from(["float32", "float64"]),
)
def test_a_trial_draws_the_same_weights_at_any_place_in_any_stack(seeds, place, dtype):
    architecture = Architecture(3, (4,), 2)
    place %= len(seeds)
    alone = initial_parameters(architecture, [seeds[place]], dtype)
    for one, many in zip(alone, initial_parameters(architecture, seeds, dtype), strict=True):
        np.testing.assert_array_equal(one[0], many[place])


def test_float32_weights_are_the_float64_weights_rounded():
    architecture = Architecture(30, (20,), 10)
    single, double = (initial_parameters(architecture, [0, 5], dtype) for dtype in ("float32", "float64"))
    for a, b in zip(single, double, strict=True):
        assert a.dtype == np.float32
        assert b.dtype == np.float64
        np.testing.assert_array_equal(a, b.astype("float32"))


def test_seeds_and_layers_draw_different_weights():
    parameters = initial_parameters(Architecture(4, (4,), 4, "tanh"), range(20), "float64")
    drawn = np.concatenate([w.reshape(20, 16) for w in parameters.weights])
    assert len(np.unique(drawn, axis=0)) == 40


def test_biases_start_at_zero_with_one_row_a_trial():
    parameters = initial_parameters(Architecture(4, (5,), 3), [0, 1], "float32")
    assert [b.shape for b in parameters.biases] == [(2, 1, 5), (2, 1, 3)]
    assert not any(b.any() for b in parameters.biases)
