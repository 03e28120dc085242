import json
import subprocess
import sys
from collections.abc import Iterator

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from flows.data.encodings import (
    BooleanEncoding,
    CategoricalEncoding,
    DateEncoding,
    NumericEncoding,
    Pixels,
    Scale,
)
from flows.data.fitting import fit_preparation
from flows.data.inference import infer_plan
from flows.data.preparation import Preparation
from flows.errors import TableError
from tests.flows.data.tables import staged_table

finite = st.floats(allow_nan=False, allow_infinity=False)
labels = st.one_of(
    st.sets(st.text(), min_size=1),
    st.sets(st.integers(-(2**63), 2**63 - 1), min_size=1),
    st.sets(finite, min_size=1),
    st.just({False, True}),
).map(lambda values: tuple(sorted(values)))


def numbers(**shifts: float) -> tuple[NumericEncoding, ...]:
    return tuple(NumericEncoding(column=name, shift=shift, scale=2.0, fill=0.0) for name, shift in shifts.items())


def classifier(*features, classes: tuple[str | int | float | bool, ...] = ("no", "yes"), **changes) -> Preparation:
    fields = {"features": features or numbers(a=1.0, b=2.0), "targets": ("y",), **changes}
    return Preparation(task="classification", classes=classes, **fields)


def regressor(mean: tuple[float, ...] = (10.0,), scale: tuple[float, ...] = (4.0,)) -> Preparation:
    targets = ("y", "z")[: len(mean)]
    return Preparation(
        task="regression", features=numbers(a=0.0), targets=targets, target_mean=mean, target_scale=scale
    )


@pytest.fixture(scope="module")
def orders(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[pa.Table, Preparation]]:
    """Three hundred rows with a column of every kind, gaps in each of them, and what was fitted to them."""
    rng = np.random.default_rng(5)

    def gappy(values: np.ndarray, kind: pa.DataType) -> pa.Array:
        return pa.array(values, type=kind, mask=rng.random(300) < 0.1)

    moments = np.datetime64("2020-02-27", "us") + rng.integers(0, 10**14, 300).astype("timedelta64[us]")
    table = pa.table(
        {
            "price": gappy(rng.normal(50, 20, 300), pa.float64()),
            "count": gappy(rng.integers(0, 9, 300), pa.int32()),
            "town": gappy(rng.choice(["Ulm", "Bern", "Genève"], 300, p=[0.6, 0.395, 0.005]), pa.string()),
            "paid": gappy(rng.random(300) < 0.3, pa.bool_()),
            "day": pa.array(moments.astype("datetime64[D]"), pa.date32()),
            "moment": gappy(moments, pa.timestamp("us")),
            "zone": pa.array(rng.integers(1, 4, 300), pa.int8()),
            "returned": pa.array(rng.random(300) < 0.5),
        }
    )
    with staged_table(table, tmp_path_factory.mktemp("orders")) as staged:
        plan = infer_plan(staged, ("returned",))
        yield table, fit_preparation(staged, plan, rng.random(300) < 0.8)


# What travels


@given(
    classes=labels, levels=labels, gaps=st.booleans(), shift=finite, scale=finite, fill=st.integers(-(10**15), 10**15)
)
def test_json_restores_a_preparation_to_the_last_bit_and_label_type(classes, levels, gaps, shift, scale, fill):
    preparation = classifier(
        NumericEncoding(column="a", shift=shift, scale=scale, fill=shift, indicator=gaps),
        CategoricalEncoding(column="b", levels=(*levels, None) if gaps else levels),
        BooleanEncoding(column="c", fill=1.0 if gaps else None),
        DateEncoding(column="d", parts=("year", "month"), fill=fill, year=Scale(shift=shift, scale=scale)),
        classes=classes,
    )
    restored = Preparation.model_validate_json(preparation.model_dump_json())
    assert restored == preparation
    assert [type(label) for label in restored.classes] == [type(label) for label in classes]
    assert [type(level) for level in restored.features[1].levels] == [
        type(level) for level in preparation.features[1].levels
    ]


def test_a_restored_preparation_transforms_to_the_same_bits(orders):
    table, preparation = orders
    frame = table.to_pandas()
    restored = Preparation.model_validate_json(preparation.model_dump_json())
    assert restored.transform_features(frame).tobytes() == preparation.transform_features(frame).tobytes()


