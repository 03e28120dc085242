"""Compiled epochs equal those of the plain form, however they are cut up: into blocks, pieces, trials and teams."""

from dataclasses import replace

import numpy as np
import pytest
from both_ways import HIDDEN, OUTPUTS, assert_close, assert_identical, compiled, descended, drawn, only, sparse, task_of
from everything import optimizers
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from backprop import Architecture, Samples, Stack, Trial
from backprop.compiled import descent, layout
from backprop.descent import Descent
from backprop.optimizers import OPTIMIZERS, SGD, Adam, AdamW, Momentum, Nesterov, RMSProp

TOLERANCES = {"float64": 1e-10, "float32": 1e-4}

# No smaller ones: a gradient that is rounding noise, divided by its own size, would be a step of full length.
EPSILON = st.floats(0.05, 1)
FRACTION = st.floats(0.5, 0.95)
SHIFT, SCALE = st.floats(-1, 1), st.floats(0.5, 4)
RULES = {
    "sgd": st.builds(SGD),
    "momentum": st.builds(Momentum, FRACTION),
    "nesterov": st.builds(Nesterov, FRACTION),
    "rmsprop": st.builds(RMSProp, FRACTION, EPSILON),
    "adam": st.builds(Adam, FRACTION, FRACTION, EPSILON),
    "adamw": st.builds(AdamW, FRACTION, FRACTION, EPSILON, st.floats(0, 1)),
}


def often(value: object, other: st.SearchStrategy) -> st.SearchStrategy:
    return st.just(value) | other


@st.composite
def stacks(draw: st.DrawFn, dtype: str) -> Stack:
    hidden = tuple(draw(st.lists(st.integers(1, 40), max_size=3)))
    phi, loss = draw(st.sampled_from(OUTPUTS))
    architecture = Architecture(
        draw(st.integers(1, 40)),
        hidden,
        draw(st.integers(2 if phi == "softmax" else 1, 40)),
        tuple(draw(st.sampled_from(HIDDEN)) for _ in hidden) or "relu",
        phi,
        loss,
    )
    rule = RULES[draw(st.sampled_from(sorted(OPTIMIZERS)))]
    small = st.floats(0.001, 0.1)
    smoothing = often(0.0, st.floats(0, 0.9)) if "cross_entropy" in loss else st.just(0.0)
    trials = tuple(
        Trial(
            draw(st.floats(0.0005, 0.005)),
            1,
            draw(st.integers(0, 9)),
            draw(rule),
            l2=draw(often(0.0, small)),
            l1=draw(often(0.0, small)),
            clip_norm=draw(often(None, st.floats(0.01, 2))),
            dropout=draw(often(0.0, st.floats(0, 0.5))),
            label_smoothing=draw(smoothing),
            hidden=draw(often(None, st.tuples(*(st.integers(1, units) for units in hidden)))),
        )
        for _ in range(draw(st.integers(1, 3)))
    )
    batch_size = draw(st.sampled_from([1, 2, 7, 16, 17, 32, 60, 1000]))
    return Stack(architecture, batch_size, trials, task_of(loss), dtype=dtype)


# As the plain form


@pytest.mark.parametrize("dtype", TOLERANCES)
@settings(max_examples=60)
@given(data=st.data())
def test_epochs_of_any_stack_equal_those_of_the_plain_form(dtype, data):
    stack = data.draw(stacks(dtype))
    kind, weighted = data.draw(st.sampled_from(["float64", "uint8"])), data.draw(st.booleans())
    rows, done, threads = (
        data.draw(st.integers(1, 70)),
        data.draw(st.sampled_from([0, 3, 10**6])),
        data.draw(st.integers(1, 3)),
    )
    samples = drawn(stack.architecture, rows, weighted=weighted, dtype=kind)
    samples = replace(samples, shift=data.draw(often(0.0, SHIFT)), scale=data.draw(often(1.0, SCALE)))
    wanted = descended(Descent, stack, samples, done=done)
    # On the way to a divergence the last digit soon is the first.
    assume((wanted.losses < 100).all())
    assert_close(descended(compiled(threads), stack, samples, done=done), wanted, TOLERANCES[dtype])


@pytest.mark.parametrize("sigma", HIDDEN)
@pytest.mark.parametrize(("phi", "loss"), OUTPUTS)
def test_every_activation_trains_with_every_output_as_the_plain_form(sigma, phi, loss):
    architecture = Architecture(5, (7, 4), 3, sigma, phi, loss)
    trials = (Trial(0.05, 1, 1), Trial(0.02, 1, 2, hidden=(3, 2)))
    stack = Stack(architecture, 6, trials, task_of(loss), dtype="float64")
    samples = drawn(architecture, 14, weighted=True)
    assert_close(descended(compiled(), stack, samples), descended(Descent, stack, samples), 1e-11)


