import string

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from flows.data.plan import (
    BooleanPlan,
    CategoricalPlan,
    DatePlan,
    NumericPlan,
    PlanError,
    PreparationPlan,
    dump_plan,
    load_plan,
)

names = st.one_of(
    st.text(min_size=1, max_size=20),
    st.sampled_from(["no", "null", "1", "1e3", "2026-07-31", "~", "a: b", "a #b", "- a", "%x", "'", '"', " x ", "y"]),
)
numeric = st.one_of(
    st.builds(
        NumericPlan,
        scale=st.sampled_from(["standard", "minmax", "robust", "none"]),
        missing=st.just("constant"),
        fill=st.floats(allow_nan=False, allow_infinity=False),
        indicator=st.booleans(),
    ),
    st.builds(NumericPlan, missing=st.just("refuse")),
)
dates = st.builds(
    DatePlan,
    parts=st.lists(st.sampled_from(["year", "month", "day", "weekday", "hour", "elapsed"]), min_size=1, unique=True),
    format=st.one_of(st.none(), st.text(string.printable, min_size=1)),
)
columns = st.one_of(
    numeric,
    dates,
    st.builds(CategoricalPlan, rare=st.floats(0, 1, exclude_max=True), missing=st.sampled_from(["level", "refuse"])),
    st.builds(BooleanPlan, indicator=st.booleans()),
)


@st.composite
def plans(draw: st.DrawFn) -> PreparationPlan:
    """Plans of columns with any names; some have notes."""
    every = draw(st.lists(names, unique=True, max_size=8))
    target, drop, used = every[:1], every[1:3], every[3:]
    return PreparationPlan(
        target=tuple(target),
        task=draw(st.sampled_from(["auto", "classification", "regression", "multilabel"])),
        target_scale=draw(st.sampled_from(["standard", "none"])),
        columns={name: draw(columns) for name in used},
        drop=tuple(drop),
        pixels=not used and draw(st.booleans()),
        notes={name: draw(st.text(max_size=30)) for name in every[2:5]},
    )


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(plan=plans())
def test_a_plan_that_was_written_is_read_as_it_was(plan, tmp_path):
    path = tmp_path / "plan.yaml"
    path.write_text(dump_plan(plan), encoding="utf-8")
    assert load_plan(path) == plan.model_copy(update={"notes": {}})


def test_the_file_says_what_was_noted_and_what_could_be_chosen():
    plan = PreparationPlan(
        target=("price",),
        columns={"rooms": NumericPlan(), "city": CategoricalPlan()},
        drop=("id",),
        notes={"id": "a different value in every row", "city": "missing in 2\nof 9 rows"},
    )
    lines = dump_plan(plan).splitlines()
    assert "  rooms: {kind: numeric, scale: standard, missing: median, indicator: false}" in lines
    assert "  city: {kind: categorical, rare: 0.01, missing: level}  # missing in 2 of 9 rows" in lines
    assert "  - id  # a different value in every row" in lines
    header = "\n".join(line for line in lines if line.startswith("#"))
    for choice in ("standard | minmax | robust | none", "median | constant", "most_frequent | refuse", "elapsed"):
        assert choice in header


def test_other_readers_of_yaml_see_the_names_as_text():
    plan = PreparationPlan(columns=dict.fromkeys(["no", "1", "2026-07-31", "null", "1e3"], NumericPlan()))
    assert list(yaml.safe_load(dump_plan(plan))["columns"]) == list(plan.columns)


def test_a_plan_may_say_as_little_as_one_field(tmp_path):
    path = tmp_path / "plan.yaml"
    path.write_text("drop: name\n")
    assert load_plan(path) == PreparationPlan(drop=("name",))
    path.write_text("# nothing yet\n")
    assert load_plan(path) == PreparationPlan()


FAULTS = {
    "unknown field": ("tagret: y", "line 1: tagret: there is no such field: did you mean 'target'?"),
    "unknown kind": ("columns:\n  a: {kind: numerc}", "line 2: columns.a: say what it is: `{kind: ...}` with one of"),
    "no kind": ("columns:\n  a: {scale: none}", "line 2: columns.a: say what it is"),
    "no mapping": ("columns:\n  a: numeric", "line 2: columns.a: say what it is"),
    "unknown choice": (
        "columns:\n  b: {kind: boolean}\n  a:\n    kind: numeric\n    scale: max",
        "line 5: columns.a.scale: Input should be 'standard', 'minmax', 'robust' or 'none' (it is 'max')",
    ),
    "field of another kind": (
        "columns:\n  a: {kind: boolean, scale: none}",
        "line 2: columns.a.scale: there is no such field: use kind, missing, indicator",
    ),
    "unknown part": ("columns:\n  d:\n    kind: date\n    parts:\n    - year\n    - yeer", "line 6: columns.d.parts"),
    "no parts": ("columns:\n  d: {kind: date, parts: []}", "line 2: columns.d.parts"),
    "constant without a value": ("columns:\n  a: {kind: numeric, missing: constant}", "line 2: columns.a: `fill: NUM"),
    "value without constant": ("columns:\n  a: {kind: numeric, fill: 3}", "line 2: columns.a: `fill: NUMBER` and"),
    "infinite value": ("columns:\n  a: {kind: numeric, missing: constant, fill: .inf}", "line 2: columns.a.fill"),
    "indicator of no gaps": ("columns:\n  a: {kind: date, missing: refuse, indicator: true}", "no gaps to indicate"),
    "all levels rare": ("columns:\n  a: {kind: categorical, rare: 1}", "line 2: columns.a.rare"),
    "named twice": ("columns:\n  a: {kind: numeric}\n  a: {kind: boolean}", "line 3: 'a' is there twice; remove one"),
    "dropped twice": ("drop: [a, a]", "'a' is named twice in `drop`; remove one"),
    "dropped and used": ("columns:\n  a: {kind: numeric}\ndrop: [a]", "column 'a' is dropped and used; remove it"),
    "target and feature": ("target: a\ncolumns:\n  a: {kind: numeric}", "column 'a' is a target and cannot be"),
    "pixels and columns": ("pixels: true\ncolumns:\n  a: {kind: numeric}", "`pixels: true` means all columns"),
    "a list": ("- a", "line 1: a preparation is a mapping; start it with `columns:` or `drop:`"),
    "no YAML": ("columns:\n  a: [", "line 2: not valid YAML"),
    "a tab": ("columns:\n\ta: 1", "line 2: not valid YAML"),
    "a signal": ("target: \x07", "not valid YAML"),
}


@pytest.mark.parametrize(("text", "message"), FAULTS.values(), ids=FAULTS)
def test_a_fault_in_the_file_is_told_with_file_line_and_field(text, message, tmp_path):
    path = tmp_path / "plan.yaml"
    path.write_text(text)
    with pytest.raises(PlanError) as caught:
        load_plan(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"), [(None, "No such file or directory"), (b"target: \xff", "it is not UTF-8 text")]
)
def test_a_file_that_cannot_be_read_is_told(content, message, tmp_path):
    path = tmp_path / "plan.yaml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(PlanError, match=message):
        load_plan(path)


def test_the_features_of_a_table_come_in_its_order():
    plan = PreparationPlan(target=("y",), columns={"b": NumericPlan(), "a": BooleanPlan()}, drop=("c",))
    assert list(plan.features(["a", "b", "c", "y"])) == ["a", "b"]
    assert list(PreparationPlan(target=("y",), drop=("c",), pixels=True).features(["a", "b", "c", "y"])) == ["a", "b"]


def test_a_plan_does_not_change():
    with pytest.raises(ValidationError):
        PreparationPlan().task = "regression"
