"""A table held against a schema: everything is found, counted, and shown where it stands."""

import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flows.data.conformance import check_schema, enforce_schema
from flows.data.plan import CategoricalPlan, NumericPlan, PreparationPlan
from flows.data.schema import ColumnSchema, PixelSchema, TableSchema, infer_schema
from flows.data.violations import Example, SchemaViolationError, Violation
from tests.flows.data.tables import staged_table

PLAN = PreparationPlan(
    target=("kind",),
    task="classification",
    columns={
        "size": NumericPlan(),
        "colour": CategoricalPlan(),
        "member": {"kind": "boolean"},
        "day": {"kind": "date"},
    },
    drop=("note",),
)
ROWS = 60


def plants(**changes: object) -> pd.DataFrame:
    place = np.arange(ROWS)
    frame = pd.DataFrame(
        {
            "size": place * 1.0,
            "colour": np.array(["red", "green", "blue"])[place % 3],
            "member": place % 2 == 0,
            "day": pd.Timestamp("2026-01-01") + pd.to_timedelta(place, unit="D"),
            "note": "x",
            "kind": np.array(["rose", "iris"])[place % 2],
        }
    )
    for name, value in changes.items():
        frame[name] = value(frame) if callable(value) else value
    return frame


@pytest.fixture
def schema(tmp_path: Path) -> TableSchema:
    with staged_table(plants(), tmp_path) as staged:
        return infer_schema(staged, PLAN)


def check(schema: TableSchema, frame: pd.DataFrame, directory: Path, plan: PreparationPlan = PLAN) -> list[Violation]:
    with staged_table(frame, directory) as staged:
        return check_schema(schema, staged, plan)


def test_the_table_that_a_schema_was_inferred_of_keeps_it(schema, tmp_path) -> None:
    assert check(schema, plants(), tmp_path) == []


GROWTH = {
    "wider values": {"size": lambda frame: frame["size"] * 1.9},
    "fewer rows of it": {"size": 30.0},
    "later days": {"day": lambda frame: frame["day"] + pd.Timedelta(days=3650)},
    "levels that come no more": {"colour": "red"},
    "whole numbers": {"size": lambda frame: frame["size"].astype(int)},
    "a column that was left out": {"note": 3.5},
}


@pytest.mark.parametrize("changes", GROWTH.values(), ids=GROWTH)
def test_what_a_growing_table_does_by_itself_breaks_nothing(changes, schema, tmp_path) -> None:
    assert check(schema, plants(**changes), tmp_path) == []


def test_every_violation_is_listed_with_count_and_the_first_five_places(schema, tmp_path) -> None:
    frame = plants(colour=lambda frame: frame["colour"].replace("green", "lime")).drop(columns="day")
    frame["extra"] = 1
    frame.loc[[50, 9, 10, 30, 40, 45], "size"] = [900.0, 901.0, -902.0, 903.0, 904.0, 905.0]
    frame.loc[7, "size"] = np.nan
    frame.loc[20:21, "kind"] = ["daisy", None]
    assert check(schema, frame, tmp_path) == [
        Violation(column="day", rule="missing column", allowed="date", count=ROWS),
        Violation(
            column="size",
            rule="range",
            allowed="-59 to 118",
            count=6,
            examples=(
                Example(value="901", where="row 10"),
                Example(value="-902", where="row 11"),
                Example(value="903", where="row 31"),
                Example(value="904", where="row 41"),
                Example(value="905", where="row 46"),
            ),
        ),
        Violation(
            column="kind",
            rule="classes",
            allowed="iris, rose",
            count=1,
            examples=(Example(value="'daisy'", where="row 21"),),
        ),
        Violation(
            column="kind", rule="gaps", allowed="no gaps", count=1, examples=(Example(value="missing", where="row 22"),)
        ),
        Violation(column="extra", rule="unexpected column", allowed="the columns of the schema", count=ROWS),
        Violation(
            column="size",
            rule="gaps",
            allowed="no gaps",
            count=1,
            examples=(Example(value="missing", where="row 8"),),
            severity="warning",
        ),
        Violation(
            column="colour",
            rule="levels",
            allowed="blue, green, red",
            count=20,
            examples=tuple(Example(value="'lime'", where=f"row {row + 1}") for row in (1, 4, 7, 10, 13)),
            severity="warning",
        ),
    ]


