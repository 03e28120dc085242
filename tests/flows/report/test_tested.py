"""The winner on the test rows, held to scikit-learn's measures of the same answers."""

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics
from sklearn.calibration import calibration_curve

from flows.data.preparation import Preparation
from flows.report.searched import Searched
from flows.report.tested import (
    Answered,
    answer_test_rows,
    calibration,
    calibration_error,
    class_scores,
    confusion,
    mistakes,
    most_confused,
    thresholds,
)

ROWS = 400


def answered(classes: int) -> Answered:
    """Return answers that are right more often than not."""
    draw = np.random.default_rng(classes)
    target = draw.integers(classes, size=ROWS)
    z = draw.normal(size=(ROWS, classes)) + 1.5 * np.eye(classes)[target]
    outputs = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
    names = tuple(f"c{place}" for place in range(classes))
    preparation = Preparation(task="classification", targets=("y",), classes=names)
    rows = pd.DataFrame({"y": [names[code] for code in target]})
    return Answered(preparation, rows, target, outputs, (), ())


def test_confusion_precision_recall_and_areas_are_those_of_scikit_learn() -> None:
    tested = answered(4)
    said = tested.outputs.argmax(axis=1)

    assert (confusion(tested) == metrics.confusion_matrix(tested.target, said)).all()
    scores = class_scores(tested)
    assert [one.recall for one in scores] == pytest.approx(metrics.recall_score(tested.target, said, average=None))
    assert [one.precision for one in scores] == pytest.approx(
        metrics.precision_score(tested.target, said, average=None)
    )
    for one in scores:
        assert one.recall_low < one.recall < one.recall_high
        assert one.precision_low < one.precision < one.precision_high
    curves = thresholds(tested)
    for place, curve in enumerate(curves):
        true = tested.target == place
        assert curve.area == pytest.approx(metrics.roc_auc_score(true, tested.outputs[:, place]))
        assert curve.average_precision == pytest.approx(metrics.average_precision_score(true, tested.outputs[:, place]))
        # What is drawn is thinned, and still about the same area.
        drawn = metrics.auc(curve.false_positive, curve.true_positive)
        assert drawn == pytest.approx(curve.area, abs=0.01)


def test_of_two_classes_calibration_is_that_of_the_second_as_scikit_learn_has_it() -> None:
    tested = answered(2)
    true, likely = calibration_curve(tested.target, tested.outputs[:, 1], n_bins=10)

    bins = calibration(tested)

    assert [one.right for one in bins] == pytest.approx(true)
    assert [one.likely for one in bins] == pytest.approx(likely)
    assert sum(one.count for one in bins) == ROWS
    assert 0 <= calibration_error(bins) < 0.5


def test_the_surest_mistake_comes_first_and_pairs_are_counted() -> None:
    tested = answered(3)
    said = tested.outputs.argmax(axis=1)
    wrong = np.flatnonzero(said != tested.target)

    found = list(mistakes(tested))

    assert len(found) == len(wrong)
    sure = [tested.outputs[one.row].max() for one in found]
    assert sure == sorted(sure, reverse=True)
    assert all(one.true != one.said for one in found)
    pairs = most_confused(tested)
    assert sum(pair.count for pair in pairs) == len(wrong)
    assert pairs[0].count == max(pair.count for pair in pairs)


def test_quantities_are_in_their_units_and_the_farthest_off_comes_first(diabetes_search: Searched) -> None:
    tested = answer_test_rows(diabetes_search)

    error = tested.said_values - tested.true_values
    rmse = next(one for one in tested.measures if one.name == "rmse")
    assert np.sqrt((error**2).mean()) == pytest.approx(rmse.value, rel=1e-4)
    assert rmse.low is not None
    assert rmse.high is not None
    assert rmse.low < rmse.value < rmse.high
    first = next(mistakes(tested))
    assert abs(error[first.row, 0]) == pytest.approx(np.abs(error).max())
