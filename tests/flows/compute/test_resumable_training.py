"""Training that can be saved between any two epochs: where memory runs out, halves prune as the whole did."""

from typing import Any

import numpy as np
import pytest

from backprop import Parameters, Training, initial_parameters, select_backend
from backprop.backend import OutOfMemoryError
from flows.compute.pruning import Pruner
from flows.compute.resumable_training import ResumableTraining
from flows.compute.stack_training import samples_of
from flows.data.store import Dataset
from flows.parameters import Halving, Median, StopRule
from flows.ranking import objective
from flows.trials import PlannedTrial, WarmStart, plan_warm_start
from tests.flows.conftest import planned

CPU = select_backend("cpu")
EPOCHS = 8


def memory_runs_out(monkeypatch: pytest.MonkeyPatch, epoch: int) -> None:
    """Let there be no memory for more than two trials from an epoch on."""
    train = Training.epoch

    def tight(training: Training, *given: Any, **named: Any) -> Any:
        report = train(training, *given, **named)
        if len(training.stack.trials) > 2 and report.epoch >= epoch:
            raise OutOfMemoryError("full")
        return report

    monkeypatch.setattr(Training, "epoch", tight)


@pytest.mark.parametrize("rule", [Halving(rule="halving", factor=2, first=1), Median(rule="median", after=2)])
@pytest.mark.parametrize("epoch", [2, 4, 7])
def test_a_stack_that_trains_as_halves_prunes_as_the_whole_did_until_memory_ran_out(
    wine: Dataset, monkeypatch: pytest.MonkeyPatch, rule: StopRule, epoch: int
) -> None:
    trials = [planned(wine, learning_rate=0.0003 * 3**k, epochs=EPOCHS, seed=k) for k in (2, 0, 4, 1, 3)]
    samples = samples_of(wine.train, wine), samples_of(wine.validation, wine)

    def ends() -> dict[int, tuple[str, int]]:
        pruner = Pruner(rule, objective("classification"), [0] * len(trials))
        training = ResumableTraining(trials, "classification", samples, CPU, pruner)
        return {done.trial: (done.reason, report.epoch) for report in training.reports() for done in report.finished}

    whole = ends()
    memory_runs_out(monkeypatch, epoch)
    halves = ends()

    pruned = {place: end for place, end in whole.items() if end[0] == "stopped"}
    assert pruned
    assert {place: end for place, end in pruned.items() if end[1] < epoch}.items() <= halves.items()
    assert set(halves) == set(range(len(trials)))
    assert halves[max(whole, key=lambda place: whole[place][1])] == ("epochs", EPOCHS)


@pytest.mark.parametrize("halved", [False, True])
def test_a_warm_start_in_a_stack_with_its_cold_twin_is_what_each_is_alone(
    wine: Dataset, monkeypatch: pytest.MonkeyPatch, halved: bool
) -> None:
    """Both have the same hyperparameters, so nothing but what they begin with tells them apart."""
    cold, other = planned(wine, epochs=EPOCHS), planned(wine, epochs=EPOCHS, seed=7)
    start = WarmStart(version="wine version 1", digest="0" * 64, hyperparameters=cold.hyperparameters)
    warm = plan_warm_start(wine, start)
    assert warm.key != cold.key
    begins = {warm.key: initial_parameters(warm.architecture, [99], "float32")}
    samples = samples_of(wine.train, wine), samples_of(wine.validation, wine)

    def ends(*trials: PlannedTrial) -> dict[str, Parameters]:
        training = ResumableTraining(trials, "classification", samples, CPU, starts=begins)
        return {trials[done.trial].key: done.parameters for report in training.reports() for done in report.finished}

    alone = ends(warm) | ends(cold) | ends(other)
    if halved:
        memory_runs_out(monkeypatch, 2)

    together = ends(cold, warm, other)

    assert together.keys() == alone.keys()
    for key, parameters in together.items():
        for mine, wanted in zip(parameters, alone[key], strict=True):
            np.testing.assert_allclose(mine, wanted, rtol=1e-4, atol=1e-6)
    assert np.abs(together[warm.key].weights[0] - together[cold.key].weights[0]).max() > 0.01
