"""What MLflow is told of the data of a run: by it the UI's dataset filter finds a search and its trials."""

import json
from pathlib import Path

import mlflow.data
import pandas as pd
import pytest
from mlflow.entities import DatasetInput

from flows.data.store import Dataset
from flows.parameters import Space
from flows.tracking import tags
from flows.tracking.inputs import MOST_COLUMNS, dataset_inputs
from flows.tracking.search_runs import search_run
from flows.tracking.store import Tracking
from flows.tracking.trial_runs import TrialRuns
from tests.flows.conftest import planned, written
from tests.flows.data.tables import source_of

SPACE = Space.model_validate({"grid": {"hidden": [[8]], "learning_rate": [0.1]}})


def told(found: DatasetInput) -> tuple[str, str, int]:
    """Return context, digest and number of rows of an input."""
    [context] = [tag.value for tag in found.tags if tag.key == "mlflow.data.context"]
    return context, found.dataset.digest, json.loads(found.dataset.profile)["num_rows"]


def searched(dataset: Dataset, tracking: Tracking) -> tuple[str, str]:
    """Return the runs of a search with one trial, which was not trained to its end."""
    with search_run(tracking, dataset, "quick", SPACE) as run:
        with TrialRuns(run, "stack", dataset, [planned(dataset)], frozenset()):
            pass
        where = f"tags.`{tags.PARENT}` = '{run.run_id}'"
        [trial] = tracking.client().search_runs([tracking.experiment_id], where)
        return run.run_id, trial.info.run_id


def test_a_search_is_told_of_all_parts_and_a_trial_of_those_it_saw(wine: Dataset, tracking: Tracking) -> None:
    parent, child = (tracking.client().get_run(run).inputs.dataset_inputs for run in searched(wine, tracking))
    digest = wine.reference.digest[:32]
    parts = {
        ("training", digest, 125),
        ("validation", f"{digest}-val", 26),
        ("test", f"{digest}-tst", 27),
    }
    assert {told(found) for found in parent} == parts
    assert {told(found) for found in child} == {part for part in parts if part[0] != "test"}
    assert {found.dataset.name for found in parent} == {"wine"}


def test_the_filter_of_the_ui_finds_a_search_and_its_trials(wine: Dataset, diabetes: Dataset, tracking: Tracking):
    runs = searched(wine, tracking)
    searched(diabetes, tracking)
    where = f"dataset.name = 'wine' AND dataset.digest = '{wine.reference.digest[:32]}'"
    assert {found.info.run_id for found in tracking.client().search_runs([tracking.experiment_id], where)} == {*runs}


def test_every_raw_column_is_told_with_its_type(tmp_path: Path) -> None:
    rows = 60
    frame = pd.DataFrame(
        {
            "count": range(rows),
            "small": pd.array([i % 100 for i in range(rows)], dtype="int8"),
            "size": [i / 2 for i in range(rows)],
            "single": pd.array([i / 2 for i in range(rows)], dtype="float32"),
            "member": [i % 3 == 0 for i in range(rows)],
            "colour": ["red", "blue", "green"] * 20,
            "day": pd.date_range("2026-01-01", periods=rows),
            "kind": ["oak", "elm"] * 30,
        }
    )
    dataset = written(source_of(frame, name="trees", uri="trees.csv"), tmp_path, ("kind",))
    [found] = dataset_inputs(dataset, ("training",))
    columns = json.loads(found.dataset.schema)["mlflow_colspec"]
    assert {column["name"]: column["type"] for column in columns} == {
        "count": "long",
        "small": "integer",
        "size": "double",
        "single": "float",
        "member": "boolean",
        "colour": "string",
        "day": "datetime",
        "kind": "string",
    }


@pytest.mark.parametrize(
    ("uri", "kind"),
    [
        ("plants.csv", "local"),
        ("/data/plants", "local"),
        ("s3://shop/plants/", "s3"),
        ("https://example.org/plants.csv", "http"),
        ("sklearn:wine", "sklearn"),
        ("sql:sqlite:///plants.db?table=plants", "sql"),
    ],
)
def test_the_source_is_one_that_mlflow_knows_where_it_knows_one(uri: str, kind: str, tmp_path: Path) -> None:
    frame = pd.DataFrame({"a": range(40), "y": ["u", "v"] * 20})
    [found] = dataset_inputs(written(source_of(frame, name="t", uri=uri), tmp_path, ("y",)), ("training",))
    assert found.dataset.source_type == kind
    assert uri in json.loads(found.dataset.source).values()
    if kind in ("local", "s3", "http"):
        source = mlflow.data.get_source(found.dataset)
        assert uri in source.to_dict().values()


def test_the_columns_of_a_wide_table_are_not_sent_with_every_run(tmp_path: Path) -> None:
    rows = 40
    columns = {f"x{place}": [place + row / 2 for row in range(rows)] for place in range(MOST_COLUMNS)}
    narrow, wide = (
        written(source_of(pd.DataFrame({**chosen, "kind": ["oak", "elm"] * 20})), tmp_path / name, ("kind",))
        for name, chosen in (("narrow", dict(list(columns.items())[1:])), ("wide", columns))
    )

    schemas = [[one.dataset.schema for one in dataset_inputs(each, ("training", "test"))] for each in (narrow, wide)]

    assert [[bool(schema) for schema in each] for each in schemas] == [[True, False], [False, False]]