@pytest.mark.parametrize("kind", OPTIMIZERS)
@pytest.mark.parametrize("setting", [{}, {"clip_norm": 0.05}, {"l2": 0.3}, {"l1": 0.2}, {"dropout": 0.5}])
def test_every_optimiser_and_regulariser_moves_parameters_and_memories_as_the_plain_form(kind, setting):
    architecture = Architecture(5, (20, 4), 3, "tanh")
    own, other, *_ = optimizers(kind)
    trials = (Trial(0.05, 1, 1, own, **setting), Trial(0.02, 1, 2, other, hidden=(3, 2)))
    stack = Stack(architecture, 6, trials, dtype="float64")
    samples = drawn(architecture, 20)
    wanted = descended(Descent, stack, samples, epochs=4, done=2)
    assert_close(descended(compiled(), stack, samples, epochs=4, done=2), wanted, 1e-10)


@pytest.mark.parametrize("loss", ["cross_entropy", "binary_cross_entropy"])
def test_labels_are_smoothed_for_each_trial_by_the_number_of_outcomes(loss):
    phi = "softmax" if loss == "cross_entropy" else "sigmoid"
    architecture = Architecture(4, (6,), 5, "tanh", phi, loss)
    trials = tuple(Trial(0.3, 1, 1, label_smoothing=e) for e in (0.0, 0.2, 0.8))
    stack = Stack(architecture, 5, trials, dtype="float64")
    samples = drawn(architecture, 20)
    found = descended(compiled(), stack, samples)
    assert_close(found, descended(Descent, stack, samples), 1e-12)
    assert len(set(found.losses[0])) == 3


def test_the_first_panel_of_inputs_is_not_the_only_one():
    architecture = Architecture(600, (300, 270), 3)
    samples = drawn(architecture, 50)
    for l2 in (0.0, 0.1):
        stack = Stack(architecture, 20, (Trial(0.1, 1, 1, l2=l2),), dtype="float64")
        assert_close(descended(compiled(), stack, samples), descended(Descent, stack, samples), 1e-11)


# Samples


@pytest.mark.parametrize("batch_size", [8, 40])
def test_samples_may_be_others_every_epoch_in_number_and_with_or_without_weights(batch_size):
    architecture = Architecture(5, (6,), 3, "tanh")
    stack = Stack(architecture, batch_size, (Trial(0.1, 1, 1), Trial(0.2, 1, 2)), dtype="float64")
    given = [
        drawn(architecture, rows, rows, weighted=weighted) for rows, weighted in ((9, False), (70, True), (30, False))
    ]
    assert_close(descended(compiled(), stack, given), descended(Descent, stack, given), 1e-12)


def test_a_minibatch_may_be_larger_than_any_memory_since_it_holds_no_more_than_the_samples():
    architecture = Architecture(5, (6,), 3, "tanh")
    samples = drawn(architecture, 20)
    stack = Stack(architecture, 2**50, (Trial(0.1, 1, 1),), dtype="float64")
    assert_close(
        descended(compiled(), stack, samples), descended(compiled(), replace(stack, batch_size=20), samples), 0
    )


@pytest.mark.parametrize("kind", ["float64", "uint8"])
@pytest.mark.parametrize("plain", [True, False])
@pytest.mark.parametrize("batch_size", [3, 4, 10, 33, 300, 1000])
@pytest.mark.parametrize("threads", [1, 2])
def test_zeros_of_the_samples_are_left_out_and_nothing_changes(threads, batch_size, plain, kind, monkeypatch):
    """In blocks and pieces that are no whole tiles, with columns that are none, and by a team."""
    monkeypatch.setattr(layout, "PIECE_BYTES", 200 * 602 * 8)
    architecture = Architecture(602, (20, 5), 4, "tanh")
    trials = (Trial(0.1, 1, 1, clip_norm=None if plain else 0.5), Trial(0.05, 1, 2, hidden=(3, 2), dropout=0.2))
    stack = Stack(architecture, batch_size, trials[: 3 - threads], dtype="float64")
    samples = [sparse(drawn(architecture, rows, rows, dtype=kind)) for rows in (7, 331)]
    assert layout.mostly_zeros(samples[1])
    assert_close(descended(compiled(threads), stack, samples), descended(Descent, stack, samples), 1e-10)


