"""The schema of a source: what is inferred of a table, and the YAML in which a person edits it."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.data.plan import CategoricalPlan, NumericPlan, PreparationPlan
from flows.data.schema import (
    ColumnSchema,
    PixelSchema,
    SchemaFileError,
    TableSchema,
    dump_schema,
    infer_schema,
    parse_schema,
    widened,
)
from tests.flows.data.tables import staged_table

COLUMNS = {
    "age": [20, 30, 40, 50],
    "weight": [50.5, np.nan, 70.25, 90.0],
    "always": [7, 7, 7, 7],
    "colour": ["red", "blue", None, "red"],
    "zip": [100, 200, 100, 300],
    "member": [True, False, True, True],
    "since": pd.to_datetime(["2026-01-01", "2026-02-01", None, "2026-03-01"]),
    "note": ["a", "b", "c", "d"],
    "kind": ["ham", "spam", "ham", "no"],
}
PLAN = PreparationPlan(
    target=("kind",),
    task="classification",
    columns={
        **dict.fromkeys(("age", "weight", "always"), NumericPlan()),
        "colour": CategoricalPlan(),
        "zip": CategoricalPlan(),
        "member": {"kind": "boolean"},
        "since": {"kind": "date"},
    },
    drop=("note",),
)
SCHEMA = TableSchema(
    columns={
        "age": ColumnSchema(kind="number", minimum=-10, maximum=80),
        "weight": ColumnSchema(kind="number", nullable=True, minimum=11, maximum=129.5),
        "always": ColumnSchema(kind="number"),
        "colour": ColumnSchema(kind="text", nullable=True, levels=("blue", "red")),
        "zip": ColumnSchema(kind="number", levels=("100", "200", "300")),
        "member": ColumnSchema(kind="boolean"),
        "since": ColumnSchema(kind="date", nullable=True),
        "kind": ColumnSchema(kind="text", classes=("ham", "no", "spam")),
    },
    ignored=("note",),
)


def test_a_schema_says_of_each_column_what_was_seen_with_room_to_spare(tmp_path: Path) -> None:
    with staged_table(COLUMNS, tmp_path) as staged:
        assert infer_schema(staged, PLAN) == SCHEMA


def test_a_target_that_is_a_quantity_has_a_range_and_no_classes(tmp_path: Path) -> None:
    plan = PreparationPlan(target=("age",), task="regression", columns={"weight": NumericPlan()})
    with staged_table(COLUMNS, tmp_path) as staged:
        assert infer_schema(staged, plan).columns["age"] == ColumnSchema(kind="number", minimum=-10, maximum=80)


def test_pixels_have_one_schema_for_all(tmp_path: Path) -> None:
    images = {f"pixel_{i}": np.array([0, 100, 255], np.uint8) for i in range(6)}
    plan = PreparationPlan(target=("label",), task="classification", pixels=True)
    with staged_table({**images, "label": [0, 1, 2]}, tmp_path, pixels=True) as staged:
        schema = infer_schema(staged, plan)
    assert schema.pixels == PixelSchema(count=6, minimum=-255, maximum=510)
    assert schema.columns == {"label": ColumnSchema(kind="number", classes=("0", "1", "2"))}
    assert parse_schema(dump_schema(schema, "images"), "schema.yaml") == schema


def test_a_schema_comes_back_from_its_yaml_as_it_was() -> None:
    text = dump_schema(SCHEMA, "plants.csv")
    assert text.startswith("# What is expected of plants.csv")
    assert "  age: {kind: number, nullable: false, minimum: -10, maximum: 80}\n" in text
    assert '  kind: {kind: text, nullable: false, classes: [ham, "no", spam]}\n' in text
    assert parse_schema(text, "schema.yaml") == SCHEMA


NAMES = st.text(min_size=1, max_size=12).filter(lambda text: text.isprintable())


@given(st.dictionaries(NAMES, st.tuples(st.booleans(), st.lists(NAMES, max_size=4, unique=True)), max_size=5))
def test_any_name_and_any_level_comes_back_from_yaml(columns) -> None:
    schema = TableSchema(
        columns={
            name: ColumnSchema(kind="text", nullable=nullable, levels=tuple(levels))
            for name, (nullable, levels) in columns.items()
        }
    )
    if columns:
        assert parse_schema(dump_schema(schema, "x"), "schema.yaml") == schema


@given(st.floats(-1e12, 1e12), st.floats(1e-9, 1e12))
def test_a_range_is_widened_by_its_width_and_hardly_more(low, width) -> None:
    high = low + width
    width = high - low
    if width == 0:
        assert widened(low, high) == {}
        return
    ends = widened(low, high)
    # The ends are decimals; of two numbers that are nearly one, a float64 knows no more than this.
    blur = 1e-12 * max(abs(low), abs(high))
    assert ends["minimum"] <= low - width + blur
    assert ends["maximum"] >= high + width - blur
    assert ends["maximum"] - ends["minimum"] <= 3.03 * width + 2 * blur


def test_what_a_person_writes_into_a_schema_is_taken_as_written() -> None:
    schema = parse_schema(
        "other_columns: accept\ncolumns:\n  answer: {kind: text, classes: [yes, no, 007]}\n"
        "  2024: {kind: number, maximum: 1e3}\n",
        "schema.yaml",
    )
    assert schema.other_columns == "accept"
    assert schema.columns["answer"].classes == ("yes", "no", "007")
    assert schema.columns["2024"] == ColumnSchema(kind="number", maximum=1000)


FAULTS = {
    "no YAML": ("columns: [\n", "line 2", "not valid YAML"),
    "no mapping": ("- a\n", "line 1", "mapping"),
    "nothing": ("", "line 1", "mapping"),
    "no columns": ("ignored: [a]\n", "columns", "required"),
    "an unknown field": ("columns:\n  a: {kind: number, least: 3}\n", "line 2", "a.least", "not permitted"),
    "an unknown kind": ("columns:\n  a: {kind: numeric}\n", "line 2", "a.kind", "'number'", "(it is 'numeric')"),
    "no number": ("columns:\n  a: {kind: number, minimum: low}\n", "line 2", "a.minimum", "(it is 'low')"),
    "an infinite number": ("columns:\n  a: {kind: number, minimum: -inf}\n", "line 2", "a.minimum", "finite"),
    "ends in disorder": ("columns:\n  a: {kind: number, minimum: 3, maximum: 2}\n", "line 2", "3 is above"),
    "a range of text": ("columns:\n  a: {kind: text, minimum: 3}\n", "line 2", "a text has no minimum"),
    "a level that is no number": ("columns:\n  b: {kind: text}\n  a: {kind: number, levels: [x]}\n", "line 3", "'x'"),
    "a column twice": ("columns:\n  a: {kind: text}\n  a: {kind: text}\n", "line 3", "'a' is there twice"),
}


@pytest.mark.parametrize(("text", "parts"), [(case[0], case[1:]) for case in FAULTS.values()], ids=FAULTS)
def test_a_schema_with_a_mistake_is_refused_with_the_line(text, parts) -> None:
    with pytest.raises(SchemaFileError) as raised:
        parse_schema(text, "store/schema.yaml")
    message = str(raised.value)
    assert message.startswith("store/schema.yaml: ")
    assert "\n" not in message
    for part in parts:
        assert part in message
