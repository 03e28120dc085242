import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backprop import Architecture, initial_parameters
from backprop.activations import ACTIVATIONS, activation
from backprop.initializers import (
    INITIALIZERS,
    glorot_normal,
    glorot_uniform,
    he_normal,
    he_uniform,
    initializer,
    initializer_for,
    lecun_normal,
    lecun_uniform,
    orthogonal,
    zeros,
)

LIMITS = {
    glorot_uniform: lambda fan_in, fan_out: 6 / (fan_in + fan_out),
    he_uniform: lambda fan_in, _: 6 / fan_in,
    lecun_uniform: lambda fan_in, _: 3 / fan_in,
}
VARIANCES = {
    glorot_normal: lambda fan_in, fan_out: 2 / (fan_in + fan_out),
    he_normal: lambda fan_in, _: 2 / fan_in,
    lecun_normal: lambda fan_in, _: 1 / fan_in,
}


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


@pytest.mark.parametrize("draw", VARIANCES)
@pytest.mark.parametrize(("fan_in", "fan_out"), [(300, 200), (50, 800), (800, 50)])
def test_normal_weights_have_mean_zero_the_variance_of_the_paper_and_tails(draw, fan_in, fan_out):
    weights = draw(np.random.default_rng(0), fan_in, fan_out)
    deviation = np.sqrt(VARIANCES[draw](fan_in, fan_out))
    assert weights.shape == (fan_in, fan_out)
    assert abs(weights.mean()) < 5 * deviation / np.sqrt(weights.size)
    assert weights.var() == pytest.approx(deviation**2, rel=0.03)
    assert (np.abs(weights) > 2 * deviation).mean() == pytest.approx(0.0455, abs=0.005)


@given(fan_in=st.integers(1, 12), fan_out=st.integers(1, 12), seed=st.integers(0, 2**32))
def test_orthogonal_weights_have_orthonormal_columns_or_rows_whichever_are_fewer(fan_in, fan_out, seed):
    w = orthogonal(np.random.default_rng(seed), fan_in, fan_out)
    assert w.shape == (fan_in, fan_out)
    assert w.flags.c_contiguous
    product = w.T @ w if fan_in >= fan_out else w @ w.T
    np.testing.assert_allclose(product, np.eye(min(fan_in, fan_out)), atol=1e-14)


def test_orthogonal_weights_favour_no_direction():
    """Without the signs of R, LAPACK's first column has a negative first entry in every draw."""
    draw = np.random.default_rng(0)
    drawn = np.array([orthogonal(draw, 3, 3) for _ in range(4000)])
    np.testing.assert_allclose(drawn.mean(axis=0), 0, atol=5 / np.sqrt(3 * 4000))
    np.testing.assert_allclose((drawn**2).mean(axis=0), 1 / 3, atol=0.03)
    assert (np.linalg.det(drawn) > 0).mean() == pytest.approx(0.5, abs=0.04)


def test_a_deep_orthogonal_network_keeps_every_length():
    draw = np.random.default_rng(0)
    x = draw.normal(size=(20, 64))
    h = x
    for _ in range(30):
        h = h @ orthogonal(draw, 64, 64)
    np.testing.assert_allclose(np.linalg.norm(h, axis=1), np.linalg.norm(x, axis=1), rtol=1e-12)


def test_zeros_are_zeros():
    np.testing.assert_array_equal(zeros(np.random.default_rng(0), 3, 2), [[0, 0], [0, 0], [0, 0]])


@pytest.mark.parametrize("name", sorted(INITIALIZERS))
def test_every_initializer_is_found_by_name_and_draws_float64_from_its_generator_alone(name):
    draw = initializer(name)
    assert draw is INITIALIZERS[name]
    first, again, other = (draw(np.random.default_rng(seed), 5, 7) for seed in (1, 1, 2))
    assert (first.shape, first.dtype) == ((5, 7), np.float64)
    np.testing.assert_array_equal(first, again)
    assert name == "zeros" or not np.array_equal(first, other)


def test_the_initializers_offered():
    assert {
        "glorot_uniform": glorot_uniform,
        "glorot_normal": glorot_normal,
        "he_uniform": he_uniform,
        "he_normal": he_normal,
        "lecun_uniform": lecun_uniform,
        "lecun_normal": lecun_normal,
        "orthogonal": orthogonal,
        "zeros": zeros,
    } == INITIALIZERS


@pytest.mark.parametrize(("mistyped", "suggested"), [("he", "he_normal"), ("xavier_uniform", "glorot_uniform")])
def test_a_mistyped_initializer_suggests_the_nearest(mistyped, suggested):
    with pytest.raises(ValueError, match=rf"initializer '{mistyped}' is unknown: .*{suggested}"):
        initializer(mistyped)


HE = {"relu", "leaky_relu", "elu", "gelu", "silu"}


@pytest.mark.parametrize("name", sorted(ACTIVATIONS))
def test_layers_before_the_relu_family_are_drawn_by_he_and_all_others_by_glorot(name):
    assert initializer_for(name) is (he_uniform if name in HE else glorot_uniform)


def test_a_layer_before_a_users_own_activation_is_drawn_by_glorot():
    assert initializer_for("mine") is glorot_uniform


@pytest.mark.parametrize(
    ("name", "mean_square"), [("relu", 0.5), ("leaky_relu", 0.5), ("elu", 0.64), ("gelu", 0.43), ("silu", 0.36)]
)
def test_the_relu_family_has_the_mean_squares_its_default_is_argued_with(name, mean_square):
    z = np.linspace(-12, 12, 48001)
    density = np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi)
    found = (activation(name).value(np, z) ** 2 * density).sum() * (z[1] - z[0])
    assert found == pytest.approx(mean_square, abs=0.006)
    assert abs(np.log(found / 0.5)) < abs(np.log(found / 1))


def test_the_numbers_of_the_defaults_are_those_of_the_records():
    """The same seed draws the same weights in every version: trial keys rest on it."""
    draws = [draw(np.random.default_rng(7), 2, 1).ravel().tolist() for draw in (glorot_uniform, he_uniform)]
    assert draws == [[0.3538234109274212, 1.123490288985882], [0.43334340791163806, 1.3759889694937129]]


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
