import math
import re

import numpy as np
import pytest
from everything import CPU, D, samples, stack_of_everything, trained
from hypothesis import given
from hypothesis import strategies as st
from sklearn.neural_network import MLPClassifier

from backprop import Architecture, EarlyStopping, Samples, Stack, Training, Trial, train
from backprop.early_stopping import Watch
from backprop.schedules import Adaptive
from backprop.training import evaluate, histories

NETWORK = Architecture(D, (8,), 3, "tanh")


def stopped_at(rule: EarlyStopping, values: list[float]) -> tuple[int, int]:
    """The epoch that ends a trial with these values, or 0, and its best one."""
    watch = Watch()
    for epoch, value in enumerate(values, start=1):
        watch = rule.observe(watch, epoch, {rule.metric: value})
        if rule.ends(watch):
            return epoch, watch.best_epoch
    return 0, watch.best_epoch


@pytest.mark.parametrize(
    ("rule", "values", "wanted"),
    [
        (EarlyStopping(patience=0), [3, 2, 1, 1, 0], (4, 3)),
        (EarlyStopping(patience=2), [3, 1, 2, 2, 2, 0], (5, 2)),
        (EarlyStopping(patience=2), [3, 1, 2, 2, 0.5, 2, 2], (0, 5)),
        (EarlyStopping(patience=1, min_delta=0.5), [3, 2.8, 2.6, 2, 1], (3, 3)),
        (EarlyStopping(patience=1, min_delta=0.5), [3, 2.8, 2, 1.8, 1], (0, 5)),
        (EarlyStopping(patience=0, metric="val/accuracy"), [0.1, 0.5, 0.4, 0.9], (3, 2)),
        (EarlyStopping(patience=0, metric="val/r2"), [-1, 0.5, 0.4], (3, 2)),
        (EarlyStopping(patience=0, metric="val/rmse"), [2, 1, 1.5], (3, 2)),
        (EarlyStopping(patience=1), [math.inf, math.inf, 1], (2, 0)),
    ],
)
def test_a_trial_ends_after_more_than_its_patience_without_improvement(rule, values, wanted):
    assert stopped_at(rule, values) == wanted


@given(
    losses=st.lists(st.integers(0, 20).map(lambda v: v / 10), min_size=1, max_size=30),
    patience=st.integers(1, 4),
    tol=st.sampled_from([0.05, 0.25]),
)
def test_the_epoch_of_ending_is_that_of_scikit_learn(losses, patience, tol):
    theirs = MLPClassifier(n_iter_no_change=patience, tol=tol)
    theirs._no_improvement_count, theirs.best_loss_, theirs.loss_curve_ = 0, np.inf, []
    wanted = 0
    for epoch, loss in enumerate(losses, start=1):
        theirs.loss_curve_.append(loss)
        theirs._update_no_improvement_count(False, None, None, None)
        if theirs._no_improvement_count > patience:
            wanted = epoch
            break
    assert stopped_at(EarlyStopping(patience, tol, metric="train/loss"), losses)[0] == wanted


# In training


def noise(n: int, seed: int) -> Samples:
    """Labels that have nothing to do with the features: validation gets worse as training gets better."""
    draw = np.random.default_rng(seed)
    return Samples(draw.normal(size=(n, D)), np.eye(3)[draw.integers(3, size=n)])


@pytest.mark.parametrize("metric", ["val/loss", "val/accuracy", "train/loss"])
def test_the_weights_given_back_are_those_of_the_best_epoch(metric):
    rules = (
        EarlyStopping(3, metric=metric),
        EarlyStopping(1000, metric=metric),
        EarlyStopping(3, metric=metric, restore=False),
    )
    trials = tuple(Trial(0.3, 40, seed=2, early_stopping=rule) for rule in rules)
    stack = Stack(NETWORK, 8, trials, dtype="float64")
    validation = noise(60, 1)
    reports = list(train(stack, noise(40, 0), validation, CPU))
    curves = histories(reports, 3)
    for report in reports:
        for done in report.finished:
            curve = curves[done.trial][metric]
            best = 1 + int(np.argmax(curve) if metric == "val/accuracy" else np.argmin(curve))
            kept = stack.trials[done.trial].early_stopping.restore
            assert done.weights_epoch == (best if kept else report.epoch)
            network = Training(stack, CPU).network
            measured = evaluate(network, done.parameters, validation, stack.task, "val")["val/loss"]
            assert measured.item() == curves[done.trial]["val/loss"][done.weights_epoch - 1]
    if metric == "val/loss":
        assert [done.reason for report in reports for done in report.finished] == ["early_stopping"] * 2 + ["epochs"]
        assert reports[-1].finished[0].weights_epoch < 40


