"""Whether a version works where nothing of this checkout is: with a real process for each answer."""

import shutil
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest

from flows.data.outputs import Predictions
from flows.data.store import Dataset, raw_train_sample
from flows.retraining.clean_process import UnservableError, check_in_clean_process
from flows.tracking.registry import RegisteredVersion, load_registered, register_winner
from flows.tracking.store import Tracking
from tests.flows.conftest import winner_on

pytestmark = pytest.mark.slow


@pytest.fixture
def registered(wine: Dataset, tracking: Tracking) -> RegisteredVersion:
    return register_winner(tracking, winner_on(wine, tracking, epochs=1), wine, "wine")


def asked(dataset: Dataset, tracking: Tracking, version: RegisteredVersion) -> tuple[pd.DataFrame, Predictions]:
    rows = raw_train_sample(dataset).drop(columns=["target"]).head(3)
    return rows, load_registered(tracking, version).predict(None, rows)


def test_a_version_that_travels_whole_answers_as_it_does_here_and_another_answer_is_told(
    wine: Dataset, tracking: Tracking, registered: RegisteredVersion
) -> None:
    rows, expected = asked(wine, tracking, registered)
    check_in_clean_process(tracking, registered, rows, expected)

    with pytest.raises(UnservableError, match=r"it answers .* where .* was expected"):
        check_in_clean_process(tracking, registered, rows, np.array(["another"] * 3, dtype=object))


def test_a_version_whose_code_is_incomplete_is_not_helped_by_this_checkout(
    wine: Dataset, tracking: Tracking, registered: RegisteredVersion
) -> None:
    rows, expected = asked(wine, tracking, registered)
    place = tracking.client().get_model_version("wine", str(registered.version)).source
    files = Path(mlflow.artifacts.download_artifacts(place, tracking_uri=tracking.uri))
    (files / "code" / "flows" / "data" / "outputs.py").unlink()

    with pytest.raises(UnservableError, match=r"No module named 'flows\.data\.outputs'"):
        check_in_clean_process(tracking, registered, rows, expected)

    shutil.rmtree(files / "code" / "flows")
    # The package is gone altogether: that of this checkout must not be found in its place.
    with pytest.raises(UnservableError, match="No module named 'flows"):
        check_in_clean_process(tracking, registered, rows, expected)
