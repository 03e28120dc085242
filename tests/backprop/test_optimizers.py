"""The rules against their papers, a number at a time, and what surrounds them: clipping, penalties, names."""

import math
import re
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backprop import Backend, Parameters
from backprop.optimizers import (
    OPTIMIZERS,
    SGD,
    Adam,
    AdamW,
    Momentum,
    Nesterov,
    RMSProp,
    StackOptimizer,
    add_penalties,
    clip_to_norm,
    optimizer,
)

CPU = Backend(np)


def parameters_of(values: np.ndarray) -> Parameters:
    """A stack with one weight and one bias for each trial, both of the same value."""
    column = np.array(values, "float64").reshape(-1, 1, 1)
    return Parameters([column.copy()], [column.copy()])


def stack_optimizer(optimizers, parameters: Parameters, **changes) -> StackOptimizer:
    trials = len(optimizers)
    settings = {"l2": [0.0] * trials, "l1": [0.0] * trials, "clip_norm": [math.inf] * trials} | changes
    return StackOptimizer(CPU, optimizers, parameters.to_device(CPU), **settings)


def path(optimizers, start: list[float], rates: list[list[float]], gradients: list[float]) -> tuple[list, list]:
    """Where the weights and biases of a stack go along the same gradients for all trials."""
    parameters = parameters_of(start)
    rule = stack_optimizer(optimizers, parameters)
    weights, biases = [], []
    for t, (rate, gradient) in enumerate(zip(rates, gradients, strict=True), start=1):
        rule.set_rates(np.array(rate))
        rule.step(parameters, parameters_of([gradient] * len(start)), t)
        weights.append(parameters.weights[0].ravel().copy())
        biases.append(parameters.biases[0].ravel().copy())
    return weights, biases


# From the papers, for one number


def of_sgd(_, p, gradients, rates, *, weight):  # noqa: ARG001 - one signature for all
    for g, mu in zip(gradients, rates, strict=True):
        p = p - mu * g
        yield p


def of_momentum(n: Momentum, p, gradients, rates, *, weight):  # noqa: ARG001 - one signature for all
    m = 0.0
    for g, mu in zip(gradients, rates, strict=True):
        m = n.momentum * m + g
        p = p - mu * m
        yield p


def of_nesterov(n: Nesterov, p, gradients, rates, *, weight):  # noqa: ARG001 - one signature for all
    m = 0.0
    for g, mu in zip(gradients, rates, strict=True):
        m = n.momentum * m + g
        p = p - mu * (g + n.momentum * m)
        yield p


def of_rmsprop(n: RMSProp, p, gradients, rates, *, weight):  # noqa: ARG001 - one signature for all
    v = 0.0
    for g, mu in zip(gradients, rates, strict=True):
        v = n.decay * v + (1 - n.decay) * g**2
        p = p - mu * g / (math.sqrt(v) + n.epsilon)
        yield p


def of_adam(n: Adam, p, gradients, rates, *, weight):
    m = v = 0.0
    for t, (g, mu) in enumerate(zip(gradients, rates, strict=True), start=1):
        if isinstance(n, AdamW) and weight:
            p = p - mu * n.weight_decay * p
        m = n.beta_1 * m + (1 - n.beta_1) * g
        v = n.beta_2 * v + (1 - n.beta_2) * g**2
        p = p - mu * (m / (1 - n.beta_1**t)) / (math.sqrt(v / (1 - n.beta_2**t)) + n.epsilon)
        yield p


PAPERS = {
    SGD: of_sgd,
    Momentum: of_momentum,
    Nesterov: of_nesterov,
    RMSProp: of_rmsprop,
    Adam: of_adam,
    AdamW: of_adam,
}
FRACTION = st.floats(0, 0.999)
EPSILON = st.floats(1e-8, 0.1)
NUMBERS = {
    SGD: st.builds(SGD),
    Momentum: st.builds(Momentum, FRACTION),
    Nesterov: st.builds(Nesterov, FRACTION),
    RMSProp: st.builds(RMSProp, FRACTION, EPSILON),
    Adam: st.builds(Adam, FRACTION, FRACTION, EPSILON),
    AdamW: st.builds(AdamW, FRACTION, FRACTION, EPSILON, st.floats(0, 2)),
}