def test_a_served_model_loads_the_preparation_without_the_rest_of_the_pipeline():
    code = (
        "import sys, flows.data.preparation; "
        "print(sorted({'prefect', 'dask', 'mlflow', 'sklearn', 'scipy', 'yaml', 'pyarrow.parquet'} & set(sys.modules)))"
    )
    loaded = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert loaded.stdout.strip() == "[]"


# The same numbers in training, scoring and serving


@pytest.mark.parametrize("rows", [1, 7, 299])
def test_a_row_has_the_same_inputs_alone_in_a_piece_and_in_the_whole(rows, orders):
    table, preparation = orders
    frame = table.to_pandas(date_as_object=False)
    whole = preparation.transform_features(frame)
    pieces = [preparation.transform_features(frame.iloc[start : start + rows]) for start in range(0, 300, rows)]
    assert np.concatenate(pieces).tobytes() == whole.tobytes()


@pytest.mark.parametrize("rows", [1, 300])
def test_rows_that_come_as_json_have_the_same_inputs(rows, orders):
    table, preparation = orders
    whole = preparation.transform_features(table.to_pandas())
    records = json.loads(json.dumps(table.to_pylist(), default=lambda moment: moment.isoformat()))
    assert {type(record["price"]) for record in records} == {float, type(None)}
    served = [
        preparation.transform_features(pd.DataFrame(records[start : start + rows])) for start in range(0, 300, rows)
    ]
    assert np.concatenate(served).tobytes() == whole.tobytes()


CLOTHES = {
    "Arrow's own types": lambda table: table.to_pandas(types_mapper=pd.ArrowDtype),
    "pandas' nullable types": lambda table: table.to_pandas().convert_dtypes(),
    "objects": lambda table: table.to_pandas().astype(object),
    "dates of days as objects": lambda table: table.to_pandas(date_as_object=True),
    "categories": lambda table: table.to_pandas().astype({"town": "category", "zone": "category"}),
    "nanoseconds": lambda table: table.to_pandas().astype({"moment": "datetime64[ns]"}),
    "another time zone": lambda table: table.to_pandas().assign(
        moment=lambda frame: frame["moment"].dt.tz_localize("UTC").dt.tz_convert("Asia/Kathmandu")
    ),
    "text for dates": lambda table: table.to_pandas().astype({"moment": str, "day": str}).replace({"NaT": None}),
    "whole numbers as fractions": lambda table: table.to_pandas().astype({"zone": float, "count": float}),
    "0 and 1 for truth": lambda table: table.to_pandas().assign(paid=lambda frame: frame["paid"].astype(float)),
    "truth in words": lambda table: table.to_pandas().assign(
        paid=lambda frame: frame["paid"].map({True: "True", False: "false"})
    ),
    "columns in another order and others beside": lambda table: table.to_pandas()[table.column_names[::-1]].assign(
        new=1
    ),
    "another index": lambda table: table.to_pandas().set_index(np.zeros(300)),
}


@pytest.mark.parametrize("dress", CLOTHES.values(), ids=CLOTHES)
def test_values_count_and_not_the_types_they_are_stored_in(dress, orders):
    table, preparation = orders
    frame = dress(table)
    before = frame.copy(deep=True)
    assert (
        preparation.transform_features(frame).tobytes() == preparation.transform_features(table.to_pandas()).tobytes()
    )
    pd.testing.assert_frame_equal(frame, before)


def test_a_table_of_no_rows_has_no_inputs(orders):
    table, preparation = orders
    assert preparation.transform_features(table.to_pandas().head(0)).shape == (0, preparation.inputs)


def test_inputs_come_in_the_type_asked_for():
    frame = pd.DataFrame({"b": [2, 6], "a": [True, False]})
    assert classifier().transform_features(frame).dtype == np.float32
    assert classifier().transform_features(frame, "float64").tolist() == [[0.0, 0.0], [-0.5, 2.0]]


# What a value becomes


