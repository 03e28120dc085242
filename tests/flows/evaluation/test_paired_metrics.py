"""The metrics that models are compared by, against scikit-learn, on all rows and on drawn ones."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics

from flows.data.preparation import Preparation
from flows.errors import InputError
from flows.evaluation.paired_metrics import METRICS, Answers, metric_of

CLASSES = Preparation(task="classification", targets=("kind",), classes=("a", "b", "c"))
QUANTITY = Preparation(task="regression", targets=("price",), target_mean=(3.0,), target_scale=(7.0,))
QUANTITIES = Preparation(
    task="regression", targets=("price", "rooms"), target_mean=(300.0, 3.0), target_scale=(100.0, 2.0)
)
LABELS = Preparation(task="multilabel", targets=("sport", "art"))

seeds = st.integers(0, 2**31)


def value(name: str, preparation: Preparation, target: pd.DataFrame, answers: Answers, rows: np.ndarray) -> float:
    """Return a metric of rows, each as often as it is named, by the sums that a bootstrap forms."""
    metric = metric_of(name, preparation.task)
    counts = np.bincount(rows, minlength=len(target)).astype(float)
    return float(metric.value(counts @ metric.statistics(preparation, target, answers)))


def of_classes(seed: int) -> tuple[pd.DataFrame, Answers, np.ndarray]:
    rng = np.random.default_rng(seed)
    target = pd.DataFrame({"kind": rng.choice(["a", "b", "c"], 40, p=[0.6, 0.3, 0.1])})
    said = rng.dirichlet([1, 1, 1], 40)
    answers = Answers(np.array(["a", "b", "c"], object)[said.argmax(1)], pd.DataFrame(said, columns=["a", "b", "c"]))
    return target, answers, rng.integers(0, 40, 40)


@given(seeds)
def test_metrics_of_classes_are_scikit_learns_on_any_draw(seed: int) -> None:
    target, answers, rows = of_classes(seed)
    true, predicted = target["kind"].to_numpy()[rows], answers.predicted[rows]
    assert answers.probabilities is not None
    expected = {
        "accuracy": metrics.accuracy_score(true, predicted),
        "balanced_accuracy": metrics.recall_score(true, predicted, average="macro", labels=np.unique(true)),
        "f1_macro": metrics.f1_score(true, predicted, average="macro"),
        "log_loss": metrics.log_loss(true, answers.probabilities.to_numpy()[rows], labels=["a", "b", "c"]),
    }

    found = {name: value(name, CLASSES, target, answers, rows) for name in expected}

    assert found == pytest.approx(expected)


@given(seeds)
def test_metrics_of_quantities_are_scikit_learns_on_any_draw(seed: int) -> None:
    rng = np.random.default_rng(seed)
    target = pd.DataFrame({"price": rng.normal(300, 90, 40), "rooms": rng.integers(1, 9, 40)})
    said = target + rng.normal(size=(40, 2)) * [50, 1]
    rows = rng.integers(0, 40, 40)
    scaled, predicted = (frame.to_numpy()[rows] / [100.0, 2.0] for frame in (target, said))
    expected = {
        "rmse": np.sqrt(((scaled - predicted) ** 2).mean()),
        "mae": metrics.mean_absolute_error(scaled, predicted),
        "r2": metrics.r2_score(scaled, predicted),
    }

    found = {name: value(name, QUANTITIES, target, Answers(said), rows) for name in expected}

    assert found == pytest.approx(expected)


@given(seeds)
def test_metrics_of_labels_are_scikit_learns_on_any_draw(seed: int) -> None:
    rng = np.random.default_rng(seed)
    target = pd.DataFrame(rng.integers(0, 2, (40, 2)), columns=["sport", "art"])
    said = pd.DataFrame(rng.random((40, 2)), columns=["sport", "art"])
    answers = Answers((said > 0.5).astype(int), said)
    rows = rng.integers(0, 40, 40)
    true, predicted = target.to_numpy()[rows], answers.predicted.to_numpy()[rows]
    losses = [metrics.log_loss(true[:, k], said.to_numpy()[rows, k], labels=[0, 1]) for k in range(2)]
    expected = {
        "accuracy": (true == predicted).mean(),
        "f1_macro": metrics.f1_score(true, predicted, average="macro", zero_division=0.0),
        "log_loss": np.mean(losses),
    }

    found = {name: value(name, LABELS, target, answers, rows) for name in expected}

    assert found == pytest.approx(expected, rel=1e-5)


def test_of_one_quantity_errors_are_in_its_own_unit() -> None:
    target, said = pd.DataFrame({"price": [1, 2, 3]}), Answers(np.array([1.0, 0.0, 6.0]))
    rows = np.arange(3)

    assert value("mae", QUANTITY, target, said, rows) == pytest.approx(5 / 3)
    assert value("rmse", QUANTITY, target, said, rows) == pytest.approx(np.sqrt(13 / 3))


@pytest.mark.parametrize(
    ("name", "better", "worse"), [("accuracy", 0.9, 0.8), ("log_loss", 0.1, 0.3), ("r2", 0.9, 0.1)]
)
def test_a_gain_is_positive_where_the_challenger_is_better(name: str, better: float, worse: float) -> None:
    assert (
        METRICS[name].gain(np.array(better), np.array(worse))
        > 0
        > METRICS[name].gain(np.array(worse), np.array(better))
    )


def test_a_class_that_a_model_does_not_know_costs_it_a_finite_log_loss_and_no_crash() -> None:
    target = pd.DataFrame({"kind": ["a", "c"]})
    narrow = Answers(np.array(["a", "b"], object), pd.DataFrame({"a": [0.9, 0.5], "b": [0.1, 0.5]}))

    assert 7 < value("log_loss", CLASSES, target, narrow, np.arange(2)) < 20


def test_a_class_that_only_a_model_knows_is_wrong_wherever_it_is_said() -> None:
    target, strange = pd.DataFrame({"kind": ["a", "b"]}), Answers(np.array(["a", "z"], object))

    assert value("accuracy", CLASSES, target, strange, np.arange(2)) == 0.5
    assert value("balanced_accuracy", CLASSES, target, strange, np.arange(2)) == 0.5
    # As scikit-learn has it: a, b and z are in the mean.
    assert value("f1_macro", CLASSES, target, strange, np.arange(2)) == pytest.approx(1 / 3)


def test_a_metric_of_another_task_is_refused_with_those_that_fit() -> None:
    with pytest.raises(InputError, match="'rmse' is none of a classification; use accuracy, balanced_accuracy"):
        metric_of("rmse", "classification")
