"""exp and tanh against float64's, at every kind of argument."""

import math

import numpy as np
import pytest
from numba import njit

from backprop.compiled.elementary import HIGHEST, LOWEST, SMALL, exp, tanh

ULPS = 2
"""How many units in the last place of float32 a result may be off."""


@njit
def exp_of(x, out):
    for i in range(len(x)):
        out[i] = exp(x[i])


@njit
def tanh_of(x, out):
    for i in range(len(x)):
        out[i] = tanh(x[i])


FUNCTIONS = {"exp": (exp_of, np.exp), "tanh": (tanh_of, np.tanh)}


def computed(name: str, x: np.ndarray) -> np.ndarray:
    out = np.empty_like(x)
    FUNCTIONS[name][0](x, out)
    return out


def assert_within_ulps(name: str, x: np.ndarray) -> None:
    x = x.astype("float32")
    wanted = FUNCTIONS[name][1](x.astype("float64"))
    off = np.abs(computed(name, x) - wanted) / np.spacing(np.abs(wanted).astype("float32"))
    assert off.max() <= ULPS, (x[off.argmax()], off.max())


def every_exponent(dense: int = 4000) -> np.ndarray:
    """Numbers of both signs and of every size that float32 has, subnormal ones among them."""
    draw = np.random.default_rng(0)
    powers = np.repeat(np.arange(-149, 128), dense // 10)
    sizes = np.ldexp(draw.uniform(1, 2, len(powers)), powers)
    return np.concatenate([sizes, -sizes]).astype("float32")


def around(*values: float) -> np.ndarray:
    """Some numbers and the thousand next to each on either side."""
    bits = np.array(values, "float32").view("int32")[:, None] + np.arange(-1000, 1001, dtype="int32")
    return bits.view("float32").ravel()


# exp


def test_exp_is_within_two_units_in_the_last_place_over_all_of_its_range():
    assert_within_ulps("exp", np.linspace(LOWEST, HIGHEST, 1_000_001))


def test_exp_is_as_good_where_its_power_of_two_changes_and_at_its_ends():
    x = around(*(math.log(2) * (n + half) for n in range(-125, 127) for half in (0, 0.5) if n))
    x = np.concatenate([x, around(LOWEST, HIGHEST, -1, 1)])
    assert_within_ulps("exp", x[(x >= LOWEST) & (x <= HIGHEST)])


def test_exp_of_a_small_number_of_any_size_and_of_either_0_is_1():
    x = every_exponent()
    assert_within_ulps("exp", x[np.abs(x) < 80])
    assert computed("exp", np.array([0.0, -0.0], "float32")).tolist() == [1, 1]


def test_exp_is_held_where_its_result_would_leave_the_normal_numbers():
    low = computed("exp", np.array([LOWEST, -87.4, -88, -104, -1e30, -np.inf], "float32"))
    high = computed("exp", np.array([HIGHEST, 88.4, 89, 1e30, np.inf], "float32"))
    assert set(low) == {low[0]}
    assert set(high) == {high[0]}
    assert np.finfo("float32").tiny <= low[0] < 1.3e-38
    assert 2e38 < high[0] <= np.finfo("float32").max


def test_exp_never_decreases():
    found = computed("exp", np.linspace(-90, 90, 200_001).astype("float32"))
    assert (np.diff(found.astype("float64")) >= -ULPS * np.spacing(found[:-1])).all()


# tanh


def test_tanh_is_within_two_units_in_the_last_place():
    assert_within_ulps("tanh", np.linspace(-12, 12, 1_000_001))
    assert_within_ulps("tanh", around(SMALL, -SMALL, 1, -1, 9, -9, 44, 50, 88))


def test_tanh_is_as_good_for_a_number_of_any_size():
    assert_within_ulps("tanh", every_exponent())


def test_tanh_is_odd_and_ends_at_1():
    x = every_exponent()
    np.testing.assert_array_equal(computed("tanh", -x), -computed("tanh", x))
    assert computed("tanh", np.array([0, 1000, -1000, np.inf, -np.inf], "float32")).tolist() == [0, 1, -1, 1, -1]
    assert np.abs(computed("tanh", x)).max() == 1


# Both


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_what_is_not_a_number_comes_through(name, dtype):
    found = computed(name, np.array([1, np.nan, -np.nan, 0], dtype))
    assert np.isnan(found).tolist() == [False, True, True, False]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_in_float64_they_are_the_c_librarys(name):
    x = np.concatenate([np.linspace(-40, 40, 10_001), [0.0, -0.0, -745, 709, 1000, -1000, np.inf, -np.inf, 1e-300]])
    with np.errstate(over="ignore"):
        wanted = FUNCTIONS[name][1](x)
    np.testing.assert_allclose(computed(name, x), wanted, rtol=5e-16)
