import numpy as np
import pandas as pd
import pytest

from flows.data.preparation import encode_labels, infer_task, label_array
from flows.data.targets import class_labels
from flows.errors import TableError

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
    assert infer_task(pd.DataFrame({"y": values}), "auto") == task


@pytest.mark.parametrize("task", ["classification", "regression", "multilabel"])
def test_a_requested_task_is_not_second_guessed(task):
    assert infer_task(pd.Series([0, 1] * 10), task) == task
    assert infer_task(pd.Series(np.linspace(0, 1, 50)), task) == task


SEVERAL = {
    "0 and 1": ({"a": [0, 1, 1], "b": [1, 0, 1]}, "multilabel"),
    "true and false beside 0 and 1": ({"a": [True, False, True], "b": [1.0, 0.0, 1.0]}, "multilabel"),
    "quantities": ({"a": [0.5, 1.5, 3], "b": [1, 2, 3]}, "regression"),
    "labels beside a quantity": ({"a": [0, 1, 1], "b": [1.5, 2, 3]}, "regression"),
}


@pytest.mark.parametrize(("columns", "task"), SEVERAL.values(), ids=SEVERAL)
def test_several_targets_are_labels_or_quantities(columns, task):
    assert infer_task(pd.DataFrame(columns), "auto") == task


@pytest.mark.parametrize("task", ["regression", "multilabel"])
def test_a_task_requested_of_several_targets_is_that_one(task):
    assert infer_task(pd.DataFrame({"a": [0, 1, 1], "b": [1, 0, 1]}), task) == task


@pytest.mark.parametrize(
    ("columns", "requested", "message"),
    [
        ({"a": [0, 1], "b": ["x", "y"]}, "auto", "target 'b' is str; several targets must all be numbers"),
        ({"a": [0, 1], "b": [1, 0]}, "classification", r"a classification has one target, not \['a', 'b'\]"),
    ],
)
def test_several_targets_that_go_with_no_task_are_refused(columns, requested, message):
    with pytest.raises(TableError, match=message):
        infer_task(pd.DataFrame(columns), requested)


@pytest.mark.parametrize(
    ("target", "kind"),
    [
        (pd.Series([True, False] * 5), bool),
        (pd.Series([2, 1] * 5), int),
        (pd.Series([2, 1] * 5, dtype="Int64"), int),
        (pd.Series([2, 1] * 5, dtype="uint8"), int),
        (pd.Series([2.0, 1.0] * 5), float),
        (pd.Series(["b", "a"] * 5), str),
        (pd.Series(pd.Categorical(["u", "v"] * 5)), str),
    ],
)
def test_classes_are_sorted_python_values_of_the_original_type(target, kind):
    classes = class_labels(target)
    assert [type(label) for label in classes] == [kind, kind]
    assert classes == sorted(classes)


def test_a_label_that_is_no_class_has_no_code():
    assert encode_labels(pd.Series(["b", "x", None, "a"]), ("a", "b")).tolist() == [1, -1, -1, 0]


def test_text_labels_are_not_trimmed():
    assert label_array(("a ", "ab")).tolist() == ["a ", "ab"]
    assert label_array(("a\0",)).tolist() == ["a\0"]
