"""Measures of labelled rows are scikit-learn's, with SciPy's intervals, whatever the pieces they come in."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import bootstrap
from sklearn import metrics

from flows.data.preparation import Preparation
from flows.data.values import ColumnFault
from flows.evaluation import groups
from flows.evaluation.measures import Measure, Tally, tally_for

CLASSES = ("a", "b", "c", "d")
CLASSIFICATION = Preparation(task="classification", targets=("y",), classes=CLASSES)
LABELS = Preparation(task="multilabel", targets=("p", "q", "r"))
QUANTITY = Preparation(task="regression", targets=("y",), target_mean=(50.0,), target_scale=(20.0,))
QUANTITIES = Preparation(task="regression", targets=("y", "z"), target_mean=(50.0, -1.0), target_scale=(20.0, 0.5))


def tallied(preparation: Preparation, target: pd.DataFrame, outputs: np.ndarray, piece: int = 10_000) -> Tally:
    tally = tally_for(preparation)
    for start in range(0, len(target), piece):
        rows = slice(start, start + piece)
        tally.add(target.iloc[rows].reset_index(drop=True), outputs[rows])
    return tally


def by_name(tally: Tally, confidence: float = 0.95) -> dict[str, Measure]:
    return {measure.name: measure for measure in tally.measures(confidence)}


def classified(rows: int, seed: int) -> tuple[pd.DataFrame, np.ndarray]:
    """Return labels, of which "d" is rare, and probabilities that are better than chance."""
    draw = np.random.default_rng(seed)
    true = draw.choice(4, rows, p=[0.5, 0.3, 0.17, 0.03])
    scores = draw.normal(size=(rows, 4)) + 2 * np.eye(4)[true]
    likely = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    return pd.DataFrame({"y": np.array(CLASSES, object)[true]}), likely.astype("float32")


@given(rows=st.integers(1, 60), seed=st.integers(0, 999), piece=st.integers(1, 60))
@settings(max_examples=40)
def test_the_measures_of_classes_are_those_of_scikit_learn(rows: int, seed: int, piece: int) -> None:
    target, likely = classified(rows, seed)
    tally = tallied(CLASSIFICATION, target, likely, piece)
    found = by_name(tally)
    said = np.array(CLASSES, object)[likely.argmax(axis=1)]
    true = target["y"]

    assert found["accuracy"].value == pytest.approx(metrics.accuracy_score(true, said))
    assert found["f1_macro"].value == pytest.approx(metrics.f1_score(true, said, average="macro"))
    # In float64, or scikit-learn finds that float32 does not add up to one.
    wide = likely.astype("float64") / likely.astype("float64").sum(axis=1, keepdims=True)
    assert found["log_loss"].value == pytest.approx(metrics.log_loss(true, wide, labels=CLASSES), rel=1e-5)
    precision, recall, f1, support = metrics.precision_recall_fscore_support(
        true, said, labels=CLASSES, zero_division=np.nan
    )
    parts = tally.parts(0.95)
    assert [part.rows for part in parts] == support.tolist()
    for name, wanted in (("recall", recall), ("precision", precision)):
        np.testing.assert_allclose([part.measures[name] for part in parts], wanted)
    np.testing.assert_allclose(np.nan_to_num([part.measures["f1"] for part in parts]), np.nan_to_num(f1))


def test_the_constant_answer_to_classes_is_the_commonest_and_their_shares() -> None:
    target = pd.DataFrame({"y": list("aaabbc")})
    found = by_name(tallied(CLASSIFICATION, target, np.full((6, 4), 0.25, "float32")))
    constant = np.full(6, "a")
    shares = np.tile([3 / 6, 2 / 6, 1 / 6], (6, 1))

    assert found["accuracy"].baseline == pytest.approx(metrics.accuracy_score(target["y"], constant))
    assert found["f1_macro"].baseline == pytest.approx(metrics.f1_score(target["y"], constant, average="macro"))
    assert found["log_loss"].baseline == pytest.approx(metrics.log_loss(target["y"], shares))


def test_the_interval_of_a_loss_is_scipys_bootstrap() -> None:
    target, likely = classified(300, 1)
    found = by_name(tallied(CLASSIFICATION, target, likely))["log_loss"]
    losses = -np.log(likely[np.arange(300), [CLASSES.index(label) for label in target["y"]]])
    wanted = bootstrap((losses,), np.mean, method="percentile", n_resamples=4000, rng=np.random.default_rng(5))

    assert found.low == pytest.approx(wanted.confidence_interval.low, rel=0.04)
    assert found.high == pytest.approx(wanted.confidence_interval.high, rel=0.04)


def test_rows_in_groups_vary_as_single_rows_do(monkeypatch: pytest.MonkeyPatch) -> None:
    target, likely = classified(3000, 2)
    single = by_name(tallied(CLASSIFICATION, target, likely))
    monkeypatch.setattr(groups, "GROUPS", 499)
    grouped = by_name(tallied(CLASSIFICATION, target, likely))

    for name in ("f1_macro", "log_loss"):
        assert grouped[name].value == pytest.approx(single[name].value)
        width, other = (found[name].high - found[name].low for found in (single, grouped))
        assert other == pytest.approx(width, rel=0.2)


def test_the_interval_of_an_accuracy_of_one_does_not_end_where_it_begins() -> None:
    found = by_name(tallied(CLASSIFICATION, pd.DataFrame({"y": ["a"] * 10}), np.tile([0.7, 0.1, 0.1, 0.1], (10, 1))))

    assert found["accuracy"].value == 1
    assert found["accuracy"].low == pytest.approx(0.7225, abs=1e-4)


def test_one_row_says_nothing_of_others() -> None:
    found = by_name(tallied(QUANTITY, pd.DataFrame({"y": [50.0]}), np.array([[0.5]], "float32")))

    assert (found["rmse"].value, found["rmse"].low) == (pytest.approx(10), None)


@pytest.mark.parametrize(("label", "reason"), [("e", "'e', which is none of the 4 classes"), (None, "a missing label")])
def test_a_label_that_the_model_cannot_know_is_named_with_its_row(label: str | None, reason: str) -> None:
    with pytest.raises(ColumnFault) as raised:
        tallied(CLASSIFICATION, pd.DataFrame({"y": ["a", label]}), np.full((2, 4), 0.25))

    assert reason in raised.value.describe()
    assert raised.value.row == 1


@given(rows=st.integers(2, 40), seed=st.integers(0, 999), piece=st.integers(1, 40))
@settings(max_examples=30)
def test_the_measures_of_labels_are_those_of_scikit_learn(rows: int, seed: int, piece: int) -> None:
    draw = np.random.default_rng(seed)
    true = draw.integers(0, 2, (rows, 3))
    outputs = np.clip(true * 0.4 + draw.random((rows, 3)) * 0.7, 0, 1)
    said = (outputs > 0.5).astype(int)
    tally = tallied(LABELS, pd.DataFrame(true, columns=list("pqr")), outputs, piece)
    found = by_name(tally)

    assert found["accuracy"].value == pytest.approx(metrics.accuracy_score(true, said))
    assert found["hamming_loss"].value == pytest.approx(metrics.hamming_loss(true, said))
    assert found["f1_macro"].value == pytest.approx(metrics.f1_score(true, said, average="macro", zero_division=0))
    common = np.tile(true.mean(axis=0) > 0.5, (rows, 1))
    assert found["hamming_loss"].baseline == pytest.approx(metrics.hamming_loss(true, common))
    assert found["f1_macro"].baseline == pytest.approx(metrics.f1_score(true, common, average="macro", zero_division=0))


@given(rows=st.integers(3, 40), seed=st.integers(0, 999), piece=st.integers(1, 40))
@settings(max_examples=30)
def test_the_measures_of_a_quantity_are_those_of_scikit_learn(rows: int, seed: int, piece: int) -> None:
    draw = np.random.default_rng(seed)
    outputs = draw.normal(size=(rows, 1))
    true = 50 + 20 * (outputs[:, 0] + draw.normal(0, 0.3, rows))
    found = by_name(tallied(QUANTITY, pd.DataFrame({"y": true}), outputs, piece))
    said = 50 + 20 * outputs[:, 0]

    assert found["rmse"].value == pytest.approx(metrics.root_mean_squared_error(true, said))
    assert found["mae"].value == pytest.approx(metrics.mean_absolute_error(true, said))
    assert found["r2"].value == pytest.approx(metrics.r2_score(true, said))
    assert found["rmse"].baseline == pytest.approx(metrics.root_mean_squared_error(true, np.full(rows, 50.0)))
    assert found["mae"].baseline == pytest.approx(metrics.mean_absolute_error(true, np.full(rows, 50.0)))
    assert found["r2"].baseline == pytest.approx(metrics.r2_score(true, np.full(rows, 50.0)))
    assert found["rmse"].low <= found["rmse"].value <= found["rmse"].high


def test_several_quantities_are_measured_in_deviations_together_and_in_their_units_alone() -> None:
    draw = np.random.default_rng(3)
    outputs = draw.normal(size=(200, 2))
    error = draw.normal(0, [0.1, 0.4], (200, 2))
    true = pd.DataFrame((outputs + error) * [20, 0.5] + [50, -1], columns=["y", "z"])
    tally = tallied(QUANTITIES, true, outputs)
    first, second = tally.parts(0.9)

    assert by_name(tally)["rmse"].value == pytest.approx(np.sqrt((error**2).mean()))
    assert first.measures["rmse"] == pytest.approx(20 * np.sqrt((error[:, 0] ** 2).mean()))
    assert second.measures["mae"] == pytest.approx(0.5 * np.abs(error[:, 1]).mean())
    assert second.low < second.measures["rmse"] < second.high


def test_of_values_that_are_all_the_same_nothing_is_explained() -> None:
    found = by_name(tallied(QUANTITY, pd.DataFrame({"y": [70.0] * 5}), np.full((5, 1), 0.9)))

    assert np.isnan(found["r2"].value)
    assert found["rmse"].value == pytest.approx(2)