def test_an_unseen_level_lights_the_input_of_the_others():
    town = CategoricalEncoding(column="town", levels=("Bern", "Ulm"))
    frame = pd.DataFrame({"town": ["Ulm", "Chur", None, "Bern"]})
    expected = [[0, 1, 0], [0, 0, 1], [0, 0, 1], [1, 0, 0]]
    assert classifier(town).transform_features(frame).tolist() == expected
    with_gaps = CategoricalEncoding(column="town", levels=("Bern", "Ulm", None))
    assert classifier(with_gaps).transform_features(frame)[2].tolist() == [0, 0, 1, 0]


def test_a_level_that_is_a_whole_number_is_the_same_among_fractions():
    zone = CategoricalEncoding(column="zone", levels=(1, 2))
    assert classifier(zone).transform_features(pd.DataFrame({"zone": [2.0, 2.5, 1]})).tolist() == [
        [0, 1, 0],
        [0, 0, 1],
        [1, 0, 0],
    ]


@pytest.mark.parametrize(
    ("levels", "values", "fault"),
    [
        ((1, 2), [2, "2"], "'2', which is text, and the categories are numbers, in row 2"),
        (("1", "2"), ["2", None, 2], "2, which is a number, and the categories are text, in row 3"),
    ],
)
def test_a_level_of_another_kind_is_no_unseen_level(levels, values, fault):
    zone = CategoricalEncoding(column="zone", levels=levels)
    with pytest.raises(TableError, match=fault):
        classifier(zone).transform_features(pd.DataFrame({"zone": pd.Series(values, dtype=object)}))


def test_columns_that_are_not_known_are_named_beside_those_that_are_missing():
    town = CategoricalEncoding(column="town", levels=("Bern", "Ulm"))
    with pytest.raises(
        TableError, match=r"missing columns \['town'\] \(1 of 1\); add them; unknown columns \['twon'\]"
    ):
        classifier(town).transform_features(pd.DataFrame({"twon": ["Ulm"]}))


def test_gaps_are_filled_in_the_columns_unit_and_indicated():
    encodings = (
        NumericEncoding(column="a", shift=1.0, scale=2.0, fill=3.0, indicator=True),
        BooleanEncoding(column="b", fill=1.0, indicator=True),
    )
    frame = pd.DataFrame({"a": [5.0, None], "b": [False, None]})
    assert classifier(*encodings).transform_features(frame).tolist() == [[2, 0, 0, 0], [1, 1, 1, 1]]


def test_the_parts_of_a_date_stand_on_circles_or_grow():
    day = DateEncoding(
        column="day",
        parts=("weekday", "year", "elapsed"),
        fill=0,
        indicator=True,
        year=Scale(shift=2000.0, scale=10.0),
        elapsed=Scale(shift=0.0, scale=86400.0),
    )
    # A Monday, and a gap filled with Thursday, 1 January 1970.
    inputs = classifier(day).transform_features(pd.DataFrame({"day": ["2026-08-03T12:00", None]}), "float64")
    angle = 2 * np.pi * 3 / 7
    assert inputs.tolist() == [
        [0.0, 1.0, 2.6, 20668.5, 0.0],
        [pytest.approx(np.sin(angle)), pytest.approx(np.cos(angle)), -3.0, 0.0, 1.0],
    ]


def test_december_stands_as_near_to_january_as_november():
    months = DateEncoding(column="day", parts=("month",))
    inputs = classifier(months).transform_features(pd.DataFrame({"day": ["2026-11-05", "2026-12-05", "2027-01-05"]}))
    steps = np.linalg.norm(np.diff(inputs, axis=0), axis=1)
    assert steps[0] == pytest.approx(steps[1])


def test_pixels_share_one_scale():
    pixels = Pixels(columns=("a", "b"), shift=51.0, scale=102.0)
    frame = pd.DataFrame({"a": np.array([0, 255], np.uint8), "b": np.array([51, 0], np.uint8)})
    values = classifier(features=(), pixels=pixels).transform_features(frame)
    assert values.tolist() == [[-0.5, 0.0], [2.0, -0.5]]


