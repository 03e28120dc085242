import math
import re
from dataclasses import FrozenInstanceError

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.neural_network import MLPClassifier
from sklearn.neural_network._stochastic_optimizers import SGDOptimizer

from backprop.schedules import (
    SCHEDULES,
    Adaptive,
    Constant,
    Cosine,
    Exponential,
    InverseScaling,
    Moment,
    Pace,
    ReduceOnPlateau,
    Schedule,
    Step,
    WarmUp,
    schedule,
)

LOSSES = st.lists(st.floats(0, 2).map(lambda v: round(v, 2)), min_size=1, max_size=40)


def rates(
    kind: Schedule, base: float, losses: list[float], samples: int = 10, epochs: int | None = None
) -> list[float]:
    """The learning rates of epochs that end with these values of what is watched, until the schedule is exhausted."""
    pace, found = Pace(base), []
    for index, loss in enumerate(losses):
        moment = Moment(index, epochs or len(losses), index * samples)
        found.append(kind.rate(base, moment, pace))
        pace = kind.observe(pace, moment, {"train/loss": loss, "val/loss": loss, "val/accuracy": -loss})
        if pace.exhausted:
            break
    return found


# Those that follow the epoch


@pytest.mark.parametrize(
    ("kind", "wanted"),
    [
        (Constant(), [0.8] * 6),
        (Step(every=2, factor=0.5), [0.8, 0.8, 0.4, 0.4, 0.2, 0.2]),
        (Exponential(0.5), [0.8, 0.4, 0.2, 0.1, 0.05, 0.025]),
        (Cosine(epochs=4), [0.8, 0.4 + 0.4 * math.sqrt(0.5), 0.4, 0.4 - 0.4 * math.sqrt(0.5), 0, 0]),
        (Cosine(epochs=2, minimum=0.2), [0.8, 0.5, 0.2, 0.2, 0.2, 0.2]),
        (Cosine(), [0.8 * (1 + math.cos(math.pi * i / 6)) / 2 for i in range(6)]),
        (WarmUp(4, 0.2), [0.16, 0.32, 0.48, 0.64, 0.8, 0.8]),
        (WarmUp(2, 0.5, Step(every=1, factor=0.5)), [0.4, 0.6, 0.8, 0.4, 0.2, 0.1]),
        (WarmUp(3, 1.0, Cosine()), [0.8, 0.8, 0.8, 0.8, 0.6, 0.2]),
        (WarmUp(1, 0.5, WarmUp(2, 0.25, Exponential(0.5))), [0.4, 0.2, 0.5, 0.8, 0.4, 0.2]),
    ],
    ids=repr,
)
def test_the_rate_of_every_epoch(kind, wanted):
    np.testing.assert_allclose(rates(kind, 0.8, [1.0] * 6), wanted, rtol=1e-12, atol=1e-15)


def test_a_constant_rate_is_the_trials_to_the_bit():
    assert rates(Constant(), 0.1, [1.0] * 3) == [0.1] * 3


@given(base=st.floats(1e-4, 1), power=st.floats(0, 2), samples=st.integers(1, 1000))
def test_inverse_scaling_is_scikit_learns_invscaling(base, power, samples):
    theirs = SGDOptimizer([np.zeros(1)], base, lr_schedule="invscaling", power_t=power)
    wanted = []
    for epoch in range(1, 6):
        wanted.append(theirs.learning_rate)
        theirs.iteration_ends(epoch * samples)
    np.testing.assert_allclose(rates(InverseScaling(power), base, [1.0] * 5, samples), wanted, rtol=1e-12)


# Those that follow a metric


def adaptive_of_scikit_learn(base: float, losses: list[float], patience: int, tol: float) -> list[float]:
    """Learning rates of the epochs until `learning_rate="adaptive"` ends training; losses fed by hand."""
    model = MLPClassifier(n_iter_no_change=patience, tol=tol)
    model._no_improvement_count, model.best_loss_, model.loss_curve_ = 0, np.inf, []
    rule = SGDOptimizer([np.zeros(1)], base, lr_schedule="adaptive")
    found = []
    for loss in losses:
        found.append(rule.learning_rate)
        model.loss_curve_.append(loss)
        model._update_no_improvement_count(False, None, None, None)
        if model._no_improvement_count > patience:
            if rule.trigger_stopping("", verbose=False):
                break
            model._no_improvement_count = 0
    return found


