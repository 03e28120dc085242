from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_digits
from sklearn.impute import MissingIndicator, SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    MinMaxScaler,
    OneHotEncoder,
    RobustScaler,
    StandardScaler,
)

from flows.data import fitting, staging
from flows.data.fitting import fit_preparation
from flows.data.plan import BooleanPlan, CategoricalPlan, DatePlan, NumericPlan, PreparationPlan
from flows.data.preparation import Preparation
from flows.errors import TableError
from tests.flows.data.tables import staged_table

with_tmp_path = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)

gap = st.none()
rows = st.lists(
    st.tuples(
        st.one_of(gap, st.floats(-1e6, 1e6).map(lambda value: round(value, 3))),
        st.one_of(gap, st.sampled_from(["red", "green", "blue", "Grün", ""])),
        st.one_of(gap, st.booleans()),
        st.one_of(gap, st.datetimes(pd.Timestamp("1960-01-01"), pd.Timestamp("2060-12-31"))),
        st.booleans(),
    ),
    min_size=2,
    max_size=40,
)
SCHEMA = pa.schema(
    [
        ("number", pa.float64()),
        ("level", pa.string()),
        ("truth", pa.bool_()),
        ("moment", pa.timestamp("us")),
        ("label", pa.string()),
    ]
)
SCALERS = {"standard": StandardScaler, "minmax": MinMaxScaler, "robust": RobustScaler}


def table_of(drawn: list[tuple]) -> pa.Table:
    columns = list(zip(*drawn, strict=True))[:4]
    labels = [["yes", "no"][place % 2] for place in range(len(drawn))]
    return pa.table([*map(list, columns), labels], schema=SCHEMA)


def fitted(columns: pa.Table | dict, plan: PreparationPlan, train: np.ndarray, scratch: Path) -> Preparation:
    with staged_table(columns, scratch) as staged:
        return fit_preparation(staged, plan, train)


def plan_of(task: str = "classification", target: str | tuple[str, ...] = "label", **columns) -> PreparationPlan:
    return PreparationPlan(target=target, task=task, columns=columns)


def date_parts(frame: pd.DataFrame) -> np.ndarray:
    moment = frame.iloc[:, 0].dt
    angles = [
        (moment.month - 1) / 12,
        (moment.day - 1) / 31,
        moment.day_of_week / 7,
        moment.hour / 24,
    ]
    circles = [wave(2 * np.pi * angle) for angle in angles for wave in (np.sin, np.cos)]
    return np.column_stack(circles)


def date_growth(frame: pd.DataFrame) -> np.ndarray:
    moment = frame.iloc[:, 0]
    return np.column_stack([moment.dt.year, (moment - pd.Timestamp(0)) / pd.Timedelta(seconds=1)])


def present(frame: pd.DataFrame, train: np.ndarray) -> bool:
    return bool(frame[["number", "truth", "moment"]][train].notna().any().all())


@with_tmp_path
@given(
    drawn=rows,
    scale=st.sampled_from(["standard", "minmax", "robust", "none"]),
    rare=st.sampled_from([0.0, 0.1, 0.3, 0.9]),
)
def test_inputs_are_those_of_scikit_learns_column_transformer(drawn, scale, rare, tmp_path):
    table = table_of(drawn)
    train = np.array([row[4] for row in drawn])
    # As scikit-learn has it: booleans with gaps are numbers with NaN, text with gaps has None.
    frame = table.to_pandas()
    frame["truth"] = frame["truth"].astype(float)
    frame["level"] = frame["level"].astype(object).where(frame["level"].notna(), None)
    assume(train.any())
    assume(present(frame, train))
    plan = plan_of(
        number=NumericPlan(scale=scale, indicator=True),
        level=CategoricalPlan(rare=rare),
        truth=BooleanPlan(indicator=True),
        moment=DatePlan(parts=("month", "day", "weekday", "hour", "year", "elapsed"), indicator=True),
    )
    median_moment = pd.to_datetime(int(np.median(frame["moment"][train].dropna().astype("int64"))), unit="us")
    frame["filled"] = frame["moment"].fillna(median_moment.as_unit("us"))
    scaler = SCALERS[scale]() if scale != "none" else "passthrough"
    encoder = OneHotEncoder(
        min_frequency=rare or None, handle_unknown="infrequent_if_exist", sparse_output=False, dtype=float
    )
    oracle = ColumnTransformer(
        [
            ("number", make_pipeline(SimpleImputer(strategy="median"), scaler), ["number"]),
            ("number missing", MissingIndicator(features="all"), ["number"]),
            ("level", encoder, ["level"]),
            ("truth", SimpleImputer(strategy="most_frequent"), ["truth"]),
            ("truth missing", MissingIndicator(features="all"), ["truth"]),
            ("circles", FunctionTransformer(date_parts), ["filled"]),
            ("growth", make_pipeline(FunctionTransformer(date_growth), StandardScaler()), ["filled"]),
            ("moment missing", FunctionTransformer(lambda moment: moment.isna()), ["moment"]),
        ]
    ).fit(frame[train])
    expected = np.asarray(oracle.transform(frame), dtype=np.float64)

    preparation = fitted(table, plan, train, tmp_path)
    inputs = preparation.transform_features(table.to_pandas(), "float64")

    # Scikit-learn has one column for rare levels if there are any; ours is there always, and unseen levels are in it.
    known = expected[:, oracle.output_indices_["level"]]
    infrequent = oracle.named_transformers_["level"].infrequent_categories_[0] if rare else None
    if infrequent is not None:
        known = known[:, :-1]
    ours = slice(2, len(preparation.input_names) - 13)
    np.testing.assert_array_equal(inputs[:, ours], np.column_stack([known, 1 - known.sum(axis=1)]))
    others = np.delete(np.arange(expected.shape[1]), oracle.output_indices_["level"])
    np.testing.assert_allclose(np.delete(inputs, ours, axis=1), expected[:, others], rtol=1e-6, atol=1e-6)
    if scale == "standard":
        np.testing.assert_array_equal(inputs[:, :2], expected[:, :2])


