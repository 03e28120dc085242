"""What a stack and its trials may be, and how a training is started, continued and fed in pieces."""

import math
import re
from dataclasses import asdict, replace

import numpy as np
import pytest
from everything import CPU, D, samples, stack_of_everything

from backprop import Architecture, EarlyStopping, Parameters, Samples, Stack, Training, Trial, initial_parameters, train
from backprop.initializers import INITIALIZERS
from backprop.optimizers import SGD, Adam, Momentum
from backprop.schedules import Adaptive, Constant, Cosine, ReduceOnPlateau, WarmUp

CLASSES = Architecture(D, (5,), 3)
VALUES = Architecture(D, (5,), 3, "relu", "identity", "mse")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Trial(0.1, 1, l2=-0.1), "l2 is -0.1: use a finite number, 0 or more"),
        (lambda: Trial(0.1, 1, l1=math.inf), "l1 is inf: use a finite number, 0 or more"),
        (lambda: Trial(0.1, 1, clip_norm=0), "clip_norm is 0: use a positive finite number"),
        (lambda: Trial(0.1, 1, clip_norm=-1), "clip_norm is -1: use a positive finite number"),
        (lambda: Trial(0.1, 1, dropout=1), "dropout is 1: use at least 0 and less than 1"),
        (lambda: Trial(0.1, 1, dropout=-0.1), "dropout is -0.1: use at least 0 and less than 1"),
        (lambda: Trial(0.1, 1, dropout=math.nan), "dropout is nan: use at least 0 and less than 1"),
        (lambda: Trial(0.1, 1, dropout=True), "dropout is True: use at least 0 and less than 1"),
        (lambda: Trial(0.1, 1, label_smoothing=1.0), "label_smoothing is 1.0: use at least 0 and less than 1"),
        (lambda: Trial("0.1", 1), "learning_rate is '0.1': use a positive finite number"),
        (lambda: Trial(0.1, 1.5), "epochs is 1.5: use at least 1"),
        (lambda: Trial(0.1, 1, initializer="he"), "initializer 'he' is unknown: "),
        (lambda: Trial(0.1, 1, initializer="glorot"), "use one of glorot_uniform, glorot_normal"),
        (
            lambda: Trial(0.1, 1, optimizer="adam"),
            "optimizer is 'adam': use one of backprop.optimizers, such as Adam()",
        ),
        (lambda: Trial(0.1, 1, optimizer=Adam), "optimizer is <class 'backprop.optimizers.Adam'>: use one of"),
        (lambda: Trial(0.1, 1, schedule="step"), "schedule is 'step': use one of backprop.schedules, such as Cosine()"),
        (lambda: Trial(0.1, 1, early_stopping=3), "early_stopping is 3: use EarlyStopping(), or None"),
        (
            lambda: Stack(CLASSES, 1, (Trial(0.1, 1), Trial(0.1, 1, optimizer=Adam()))),
            "trials have the optimizers adam, sgd: use one kind in a stack",
        ),
        (
            lambda: Stack(VALUES, 1, (Trial(0.1, 1, label_smoothing=0.1),), "regression"),
            "label_smoothing is 0.1 but loss is 'mse': use 0, or loss 'cross_entropy' or 'binary_cross_entropy'",
        ),
        (
            lambda: Stack(CLASSES, 1, (Trial(0.1, 1, early_stopping=EarlyStopping(metric="val/acuracy")),)),
            "metric 'val/acuracy' is unknown: did you mean 'val/accuracy'? use one of train/loss, val/loss, val/acc",
        ),
        (
            lambda: Stack(CLASSES, 1, (Trial(0.1, 1, schedule=WarmUp(then=ReduceOnPlateau(metric="val/r2"))),)),
            "metric 'val/r2' is unknown: use one of train/loss, val/loss, val/accuracy",
        ),
        (
            lambda: Architecture(4, (8, 8), 3, ("relu",)),
            "activation has 1 names but hidden has 2 layers: use one name for all layers, or one for each",
        ),
        (lambda: Architecture(4, (8, 8), 3, ("relu", "tan")), "activation 'tan' is unknown: did you mean 'tanh'?"),
        (lambda: Architecture(4, (), 3, "rleu"), "activation 'rleu' is unknown: did you mean 'relu'?"),
    ],
)
def test_a_wrong_argument_is_named_with_its_value_and_what_is_allowed(make, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        make()


@pytest.mark.parametrize("number", [np.float32(0.1), np.float64(0.1)])
def test_numbers_of_numpy_are_numbers(number):
    assert Trial(number, np.int64(2), np.int32(1), dropout=number).epochs == 2


def test_a_trial_with_nothing_but_the_old_three_is_plain_sgd():
    trial = Trial(0.1, 5, 3)
    assert (trial.optimizer, trial.schedule, trial.early_stopping) == (SGD(), Constant(), None)
    assert {trial.l2, trial.l1, trial.dropout, trial.label_smoothing} == {0}


@pytest.mark.parametrize("rule", [{"early_stopping": EarlyStopping()}, {"schedule": ReduceOnPlateau()}])
def test_a_metric_of_validation_samples_that_are_not_there_is_refused(rule):
    with pytest.raises(ValueError, match="validation is None but a trial watches 'val/loss': give samples, or use"):
        next(train(Stack(CLASSES, 8, (Trial(0.1, 1, **rule),)), samples(), None, CPU))


def test_without_validation_only_the_training_loss_is_measured():
    trial = Trial(0.1, 2, schedule=Adaptive(), early_stopping=EarlyStopping(metric="train/loss"))
    for report in train(Stack(CLASSES, 8, (trial,)), samples(), None, CPU):
        assert set(report.metrics) == {"train/loss", "train/learning_rate"}


# Activations


def test_every_hidden_layer_has_its_own_activation():
    x = np.random.default_rng(0).normal(size=(5, 4))
    architecture = Architecture(4, (3, 2), 2, ("relu", "tanh"), "identity", "mse")
    parameters = initial_parameters(architecture, [0], "float64")
    (w1, w2, w3), found = (
        [w[0] for w in parameters.weights],
        Training(Stack(architecture, 1, (Trial(1, 1),)), CPU).network,
    )
    np.testing.assert_allclose(found.predict(parameters, x)[0], np.tanh(np.maximum(x @ w1, 0) @ w2) @ w3, rtol=1e-14)


def test_an_architecture_read_from_json_is_the_one_written():
    architecture = Architecture(4, (3, 2), 2, ("relu", "tanh"))
    lists = {name: list(v) if isinstance(v, tuple) else v for name, v in asdict(architecture).items()}
    assert Architecture(**lists) == architecture
    assert hash(Architecture(**lists)) == hash(architecture)


def test_one_name_and_the_same_name_for_every_layer_draw_and_compute_the_same():
    one, each = Architecture(4, (3, 2), 2, "relu"), Architecture(4, (3, 2), 2, ("relu", "relu"))
    assert one.activations == each.activations == ("relu", "relu")
    for a, b in zip(initial_parameters(one, [3], "float64"), initial_parameters(each, [3], "float64"), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("name", INITIALIZERS)
def test_a_trial_may_name_its_initializer_and_its_neighbour_another(name):
    stack = Stack(CLASSES, 8, (Trial(0.1, 1, 3, initializer=name), Trial(0.1, 1, 3)), dtype="float64")
    named, default = Training(stack, CPU).parameters().weights[0]
    drawn = initial_parameters(CLASSES, [3], "float64", [name]).weights[0][0]
    np.testing.assert_array_equal(named, drawn)
    np.testing.assert_array_equal(default, initial_parameters(CLASSES, [3], "float64").weights[0][0])


# Warm start and partial fit


def test_a_warm_start_is_the_training_that_goes_on():
    stack = Stack(CLASSES, 50, (Trial(0.1, 4, 1), Trial(0.3, 4, 2)), shuffle=False, dtype="float64")
    whole = list(train(stack, samples(), samples(), CPU))
    first = Training(stack, CPU)
    for _ in range(2):
        first.epoch(first.place(samples()))
    kept = first.parameters()
    before = [p.copy() for p in kept]
    second = replace(stack, trials=tuple(replace(trial, epochs=2) for trial in stack.trials))
    *_, last = train(second, samples(), samples(), CPU, initial=kept)
    for done, wanted in zip(last.finished, whole[-1].finished, strict=True):
        for a, b in zip(done.parameters, wanted.parameters, strict=True):
            np.testing.assert_array_equal(a, b)
    for p, copy in zip(kept, before, strict=True):
        np.testing.assert_array_equal(p, copy)


@pytest.mark.parametrize("wrong", ["trials", "layers", "units"])
def test_a_warm_start_that_does_not_fit_is_refused(wrong):
    stack = Stack(CLASSES, 8, (Trial(0.1, 1), Trial(0.1, 1)))
    other = replace(CLASSES, hidden={"trials": (5,), "layers": (5, 5), "units": (4,)}[wrong])
    initial = initial_parameters(other, [0] if wrong == "trials" else [0, 1], "float32")
    with pytest.raises(ValueError, match=re.escape("initial has the shapes [")):
        next(train(stack, samples(), samples(), CPU, initial=initial))


def test_partial_fits_go_on_with_the_optimisers_memory_the_schedule_and_the_order():
    """Fed the same samples each time, they are the training of all epochs at once."""
    stack = stack_of_everything("adam")
    run = Training(stack, CPU)
    for report in train(stack, samples(), samples(), CPU):
        piece = run.epoch(run.place(samples()), run.place(samples(), "validation"))
        assert piece.epoch == report.epoch
        for name in report.metrics:
            np.testing.assert_array_equal(piece.metrics[name], report.metrics[name])
    assert run.active == ()
    with pytest.raises(ValueError, match="active is empty: every trial of the stack has ended"):
        run.epoch(run.place(samples()))


def test_partial_fits_may_be_fed_samples_that_differ_in_number():
    trial = Trial(0.05, 100, optimizer=Momentum(0.5), schedule=Cosine(), dropout=0.2)
    run = Training(Stack(CLASSES, 8, (trial,)), CPU)
    losses = [run.epoch(run.place(samples(n, seed=n))).metrics["train/loss"][0] for n in (5, 50, 9)]
    assert run.epochs_done == 3
    assert run.checkpoint().samples == 64
    assert run.checkpoint().updates == 1 + 7 + 2
    assert np.isfinite(losses).all()


def test_without_shuffling_samples_are_taken_as_they_come():
    stack = Stack(VALUES, 1, (Trial(0.01, 1),), "regression", dtype="float64", shuffle=False)
    given = Samples(samples().x, samples().y)
    (report,) = train(stack, given, None, CPU)
    network = Training(stack, CPU).network
    p = initial_parameters(VALUES, [0], "float64")
    for x, y in zip(given.x, given.y, strict=True):
        _, g = network.gradients(p, x[None], y[None])
        p = Parameters(
            [w - 0.01 * s for w, s in zip(p.weights, g.weights, strict=True)],
            [b - 0.01 * s for b, s in zip(p.biases, g.biases, strict=True)],
        )
    for a, b in zip(report.finished[0].parameters, p, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-14)
