"""Stop rules: who goes on at a rung, that somebody always does, and that a restored state decides the same."""

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backprop import Architecture, Backend, EpochReport, Finished, Parameters
from flows.compute.pruning import Pruner, PruningState, SeenTrial, bracket_sizes, deal, rungs, seen_trial
from flows.parameters import Halving, Hyperband, Hyperparameters, Median, StopRule
from flows.ranking import objective
from flows.trials import PlannedTrial, trial_key

GOAL = objective("classification")
ERROR = objective("regression")
CPU = Backend(np)
EPOCHS = 12

rules = st.one_of(
    st.builds(Halving, rule=st.just("halving"), factor=st.integers(2, 4), first=st.integers(1, 3)),
    st.builds(Hyperband, rule=st.just("hyperband"), factor=st.integers(2, 4), first=st.integers(1, 3)),
    st.builds(Median, rule=st.just("median"), after=st.integers(1, 5)),
)
# Of few values, so that there are ties.
curves = st.builds(
    lambda trials, seed: (np.random.default_rng(seed).integers(0, 9, (trials, EPOCHS)) / 8).tolist(),
    trials=st.integers(1, 20),
    seed=st.integers(0, 2**32),
)


def halving(factor: int = 3, first: int = 1) -> Halving:
    return Halving(rule="halving", factor=factor, first=first)


def hyperband(factor: int = 3, first: int = 1) -> Hyperband:
    return Hyperband(rule="hyperband", factor=factor, first=first)


def accuracies(values: Sequence[float]) -> dict[str, np.ndarray]:
    return {"val/accuracy": np.array(values), "val/loss": 1 - np.array(values)}


def finish(place: int, *, diverged: bool = False) -> Finished:
    return Finished(place, Parameters([], []), diverged, "diverged" if diverged else "epochs")


def stopped(
    pruner: Pruner, scores: Sequence[Sequence[float]], since: int = 0, active: Sequence[int] | None = None
) -> Iterator[tuple[int, tuple[int, ...]]]:
    """Let a stack train as if these were its accuracies; yield each epoch with the places that go on after it."""
    going = tuple(range(len(scores)) if active is None else active)
    for epoch in range(since + 1, len(scores[0]) + 1):
        ended = tuple(finish(place) for place in going) if epoch == len(scores[0]) else ()
        stops = pruner.observe(EpochReport(epoch, going, accuracies([scores[k][epoch - 1] for k in going]), ended))
        assert stops <= set(going) - {done.trial for done in ended}
        going = tuple(place for place in going if place not in stops)
        yield epoch, going


def brackets_of(rule: StopRule, trials: int) -> list[int]:
    """Deal as a search does: every bracket there is, in turn."""
    latest = len(bracket_sizes(rule, EPOCHS)) if isinstance(rule, Hyperband) else 1
    return [place % latest for place in range(trials)]


@given(rule=rules, scores=curves)
def test_somebody_is_always_trained_to_the_end(rule: StopRule, scores: list[list[float]]) -> None:
    pruner = Pruner(rule, GOAL, brackets_of(rule, len(scores)))

    left = [going for _, going in stopped(pruner, scores)]

    assert left[-1]
    assert all(set(after) <= set(before) for before, after in pairwise(left))