@given(
    losses=LOSSES, patience=st.integers(1, 4), tol=st.sampled_from([0.0, 0.105, 0.5]), base=st.sampled_from([1, 1e-5])
)
def test_adaptive_is_scikit_learns_and_ends_the_trial_when_it_does(losses, patience, tol, base):
    found = rates(Adaptive(patience=patience, min_delta=tol), base, losses)
    np.testing.assert_allclose(found, adaptive_of_scikit_learn(base, losses, patience, tol), rtol=1e-12)


def test_a_plateau_is_left_only_by_a_new_best_and_waiting_starts_anew_after_a_reduction():
    plateau = ReduceOnPlateau(factor=0.5, patience=1, min_delta=0.1)
    losses = [1.0, 0.95, 0.91, 0.8, 0.8, 0.8, 0.8, 0.8, 0.1]
    assert rates(plateau, 1.0, losses) == [1, 1, 1, 0.5, 0.5, 0.5, 0.25, 0.25, 0.125]


def test_a_slow_creep_adds_up_to_a_new_best_for_a_plateau_but_not_for_adaptive():
    creep = [1 - 0.06 * epoch for epoch in range(8)]
    assert rates(ReduceOnPlateau(factor=0.5, patience=1, min_delta=0.1), 1.0, creep) == [1.0] * 8
    assert rates(Adaptive(factor=0.5, patience=1, min_delta=0.1), 1.0, creep)[-1] < 1


def test_a_value_that_beats_the_best_by_min_delta_exactly_is_no_new_best_of_a_plateau():
    plateau = ReduceOnPlateau(factor=0.5, patience=0, min_delta=0.25)
    assert rates(plateau, 1.0, [1.0, 0.75, 0.75, 0.5, 0.5]) == [1, 1, 0.5, 0.25, 0.25]


def test_as_many_epochs_as_the_patience_may_bring_nothing_better_before_a_reduction():
    plateau = ReduceOnPlateau(factor=0.5, patience=3)
    assert rates(plateau, 1.0, [1.0] * 10) == [1, 1, 1, 1, 1, 0.5, 0.5, 0.5, 0.5, 0.25]


def test_an_adaptive_trial_at_its_minimum_rate_exactly_ends_where_it_would_be_reduced():
    adaptive = Adaptive(factor=0.5, patience=0, minimum=0.25)
    assert rates(adaptive, 1.0, [1.0] * 9) == [1, 1, 0.5, 0.25]


def test_a_rate_is_reduced_no_further_than_the_minimum_and_never_raised_to_it():
    down = ReduceOnPlateau(factor=0.1, patience=0, minimum=0.05)
    assert rates(down, 1.0, [1.0] * 5) == pytest.approx([1, 1, 0.1, 0.05, 0.05])
    assert rates(down, 0.01, [1.0] * 4) == [0.01] * 4


@pytest.mark.parametrize("kind", [ReduceOnPlateau, Adaptive])
def test_of_accuracy_more_is_better(kind):
    watching = kind(factor=0.5, patience=0, min_delta=0.0, metric="val/accuracy")
    assert rates(watching, 1.0, [1.0, 0.9, 0.8, 0.7]) == [1.0] * 4
    assert rates(watching, 1.0, [1.0, 1.1, 1.2, 1.3])[-1] < 1


@pytest.mark.parametrize(("metric", "best"), [("val/r2", -0.25), ("val/accuracy", -0.25), ("val/rmse", 0.25)])
def test_the_best_value_is_remembered_negated_where_more_is_better(metric, best):
    assert Adaptive(metric=metric).observe(Pace(1.0), Moment(0, 9, 0), {metric: 0.25}).best == best


def test_epochs_before_any_value_is_a_number_are_waited_for_as_all_others():
    assert rates(ReduceOnPlateau(factor=0.5, patience=1), 1.0, [math.nan] * 5) == [1, 1, 0.5, 0.5, 0.25]


@pytest.mark.parametrize("kind", [ReduceOnPlateau, Adaptive])
@pytest.mark.parametrize("value", [math.inf, math.nan])
def test_a_metric_that_is_no_number_is_no_best(kind, value):
    watching = kind(factor=0.5, patience=0, metric="val/loss")
    pace = watching.observe(Pace(1.0), Moment(0, 9, 0), {"val/loss": value})
    assert pace.best is None


