"""Real searches that the tests of the report share: they only read them."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import mlflow
import pytest

from flows.data.sources import open_source
from flows.data.store import Dataset
from flows.report.searched import Searched
from flows.tracking.store import Tracking, open_tracking
from tests.flows.conftest import written
from tests.flows.report.searches import searched

DIGITS = {
    "grid": {
        "hidden": [[16], [16, 8]],
        "activation": ["relu", "tanh"],
        "learning_rate": [0.01, 0.1, 0.3],
        "epochs": [6],
    }
}
DIABETES = {
    "grid": {"hidden": [[8], []], "learning_rate": [0.003, 0.01, 0.03], "epochs": [5]},
    "stop": {"rule": "halving"},
}


@pytest.fixture(scope="session")
def shared_tracking(tmp_path_factory: pytest.TempPathFactory, _empty_store: Path) -> Tracking:
    """An experiment in a store that all of these tests read."""
    directory = tmp_path_factory.mktemp("report")
    database = directory / "mlflow.db"
    shutil.copyfile(_empty_store, database)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(directory)
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{database}")
        return open_tracking("report")


@pytest.fixture(autouse=True)
def _no_store_left() -> Iterator[None]:
    """The registry sets the process's store, in its environment too, which would be that of the tests that follow."""
    yield
    mlflow.set_tracking_uri(None)


@pytest.fixture(scope="session")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Ten classes of images of 8 x 8 pixels."""
    return written(open_source("digits"), tmp_path_factory.mktemp("datasets"))


@pytest.fixture(scope="session")
def digits_search(digits: Dataset, shared_tracking: Tracking) -> Searched:
    """Twelve configurations on images."""
    return searched(digits, shared_tracking, DIGITS)


@pytest.fixture(scope="session")
def diabetes_search(diabetes: Dataset, shared_tracking: Tracking) -> Searched:
    """Six configurations of a regression, some of them pruned."""
    return searched(diabetes, shared_tracking, DIABETES)