@pytest.mark.parametrize("kind", PAPERS)
@given(data=st.data())
def test_every_trial_of_a_stack_follows_the_paper_with_numbers_of_its_own(kind, data):
    optimizers = data.draw(st.lists(NUMBERS[kind], min_size=1, max_size=4))
    trials, steps = len(optimizers), data.draw(st.integers(1, 6))
    value = st.floats(-3, 3).map(lambda v: round(v, 3))
    start = data.draw(st.lists(value, min_size=trials, max_size=trials))
    gradients = data.draw(st.lists(value, min_size=steps, max_size=steps))
    rates = data.draw(
        st.lists(st.lists(st.floats(1e-3, 1), min_size=trials, max_size=trials), min_size=steps, max_size=steps)
    )
    weights, biases = path(optimizers, start, rates, gradients)
    for k, one in enumerate(optimizers):
        mine = [rate[k] for rate in rates]
        for found, is_weight in ((weights, True), (biases, False)):
            wanted = list(PAPERS[kind](one, start[k], gradients, mine, weight=is_weight))
            np.testing.assert_allclose([step[k] for step in found], wanted, rtol=1e-9, atol=1e-9)


def test_the_first_step_of_adam_is_the_learning_rate_whatever_the_size_of_the_gradient():
    for gradient in (1e-3, 1.0, 1e3):
        ((weight, *_), *_), _ = path([Adam()], [0.0], [[0.01]], [gradient])
        assert weight == pytest.approx(-0.01, rel=1e-4)


@pytest.mark.parametrize("kind", [RMSProp, Adam, AdamW])
def test_a_gradient_of_0_from_the_start_divides_by_no_0(kind):
    with np.errstate(all="raise"):
        weights, _ = path([kind()], [0.0], [[0.1]] * 3, [0.0] * 3)
    assert [step.tolist() for step in weights] == [[0.0]] * 3


def test_float32_parameters_are_updated_in_float32_with_corrections_made_in_float64():
    parameters = Parameters([np.zeros((1, 1, 1), "float32")], [np.zeros((1, 1, 1), "float32")])
    rule = stack_optimizer([Adam(beta_2=0.9999999)], parameters)
    rule.set_rates(np.array([0.01]))
    rule.step(parameters, Parameters([np.ones((1, 1, 1), "float32")], [np.ones((1, 1, 1), "float32")]), 1)
    assert parameters.weights[0].dtype == np.float32
    assert parameters.weights[0].item() == pytest.approx(-0.01, rel=1e-5)


FLOAT32_HALF_ULP = 2.0**-24
"""What float32 drops from 1 + it, a tie that goes to even. In float64, 1.5 of it is more than half a digit of 1.5."""


def of_shape(rows: int, columns: int, *, value: float = 0.0, dtype: str = "float64") -> Parameters:
    """One trial's parameters, all of the same value."""
    return Parameters([np.full((1, rows, columns), value, dtype)], [np.full((1, 1, columns), value, dtype)])


def test_the_learning_rate_is_rounded_to_float32_before_it_multiplies_float32():
    parameters = of_shape(1, 1, dtype="float32")
    rule = stack_optimizer([SGD()], parameters)
    rule.set_rates(np.array([1 + FLOAT32_HALF_ULP]))
    rule.step(parameters, of_shape(1, 1, value=1.5, dtype="float32"), 1)
    assert parameters.weights[0].item() == -1.5


def test_a_penalty_is_rounded_to_float32_before_it_multiplies_float32():
    parameters = of_shape(1, 1, value=1.5, dtype="float32")
    rule = stack_optimizer([SGD()], parameters, l2=[1 + FLOAT32_HALF_ULP])
    rule.set_rates(np.array([1.0]))
    rule.step(parameters, of_shape(1, 1, dtype="float32"), 1)
    assert parameters.weights[0].item() == 0


def test_a_limit_is_rounded_to_float32_before_a_float32_gradient_is_clipped_to_it():
    parameters = of_shape(1, 5, dtype="float32")
    rule = stack_optimizer([SGD()], parameters, clip_norm=[2048 * (1 + FLOAT32_HALF_ULP)])
    rule.set_rates(np.array([1.0]))
    gradients = of_shape(1, 5, dtype="float32")
    gradients.weights[0][0, 0] = [3072, 1024, 1024, 1024, 2048]  # |g| = 4096, in float32 with the floor too
    rule.step(parameters, gradients, 1)
    assert parameters.weights[0].ravel().tolist() == [-1536, -512, -512, -512, -1024]


