"""The measures of the test rows are those of scikit-learn, in the unit of the data, under names that MLflow takes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlflow.utils.validation import _validate_metric_name
from sklearn import metrics

from flows.data.preparation import Preparation
from flows.measures import measure, names_in_mlflow

ROWS = 40


def test_a_classification_has_accuracy_and_macro_f1() -> None:
    preparation = Preparation(task="classification", targets=("y",), classes=("a", "b", "c"))
    outputs = np.eye(3, dtype="float32")[[0, 1, 2, 2]]

    assert measure(preparation, np.array([0, 1, 2, 0]), outputs) == {
        "test/accuracy": 0.75,
        "test/f1_macro": pytest.approx((2 / 3 + 1 + 2 / 3) / 3),
    }


def test_several_labels_are_right_together_and_one_by_one() -> None:
    preparation = Preparation(task="multilabel", targets=("a", "b", "c"))
    target = np.array([[1, 0, 0], [1, 1, 0], [0, 1, 0], [0, 0, 0]], "float32")
    outputs = np.array([[0.9, 0.2, 0.1], [0.6, 0.4, 0.2], [0.3, 0.8, 0.1], [0.5, 0.1, 0.7]], "float32")

    # Wrong are b of the second row and c of the last; a half is no yes. c has no row to be found in.
    assert measure(preparation, target, outputs) == {
        "test/accuracy": 0.5,
        "test/f1_macro": pytest.approx((1 + 2 / 3 + 0) / 3),
        "test/hamming_loss": pytest.approx(2 / 12),
    }


def test_labels_that_no_row_has_and_none_is_said_to_have_are_no_warning(recwarn: pytest.WarningsRecorder) -> None:
    preparation = Preparation(task="multilabel", targets=("a", "b"))

    measured = measure(preparation, np.zeros((3, 2), "float32"), np.zeros((3, 2), "float32"))

    assert measured == {"test/accuracy": 1.0, "test/f1_macro": 0.0, "test/hamming_loss": 0.0}
    assert not recwarn.list


@pytest.fixture
def draws() -> tuple[np.ndarray, np.ndarray]:
    """Standardised targets and predictions of three quantities."""
    draw = np.random.default_rng(0)
    target = draw.normal(size=(ROWS, 3))
    return target.astype("float32"), (target + draw.normal(size=(ROWS, 3)) * [0.1, 0.5, 2]).astype("float32")


def test_a_quantity_is_measured_in_its_own_unit(draws: tuple[np.ndarray, np.ndarray]) -> None:
    preparation = Preparation(task="regression", targets=("y",), target_mean=(1e6,), target_scale=(20.0,))
    true, predicted = (values[:, :1].astype(float) * 20 + 1e6 for values in draws)

    assert measure(preparation, draws[0][:, :1], draws[1][:, :1]) == {
        "test/rmse": pytest.approx(metrics.root_mean_squared_error(true, predicted)),
        "test/r2": pytest.approx(metrics.r2_score(true, predicted)),
        "test/mae": pytest.approx(metrics.mean_absolute_error(true, predicted)),
    }


def test_each_of_several_quantities_has_its_own_measures_and_all_together_are_in_standard_deviations(
    draws: tuple[np.ndarray, np.ndarray],
) -> None:
    names, means, scales = ("height", "weight (kg)", "age"), (170.0, 70.0, 40.0), (10.0, 15.0, 0.5)
    preparation = Preparation(task="regression", targets=names, target_mean=means, target_scale=scales)

    measured = measure(preparation, *draws)

    true, predicted = (values.astype(float) for values in draws)
    assert measured["test/rmse"] == pytest.approx(np.sqrt(((true - predicted) ** 2).mean()))
    assert measured["test/mae"] == pytest.approx(np.abs(true - predicted).mean())
    assert measured["test/r2"] == pytest.approx(metrics.r2_score(true, predicted))
    for place, name in enumerate(("height", "weight _kg_", "age")):
        own, said = (values[:, place] * scales[place] + means[place] for values in (true, predicted))
        assert measured[f"test/rmse/{name}"] == pytest.approx(metrics.root_mean_squared_error(own, said))
        assert measured[f"test/r2/{name}"] == pytest.approx(metrics.r2_score(own, said))
    assert len(measured) == 3 + 2 * 3


@given(st.lists(st.text(min_size=1, max_size=300), min_size=1, max_size=4, unique=True))
def test_a_name_of_any_target_is_one_that_mlflow_takes_and_no_others(targets: list[str]) -> None:
    names = names_in_mlflow(targets)

    assert len(set(names)) == len(targets)
    for name in names:
        _validate_metric_name(f"test/rmse/{name}")


@pytest.mark.parametrize(
    ("targets", "names"),
    [
        (["height", "weight", "Größe 2"], ["height", "weight", "Größe 2"]),
        (["a(", "a)", "b"], ["a__1", "a__2", "b_3"]),
        (["..", "b"], [".._1", "b_2"]),
        (["km/h", "%"], ["km_h", "_"]),
    ],
)
def test_what_mlflow_refuses_in_a_name_is_replaced(targets: list[str], names: list[str]) -> None:
    assert names_in_mlflow(targets) == names