# Refusals


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"a": [1.0]}, r"missing columns \['b'\] \(1 of 2\); add them"),
        ({"c": [1.0]}, r"missing columns \['a', 'b'\] \(2 of 2\); add them"),
        ({"a": [1.0], "b": ["x"]}, "column 'b' has 'x', which is no number, in row 1; correct or remove it"),
        ({"a": [1.0, 2.0], "b": ["7", "x"]}, "column 'b' has 'x', which is no number, in row 2"),
        ({"a": [1.0], "b": ["7"]}, "column 'b' has '7', a number stored as text, in row 1"),
        ({"a": [1.0], "b": [1j]}, "column 'b' has 1j, which is no number"),
        ({"a": pd.to_datetime(["2026-01-01"]), "b": [1]}, "column 'a' has Timestamp.*, which is no number"),
        ({"a": [1.0, 2.0], "b": [1.0, np.inf]}, "column 'b' has an infinite value in row 2"),
        ({"a": [1e300], "b": [1.0]}, "column 'a' has a value too large for float32 in row 1"),
        (
            {"a": [1.0, "x"], "b": [np.inf, 1.0]},
            "column 'a' has 'x'.* in row 2; column 'b' has an infinite value in row 1; correct or remove them",
        ),
    ],
)
def test_a_frame_the_network_cannot_take_is_refused_by_every_column_and_row(columns, message):
    with pytest.raises(TableError, match=message) as caught:
        classifier().transform_features(pd.DataFrame(columns))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "encoding",
    [
        NumericEncoding(column="a"),
        CategoricalEncoding(column="a", levels=("x",), refuse_missing=True),
        BooleanEncoding(column="a"),
        DateEncoding(column="a", parts=("year",)),
    ],
    ids=lambda encoding: encoding.kind,
)
@pytest.mark.parametrize("nothing", [None, np.nan, pd.NA, pd.NaT])
def test_a_gap_is_refused_where_the_plan_says_so(encoding, nothing):
    with pytest.raises(TableError, match="column 'a' has a missing value in row 1; correct or remove it"):
        classifier(encoding).transform_features(pd.DataFrame({"a": [nothing]}))


@pytest.mark.parametrize(
    ("encoding", "value", "message"),
    [
        (CategoricalEncoding(column="a", levels=("x",)), ["x"], r"\['x'\], which is no category,"),
        (CategoricalEncoding(column="a", levels=("x",)), pd.Timestamp(0), "which is no category"),
        (CategoricalEncoding(column="a", levels=(1,)), np.inf, "inf, which is no category"),
        (BooleanEncoding(column="a"), "maybe", "'maybe', which is neither true nor false,"),
        (BooleanEncoding(column="a"), 2, "2, which is neither true nor false,"),
        (DateEncoding(column="a", parts=("year",)), "31.07.2026", "which is no date written like 2026-07-31"),
        (DateEncoding(column="a", parts=("year",)), 1785456000000, "which is a number and no date"),
        (DateEncoding(column="a", parts=("year",)), True, "which is a number and no date"),
        (DateEncoding(column="a", parts=("year",)), ["2026-07-31"], "which is no date"),
        (DateEncoding(column="a", parts=("year",)), "Today", "'Today', which is no date written like"),
        (NumericEncoding(column="a"), [1.0], r"\[1.0\], which is no number"),
        (NumericEncoding(column="a"), "x" * 100, "'x{35}...', which is no number"),
    ],
)
def test_a_value_of_another_kind_is_refused_and_shown(encoding, value, message):
    with pytest.raises(TableError, match=f"column 'a' has .*{message}.* in row 1"):
        classifier(encoding).transform_features(pd.DataFrame({"a": [value]}))


def test_a_feature_that_is_there_twice_is_refused():
    frame = pd.DataFrame([[1.0, 2.0, 3.0]], columns=["a", "b", "a"])
    with pytest.raises(TableError, match=r"columns \['a'\] are there more than once"):
        classifier().transform_features(frame)


@pytest.mark.parametrize(
    "changes",
    [
        {"classes": None},
        {"task": "regression"},
        {"task": "multilabel"},
        {"targets": ("y", "z")},
        {"target_mean": (0.0,), "target_scale": (1.0,)},
        {"pixels": Pixels(columns=("p",), shift=0.0, scale=1.0)},
        {"mean": (1.0,)},
        {"features": [{"kind": "numeric", "column": "a", "shift": np.inf}]},
    ],
)
def test_fields_that_contradict_each_other_are_refused(changes):
    with pytest.raises(ValidationError):
        Preparation.model_validate({**classifier().model_dump(), **changes})


# Targets