@pytest.mark.parametrize(("shift", "left_out"), [(0.0, True), (0.25, False)])
@pytest.mark.parametrize("threads", [1, 2])
def test_zeros_of_standardised_samples_are_left_out_where_the_network_sees_them_as_zeros(shift, left_out, threads):
    architecture = Architecture(602, (20, 5), 4, "tanh")
    stack = Stack(architecture, 33, (Trial(0.05, 1, 1),), dtype="float64")
    samples = replace(sparse(drawn(architecture, 331, dtype="uint8")), shift=shift, scale=2.0)
    assert layout.mostly_zeros(samples) == left_out
    assert_close(descended(compiled(threads), stack, samples), descended(Descent, stack, samples), 1e-10)


def test_samples_that_are_not_sparse_may_follow_on_some_that_are():
    architecture = Architecture(300, (6,), 3)
    stack = Stack(architecture, 16, (Trial(0.1, 1, 1),), dtype="float64")
    full = drawn(architecture, 100)
    samples = [sparse(full), full, sparse(full)]
    assert_close(descended(compiled(), stack, samples), descended(Descent, stack, samples), 1e-11)


@pytest.mark.parametrize("kind", ["read-only", "in columns", "every other"])
def test_samples_may_lie_in_memory_as_they_like(kind):
    architecture = Architecture(5, (6,), 3, "tanh")
    stack = Stack(architecture, 8, (Trial(0.1, 1, 1),), dtype="float64")
    samples = drawn(architecture, 20)
    x = {
        "read-only": samples.x,
        "in columns": np.asfortranarray(samples.x),
        "every other": np.repeat(samples.x, 2, axis=0)[::2],
    }[kind].view()
    x.flags.writeable = kind != "read-only"
    found = descended(compiled(), stack, Samples(x, samples.y))
    assert_identical(found, descended(compiled(), stack, samples))


# Blocks and pieces


def everything_that_may_be_blocked(batch_size: int, **changes: object) -> Stack:
    architecture = Architecture(9, (20, 5), 4, ("gelu", "relu"))
    trials = (
        Trial(0.1, 1, 1, dropout=0.3),
        Trial(0.2, 1, 2, label_smoothing=0.1, hidden=(3, 5)),
        Trial(0.05, 1, 3, hidden=(17, 2)),
    )
    return replace(Stack(architecture, batch_size, trials, dtype="float64"), **changes)


@pytest.mark.parametrize("rows", [1, 16, 31, 32, 33, 64, 75])
@pytest.mark.parametrize("batch_size", [1, 2, 3, 5, 7, 8, 11, 15, 16])
def test_a_block_of_minibatches_gives_what_they_give_one_after_another(batch_size, rows, monkeypatch):
    stack = everything_that_may_be_blocked(batch_size)
    samples = drawn(stack.architecture, rows, weighted=True)
    in_blocks = descended(compiled(), stack, samples)
    monkeypatch.setattr(descent, "BLOCK_ROWS", 0)
    assert_close(in_blocks, descended(compiled(), stack, samples), 1e-12)


def test_a_linear_model_is_trained_in_blocks_too(monkeypatch):
    architecture = Architecture(9, (), 4)
    stack = Stack(architecture, 3, (Trial(0.5, 1, 1), Trial(0.1, 1, 2)), dtype="float64")
    samples = drawn(architecture, 75)
    in_blocks = descended(compiled(), stack, samples)
    monkeypatch.setattr(descent, "BLOCK_ROWS", 0)
    assert_close(in_blocks, descended(compiled(), stack, samples), 1e-12)


@pytest.mark.parametrize("plain", [True, False])
@pytest.mark.parametrize("batch_size", [1, 5, 16, 33])
@pytest.mark.parametrize("size", [1, 20_000])
def test_samples_that_come_in_pieces_change_nothing(batch_size, plain, size, monkeypatch):
    stack = everything_that_may_be_blocked(batch_size)
    if not plain:
        stack = replace(stack, trials=tuple(replace(trial, optimizer=Adam()) for trial in stack.trials))
        stack = replace(stack, trials=(replace(stack.trials[0], clip_norm=0.1), *stack.trials[1:]))
    samples = drawn(stack.architecture, 400, weighted=True)
    at_once = descended(compiled(), stack, samples)
    monkeypatch.setattr(layout, "PIECE_BYTES", size)
    assert_identical(descended(compiled(), stack, samples), at_once)


# Threads


