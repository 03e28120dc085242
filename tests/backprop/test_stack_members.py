"""A trial of a stack is the trial alone: neighbours, their end and their divergence change nothing of it."""

from dataclasses import replace

import numpy as np
import pytest
from everything import CPU, NUMBERS, samples, stack_of_everything, trained, without

from backprop import EpochReport, Finished, Stack, Training, Trial
from backprop.training import histories, stack_of_one


def assert_same_trial(
    found: tuple[list[EpochReport], dict[int, Finished]],
    wanted: tuple[list[EpochReport], dict[int, Finished]],
    trial: int,
    same: int,
    tolerance: float = 1e-12,
) -> None:
    (reports, finished), (wanted_reports, wanted_finished) = found, wanted
    curve, wanted_curve = [histories(r, 9)[k] for r, k in ((reports, trial), (wanted_reports, same))]
    assert curve.keys() == wanted_curve.keys()
    for name in curve:
        np.testing.assert_allclose(curve[name], wanted_curve[name], rtol=tolerance, err_msg=name)
    done, other = finished[trial], wanted_finished[same]
    assert (done.reason, done.weights_epoch) == (other.reason, other.weights_epoch)
    for a, b in zip(done.parameters, other.parameters, strict=True):
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("name", NUMBERS)
def test_a_member_of_a_stack_with_everything_equals_the_trial_alone(name):
    stack = stack_of_everything(name)
    together = trained(stack)
    for trial in range(4):
        assert_same_trial(together, trained(stack_of_one(stack, trial)), trial, 0)


def test_the_stack_with_everything_loses_its_trials_one_by_one_for_different_reasons():
    """Else the test above would not see compaction."""
    ends = set()
    for name in NUMBERS:
        reports, _ = trained(stack_of_everything(name))
        ends |= {(done.reason, report.epoch) for report in reports for done in report.finished}
    assert {reason for reason, _ in ends} >= {"epochs", "early_stopping", "schedule"}
    assert len({epoch for _, epoch in ends}) > 3


@pytest.mark.parametrize("name", NUMBERS)
@pytest.mark.parametrize("place", [0, 1, 2, 3])
def test_a_neighbour_that_is_not_there_changes_no_bit_of_the_others(name, place):
    stack = stack_of_everything(name)
    together, apart = trained(stack), trained(without(stack, place))
    others = [trial for trial in range(4) if trial != place]
    for same, trial in enumerate(others):
        assert_same_trial(together, apart, trial, same, tolerance=0)


@pytest.mark.parametrize("name", NUMBERS)
def test_a_neighbour_that_diverges_changes_no_bit_of_the_others_nor_of_their_optimisers_memory(name):
    stack = stack_of_everything(name)
    wild = replace(
        stack.trials[2], learning_rate=1e300, schedule=stack.trials[0].schedule, clip_norm=None, early_stopping=None
    )
    with_wild, calm = replace(stack, trials=(*stack.trials[:2], wild, stack.trials[3])), without(stack, 2)
    reports, finished = trained(with_wild)
    assert finished[2].diverged
    assert finished[2].reason == "diverged"
    wanted = trained(calm)
    for same, trial in enumerate((0, 1, 3)):
        assert_same_trial((reports, finished), wanted, trial, same, tolerance=0)

    runs = [Training(each, CPU) for each in (with_wild, calm)]
    for run in runs:
        training, validation = run.place(samples()), run.place(samples(20, seed=1))
        for _ in range(4):
            run.epoch(training, validation)
    left, never = [run.checkpoint() for run in runs]
    assert [with_wild.trials[k] for k in left.active] == [calm.trials[k] for k in never.active]
    assert left.memories.keys() == never.memories.keys()
    for memory in left.memories:
        for a, b in zip(left.memories[memory], never.memories[memory], strict=True):
            np.testing.assert_array_equal(a, b)


def test_the_same_dropout_at_any_place_in_the_stack():
    stack = stack_of_everything("momentum")
    turned = replace(stack, trials=stack.trials[::-1])
    found, wanted = trained(turned), trained(stack)
    for trial in range(4):
        assert_same_trial(found, wanted, 3 - trial, trial, tolerance=0)


@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_a_trial_without_dropout_is_not_changed_by_neighbours_with_it(dropout):
    stack = stack_of_everything("sgd")
    plain = Trial(0.1, 6, seed=2)
    with_neighbour = Stack(stack.architecture, 7, (Trial(0.1, 6, seed=1, dropout=dropout), plain), dtype="float64")
    assert_same_trial(trained(with_neighbour), trained(stack_of_one(with_neighbour, 1)), 1, 0, tolerance=0)