@given(rule=st.builds(halving, factor=st.integers(2, 4), first=st.integers(1, 3)), scores=curves)
def test_at_a_rung_the_best_go_on_and_no_more_than_their_part(rule: Halving, scores: list[list[float]]) -> None:
    going: tuple[int, ...] = tuple(range(len(scores)))
    for epoch, after in stopped(Pruner(rule, GOAL, [0] * len(scores)), scores):
        if epoch < EPOCHS and epoch in rungs(rule, 0, EPOCHS):
            assert len(after) == max(1, len(going) // rule.factor)
            ranked = sorted(going, key=lambda place: (-scores[place][epoch - 1], place))
            assert after == tuple(sorted(ranked[: len(after)]))
        else:
            assert after == going
        going = after


@given(rule=rules, scores=curves, until=st.integers(1, EPOCHS - 1), behind=st.integers(0, 1))
def test_a_restored_state_decides_as_if_nothing_had_happened(
    rule: StopRule, scores: list[list[float]], until: int, behind: int
) -> None:
    brackets = brackets_of(rule, len(scores))
    whole = list(stopped(Pruner(rule, GOAL, brackets), scores))
    first = Pruner(rule, GOAL, brackets)
    for _ in zip(range(until), stopped(first, scores)):  # noqa: B905 - as many epochs as were trained
        pass

    kept = PruningState.model_validate_json(first.state().model_dump_json())
    # The checkpoint beside it may be an epoch older: then that epoch's report comes again.
    since = until - behind
    active = dict(whole)[since] if since else None
    second = list(stopped(Pruner(rule, GOAL, brackets, state=kept), scores, since, active))

    assert second == whole[since:]


def test_a_bracket_of_81_epochs_has_the_papers_counts_at_its_rungs() -> None:
    rule, epochs = hyperband(), 81
    sizes = bracket_sizes(rule, epochs)
    brackets = [bracket for bracket, size in enumerate(sizes) for _ in range(size)]
    scores = [[k / len(brackets)] * epochs for k in np.random.default_rng(0).permutation(len(brackets))]

    counts: dict[int, list[int]] = {bracket: [size] for bracket, size in enumerate(sizes)}
    for epoch, going in stopped(Pruner(rule, GOAL, brackets), scores):
        for bracket in counts:
            if epoch < epochs and epoch in rungs(rule, bracket, epochs):
                counts[bracket].append(sum(brackets[place] == bracket for place in going))

    # Li et al. 2018, table 1: n_i at 1, 3, 9, 27 and 81 epochs, each bracket from its own first on.
    assert counts == {0: [81, 27, 9, 3, 1], 1: [34, 11, 3, 1], 2: [15, 5, 1], 3: [8, 2], 4: [5]}
    assert [rungs(rule, bracket, epochs) for bracket in counts] == [(1, 3, 9, 27), (3, 9, 27), (9, 27), (27,), ()]


def planned(seed: int, width: int = 8, epochs: int = 81) -> PlannedTrial:
    chosen = Hyperparameters(
        hidden=(width,), activation="relu", learning_rate=0.1, batch_size=32, epochs=epochs, seed=seed
    )
    architecture = Architecture(4, (width,), 3)
    return PlannedTrial(key=trial_key("d", architecture, chosen), hyperparameters=chosen, architecture=architecture)


def test_a_round_of_hyperband_is_dealt_as_the_paper_sizes_it() -> None:
    dealt = deal([planned(seed) for seed in range(143)], hyperband())

    assert Counter(dealt.values()) == {0: 81, 1: 34, 2: 15, 3: 8, 4: 5}


@settings(max_examples=20)
@given(trials=st.permutations([planned(seed, width) for seed in range(20) for width in (8, 16)]))
def test_whatever_their_order_trials_come_into_the_same_brackets_and_stack_mates_into_all(
    trials: list[PlannedTrial],
) -> None:
    dealt = deal(trials, hyperband())

    assert dealt == deal(sorted(trials, key=lambda trial: trial.key), hyperband())
    for width in (8, 16):
        counts = Counter(dealt[trial.key] for trial in trials if trial.hyperparameters.hidden == (width,))
        for bracket, size in enumerate(bracket_sizes(hyperband(), 81)):
            assert counts[bracket] == pytest.approx(20 * size / 143, abs=1.5)


def test_other_rules_have_one_bracket() -> None:
    assert set(deal([planned(0), planned(1)], halving()).values()) == {0}


def test_a_trial_is_compared_with_those_of_earlier_stacks_in_its_bracket() -> None:
    earlier = [SeenTrial(bracket=0, scores={1: (-0.9, 0.1)}), SeenTrial(bracket=1, scores={1: (-0.1, 0.9)})]
    report = EpochReport(1, (0, 1, 2), accuracies([0.5, 0.95, 0.6]), ())

    # 4 known at the rung, 2 go on: 0.95 and the earlier stack's 0.9.
    assert Pruner(halving(2), GOAL, [0, 0, 0], earlier).observe(report) == {0, 2}
    assert Pruner(halving(4), GOAL, [0, 0, 0], [SeenTrial(scores={1: (-0.99, 0)})]).observe(report) == {0, 1, 2}


def test_a_trial_that_diverged_takes_no_place_of_those_that_go_on() -> None:
    report = EpochReport(1, (0, 1, 2, 3), accuracies([0.5, np.nan, 0.4, 0.6]), (finish(1, diverged=True),))

    pruner = Pruner(halving(3), GOAL, [0] * 4)

    assert pruner.observe(report) == {0, 2}
    assert pruner.state().trials[1].scores == {}


def test_the_median_rule_ends_whose_best_is_below_the_others_means() -> None:
    pruner = Pruner(Median(rule="median", after=2), GOAL, [0, 0, 0])

    assert pruner.observe(EpochReport(1, (0, 1, 2), accuracies([0.1, 0.6, 0.6]), ())) == set()
    # The best of trial 0 is 0.5; the others' means are 0.7 and 0.5, whose median is 0.6. Of trial 2 the best is 0.6,
    # above the median of 0.3 and 0.7.
    assert pruner.observe(EpochReport(2, (0, 1, 2), accuracies([0.5, 0.8, 0.4]), ())) == {0}
    # Trial 0 still counts, with the mean of what it had: 0.3.
    assert pruner.observe(EpochReport(3, (1, 2), accuracies([0.9, 0.4]), ())) == set()


def test_an_error_is_better_the_lower_and_compared_in_the_unit_that_mlflow_has() -> None:
    unit = 77.0
    rmse = np.array([0.7, 0.4])
    metrics = {"val/rmse": rmse, "val/loss": rmse**2}
    pruner = Pruner(halving(2), ERROR, [0, 0], unit=unit)

    assert pruner.observe(EpochReport(1, (0, 1), metrics, ())) == {0}

    recorded = {1: {"val/rmse": float(rmse[0]) * unit, "val/loss": float(rmse[0] ** 2)}}
    assert pruner.state().trials[0] == seen_trial(halving(2), ERROR, 0, recorded)