def of_threads(trials: int, optimizer: object, **changes: object) -> Stack:
    architecture = Architecture(30, (40, 12), 4, ("relu", "tanh"))
    each = tuple(
        Trial(
            0.01 * (1 + k),
            1,
            k,
            optimizer,
            dropout=0.2 * (k % 2),
            clip_norm=None if type(optimizer) is SGD else 0.5,
            hidden=(40 - 7 * k, 12 - 2 * k),
        )
        for k in range(trials)
    )
    return replace(Stack(architecture, 64, each, dtype="float64"), **changes)


@pytest.mark.parametrize("optimizer", [SGD(), Adam()])
@pytest.mark.parametrize("batch_size", [1, 7, 64])
@pytest.mark.parametrize("threads", [2, 3, 4])
def test_trials_that_share_threads_train_as_they_do_on_one(threads, batch_size, optimizer):
    stack = of_threads(4, optimizer, batch_size=batch_size)
    samples = drawn(stack.architecture, 200)
    assert_identical(descended(compiled(threads), stack, samples), descended(compiled(1), stack, samples))


@pytest.mark.parametrize("optimizer", [SGD(), AdamW()])
@pytest.mark.parametrize("batch_size", [32, 33, 64, 70, 200])
@pytest.mark.parametrize("threads", [2, 3, 4, 7])
@pytest.mark.parametrize("trials", [1, 2])
def test_threads_that_share_a_minibatch_train_as_one_does(trials, threads, batch_size, optimizer):
    stack = of_threads(trials, optimizer, batch_size=batch_size)
    samples = drawn(stack.architecture, 230, weighted=True)
    assert_close(descended(compiled(threads), stack, samples), descended(compiled(1), stack, samples), 1e-12)


@pytest.mark.parametrize("optimizer", [SGD(), AdamW()])
@pytest.mark.parametrize(("trials", "threads"), [(1, 2), (1, 3), (2, 4), (3, 3)])
def test_threads_come_to_the_same_bits_every_time(trials, threads, optimizer, monkeypatch):
    """A race would show sooner or later: fifty times here, in pieces of a few minibatches."""
    monkeypatch.setattr(layout, "PIECE_BYTES", 200 * 30 * 8)
    stack = of_threads(trials, optimizer, batch_size=48)
    samples = drawn(stack.architecture, 400)
    first = descended(compiled(threads), stack, samples, epochs=1)
    assert_close(first, descended(compiled(1), stack, samples, epochs=1), 1e-12)
    for _ in range(50):
        assert_identical(descended(compiled(threads), stack, samples, epochs=1), first)


# Divergence


@pytest.mark.parametrize("optimizer", [SGD(), Momentum(0.9), Adam()])
@pytest.mark.parametrize("batch_size", [3, 64])
@pytest.mark.parametrize("threads", [1, 2, 6])
def test_a_trial_that_diverges_has_a_loss_that_is_not_finite_and_disturbs_no_other(threads, batch_size, optimizer):
    architecture = Architecture(10, (20, 20), 3, "relu", "identity", "mse")
    calm = Trial(0.001, 1, 1, optimizer, clip_norm=None if type(optimizer) is SGD else 0.5, hidden=(17, 3))
    wild = Trial(1e300, 1, 2, optimizer)
    later = replace(calm, seed=3, hidden=(2, 18))
    stack = Stack(architecture, batch_size, (calm, wild, later), "regression", dtype="float64")
    samples = drawn(architecture, 130)
    found = descended(compiled(threads), stack, samples, epochs=3)
    assert not np.isfinite(found.losses[:, 1]).all()
    for place in (0, 2):
        alone = descended(compiled(min(2, threads)), only(stack, place), samples, epochs=3)
        assert np.isfinite(found.losses[:, place]).all()
        assert_close(found.trial(place), alone.trial(0), 0 if threads == 1 else 1e-12)
    assert_close(found.trial(0), descended(Descent, only(stack, 0), samples, epochs=3).trial(0), 1e-10)


@pytest.mark.parametrize(
    ("sigma", "phi", "loss"), [(s, "identity", "mse") for s in HIDDEN] + [("gelu", *o) for o in OUTPUTS]
)
def test_a_parameter_that_is_not_a_number_is_seen_in_the_loss(sigma, phi, loss):
    architecture = Architecture(4, (5,), 3, sigma, phi, loss)
    stack = Stack(architecture, 8, (Trial(0.1, 1, 1),), task_of(loss), dtype="float32")
    samples = drawn(architecture, 16)
    assert np.isfinite(descended(compiled(), stack, samples).losses).all()
    # In float32 this rate is infinite.
    wild = descended(compiled(), stack, samples, epochs=3, rates=[1e300])
    assert not np.isfinite(wild.losses[1:]).any()
