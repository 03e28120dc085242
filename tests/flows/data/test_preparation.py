import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from flows.data.preparation import Preparation, infer_task
from flows.errors import TableError

finite = st.floats(allow_nan=False, allow_infinity=False)
labels = st.one_of(
    st.sets(st.text(), min_size=1),
    st.sets(st.integers(-(2**63), 2**63 - 1), min_size=1),
    st.sets(finite, min_size=1),
    st.just({False, True}),
).map(lambda values: tuple(sorted(values)))


def classifier(classes: tuple[str | int | float | bool, ...] = ("no", "yes"), **changes) -> Preparation:
    fields = {"features": ("a", "b"), "mean": (1.0, 2.0), "scale": (2.0, 4.0), "target": "y", **changes}
    return Preparation(task="classification", classes=classes, **fields)


def regressor(mean: float = 10.0, scale: float = 4.0) -> Preparation:
    return Preparation(
        task="regression",
        features=("a",),
        mean=(0.0,),
        scale=(1.0,),
        target="y",
        classes=None,
        target_mean=mean,
        target_scale=scale,
    )


@given(classes=labels, mean=st.tuples(finite, finite), scale=st.tuples(finite, finite))
def test_json_restores_a_preparation_to_the_last_bit_and_label_type(classes, mean, scale):
    preparation = classifier(classes, mean=mean, scale=scale)
    restored = Preparation.model_validate_json(preparation.model_dump_json())
    assert restored == preparation
    assert [type(label) for label in restored.classes] == [type(label) for label in classes]


@given(classes=labels, data=st.data())
def test_labels_become_codes_and_codes_become_the_same_labels(classes, data):
    rows = data.draw(st.lists(st.sampled_from(classes), min_size=1))
    preparation = classifier(classes)
    codes = preparation.transform_target(pd.Series(rows))
    assert codes.dtype == np.int64
    assert codes.tolist() == [classes.index(label) for label in rows]
    assert preparation.restore_target(codes).tolist() == rows


@given(values=st.lists(st.floats(-1e6, 1e6), min_size=1), mean=st.floats(-1e3, 1e3), scale=st.floats(1e-3, 1e3))
def test_a_standardised_target_is_restored_to_its_own_units(values, mean, scale):
    preparation = regressor(mean, scale)
    restored = preparation.restore_target(preparation.transform_target(pd.Series(values)))
    assert restored == pytest.approx(values, rel=1e-9, abs=1e-9)


def test_predictions_of_any_shape_are_restored_in_that_shape():
    assert regressor().restore_target(np.array([[0.0], [1.0]])).tolist() == [[10.0], [14.0]]


@pytest.mark.parametrize(
    ("classes", "kind"), [(("a", "b"), "O"), ((1, 2), "i"), ((0.5, 1.5), "f"), ((False, True), "b")]
)
def test_restored_labels_have_the_type_of_the_originals(classes, kind):
    assert classifier(classes).restore_target(np.array([1, 0])).dtype.kind == kind


def test_features_are_found_by_name_and_standardised_in_the_networks_order():
    frame = pd.DataFrame({"b": [2, 6], "ignored": ["x", "y"], "a": [True, False]}, index=[9, 9])
    values = classifier().transform_features(frame)
    assert values.tolist() == [[0.0, 0.0], [-0.5, 1.0]]
    assert values.dtype == np.float32
    assert classifier().transform_features(frame, "float64").dtype == np.float64


def test_pixels_share_one_scale():
    frame = pd.DataFrame({"a": np.array([0, 255], np.uint8), "b": np.array([51, 0], np.uint8)})
    values = classifier(mean=(51.0,), scale=(102.0,)).transform_features(frame)
    assert values.tolist() == [[-0.5, 0.0], [2.0, -0.5]]