@given(classes=labels, data=st.data())
def test_labels_become_codes_and_codes_become_the_same_labels(classes, data):
    rows = data.draw(st.lists(st.sampled_from(classes), min_size=1))
    preparation = classifier(classes=classes)
    codes = preparation.transform_target(pd.DataFrame({"y": rows}))
    assert codes.dtype == np.int64
    assert codes.tolist() == [classes.index(label) for label in rows]
    assert preparation.restore_target(codes).tolist() == rows
    assert preparation.outputs == len(classes)


@pytest.mark.parametrize(
    ("classes", "kind"), [(("a", "b"), "O"), ((1, 2), "i"), ((0.5, 1.5), "f"), ((False, True), "b")]
)
def test_restored_labels_have_the_type_of_the_originals(classes, kind):
    assert classifier(classes=classes).restore_target(np.array([1, 0])).dtype.kind == kind


@given(values=st.lists(st.floats(-1e6, 1e6), min_size=1), mean=st.floats(-1e3, 1e3), scale=st.floats(1e-3, 1e3))
def test_a_standardised_target_is_restored_to_its_own_units(values, mean, scale):
    preparation = regressor((mean,), (scale,))
    learned = preparation.transform_target(pd.DataFrame({"y": values}))
    assert learned.shape == (len(values), 1)
    assert learned.dtype == np.float32
    restored = preparation.restore_target(learned.astype(np.float64)[:, 0])
    assert restored == pytest.approx(values, rel=1e-6, abs=1e-6 * (1 + abs(mean)))


@pytest.mark.parametrize("shape", [(2,), (2, 1), (3, 2, 1)])
def test_predictions_of_one_target_are_restored_in_their_shape(shape):
    assert (regressor().restore_target(np.ones(shape)) == np.full(shape, 14.0)).all()
    assert regressor().restore_target(np.ones(shape)).shape == shape


def test_predictions_of_several_targets_are_a_frame_in_their_units():
    restored = regressor((10.0, 0.0), (4.0, 2.0)).restore_target(np.array([[1.0, 1.0], [0.0, -1.0]]))
    pd.testing.assert_frame_equal(restored, pd.DataFrame({"y": [14.0, 10.0], "z": [2.0, -2.0]}))


def test_several_labels_are_learned_as_0_and_1_and_restored_from_probabilities():
    preparation = Preparation(task="multilabel", features=numbers(a=0.0), targets=("wet", "cold"))
    learned = preparation.transform_target(pd.DataFrame({"cold": [True, False], "wet": [0, 1]}))
    assert learned.dtype == np.float32
    assert learned.tolist() == [[0, 1], [1, 0]]
    restored = preparation.restore_target(np.array([[0.2, 0.51], [0.9, 0.5]]))
    pd.testing.assert_frame_equal(restored, pd.DataFrame({"wet": [0, 1], "cold": [1, 0]}))


def test_errors_are_told_in_the_unit_of_the_one_target_they_have():
    assert regressor().metric_unit == 4.0
    assert regressor((1.0, 2.0), (3.0, 4.0)).metric_unit == 1.0
    assert classifier().metric_unit == 1.0


@pytest.mark.parametrize(
    ("target", "label"),
    [(["yes", "maybe"], "'maybe' in row 2"), ([1, 0], "1 in row 1"), ([None], "row 1")],
)
def test_a_label_the_network_does_not_know_is_refused(target, label):
    with pytest.raises(TableError, match=label):
        classifier().transform_target(pd.DataFrame({"y": target}))


def test_a_whole_number_and_its_text_are_different_labels():
    with pytest.raises(TableError, match="the label '1' in row 1"):
        classifier(classes=(1, 2)).transform_target(pd.DataFrame({"y": ["1"]}))


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"y": ["x"]}, "column 'y' has 'x', which is no number, in row 1"),
        ({"y": [1.0, np.nan]}, "column 'y' has a missing or infinite value in row 2"),
        ({"y": [np.inf]}, "column 'y' has a missing or infinite value in row 1"),
        ({"a": [1.0]}, r"target columns \['y'\] are missing; add them"),
    ],
)
def test_a_target_that_is_no_number_is_refused_by_a_regression(columns, message):
    with pytest.raises(TableError, match=message):
        regressor().transform_target(pd.DataFrame(columns))
