"""What Optuna is asked for: trials of the space, the same for the same results, and better than chance."""

import math
import sys
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flows.errors import SpaceError
from flows.optuna_sampler import ask
from flows.parameters import Hyperparameters, OptunaTrials, Space
from flows.ranking import OBJECTIVES, Candidate
from flows.spaces import draws
from flows.tracking.search_runs import TrialRecord

ACCURACY, RMSE = OBJECTIVES["classification"], OBJECTIVES["regression"]

CONDITIONAL: dict[str, object] = {
    "count": 48,
    "batch": 8,
    "startup": 8,
    "hidden": {"choice": [[], [8], [8, 4]]},
    "optimizer": {"choice": ["sgd", "momentum", "adamw"]},
    "learning_rate": {"log_uniform": [0.0001, 10]},
    "momentum": {"uniform": [0.5, 0.99]},
    "weight_decay": {"log_uniform": [0.0001, 0.1]},
    "batch_size": {"integer": [8, 64]},
    "dropout": {"choice": [0, 0.1, 0.5]},
}

Known = list[tuple[Hyperparameters, Candidate | None]]


def wanted(**changes: object) -> OptunaTrials:
    return OptunaTrials.model_validate({**CONDITIONAL, **changes})


def reached(score: float, *, diverged_at: int | None = None, pruned_at: int | None = None) -> Candidate:
    record = TrialRecord("k", "r", "n", {}, {"val/accuracy": score, "val/rmse": score}, diverged_at, pruned_at)
    return Candidate("n", "c", (record,))


def bowl(trial: Hyperparameters) -> float:
    """Return 0 at a rate of 0.1 of momentum 0.9 with two layers, and less everywhere else."""
    off = abs(math.log10(trial.learning_rate) + 1) + 0.5 * (2 - len(trial.hidden))
    return -off - (10 * abs(trial.optimizer_numbers["momentum"] - 0.9) if trial.optimizer == "momentum" else 2)


def search(space: OptunaTrials, result: Callable[[Hyperparameters], Candidate | None]) -> Known:
    """Ask for all batches, each of what the ones before it reached."""
    known: Known = []
    for number in range(space.batches):
        known += [(trial, result(trial)) for trial in ask(space, number, known, ACCURACY)]
    return known


def best(known: Known) -> float:
    return max(candidate.metrics["val/accuracy"] for _, candidate in known if candidate is not None)


def test_what_is_asked_for_is_of_the_space() -> None:
    for trial, _ in search(wanted(), lambda trial: reached(bowl(trial))):
        assert trial.hidden in {(), (8,), (8, 4)}
        assert 0.0001 <= trial.learning_rate <= 10
        assert float(f"{trial.learning_rate:.6g}") == trial.learning_rate
        assert 8 <= trial.batch_size <= 64
        assert trial.dropout in {0, 0.1, 0.5}
        assert (trial.epochs, trial.seed, trial.activation) == (20, 0, "relu")
        assert (
            set(trial.optimizer_numbers)
            == {"sgd": set(), "momentum": {"momentum"}, "adamw": {"weight_decay"}}[trial.optimizer]
        )


def test_the_same_results_lead_to_the_same_trials_and_a_longer_search_begins_with_them() -> None:
    def result(trial: Hyperparameters) -> Candidate:
        return reached(bowl(trial))

    trials = search(wanted(), result)

    assert search(wanted(), result) == trials
    assert search(wanted(count=51), result)[:48] == trials
    assert search(wanted(seed=1), result) != trials


def test_results_change_what_is_asked_for() -> None:
    first = ask(wanted(), 0, [], ACCURACY)

    up = ask(wanted(), 1, [(trial, reached(bowl(trial))) for trial in first], ACCURACY)
    down = ask(wanted(), 1, [(trial, reached(bowl(trial))) for trial in first], RMSE)

    assert up != down


def test_it_finds_more_than_as_many_random_draws() -> None:
    seeds = range(3)
    asked = [best(search(wanted(seed=seed), lambda trial: reached(bowl(trial)))) for seed in seeds]
    drawn = [max(map(bowl, draws(wanted(seed=seed)))) for seed in seeds]

    assert sum(asked) / len(asked) > sum(drawn) / len(drawn) + 0.3


def asked_above(rate: float, result: Callable[[Hyperparameters], Candidate | None]) -> int:
    """Return how many trials are asked for above a rate once there are results: 20 of 40 by chance."""
    return sum(trial.learning_rate > rate for trial, _ in search(wanted(), result)[8:])


def test_rates_at_which_networks_diverge_are_left_alone() -> None:
    def score(trial: Hyperparameters) -> float:
        return -abs(math.log10(trial.learning_rate) + 3)

    diverged = asked_above(0.03, lambda t: reached(score(t), diverged_at=1 if t.learning_rate > 0.03 else None))
    failed = asked_above(0.03, lambda t: reached(score(t)) if t.learning_rate <= 0.03 else None)

    assert diverged <= 8
    assert failed > diverged + 4


def test_a_pruned_trial_counts_less_than_any_that_was_trained_to_its_end() -> None:
    def score(trial: Hyperparameters) -> float:
        return math.log10(trial.learning_rate)

    pruned = asked_above(0.01, lambda t: reached(score(t), pruned_at=1 if t.learning_rate > 0.01 else None))
    whole = asked_above(0.01, lambda t: reached(score(t)))

    assert whole >= 30
    assert pruned < whole - 10


def test_trials_that_failed_say_nothing() -> None:
    first = ask(wanted(), 0, [], ACCURACY)
    failed: Known = [(trial, None) for trial in first]
    other: Known = [(trial, None) for trial in reversed(first)]

    assert ask(wanted(), 1, failed, ACCURACY) == ask(wanted(), 1, other, ACCURACY)


def test_a_score_that_is_no_number_is_told_as_a_divergence() -> None:
    first = ask(wanted(), 0, [], ACCURACY)

    nothing = ask(wanted(), 1, [(trial, reached(math.nan)) for trial in first], ACCURACY)

    assert nothing == ask(wanted(), 1, [(trial, reached(0.5, diverged_at=3)) for trial in first], ACCURACY)


@settings(deadline=None, max_examples=8)
@given(seed=st.integers(0, 2**32), epochs=st.integers(2, 50))
def test_whatever_was_asked_for_can_be_told(seed: int, epochs: int) -> None:
    space = wanted(seed=seed, count=16, epochs={"integer": [1, epochs]}, momentum={"choice": [0.5, 0.9]})

    # A momentum of 0.9 is the optimiser's own, and left out of a trial.
    assert len(search(space, lambda trial: reached(trial.learning_rate))) == 16


def test_a_space_of_few_choices_is_asked_for_again() -> None:
    space = OptunaTrials.model_validate(
        {"count": 12, "batch": 4, "startup": 4, "hidden": [8], "learning_rate": {"choice": [0.1, 0.3]}}
    )

    assert {trial.learning_rate for trial, _ in search(space, lambda trial: reached(trial.learning_rate))} == {0.1, 0.3}


def test_without_optuna_one_line_names_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)

    with pytest.raises(SpaceError, match=r"which is not installed; install it with `pip install 'backprop\[optuna\]'`"):
        ask(wanted(), 0, [], ACCURACY)


def test_the_key_of_a_search_without_optuna_is_what_it_was() -> None:
    space = Space.model_validate({"grid": {"hidden": [[8]], "learning_rate": [0.1]}})

    assert set(space.asked()) == {"grid"}