def test_a_frame_is_not_changed_by_its_transformation():
    frame = pd.DataFrame({"a": [1.0, 3.0], "b": [4.0, 5.0]})
    before = frame.copy()
    classifier().transform_features(frame)
    pd.testing.assert_frame_equal(frame, before)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"a": [1.0]}, r"missing columns \['b'\] \(1 of 2\)"),
        ({"a": [1.0], "b": ["x"]}, r"columns \['b'\] are not numeric"),
        ({"a": [1.0], "b": [1j]}, r"columns \['b'\] are not numeric"),
        ({"a": pd.to_datetime(["2026-01-01"]), "b": [1]}, r"columns \['a'\] are not numeric"),
        ({"a": [1.0, 2.0], "b": [1.0, np.nan]}, "column 'b' has a missing or infinite value in row 2"),
        ({"a": [-np.inf], "b": [1.0]}, "column 'a' has a missing or infinite value in row 1"),
        ({"a": pd.array([1, None], dtype="Int64"), "b": [1, 2]}, "column 'a' has a missing or infinite value in row 2"),
        ({"a": [1e300], "b": [1.0]}, "column 'a' has a value too large for float32 in row 1"),
    ],
)
def test_a_frame_the_network_cannot_take_is_refused_by_column_and_row(columns, message):
    with pytest.raises(TableError, match=message):
        classifier().transform_features(pd.DataFrame(columns))


def test_a_feature_that_is_there_twice_is_refused():
    frame = pd.DataFrame([[1.0, 2.0, 3.0]], columns=["a", "b", "a"])
    with pytest.raises(TableError, match="column 'a' appears more than once"):
        classifier().transform_features(frame)


@pytest.mark.parametrize(
    ("target", "label"),
    [
        (pd.Series(["yes", "maybe"]), "'maybe' in row 2"),
        (pd.Series([1, 0]), "1 in row 1"),
        (pd.Series([None]), "row 1"),
    ],
)
def test_a_label_the_network_does_not_know_is_refused(target, label):
    with pytest.raises(TableError, match=label):
        classifier().transform_target(target)


def test_a_whole_number_and_its_text_are_different_labels():
    with pytest.raises(TableError, match="the label '1' in row 1"):
        classifier((1, 2)).transform_target(pd.Series(["1"]))


@pytest.mark.parametrize(
    ("target", "message"),
    [(pd.Series(["x"]), "not numeric"), (pd.Series([1.0, np.nan]), "row 2"), (pd.Series([np.inf]), "row 1")],
)
def test_a_target_that_is_no_number_is_refused_by_a_regression(target, message):
    with pytest.raises(TableError, match=message):
        regressor().transform_target(target)


@pytest.mark.parametrize(
    "changes", [{"mean": (1.0, 2.0, 3.0)}, {"scale": (1.0,)}, {"classes": None}, {"task": "regression"}]
)
def test_fields_that_contradict_each_other_are_refused(changes):
    with pytest.raises(ValidationError):
        Preparation(**{**classifier().model_dump(), **changes})


TASKS = {
    "text": (["a", "b"] * 50, "classification"),
    "booleans": ([True, False] * 50, "classification"),
    "categories": (pd.Categorical([1.5, 2.5] * 50), "classification"),
    "few whole numbers": (list(range(10)) * 10, "classification"),
    "few whole numbers as floats": ([0.0, 1.0, 2.0] * 10, "classification"),
    "two values in a dozen rows": ([0, 1] * 6, "classification"),
    "a value or two for each number": (list(range(15)) * 2, "regression"),
    "many whole numbers": (list(range(300)) * 5, "regression"),
    "fractions": ([0.5, 1.5] * 50, "regression"),
    "whole numbers, some missing": ([0.0, 1.0, np.nan] * 10, "classification"),
    "dates": (pd.to_datetime(["2026-01-01"] * 10), "regression"),
}


@pytest.mark.parametrize(("values", "task"), TASKS.values(), ids=TASKS)
def test_the_task_follows_from_the_look_of_the_target(values, task):
    assert infer_task(pd.Series(values), "auto") == task


@pytest.mark.parametrize("task", ["classification", "regression"])
def test_a_requested_task_is_not_second_guessed(task):
    assert infer_task(pd.Series([0, 1] * 10), task) == task
    assert infer_task(pd.Series(np.linspace(0, 1, 50)), task) == task


def test_a_served_model_loads_the_preparation_without_the_rest_of_the_pipeline():
    code = (
        "import sys, flows.data.preparation; "
        "print(sorted({'prefect', 'dask', 'mlflow', 'sklearn', 'scipy'} & set(sys.modules)))"
    )
    loaded = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert loaded.stdout.strip() == "[]"
