"""Real tables with one defect each, and what the doctor reads of them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from sklearn.datasets import load_breast_cancer, load_digits

from flows.data.splitting import SplitParameters
from flows.diagnosis.probes import Probe, kinds_of, probe
from flows.diagnosis.table import Table, read_table
from flows.parameters import Space

Read = Callable[..., Table]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """Return what reads a built-in data set, or a frame with the target ``y`` by way of a file, as the doctor does."""

    def table(data: str | pd.DataFrame, preparation: str | None = None) -> Table:
        targets: tuple[str, ...] = ()
        if not isinstance(data, str):
            data.to_parquet(tmp_path / "t.parquet")
            data, targets = str(tmp_path / "t.parquet"), ("y",)
        plan = None
        if preparation is not None:
            plan = str(tmp_path / "preparation.yaml")
            Path(plan).write_text(preparation)
        return read_table(data, targets, "auto", plan, SplitParameters(), str(tmp_path / "datasets"))

    return table


@pytest.fixture(scope="session")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Table:
    """1,797 images of ten digits, clean."""
    return read_table("digits", (), "auto", None, SplitParameters(), str(tmp_path_factory.mktemp("datasets")))


@pytest.fixture(scope="session")
def wine(tmp_path_factory: pytest.TempPathFactory) -> Table:
    """178 rows of 13 scaled numbers, three classes."""
    return read_table("wine", (), "auto", None, SplitParameters(), str(tmp_path_factory.mktemp("datasets")))


def cancer_frame() -> pd.DataFrame:
    """Return 569 rows of 30 numbers and a class ``y``."""
    features, target = load_breast_cancer(return_X_y=True, as_frame=True)
    return features.assign(y=target.map({0: "malignant", 1: "benign"}))


def digits_frame() -> pd.DataFrame:
    """Return the images of digits as 64 columns of numbers and a class ``y``."""
    features, target = load_digits(return_X_y=True, as_frame=True)
    return features.assign(y=target.map(lambda digit: f"digit {digit}"))


def probed(table: Table, **grid: Any) -> Probe:
    """Probe the first kind of network of a grid."""
    space = Space.model_validate({"grid": {"hidden": [[32]], "learning_rate": [0.1], **grid}})
    return probe(table, *kinds_of(space)[0])