def texts(column: pd.Series, **replaced: str) -> pd.Series:
    """Return a column as text, with other texts in some rows: ``row_3="oak"``."""
    changed = {int(row.removeprefix("row_")): text for row, text in replaced.items()}
    return pd.Series([changed.get(row, str(value)) for row, value in enumerate(column.tolist())])


KINDS = {
    "text among numbers": ("size", lambda frame: texts(frame["size"], row_3="oak", row_5="n/a"), 2, "'oak'", 4),
    "numbers in quotes": ("size", lambda frame: texts(frame["size"]), ROWS, "'0.0'", 1),
    "numbers for text": ("colour", lambda frame: frame["size"], ROWS, "0", 1),
    "text among truth values": ("member", lambda frame: texts(frame["member"], row_9="perhaps"), 1, "'perhaps'", 10),
    "numbers for truth values": ("member", lambda frame: frame["size"], ROWS, "0", 1),
    "text among days": ("day", lambda frame: texts(frame["day"], row_50="soon", row_51=""), 2, "'soon'", 51),
    "numbers for days": ("day", lambda frame: frame["size"], ROWS, "0", 1),
    "days for numbers": ("size", lambda frame: frame["day"], ROWS, "2026-01-01T00:00:00", 1),
}


@pytest.mark.parametrize(("name", "change", "count", "value", "row"), KINDS.values(), ids=KINDS)
def test_a_column_of_another_kind_is_shown_by_what_makes_it_so(name, change, count, value, row, schema, tmp_path):
    [found] = check(schema, plants(**{name: change}), tmp_path)
    assert (found.column, found.rule, found.count, found.severity) == (name, "kind", count, "error")
    assert found.examples[0] == Example(value=value, where=f"row {row}")


def test_a_column_that_is_empty_is_all_gaps_whatever_its_type(schema, tmp_path) -> None:
    for nothing in (np.nan, None, pd.NaT):
        [found] = check(schema, plants(size=nothing), tmp_path)
        assert (found.column, found.rule, found.count) == ("size", "gaps", ROWS)


def test_a_gap_is_an_error_only_where_the_plan_refuses_it(schema, tmp_path) -> None:
    frame = plants(size=lambda frame: frame["size"].where(frame["size"] > 3))
    refusing = PLAN.model_copy(update={"columns": {**PLAN.columns, "size": NumericPlan(missing="refuse")}})
    assert [found.severity for found in check(schema, frame, tmp_path)] == ["warning"]
    assert [found.severity for found in check(schema, frame, tmp_path, refusing)] == ["error"]
    allowed = schema.columns | {"size": schema.columns["size"].model_copy(update={"nullable": True})}
    assert check(schema.model_copy(update={"columns": allowed}), frame, tmp_path) == []


def test_what_the_plan_drops_may_be_missing_and_what_it_names_may_come(schema, tmp_path) -> None:
    dropping = PLAN.model_copy(
        update={"columns": {"colour": CategoricalPlan()}, "drop": ("size", "member", "day", "new")}
    )
    frame = plants(new=1).drop(columns=["size", "note"])
    assert check(schema, frame, tmp_path, dropping) == []


def test_new_columns_may_come_if_the_schema_says_so(schema, tmp_path) -> None:
    assert check(schema.model_copy(update={"other_columns": "accept"}), plants(new=1), tmp_path) == []


def test_infinite_values_are_out_of_any_range(schema, tmp_path) -> None:
    [found] = check(schema, plants(size=lambda frame: frame["size"].replace(4.0, np.inf)), tmp_path)
    assert found.examples == (Example(value="inf", where="row 5"),)