def test_what_follows_a_warm_up_sees_neither_its_epochs_nor_its_metrics():
    plateau = ReduceOnPlateau(factor=0.5, patience=0)
    warm = rates(WarmUp(3, 0.1, plateau), 1.0, [0.0, 0.0, 0.0, 1.0, 1.0, 1.0])
    assert warm[3:] == rates(plateau, 1.0, [1.0, 1.0, 1.0])
    assert WarmUp(3, 0.1, plateau).watched == "val/loss"


def test_what_follows_a_warm_up_as_long_as_the_trial_has_an_epoch_to_run_its_course():
    warm = WarmUp(3, 0.1, Cosine(minimum=0.1))
    assert [warm.rate(0.5, Moment(index, 3, 0), Pace(0.5)) for index in (3, 4, 5)] == [0.5, 0.1, 0.1]


def test_only_the_schedules_that_follow_a_metric_name_one():
    watched = {name: kind().watched for name, kind in SCHEDULES.items()}
    assert {name: metric for name, metric in watched.items() if metric} == {
        "reduce_on_plateau": "val/loss",
        "adaptive": "train/loss",
    }


# Names and numbers


def test_a_schedule_is_made_by_name_and_numbers():
    assert schedule("step", every=3) == Step(every=3)
    assert {name: type(schedule(name)) for name in SCHEDULES} == SCHEDULES


def test_defaults_are_scikit_learns_where_it_has_the_schedule():
    theirs = MLPClassifier()
    assert InverseScaling().power == theirs.power_t
    assert (Adaptive().patience, Adaptive().min_delta) == (theirs.n_iter_no_change, theirs.tol)
    assert (Adaptive().factor, Adaptive().minimum) == (1 / 5, 1e-6)
    assert ReduceOnPlateau() == ReduceOnPlateau(factor=0.1, patience=10, min_delta=1e-4, minimum=0.0)
    assert Step() == Step(every=10, factor=0.1)
    assert WarmUp() == WarmUp(epochs=5, start=0.1, then=Constant())


@pytest.mark.parametrize("one", [Moment(0, 9, 0), Pace(1.0), *(kind() for kind in SCHEDULES.values())], ids=repr)
def test_a_number_cannot_be_changed_after_it_was_checked(one):
    with pytest.raises(FrozenInstanceError):
        one.factor = 2.0


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: schedule("cosin"), "schedule 'cosin' is unknown: did you mean 'cosine'? use one of constant, step"),
        (lambda: schedule("step", gama=0.5), "Step number 'gama' is unknown: use one of every, factor"),
        (lambda: schedule("step", evry=2), "Step number 'evry' is unknown: did you mean 'every'?"),
        (lambda: Step(every=0), "every is 0: use at least 1"),
        (lambda: Step(factor=0), "factor is 0: use more than 0 and at most 1"),
        (lambda: Exponential(1.1), "factor is 1.1: use more than 0 and at most 1"),
        (lambda: Cosine(epochs=0), "epochs is 0: use at least 1"),
        (lambda: Cosine(epochs=2.5), "epochs is 2.5: use at least 1"),
        (lambda: Cosine(minimum=-1), "minimum is -1: use a finite number, 0 or more"),
        (lambda: InverseScaling(-0.5), "power is -0.5: use a finite number, 0 or more"),
        (lambda: ReduceOnPlateau(factor=2), "factor is 2: use more than 0 and at most 1"),
        (lambda: ReduceOnPlateau(patience=-1), "patience is -1: use 0 or more"),
        (lambda: ReduceOnPlateau(min_delta=-1), "min_delta is -1: use a finite number, 0 or more"),
        (lambda: ReduceOnPlateau(minimum=math.inf), "minimum is inf: use a finite number, 0 or more"),
        (lambda: Adaptive(factor=-1), "factor is -1: use more than 0 and at most 1"),
        (lambda: Adaptive(patience=1.5), "patience is 1.5: use 0 or more"),
        (lambda: Adaptive(min_delta=math.nan), "min_delta is nan: use a finite number, 0 or more"),
        (lambda: Adaptive(minimum=-1), "minimum is -1: use a finite number, 0 or more"),
        (lambda: WarmUp(epochs=0), "epochs is 0: use at least 1"),
        (lambda: WarmUp(start=0), "start is 0: use more than 0 and at most 1"),
        (lambda: WarmUp(then="cosine"), "then is 'cosine': use a schedule such as Constant()"),
    ],
)
def test_a_wrong_number_is_named_with_its_value_and_what_is_allowed(make, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        make()