@pytest.mark.parametrize("kind", PAPERS)
def test_an_update_with_all_that_may_change_a_gradient_allocates_no_array_of_a_parameters_size(kind):
    parameters, gradients = of_shape(200, 500, value=0.5), of_shape(200, 500, value=2.0)
    rule = stack_optimizer([kind()], parameters, l2=[0.1], l1=[0.1], clip_norm=[1.0])
    rule.set_rates(np.array([0.1]))
    tracemalloc.start()
    rule.step(parameters, gradients, 1)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < parameters.weights[0].nbytes / 4


def test_gradients_of_a_network_with_fewer_layers_are_refused():
    parameters, shallow = of_shape(1, 1), of_shape(1, 1)
    deep = Parameters(parameters.weights * 2, parameters.biases * 2)
    rule = stack_optimizer([SGD()], deep)
    rule.set_rates(np.array([0.1]))
    with pytest.raises(ValueError, match="shorter"):
        rule.step(deep, shallow, 1)


class BackendWithKernel(Backend):
    """A backend that has a kernel for some rules; it notes what the kernel is given, and computes nothing."""

    def __init__(self, *rules: str) -> None:
        super().__init__(np)
        self.rules, self.calls = rules, []

    def fused_update(self, rule, *arguments, **more) -> bool:
        self.calls.append((rule, *arguments, more))
        return rule in self.rules


def test_a_kernel_is_given_the_gradient_as_clipped_and_penalised_and_the_trials_numbers_in_float64():
    backend = BackendWithKernel("adamw")
    parameters, gradients = parameters_of([1, -1]), parameters_of([100, 100])
    trials = [AdamW(0, 0, 1, 0), AdamW(0.5, 0.25, 2, 3)]
    rule = StackOptimizer(backend, trials, parameters, l2=[0.5, 0], l1=[0, 0.25], clip_norm=[1e-9, math.inf])
    rule.set_rates(np.array([1, 2]))
    rule.step(parameters, gradients, 7)

    expected = [("weights", [0.5, 99.75], True), ("biases", [0.0, 100.0], False)]
    for (name, gradient, is_weight), call in zip(expected, backend.calls, strict=True):
        kernel, p, g, memory, numbers, rate, step, more = call
        assert (kernel, step, more) == ("adamw", 7, {"decays": is_weight})
        assert p is getattr(parameters, name)[0]
        assert g is getattr(gradients, name)[0]
        np.testing.assert_allclose(g.ravel(), gradient, atol=1e-9)
        assert all(m is getattr(of, name)[0] for m, of in zip(memory, rule.memories.values(), strict=True))
        assert {number: column.ravel().tolist() for number, column in numbers.items()} == {
            "beta_1": [0, 0.5],
            "beta_2": [0, 0.25],
            "epsilon": [1, 2],
            "weight_decay": [0, 3],
        }
        assert rate.ravel().tolist() == [1, 2]
        assert {(c.shape, c.dtype.name) for c in (rate, *numbers.values())} == {((2, 1, 1), "float64")}
    assert [p.ravel().tolist() for p in parameters] == [[1, -1]] * 2


def test_a_rule_the_backend_has_no_kernel_for_is_computed_as_written():
    backend = BackendWithKernel("adam")
    parameters = parameters_of([1.0])
    rule = StackOptimizer(backend, [SGD()], parameters, l2=[0.0], l1=[0.0], clip_norm=[math.inf])
    rule.set_rates(np.array([0.5]))
    rule.step(parameters, parameters_of([0.5]), 1)
    assert len(backend.calls) == 2
    assert [p.item() for p in parameters] == [0.75, 0.75]


# Clipping and penalties


def random_parameters(trials: int, seed: int) -> Parameters:
    draw = np.random.default_rng(seed)
    return Parameters(
        [draw.normal(size=(trials, 3, 4)), draw.normal(size=(trials, 4, 2))],
        [draw.normal(size=(trials, 1, 4)), draw.normal(size=(trials, 1, 2))],
    )


def norms(parameters: Parameters) -> np.ndarray:
    return np.sqrt(sum((p**2).sum(axis=(1, 2)) for p in parameters))