def test_a_trial_that_diverges_gives_back_its_best_weights_and_says_that_it_diverged():
    stack = Stack(
        Architecture(D, (8,), 3, "relu", "identity", "mse"),
        8,
        (Trial(0.2, 50, early_stopping=EarlyStopping(50)), Trial(0.2, 50)),
        "regression",
        dtype="float64",
    )
    values = Samples(np.random.default_rng(0).normal(size=(40, D)) * 3, np.ones((40, 3)))
    finished = {done.trial: (done, report) for report in train(stack, values, values, CPU) for done in report.finished}
    done, report = finished[0]
    assert done.diverged
    assert done.reason == "diverged"
    assert 1 <= done.weights_epoch < report.epoch
    assert all(np.isfinite(p).all() for p in done.parameters)
    last, report = finished[1]
    assert last.weights_epoch == report.epoch


def test_a_trial_whose_rate_can_be_reduced_no_further_ends():
    schedule = Adaptive(factor=0.01, patience=0, min_delta=10.0, minimum=1e-3)
    reports = list(train(Stack(NETWORK, 8, (Trial(0.1, 50, schedule=schedule),)), noise(40, 0), None, CPU))
    assert histories(reports, 1)[0]["train/learning_rate"] == [0.1, 0.1, 0.001]
    assert [done.reason for done in reports[-1].finished] == ["schedule"]


# The caller's say


def test_a_caller_ends_trials_by_what_it_sees_of_an_epoch():
    stack = stack_of_everything("sgd")
    wanted, _ = trained(stack)

    def second_after_three_epochs(report):
        return {1} if report.epoch == 3 else ()

    reports, finished = trained(stack, on_epoch=second_after_three_epochs)
    assert finished[1].reason == "stopped"
    assert finished[1].weights_epoch == 3
    assert [1 in report.trials for report in reports] == [report.epoch <= 3 for report in reports]
    others = [[trial for trial in report.trials if trial != 1] for report in reports]
    for report, same, trials in zip(reports, wanted, others, strict=False):
        for name in report.metrics:
            mine = [report.metrics[name][report.trials.index(trial)] for trial in trials]
            theirs = [same.metrics[name][same.trials.index(trial)] for trial in trials]
            assert mine == theirs


def test_a_caller_that_ends_every_trial_ends_the_training():
    reports = list(train(stack_of_everything("sgd"), samples(), samples(), CPU, on_epoch=lambda report: report.trials))
    assert [done.reason for done in reports[0].finished] == ["stopped"] * 4
    assert len(reports) == 1


def test_an_end_by_itself_is_not_called_the_callers():
    stack = Stack(NETWORK, 8, (Trial(0.1, 1),))
    (report,) = train(stack, noise(20, 0), None, CPU, on_epoch=lambda _: [0])
    assert [done.reason for done in report.finished] == ["epochs"]


def test_a_place_that_is_not_in_training_is_refused():
    stack = Stack(NETWORK, 8, (Trial(0.1, 5), Trial(0.1, 5)))
    with pytest.raises(ValueError, match=re.escape("on_epoch returned 2: use places of trials in training, (0, 1)")):
        next(train(stack, noise(20, 0), None, CPU, on_epoch=lambda _: [2]))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: EarlyStopping(patience=-1), "patience is -1: use 0 or more"),
        (lambda: EarlyStopping(patience=2.5), "patience is 2.5: use 0 or more"),
        (lambda: EarlyStopping(min_delta=-0.1), "min_delta is -0.1: use a finite number, 0 or more"),
        (lambda: EarlyStopping(min_delta=math.inf), "min_delta is inf: use a finite number, 0 or more"),
    ],
)
def test_a_wrong_number_is_named_with_its_value_and_what_is_allowed(make, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        make()
