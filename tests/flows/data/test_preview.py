"""A source is told as the dataset that it is or would be, and nothing is written."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from flows.data.catalogue import entry_of
from flows.data.declarations import read_declarations
from flows.data.plan import RequestedTask, parse_plan
from flows.data.preview import find_shape
from flows.data.root import open_root
from flows.data.schema import infer_schema
from flows.data.shape import DatasetShape, dataset_shape
from flows.data.sources import open_source, require_targets
from flows.data.splitting import SplitParameters
from flows.data.staging import stage
from flows.data.store import DatasetReference
from flows.errors import InputError
from tests.flows.data.writing import write

ROWS = 90


@pytest.fixture
def plants(tmp_path: Path) -> str:
    place = np.arange(ROWS)
    path = tmp_path / "plants.csv"
    pd.DataFrame(
        {
            "size": place * 7 % 41,
            "hue": np.array(["red", "blue", None])[place * 3 % 7 % 3],
            "kind": np.array(["fern", "moss"])[place % 2],
        }
    ).to_csv(path, index=False)
    return str(path)


def found(data: str, datasets: Path, target: str | None = None, **changes: object) -> tuple[DatasetShape, bool]:
    asked: dict[str, object] = {"task": "auto", "preparation": None, "split": SplitParameters(), **changes}
    return find_shape(data, (target,) if target else (), datasets=str(datasets), **asked)


def ingest(data: str, datasets: Path, target: str | None = None, task: RequestedTask = "auto") -> DatasetReference:
    """Write a dataset and its declarations, as the flow does."""
    reference = write(datasets, data, (target,) if target else (), task=task)
    root, source = open_root(datasets), open_source(data)
    targets = require_targets(source, (target,) if target else ())
    plan = parse_plan(root.read(f"{reference.digest}/plan.yaml") or "", "plan.yaml")
    with stage(source, datasets) as staged:
        schema = infer_schema(staged, plan)
    read_declarations(root, source, targets, task, None).keep(plan, schema, source.uri)
    return reference


@pytest.mark.parametrize(("data", "target"), [("digits", None), ("diabetes", None), ("plants", "kind")])
def test_what_was_not_ingested_is_what_it_would_be_and_nothing_is_left(
    data: str, target: str | None, plants: str, tmp_path: Path
) -> None:
    data = plants if data == "plants" else data

    shape, ingested = found(data, tmp_path / "none", target)

    assert not ingested
    assert not (tmp_path / "none").exists()
    reference = write(tmp_path / "datasets", data, (target,) if target else ())
    assert shape == dataset_shape(reference.digest, entry_of(open_root(tmp_path / "datasets"), reference.digest).schema)


def test_what_was_ingested_is_told_by_its_dataset(plants: str, tmp_path: Path) -> None:
    reference = ingest(plants, tmp_path / "datasets", "kind")

    shape, ingested = found(plants, tmp_path / "datasets", "kind")

    assert (shape.digest, ingested) == (reference.digest, True)


@pytest.mark.parametrize("changes", [{"split": SplitParameters(seed=1)}, {"split": SplitParameters(test=0.3)}])
def test_another_split_is_another_dataset(changes: dict[str, object], plants: str, tmp_path: Path) -> None:
    reference = ingest(plants, tmp_path / "datasets", "kind")

    shape, ingested = found(plants, tmp_path / "datasets", "kind", **changes)

    assert not ingested
    assert shape.digest != reference.digest


def test_a_preparation_that_was_edited_since_is_followed(plants: str, tmp_path: Path) -> None:
    ingest(plants, tmp_path / "datasets", "kind")
    [plan] = (tmp_path / "datasets").glob("sources/*/preparation.yaml")
    before, _ = found(plants, tmp_path / "datasets", "kind")
    lines = plan.read_text().replace("drop: []", "drop: [hue]").splitlines()
    plan.write_text("\n".join(line for line in lines if not line.startswith("  hue:")))

    shape, ingested = found(plants, tmp_path / "datasets", "kind")

    assert not ingested
    assert shape.inputs < before.inputs


def test_of_two_datasets_of_one_source_neither_is_taken_for_it(plants: str, tmp_path: Path) -> None:
    ingest(plants, tmp_path / "datasets", "kind")
    frame = pd.read_csv(plants)
    pd.concat([frame, frame]).to_csv(plants, index=False)
    write(tmp_path / "datasets", plants, ("kind",))

    shape, ingested = found(plants, tmp_path / "datasets", "kind")

    assert (sum(shape.rows.values()), ingested) == (2 * ROWS, False)


def test_what_cannot_be_trained_on_is_told(plants: str, tmp_path: Path) -> None:
    frame = pd.read_csv(plants)
    frame.assign(kind="fern").to_csv(plants, index=False)

    with pytest.raises(InputError, match="has one class only"):
        found(plants, tmp_path / "datasets", "kind")
