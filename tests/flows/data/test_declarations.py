from pathlib import Path

import pandas as pd
import pytest

from flows.data.declarations import read_declarations, read_own_plan, without_split_column
from flows.data.plan import CategoricalPlan, NumericPlan, PlanError, PreparationPlan, load_plan
from flows.data.root import open_root
from flows.data.schema import ColumnSchema, TableSchema
from flows.data.splitting import SplitParameters
from tests.flows.data.tables import source_of

SOURCE = source_of(pd.DataFrame({"a": [1.0], "y": [1]}), name="my visits.v2", uri="s3://shop/my visits.v2.csv")
PLAN = PreparationPlan(target=("y",), task="classification", columns={"a": NumericPlan(scale="robust")})
SCHEMA = TableSchema(columns={"a": ColumnSchema(kind="number"), "y": ColumnSchema(kind="number")})


def declarations(root: Path, targets: tuple[str, ...] = ("y",), task: str = "auto", own_file: str | None = None):
    return read_declarations(open_root(root), SOURCE, targets, task, own_file)


def test_what_was_kept_is_found_again(tmp_path):
    before = declarations(tmp_path)
    assert (before.plan, before.schema) == (None, None)
    before.keep(PLAN, SCHEMA, SOURCE.uri)
    after = declarations(tmp_path)
    assert (after.plan, after.schema) == (PLAN, SCHEMA)
    [directory] = (tmp_path / "sources").iterdir()
    assert directory.name.startswith("my-visits.v2-")
    assert after.plan_file == str(directory / "preparation.yaml")
    assert after.schema_file == str(directory / "schema.yaml")


def test_what_a_person_edited_stays(tmp_path):
    declarations(tmp_path).keep(PLAN, SCHEMA, SOURCE.uri)
    file = Path(declarations(tmp_path).plan_file)
    edited = file.read_text().replace("scale: robust", "scale: none") + "# mine\n"
    file.write_text(edited)
    found = declarations(tmp_path)
    found.keep(PLAN, SCHEMA, SOURCE.uri)
    assert file.read_text() == edited
    assert found.plan.columns["a"].scale == "none"


def test_another_target_or_task_is_another_preparation(tmp_path):
    declarations(tmp_path).keep(PLAN, SCHEMA, SOURCE.uri)
    assert declarations(tmp_path, targets=("a",)).plan is None
    assert declarations(tmp_path, task="regression").plan is None


def test_a_file_of_ones_own_is_written_where_there_is_none_and_followed_where_there_is(tmp_path):
    own = tmp_path / "plans" / "visits.yaml"
    assert read_own_plan(str(own)) is None
    declarations(tmp_path, own_file=str(own)).keep(PLAN, SCHEMA, SOURCE.uri)
    assert load_plan(own) == read_own_plan(str(own)) == PLAN
    # The root has a schema of the source, and no plan that a later run without the file would follow.
    assert declarations(tmp_path).plan is None
    assert declarations(tmp_path).schema == SCHEMA
    own.write_text(own.read_text().replace("robust", "minmax"))
    found = declarations(tmp_path, own_file=str(own))
    assert found.plan.columns["a"].scale == "minmax"
    assert found.plan_file == str(own)


def test_a_file_of_ones_own_that_is_no_plan_or_cannot_be_written_is_one_line(tmp_path):
    own = tmp_path / "visits.yaml"
    own.write_text("columns: {a: {kind: nmeric}}")
    with pytest.raises(PlanError, match=r"visits\.yaml: line 1: ") as raised:
        declarations(tmp_path, own_file=str(own))
    assert "\n" not in str(raised.value)
    (tmp_path / "file").touch()
    with pytest.raises(PlanError, match=r"cannot be written: .*; choose another file"):
        declarations(tmp_path, own_file=str(tmp_path / "file" / "plan.yaml")).keep(PLAN, SCHEMA, SOURCE.uri)


def test_a_kept_file_that_was_damaged_names_its_line(tmp_path):
    declarations(tmp_path).keep(PLAN, SCHEMA, SOURCE.uri)
    file = Path(declarations(tmp_path).plan_file)
    file.write_text("task: [")
    with pytest.raises(PlanError, match=rf"{file}: line 1"):
        declarations(tmp_path)


@pytest.mark.parametrize(
    ("by", "declared", "dropped"),
    [
        ("group", PreparationPlan(), ("a",)),
        ("column", PreparationPlan(), ("a",)),
        ("column", PreparationPlan(drop=("a", "b")), ("a", "b")),
        ("group", PreparationPlan(columns={"a": CategoricalPlan()}), ()),
        ("time", PreparationPlan(), ()),
    ],
)
def test_a_column_to_split_by_is_no_feature_unless_it_is_a_time_or_declared(by, declared, dropped):
    assert without_split_column(declared, SplitParameters(by=by, column="a")).drop == dropped


def test_the_part_of_a_row_is_never_a_feature():
    declared = PreparationPlan(columns={"a": CategoricalPlan()})
    with pytest.raises(
        PlanError, match=r"column 'a' says how rows are split and is no feature; remove it from columns"
    ):
        without_split_column(declared, SplitParameters(by="column", column="a"))
