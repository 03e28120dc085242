"""Trials of different widths share a stack, and none of them can tell."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backprop import Architecture, Backend, EarlyStopping, Samples, Stack, Trial, one_hot, train
from backprop.network import Parameters, initial_parameters
from backprop.optimizers import OPTIMIZERS, optimizer
from backprop.padding import crop, pad
from backprop.training import Training, histories, initial_weights

CPU = Backend(np)
N, D, C = 23, 4, 3

PADDABLE = ("identity", "sigmoid", "tanh", "relu", "leaky_relu", "elu", "softplus", "gelu", "silu")


def samples(rows: int, seed: int) -> Samples:
    generator = np.random.default_rng(seed)
    return Samples(generator.normal(size=(rows, D)), one_hot(generator.integers(0, C, rows), C, "float64"))


TRAINING, VALIDATION = samples(N, 0), samples(9, 1)


def trained(stack: Stack) -> tuple[list[dict[str, list[float]]], dict[int, Parameters]]:
    reports = list(train(stack, TRAINING, VALIDATION, CPU))
    weights = {done.trial: done.parameters for report in reports for done in report.finished}
    return histories(reports, len(stack.trials)), weights


def alone(trial: Trial, activation: str | tuple[str, ...], batch_size: int) -> Stack:
    """Return the stack of one trial with its own widths, nothing padded."""
    own = Trial(**{**trial.__dict__, "hidden": None})
    return Stack(Architecture(D, trial.hidden, C, activation), batch_size, (own,), dtype="float64")


def assert_equal_alone(trials: tuple[Trial, ...], activation: str, batch_size: int) -> None:
    widest = tuple(int(most) for most in np.max([trial.hidden for trial in trials], axis=0))
    together = Stack(Architecture(D, widest, C, activation), batch_size, trials, dtype="float64")
    curves, weights = trained(together)
    for place, trial in enumerate(trials):
        [expected], own = trained(alone(trial, activation, batch_size))
        assert curves[place].keys() == expected.keys()
        for name, values in expected.items():
            np.testing.assert_allclose(curves[place][name], values, rtol=1e-12, atol=1e-12)
        for found, wanted in zip(weights[place], own[0], strict=True):
            np.testing.assert_allclose(found, wanted, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_padded_equals_unpadded_with_everything_on(kind: str) -> None:
    def trial(hidden: tuple[int, ...], seed: int) -> Trial:
        return Trial(
            0.02,
            epochs=4 + seed,
            seed=seed,
            optimizer=optimizer(kind),
            l2=0.01,
            l1=0.001,
            clip_norm=0.5,
            dropout=0.3,
            label_smoothing=0.1,
            early_stopping=EarlyStopping(patience=3),
            hidden=hidden,
        )

    assert_equal_alone((trial((7, 5), 0), trial((3, 5), 1), trial((2, 1), 2)), "tanh", 5)


@settings(max_examples=12)
@given(
    widths=st.lists(st.tuples(st.integers(1, 9), st.integers(1, 6)), min_size=2, max_size=4),
    activation=st.sampled_from(PADDABLE),
    batch_size=st.sampled_from([1, 4, N]),
    dropout=st.sampled_from([0.0, 0.4]),
)
def test_padded_equals_unpadded_for_any_widths(
    widths: list[tuple[int, int]], activation: str, batch_size: int, dropout: float
) -> None:
    trials = tuple(Trial(0.05, 2, seed, dropout=dropout, hidden=own) for seed, own in enumerate(widths))

    assert_equal_alone(trials, activation, batch_size)


@st.composite
def stacks_of_widths(draw: st.DrawFn) -> Stack:
    """Draw a stack of trials that differ in their widths, and in all else that trials of a stack may differ in."""
    kind = draw(st.sampled_from(sorted(OPTIMIZERS)))
    # Rules that divide by the size of a gradient make a step of what rounding left of one that is 0.
    dtype = draw(st.sampled_from(["float32", "float64"] if kind in ("sgd", "momentum", "nesterov") else ["float64"]))
    layers = draw(st.integers(1, 2))
    hidden = draw(st.lists(st.tuples(*[st.integers(1, 7)] * layers), min_size=2, max_size=4))
    trials = tuple(
        Trial(
            draw(st.sampled_from([0.003, 0.03])),
            # Those that end earlier leave the stack.
            draw(st.integers(1, 4)),
            seed,
            optimizer=optimizer(kind),
            l2=draw(st.sampled_from([0.0, 0.01])),
            dropout=draw(st.sampled_from([0.0, 0.4])),
            hidden=own,
        )
        for seed, own in enumerate(hidden)
    )
    widest = tuple(map(max, zip(*hidden, strict=True)))
    activation = draw(st.sampled_from(PADDABLE))
    return Stack(Architecture(D, widest, C, activation), draw(st.sampled_from([1, 4, N])), trials, dtype=dtype)


@settings(max_examples=15)
@given(stack=stacks_of_widths(), saved_after=st.integers(0, 3))
def test_a_trial_in_any_stack_of_widths_equals_itself_alone_also_where_the_stack_was_broken_off(
    stack: Stack, saved_after: int
) -> None:
    # The stack's invariant: float64 to 1e-10, float32 to 1e-4.
    rtol, atol = (1e-10, 1e-12) if stack.dtype == "float64" else (1e-4, 1e-6)
    weights: dict[int, Parameters] = {}
    curves: list[list[dict[str, float]]] = [[] for _ in stack.trials]
    run = Training(stack, CPU)
    while run.active:
        if run.epochs_done == saved_after:
            run = Training(stack, CPU, checkpoint=run.checkpoint())
        report = run.epoch(run.place(TRAINING), run.place(VALIDATION, "validation"))
        for k, place in enumerate(report.trials):
            curves[place].append({name: values[k] for name, values in report.metrics.items()})
        weights |= {done.trial: done.parameters for done in report.finished}

    for place, trial in enumerate(stack.trials):
        plain = stack.architecture.activations[0]
        single = Stack(
            Architecture(D, trial.hidden, C, plain), stack.batch_size, (replace(trial, hidden=None),), dtype=stack.dtype
        )
        [expected], own = trained(single)
        for name, values in expected.items():
            np.testing.assert_allclose([point[name] for point in curves[place]], values, rtol, atol)
        for found, wanted in zip(weights[place], own[0], strict=True):
            assert found.shape == wanted.shape
            np.testing.assert_allclose(found, wanted, 10 * rtol, 10 * atol)


@pytest.mark.parametrize("kind", OPTIMIZERS)
@pytest.mark.parametrize("sigma", ["sigmoid", "softplus"])
def test_units_that_a_trial_lacks_stay_exactly_zero_in_all_that_an_optimiser_keeps(kind: str, sigma: str) -> None:
    numbers = {"optimizer": optimizer(kind), "l2": 0.1, "l1": 0.01, "dropout": 0.3, "clip_norm": 0.5}
    trials = (Trial(0.1, 9, 0, hidden=(6,), **numbers), Trial(0.1, 9, 1, hidden=(2,), **numbers))
    run = Training(Stack(Architecture(D, (6,), C, sigma), 4, trials), CPU)
    placed = run.place(TRAINING)
    for _ in range(3):
        run.epoch(placed)

    state = run.checkpoint()
    for kept in (state.parameters, *state.memories.values()):
        (w1, w2), (b1, _) = kept.weights, kept.biases
        assert not w1[1, :, 2:].any()
        assert not w2[1, 2:].any()
        assert not b1[1, :, 2:].any()
        assert w1[0, :, 2:].any()


def test_padded_weights_stay_exactly_zero() -> None:
    # sigmoid(0) is 0.5: without its mask a padded unit would wake up at the first update.
    trials = (Trial(0.1, 9, 0, hidden=(6,)), Trial(0.1, 9, 1, hidden=(2,)))
    run = Training(Stack(Architecture(D, (6,), C, "sigmoid"), 4, trials, dtype="float64"), CPU)
    placed = run.place(TRAINING)
    for _ in range(3):
        run.epoch(placed)

    (w1, w2), (b1, _) = run.parameters().weights, run.parameters().biases

    assert not w1[1, :, 2:].any()
    assert not w2[1, 2:].any()
    assert not b1[1, :, 2:].any()
    assert w1[0, :, 2:].all()


def test_a_trial_that_ends_is_handed_out_in_its_own_widths() -> None:
    trials = (Trial(0.1, 2, 0, hidden=(6, 4)), Trial(0.1, 1, 1, hidden=(2, 3)))

    _, weights = trained(Stack(Architecture(D, (6, 4), C), 4, trials, dtype="float64"))

    assert [w.shape for w in weights[0].weights] == [(1, D, 6), (1, 6, 4), (1, 4, C)]
    assert [w.shape for w in weights[1].weights] == [(1, D, 2), (1, 2, 3), (1, 3, C)]
    assert [b.shape for b in weights[1].biases] == [(1, 1, 2), (1, 1, 3), (1, 1, C)]


def test_a_resumed_padded_stack_equals_an_uninterrupted_one_bit_for_bit() -> None:
    trials = (Trial(0.1, 4, 0, dropout=0.2, hidden=(6,)), Trial(0.1, 4, 1, hidden=(2,)))
    stack = Stack(Architecture(D, (6,), C, "sigmoid"), 4, trials)
    whole, half = Training(stack, CPU), Training(stack, CPU)
    placed = whole.place(TRAINING)
    for _ in range(4):
        whole_report = whole.epoch(placed)
    for _ in range(2):
        half.epoch(placed)
    resumed = Training(stack, CPU, checkpoint=half.checkpoint())
    for _ in range(2):
        report = resumed.epoch(placed)

    for found, wanted in zip(report.finished, whole_report.finished, strict=True):
        for ours, theirs in zip(found.parameters, wanted.parameters, strict=True):
            np.testing.assert_array_equal(ours, theirs)


def test_cropping_undoes_padding() -> None:
    own, wide = Architecture(D, (2, 3), C), Architecture(D, (5, 4), C)
    parameters = initial_parameters(own, [0, 1], "float64")

    padded = pad(parameters, wide)

    assert [w.shape[1:] for w in padded.weights] == list(wide.layers)
    for found, wanted in zip(crop(padded, own), parameters, strict=True):
        np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize(
    ("hidden", "activation", "said"),
    [
        ((9, 4), "relu", "none of them wider"),
        ((4,), "relu", "as many layers"),
        ((0, 4), "relu", "at least 1"),
        ((2, 4), "softmax", "depends on all units"),
    ],
)
def test_widths_that_cannot_be_padded_are_refused(hidden: tuple[int, ...], activation: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Stack(Architecture(D, (6, 4), C, activation), 4, (Trial(0.1, 1, hidden=hidden),))


def test_a_softmax_layer_that_is_not_padded_may_stand_beside_one_that_is() -> None:
    architecture = Architecture(D, (6, 4), C, ("relu", "softmax"))

    Stack(architecture, 4, (Trial(0.1, 1, hidden=(2, 4)),))


def test_initial_weights_outside_of_a_trials_widths_are_refused() -> None:
    stack = Stack(Architecture(D, (6,), C), 4, (Trial(0.1, 1), Trial(0.1, 1, hidden=(2,))))
    full = initial_parameters(stack.architecture, [0, 1], "float32")

    with pytest.raises(ValueError, match="trial 1 outside of its hidden widths"):
        Training(stack, CPU, initial=full)


def test_weights_that_are_given_to_a_trial_are_padded_and_the_others_are_drawn() -> None:
    stack = Stack(
        Architecture(3, (5, 4), 2), batch_size=4, trials=(Trial(0.1, 1, seed=1), Trial(0.1, 1, seed=2, hidden=(2, 4)))
    )
    own = initial_parameters(Architecture(3, (2, 4), 2), [77], "float32")

    begins = initial_weights(stack, {1: own})

    drawn = initial_weights(stack)
    for own_or_drawn, without in zip(begins, drawn, strict=True):
        np.testing.assert_array_equal(own_or_drawn[0], without[0])
    np.testing.assert_array_equal(begins.weights[0][1, :, :2], own.weights[0][0])
    assert not begins.weights[0][1, :, 2:].any()
    Training(stack, CPU, initial=begins)
    with pytest.raises(ValueError, match="given has weights for trial 2"):
        initial_weights(stack, {2: own})
    with pytest.raises(ValueError, match="initial has the shapes"):
        initial_weights(stack, {0: own})