def test_numbers_that_are_categories_are_held_against_their_levels(tmp_path) -> None:
    schema = TableSchema(columns={"zip": ColumnSchema(kind="number", nullable=True, levels=("100", "200"))})
    frame = pd.DataFrame({"zip": [100.0, 200.0, np.nan, 300.0]})
    [found] = check(schema, frame, tmp_path, PreparationPlan())
    assert (found.rule, found.severity, found.examples) == ("levels", "warning", (Example(value="300", where="row 4"),))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
@given(
    st.lists(st.one_of(st.floats(-10, 10), st.none()), min_size=1, max_size=40), st.integers(1, 7), st.floats(-10, 10)
)
def test_what_is_found_does_not_depend_on_the_pieces(tmp_path, values, rows, least) -> None:
    schema = TableSchema(columns={"size": ColumnSchema(kind="number", minimum=least, maximum=max(least, 5))})
    frame = pd.DataFrame({"size": pd.array(values, dtype="float64")})
    with staged_table(frame, tmp_path) as staged:
        whole = check_schema(schema, staged, PreparationPlan())
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("flows.data.staging.CHUNK_BYTES", 8 * rows)
            assert check_schema(schema, staged, PreparationPlan()) == whole
    by_hand = [row for row, value in enumerate(values) if value is not None and not least <= value <= max(least, 5)]
    assert sum(found.count for found in whole if found.rule == "range") == len(by_hand)


def images(values: np.ndarray) -> pd.DataFrame:
    return pd.DataFrame({f"pixel_{i}": values for i in range(4)})


def test_images_are_held_against_their_size_and_range(tmp_path) -> None:
    schema = TableSchema(columns={}, pixels=PixelSchema(count=4, minimum=0, maximum=16))
    plan = PreparationPlan(pixels=True)
    assert check(schema, images(np.arange(17.0)), tmp_path, plan) == []
    assert check(schema, images(np.arange(17, dtype=np.uint8)), tmp_path, plan) == []
    brighter = images(np.arange(17.0)).assign(pixel_2=np.arange(17) * 2)
    [found] = check(schema, brighter, tmp_path, plan)
    assert (found.column, found.rule, found.count) == ("pixel_2", "range", 8)
    [size] = check(schema, images(np.arange(17.0)).drop(columns="pixel_0"), tmp_path, plan)
    assert (size.rule, size.column, size.allowed) == ("pixels", "3 columns", "4 pixel columns")


def test_warnings_are_returned_and_errors_raised_with_the_warnings_beside_them(schema, tmp_path) -> None:
    lime = plants(colour=lambda frame: frame["colour"].replace("green", "lime"))
    with staged_table(lime, tmp_path, uri="plants.csv") as staged:
        assert [found.rule for found in enforce_schema(schema, staged, PLAN, "schema.yaml")] == ["levels"]
        assert enforce_schema(None, staged, PLAN, "schema.yaml") == ()
    less = lime.drop(columns=["size", "day"])
    with staged_table(less, tmp_path, uri="plants.csv") as staged, pytest.raises(SchemaViolationError) as raised:
        enforce_schema(schema, staged, None, "schema.yaml")
    assert [found.rule for found in raised.value.violations] == ["missing column", "missing column", "levels"]
    assert str(raised.value) == (
        "plants.csv: column 'size' breaks the schema: it is missing (and 1 more violation); correct the data, or edit "
        "schema.yaml if this is what you want"
    )


def test_the_error_travels_between_processes(schema, tmp_path) -> None:
    with staged_table(plants(size=1e6), tmp_path) as staged, pytest.raises(SchemaViolationError) as raised:
        enforce_schema(schema, staged, PLAN, "schema.yaml")
    copy = pickle.loads(pickle.dumps(raised.value))  # noqa: S301 - our own
    assert (str(copy), copy.violations) == (str(raised.value), raised.value.violations)
    assert "60 values outside -59 to 118, the first 1000000 at row 1;" in str(copy)


def test_what_checks_and_what_draws_is_imported_when_it_is_used() -> None:
    imported = "import sys, flows.cli, flows.data.conformance, flows.drift_plot"
    program = f"{imported}; print(*{{'pandera', 'plotly'}} & {{*sys.modules}})"
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ran.stdout == "\n"