@with_tmp_path
@given(drawn=rows, rare=st.sampled_from([0.0, 0.2]))
def test_rows_that_are_not_trained_on_change_nothing_but_the_classes(drawn, rare, tmp_path):
    table = table_of(drawn)
    train = np.array([row[4] for row in drawn])
    assume(train.any() and not train.all())
    assume(present(table.to_pandas(), train))
    plan = plan_of(
        number=NumericPlan(scale="robust"),
        level=CategoricalPlan(rare=rare),
        truth=BooleanPlan(),
        moment=DatePlan(),
    )
    last = table.to_pandas()
    last["number"] = np.where(train, last["number"], 1e7)
    last["level"] = last["level"].where(train, "purple")
    last["truth"] = last["truth"].astype("boolean").where(train, True)
    last["moment"] = last["moment"].where(train, pd.Timestamp("2061-05-05"))
    last["label"] = last["label"].where(train, "maybe")
    other = pa.Table.from_pandas(last, schema=SCHEMA, preserve_index=False)
    before, after = fitted(table, plan, train, tmp_path), fitted(other, plan, train, tmp_path)
    assert after == before.model_copy(update={"classes": after.classes})
    assert "maybe" in after.classes


@with_tmp_path
@given(drawn=rows, piece=st.integers(1, 7))
def test_fitting_in_pieces_is_fitting_at_once_to_the_last_bit(drawn, piece, tmp_path):
    table = table_of(drawn)
    train = np.array([row[4] for row in drawn])
    assume(train.any())
    assume(present(table.to_pandas(), train))
    plan = plan_of(number=NumericPlan(), level=CategoricalPlan(), truth=BooleanPlan(), moment=DatePlan())
    at_once = fitted(table, plan, train, tmp_path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(staging, "CHUNK_BYTES", 8 * piece)
        patch.setattr(fitting, "GATHERED_BYTES", 1)
        assert fitted(table, plan, train, tmp_path) == at_once


def test_a_constant_in_place_of_gaps_takes_part_in_the_scale(tmp_path):
    table = {"a": [1.0, np.nan, 3.0, np.nan], "label": list("xyxy")}
    plan = plan_of(a=NumericPlan(missing="constant", fill=0.0))
    preparation = fitted(table, plan, np.ones(4, bool), tmp_path)
    values = SimpleImputer(strategy="constant", fill_value=0.0).fit_transform(pd.DataFrame(table)[["a"]])
    np.testing.assert_array_equal(
        preparation.transform_features(pd.DataFrame(table), "float64"), StandardScaler().fit_transform(values)
    )


def test_a_constant_column_is_centred_and_not_divided(tmp_path):
    table = {"a": [3.0] * 6, "label": list("xyxyxy")}
    for scale in ("standard", "minmax", "robust"):
        preparation = fitted(table, plan_of(a=NumericPlan(scale=scale)), np.arange(6) < 4, tmp_path)
        assert not preparation.transform_features(pd.DataFrame(table)).any()
        assert preparation.features[0].scale == 1.0


def test_of_ten_thousand_levels_those_in_one_percent_of_the_rows_have_an_input(tmp_path):
    levels = [f"level {place}" for place in range(10_000)] + ["usual"] * 500
    table = {"a": levels, "label": ["x", "y"] * 5250}
    preparation = fitted(table, plan_of(a=CategoricalPlan()), np.ones(10_500, bool), tmp_path)
    assert preparation.input_names == ("a=usual", "a=(other)")


@pytest.mark.parametrize(
    ("values", "names"),
    [
        ([3, 1, 3, 1], ("a=1", "a=3")),
        ([3.0, 1.0, np.nan, 1.0], ("a=1", "a=3", "a=(missing)")),
        ([0.5, 1.0, 0.5, 1.0], ("a=0.5", "a=1")),
        ([True, False, True, True], ("a=False", "a=True")),
    ],
)
def test_numbers_and_truth_values_may_be_declared_categories(values, names, tmp_path):
    table = {"a": values, "label": list("xyxy")}
    preparation = fitted(table, plan_of(a=CategoricalPlan(rare=0)), np.ones(4, bool), tmp_path)
    assert preparation.input_names == (*names, "a=(other)")
    assert preparation.transform_features(pd.DataFrame(table))[:, -1].tolist() == [0] * 4


def test_inputs_stand_in_the_order_of_the_tables_columns(tmp_path):
    table = {
        "day": pd.to_datetime(["2026-07-31", "2026-08-01"]),
        "b": [1.0, 2.0],
        "town": ["Ulm", "Bern"],
        "a": [1.0, 2.0],
        "label": ["x", "y"],
    }
    plan = plan_of(a=NumericPlan(indicator=True), town=CategoricalPlan(), b=NumericPlan(), day=DatePlan(parts=["day"]))
    preparation = fitted(table, plan, np.ones(2, bool), tmp_path)
    assert preparation.columns == ("day", "b", "town", "a")
    names = ("day day sin", "day day cos", "b", "town=Bern", "town=Ulm", "town=(other)", "a", "a missing")
    assert preparation.input_names == names


# Targets


def test_every_target_of_a_regression_is_standardised_on_the_training_rows(tmp_path):
    rng = np.random.default_rng(3)
    table = {"a": rng.normal(size=90), "price": rng.normal(3e5, 4e4, 90), "area": rng.normal(100, 30, 90)}
    train = np.arange(90) % 3 > 0
    plan = plan_of("regression", ("price", "area"), a=NumericPlan())
    preparation = fitted(table, plan, train, tmp_path)
    values = preparation.transform_target(pd.DataFrame(table))
    assert values.dtype == np.float32
    assert values[train].mean(axis=0) == pytest.approx([0, 0], abs=1e-6)
    assert values[train].std(axis=0) == pytest.approx([1, 1])
    unscaled = fitted(table, plan.model_copy(update={"target_scale": "none"}), train, tmp_path)
    assert (unscaled.target_mean, unscaled.target_scale) == ((0.0, 0.0), (1.0, 1.0))


def test_several_labels_need_no_fitting(tmp_path):
    table = {"a": [1.0, 2.0], "wet": [True, False], "cold": [0, 1]}
    preparation = fitted(table, plan_of("multilabel", ("wet", "cold"), a=NumericPlan()), np.ones(2, bool), tmp_path)
    assert preparation.classes is None
    assert preparation.outputs == 2
    assert preparation.transform_target(pd.DataFrame(table)).tolist() == [[1, 0], [0, 1]]


# Pixels


@pytest.mark.parametrize("storage", ["uint8", "float64"])
def test_pixels_share_one_mean_and_one_deviation(storage, tmp_path):
    digits = load_digits(as_frame=True)
    pixels, train = digits.data.astype(storage), np.arange(len(digits.data)) % 4 > 0
    table = pixels.assign(digit=digits.target)
    with staged_table(table, tmp_path, pixels=True) as staged:
        plan = PreparationPlan(target="digit", task="classification", pixels=True)
        preparation = fit_preparation(staged, plan, train)
    values = pixels.to_numpy(np.float64)[train].reshape(-1, 1)
    scaler = StandardScaler().fit(values)
    assert (preparation.pixels.shift, preparation.pixels.scale) == pytest.approx((scaler.mean_[0], scaler.scale_[0]))
    np.testing.assert_allclose(
        preparation.transform_features(pixels, "float64")[train].reshape(-1, 1), scaler.transform(values), atol=1e-12
    )


def test_an_image_with_a_gap_is_refused(tmp_path):
    table = {"p1": [1.0, 2.0, 3.0], "p2": [0.0, np.nan, 1.0], "digit": ["x", "y", "x"]}
    with staged_table(table, tmp_path, pixels=True) as staged:
        plan = PreparationPlan(target="digit", task="classification", pixels=True)
        with pytest.raises(TableError, match="column 'p2' has a missing or infinite value in row 2"):
            fit_preparation(staged, plan, np.ones(3, bool))


# Refusals


REFUSED = {
    "a gap": (NumericPlan(missing="refuse"), [1.0, 2.0, np.nan, 4.0], "a missing value in row 3"),
    "a gap among levels": (
        CategoricalPlan(missing="refuse"),
        ["x", None, "x", "y"],
        "a missing value in row 2",
    ),
    "a gap among truths": (
        BooleanPlan(missing="refuse"),
        pd.array([True, False, None, True], "boolean"),
        "a missing value in row 3",
    ),
    "a gap among dates": (
        DatePlan(missing="refuse"),
        pd.to_datetime(["2026-01-01", None, "2026-01-02", "2026-01-03"]),
        "a missing value in row 2",
    ),
    "infinity": (NumericPlan(), [1.0, 2.0, 3.0, -np.inf], "an infinite value in row 4"),
    "text among numbers": (
        NumericPlan(),
        ["n/a", "2", "3", "4"],
        "'n/a', which is no number, in row 1",
    ),
    "numbers in quotes": (NumericPlan(), ["1", "2", "3", "4"], "'1', a number stored as text, in"),
    "a third truth": (BooleanPlan(), [0, 1, 2, 1], "2, which is neither true nor false, in row 3"),
    "no date": (
        DatePlan(),
        ["2026-07-31", "soon", "2026-08-01", "2026-08-01"],
        "'soon', which is no date written like 2026-07-31 or 2026-07-31T09:30:00, in row 2",
    ),
    "a date written otherwise": (
        DatePlan(format="%d.%m.%Y"),
        ["31.07.2026", "01.08.2026", "08/02/2026", None],
        "'08/02/2026', which is no date written as %d.%m.%Y, in row 3",
    ),
    "a number for a date": (DatePlan(), [1, 2, 3, 4], "1, which is a number and no date, in row 1"),
    "dates as categories": (
        CategoricalPlan(),
        pd.to_datetime(["2026-01-01"] * 4),
        "which is no category, in row 1",
    ),
    "nothing in the training rows": (NumericPlan(), [np.nan, np.nan, np.nan, 4.0], "no value in the"),
    "too large": (NumericPlan(), [1.0, 2.0, 1e200, 3.0], "values too large to standardise"),
    "too large where it is not trained on": (
        NumericPlan(scale="minmax"),
        [1.0, 2.0, 3.0, -1.7e308],
        "values too large to standardise",
    ),
    "a variance that is no number": (NumericPlan(), [1e300, -1e300, 1.0, 2.0], "too large to"),
}


@pytest.mark.parametrize(("plan", "values", "message"), REFUSED.values(), ids=REFUSED)
def test_a_column_that_cannot_be_fitted_is_refused_by_name_and_row(plan, values, message, tmp_path, monkeypatch):
    # One row a piece: the row of a fault is counted in the table.
    monkeypatch.setattr(staging, "CHUNK_BYTES", 8)
    table = {"a": values, "label": ["x", "y", "x", "y"]}
    with pytest.raises(TableError) as caught:
        fitted(table, plan_of(a=plan), np.array([True, True, True, False]), tmp_path)
    text = str(caught.value)
    assert text.startswith("t.csv: column 'a' has ")
    assert message in text
    assert text.endswith("correct it, or leave the column out (drop: [a])")


@pytest.mark.parametrize(
    ("task", "values", "message"),
    [
        (
            "regression",
            [1.0, np.nan, 3.0],
            "column 'y' has a missing or infinite value in row 2; correct it, or remove",
        ),
        ("regression", ["1", "2", "x"], "column 'y' has 'x', which is no number, in row 3"),
        ("regression", [1.0, 1e300, 3.0], "column 'y' has values too large to standardise"),
        ("multilabel", [1, 0, 2], "column 'y' has 2, which is neither true nor false, in row 3"),
        ("multilabel", [1, 0, np.nan], "column 'y' has a missing or infinite value in row 3"),
    ],
)
def test_a_target_that_cannot_be_learned_is_refused_by_row(task, values, message, tmp_path):
    plan = plan_of(task, "y", a=NumericPlan())
    with pytest.raises(TableError, match=message):
        fitted({"a": [1.0, 2.0, 3.0], "y": values}, plan, np.ones(3, bool), tmp_path)