@given(seed=st.integers(0, 1000), limits=st.lists(st.floats(0.01, 20) | st.just(math.inf), min_size=1, max_size=5))
def test_a_gradient_longer_than_its_trials_limit_is_shortened_to_it_and_keeps_its_direction(seed, limits):
    gradients, before = random_parameters(len(limits), seed), random_parameters(len(limits), seed)
    clip_to_norm(CPU.xp, gradients, np.array(limits).reshape(-1, 1, 1))
    lengths = norms(before)
    np.testing.assert_allclose(norms(gradients), np.minimum(lengths, limits), rtol=1e-5)
    factors = norms(gradients) / lengths
    for g, b in zip(gradients, before, strict=True):
        np.testing.assert_allclose(g, b * factors[:, None, None], rtol=1e-10)
    for k, limit in enumerate(limits):
        if limit > 1.001 * lengths[k]:
            assert all(np.array_equal(g[k], b[k]) for g, b in zip(gradients, before, strict=True))


def test_penalties_are_the_derivative_of_half_l2_w_squared_and_l1_w_with_biases_exempt():
    parameters, gradients = random_parameters(2, 0), random_parameters(2, 1)
    before = random_parameters(2, 1)
    l2, l1 = np.array([0.3, 0.0]).reshape(-1, 1, 1), np.array([0.0, 0.2]).reshape(-1, 1, 1)
    add_penalties(CPU.xp, parameters, gradients, l2, l1, list(random_parameters(2, 2)))
    step = 1e-6
    for w, g, b in zip(parameters.weights, gradients.weights, before.weights, strict=True):
        above, below = [l2 / 2 * moved**2 + l1 * np.abs(moved) for moved in (w + step, w - step)]
        np.testing.assert_allclose(g - b, (above - below) / (2 * step), atol=1e-9)
    for g, b in zip(gradients.biases, before.biases, strict=True):
        np.testing.assert_array_equal(g, b)


def test_a_penalty_is_added_after_clipping_so_that_it_keeps_its_strength():
    parameters = parameters_of([1.0])
    rule = stack_optimizer([SGD()], parameters, l2=[0.5], clip_norm=[1e-9])
    rule.set_rates(np.array([0.1]))
    rule.step(parameters, parameters_of([1e3]), 1)
    assert parameters.weights[0].item() == pytest.approx(1 - 0.1 * 0.5)
    assert parameters.biases[0].item() == pytest.approx(1)


# Names and numbers


def test_an_optimizer_is_made_by_name_and_numbers():
    assert optimizer("adam", beta_1=0.5) == Adam(beta_1=0.5)
    assert optimizer("sgd") == SGD()
    assert {name: type(optimizer(name)) for name in OPTIMIZERS} == OPTIMIZERS


def test_adams_defaults_are_its_papers_and_the_others_pytorchs():
    assert (Adam().beta_1, Adam().beta_2, Adam().epsilon) == (0.9, 0.999, 1e-8)
    assert (RMSProp().decay, RMSProp().epsilon) == (0.99, 1e-8)
    assert AdamW().weight_decay == 0.01


def test_memories_have_the_names_that_checkpoints_keep_them_under():
    assert {name: kind.memories for name, kind in OPTIMIZERS.items()} == {
        "sgd": (),
        "momentum": ("velocity",),
        "nesterov": ("velocity",),
        "rmsprop": ("square",),
        "adam": ("mean", "square"),
        "adamw": ("mean", "square"),
    }


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: optimizer("adma"), "optimizer 'adma' is unknown: did you mean 'adam'? use one of sgd, momentum"),
        (
            lambda: optimizer("adam", beta1=0.9),
            "Adam number 'beta1' is unknown: did you mean 'beta_1'? use one of beta",
        ),
        (lambda: Momentum(1.0), "momentum is 1.0: use at least 0 and less than 1"),
        (lambda: Nesterov(-0.1), "momentum is -0.1: use at least 0 and less than 1"),
        (lambda: RMSProp(decay=1), "decay is 1: use at least 0 and less than 1"),
        (lambda: RMSProp(epsilon=0), "epsilon is 0: use a positive finite number"),
        (lambda: Adam(beta_1=math.nan), "beta_1 is nan: use at least 0 and less than 1"),
        (lambda: Adam(beta_2=1.5), "beta_2 is 1.5: use at least 0 and less than 1"),
        (lambda: Adam(epsilon=-1e-8), "epsilon is -1e-08: use a positive finite number"),
        (lambda: AdamW(weight_decay=-1), "weight_decay is -1: use a finite number, 0 or more"),
        (lambda: AdamW(beta_1="0.9"), "beta_1 is '0.9': use at least 0 and less than 1"),
    ],
)
def test_a_wrong_number_is_named_with_its_value_and_what_is_allowed(make, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        make()
