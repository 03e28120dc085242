"""What mattered: found where something did, held to scikit-learn's own out-of-bag predictions, and not made up."""

import numpy as np
import pytest
from sklearn.ensemble import RandomForestRegressor

from flows.ranking import Candidate, Objective
from flows.report.hyperparameters import (
    BINS,
    TREES,
    UnseenForest,
    encode,
    measure_importances,
    scores_by_value,
    varying,
)
from flows.tracking.search_runs import TrialRecord

ACCURACY = Objective("val/accuracy", maximise=True)


def candidate(score: float, **params: object) -> Candidate:
    chosen = {"hidden": "8", "activation": "relu", "learning_rate": "0.1", "seed": "0", "n_layers": "1", "epochs": "5"}
    chosen |= {name: str(value) for name, value in params.items()}
    record = TrialRecord("key", "run", "name", chosen, {"val/accuracy": score, "val/loss": 1 - score}, None)
    return Candidate("name", "key", (record,))


def space(count: int, noise: float = 0.01) -> list[Candidate]:
    """Return configurations whose score follows the learning rate, and a little the widths; the seed does nothing."""
    draw = np.random.default_rng(0)
    found = []
    for seed in range(count):
        rate, hidden = 10 ** draw.uniform(-4, 0), draw.choice(["8", "16", "64-32"])
        score = 0.8 - 0.1 * (np.log10(rate) + 2) ** 2 / 4 + 0.02 * (hidden == "64-32") + noise * draw.normal()
        layers = hidden.count("-") + 1
        found.append(candidate(score, learning_rate=rate, hidden=hidden, n_layers=layers, seed=seed))
    return found


def test_what_the_score_follows_comes_first_and_a_seed_that_does_nothing_is_near_zero() -> None:
    found = measure_importances(space(200), ACCURACY)

    assert found is not None
    assert [one.name for one in found.each] == ["learning_rate", "hidden", "seed"]
    rate, hidden, seed = found.each
    assert rate.value > 1 > hidden.value > seed.value
    assert abs(seed.value) < 0.05
    assert all(one.low <= one.value <= one.high for one in found.each)
    assert 0.7 < found.explained < 1


def test_of_scores_that_follow_nothing_the_forest_says_that_it_knows_nothing() -> None:
    draw = np.random.default_rng(1)
    found = measure_importances(
        [candidate(draw.uniform(), learning_rate=draw.uniform(), l2=draw.uniform()) for _ in range(100)], ACCURACY
    )
    assert found is not None
    assert found.explained < 0.1


def test_the_forest_predicts_what_scikit_learn_calls_out_of_bag() -> None:
    candidates = space(120)
    scores = np.array([one.metrics["val/accuracy"] for one in candidates])
    codes, tables = encode(candidates, ["learning_rate", "hidden"])

    ours = UnseenForest(tables, seed=3).fit(codes, scores).predict(codes)

    inputs = np.hstack([tables[0][codes[:, 0]], tables[1][codes[:, 1]]])
    theirs = RandomForestRegressor(TREES, min_samples_leaf=2, random_state=3, oob_score=True).fit(inputs, scores)
    np.testing.assert_allclose(ours, theirs.oob_prediction_, rtol=1e-6)


def test_nothing_is_said_of_few_configurations_or_of_equal_scores() -> None:
    assert measure_importances(space(5), ACCURACY) is None
    assert measure_importances([candidate(0.5, l2=value) for value in range(30)], ACCURACY) is None


def test_each_value_has_the_median_and_quartiles_of_those_that_share_it_and_counts_what_diverged() -> None:
    ranked = [candidate(score, activation=name) for name, score in zip("aaaab", (0.1, 0.2, 0.3, 0.4, 0.9), strict=True)]
    diverged = [candidate(float("nan"), activation="b")]

    first, second = scores_by_value(ranked, diverged, "activation", ACCURACY)

    assert (first.value, first.count, first.median, first.low, first.high) == pytest.approx(
        ("a", 4, 0.25, 0.175, 0.325)
    )
    assert (second.value, second.count, second.median, second.diverged) == ("b", 1, 0.9, 1)


def test_many_values_share_bins_that_hold_every_configuration() -> None:
    candidates = space(120)
    bins = scores_by_value(candidates, [], "learning_rate", ACCURACY)
    assert len(bins) == BINS
    assert sum(one.count for one in bins) == 120
    assert varying(candidates) == ["hidden", "learning_rate", "seed"]


def test_a_value_that_many_have_stands_beside_the_bins_of_those_that_one_has() -> None:
    momenta = [0.0] * 8 + [0.9 + 0.005 * place for place in range(10)]
    candidates = [candidate(0.5 + momentum / 10, momentum=momentum) for momentum in momenta]

    scores = scores_by_value(candidates, [], "momentum", ACCURACY)

    assert [one.value for one in scores] == ["0", *(one.value for one in scores[1:])]
    assert [one.count for one in scores] == [8, 2, 1, 2, 1, 2, 2]
    assert scores[1].value == "0.9 to 0.907"


def test_few_values_stand_each_alone_even_where_one_configuration_has_each() -> None:
    candidates = [candidate(0.5, learning_rate=rate) for rate in (0.1, 0.2, 0.3)]

    assert [one.value for one in scores_by_value(candidates, [], "learning_rate", ACCURACY)] == ["0.1", "0.2", "0.3"]
