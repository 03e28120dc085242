"""The compiled optimisers against `backprop.optimizers`, with all that changes a gradient before."""

from dataclasses import fields

import numpy as np
import pytest
from everything import optimizers
from hypothesis import given, settings
from hypothesis import strategies as st
from numba import njit

from backprop import Backend, Parameters
from backprop.compiled.lanes import further, pointer
from backprop.compiled.updates import NUMBERS, OPTIMIZER_CODES, clip, penalise, update
from backprop.optimizers import OPTIMIZERS, SGD, Optimizer, StackOptimizer

WEIGHTS, BIASES = 12, 4
SIZE = WEIGHTS + BIASES
GUARD = -7777.0


@njit(error_model="numpy")
def call_updates(kind, p, g, m, v, rate, numbers, step, limit, l2, l1):
    """As `epoch._apply` on a network of one layer."""
    if limit < np.inf:
        clip(pointer(g), SIZE, limit)
    if l2 or l1:
        penalise(pointer(p), pointer(g), WEIGHTS, l2, l1)
    for at, size, decays in ((0, WEIGHTS, True), (WEIGHTS, BIASES, False)):
        update(
            kind, further(pointer(p), at), further(pointer(g), at), further(pointer(m), at), further(pointer(v), at),
            size, rate, pointer(numbers), step, decays,
        )  # fmt: skip


class Plain:
    """One trial's parameters under the optimiser of the plain form."""

    def __init__(self, rule: Optimizer, start: np.ndarray, limit: float, l2: float, l1: float) -> None:
        self.parameters = self.split(start)
        self.rule = StackOptimizer(Backend(np), [rule], self.parameters, l2=[l2], l1=[l1], clip_norm=[limit])

    @staticmethod
    def split(flat: np.ndarray) -> Parameters:
        return Parameters([flat[:WEIGHTS].reshape(1, 3, 4).copy()], [flat[WEIGHTS:].reshape(1, 1, 4).copy()])

    def step(self, gradient: np.ndarray, rate: float, t: int) -> list[np.ndarray]:
        self.rule.set_rates(np.array([rate]))
        self.rule.step(self.parameters, self.split(gradient), t)
        return [np.concatenate([p.ravel() for p in each]) for each in (self.parameters, *self.rule.memories.values())]


def numbers_of(rule: Optimizer) -> np.ndarray:
    numbers = np.zeros(4)
    numbers[: len(NUMBERS[rule.name])] = [getattr(rule, name) for name in NUMBERS[rule.name]]
    return numbers


def follow(rule: Optimizer, dtype: str, tolerance: float, *, limit=np.inf, l2=0.0, l1=0.0, first=1, seed=0) -> None:
    draw = np.random.default_rng(seed)
    start = draw.normal(size=SIZE).astype(dtype)
    start[[0, 5, SIZE - 1]] = 0
    plain = Plain(rule, start, limit, l2, l1)
    p, m, v = [np.append(array, GUARD).astype(dtype) for array in (start, np.zeros(SIZE), np.zeros(SIZE))]
    for t in range(first, first + 6):
        g, rate = draw.normal(size=SIZE).astype(dtype), draw.uniform(0.001, 0.1)
        wanted = plain.step(g, rate, t)
        call_updates(
            OPTIMIZER_CODES[rule.name], p, np.append(g, np.array(GUARD, dtype)), m, v, rate, numbers_of(rule), t, limit,
            l2, l1,
        )  # fmt: skip
        for found, array in zip((p, m, v), wanted, strict=False):
            np.testing.assert_allclose(found[:-1], array, rtol=tolerance, atol=tolerance)
    assert p[-1] == m[-1] == v[-1] == GUARD


def test_every_optimiser_is_compiled_with_all_of_its_numbers():
    assert OPTIMIZER_CODES.keys() == NUMBERS.keys() == OPTIMIZERS.keys()
    for name, kind in OPTIMIZERS.items():
        assert set(NUMBERS[name]) == {field.name for field in fields(kind)}


@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-12), ("float32", 1e-5)])
@pytest.mark.parametrize("name", OPTIMIZERS)
@settings(max_examples=25)
@given(
    place=st.integers(0, 3),
    limit=st.sampled_from([np.inf, 0.01, 1.0, 100.0]),
    l2=st.sampled_from([0.0, 0.1]),
    l1=st.sampled_from([0.0, 0.05]),
    first=st.sampled_from([1, 2, 1000, 10**7]),
    seed=st.integers(0, 99),
)
def test_parameters_and_memories_go_where_the_optimiser_takes_them(
    name, dtype, tolerance, place, limit, l2, l1, first, seed
):
    follow(optimizers(name)[place], dtype, tolerance, limit=limit, l2=l2, l1=l1, first=first, seed=seed)


def test_a_weight_of_0_is_pulled_by_no_penalty():
    p, g = np.zeros(SIZE), np.zeros(SIZE)
    call_updates(OPTIMIZER_CODES["sgd"], p, g, p, p, 1.0, numbers_of(SGD()), 1, np.inf, 0.5, 0.5)
    assert (p == 0).all()


def test_biases_are_not_penalised_and_do_not_decay():
    adamw = optimizers("adamw")[1]
    for code, numbers, l2, l1 in (("sgd", np.zeros(4), 0.5, 0.5), ("adamw", numbers_of(adamw), 0.0, 0.0)):
        p, zeros = np.ones(SIZE), np.zeros(SIZE)
        call_updates(
            OPTIMIZER_CODES[code], p, zeros.copy(), zeros.copy(), zeros.copy(), 0.1, numbers, 1, np.inf, l2, l1
        )
        assert (p[:WEIGHTS] < 1).all()
        assert (p[WEIGHTS:] == 1).all()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_gradient_that_is_not_finite_is_clipped_to_what_the_plain_form_makes_of_it(value, dtype):
    p, g = np.ones(SIZE, dtype), np.ones(SIZE, dtype)
    g[3] = value
    with np.errstate(all="ignore"):
        (wanted,) = Plain(SGD(), p, 1.0, 0.0, 0.0).step(g, 0.1, 1)
    call_updates(OPTIMIZER_CODES["sgd"], p, g, p.copy(), p.copy(), 0.1, numbers_of(SGD()), 1, 1.0, 0.0, 0.0)
    assert np.isnan(wanted[3])
    np.testing.assert_array_equal(p, wanted)


def test_a_gradient_shorter_than_its_limit_is_left_to_the_bit():
    g = np.random.default_rng(0).normal(size=SIZE)
    before, p = g.copy(), np.zeros(SIZE)
    call_updates(OPTIMIZER_CODES["sgd"], p, g, p.copy(), p.copy(), 1.0, numbers_of(SGD()), 1, 1e3, 0.0, 0.0)
    np.testing.assert_array_equal(p, -before)
