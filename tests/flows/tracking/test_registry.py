"""The winner in the registry, and what it answers to somebody who has nothing of this project but the model."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import r2_score

from backprop import Network, load_weights, select_backend
from flows.compute.stack_training import StackAssignment, train_assignment
from flows.data.preparation import label_array
from flows.data.sources import Table, read_source
from flows.data.splitting import SplitParameters
from flows.data.store import Dataset, open_dataset, raw_test_rows, write_dataset
from flows.errors import InputError
from flows.parameters import PromotionParameters, Space
from flows.promotion import decide
from flows.tracking import tags
from flows.tracking.registry import (
    RegisteredVersion,
    check_model_name,
    last_retrained_digest,
    load_registered,
    record_decision,
    register_winner,
    version_by_alias,
)
from flows.tracking.search_runs import TrialRecord, finished_trials, search_run
from flows.tracking.store import Tracking, open_tracking
from tests.flows.conftest import planned

SPACE = Space.model_validate({"grid": {"hidden": [[8]], "learning_rate": [0.1]}})


def winner_on(dataset: Dataset, tracking: Tracking, **changes: object) -> TrialRecord:
    """Train one trial in this process and return its record."""
    trial = planned(dataset, **changes)
    with search_run(tracking, dataset, "space", SPACE) as run:
        train_assignment(
            StackAssignment(
                name="stack-0",
                dataset=dataset.reference,
                trials=(trial,),
                varying=frozenset(),
                run=run,
                device="cpu",
                stop_event="stop",
            )
        )
    return finished_trials(tracking, dataset.reference.digest)[trial.key]


def promotion(promoted: bool) -> Any:
    good, bad = np.ones(50), np.zeros(50)
    return decide("classification", good if promoted else bad, bad, None, PromotionParameters())


def test_a_trial_registered_twice_is_one_version(wine: Dataset, tracking: Tracking) -> None:
    winner = winner_on(wine, tracking)

    first, second = (register_winner(tracking, winner, wine, "wine") for _ in range(2))

    assert first == second == RegisteredVersion(name="wine", version=1)
    assert len(tracking.client().search_model_versions("name = 'wine'")) == 1


def test_another_trial_is_another_version_and_the_challenger(wine: Dataset, tracking: Tracking) -> None:
    register_winner(tracking, winner_on(wine, tracking), wine, "wine")
    winner = winner_on(wine, tracking, seed=1)

    second = register_winner(tracking, winner, wine, "wine")

    assert second.version == 2
    assert version_by_alias(tracking, "wine", "challenger") == second
    assert version_by_alias(tracking, "wine", "champion") is None
    found = tracking.client().get_model_version("wine", "2")
    assert (found.run_id, found.tags[tags.TRIAL_KEY]) == (winner.run_id, winner.key)


def test_a_model_stands_in_the_experiment_of_its_search(wine: Dataset, tracking: Tracking) -> None:
    """MLflow's own Model.log would put it into the default experiment, where nobody looks for it."""
    winner = winner_on(wine, tracking)

    register_winner(tracking, winner, wine, "wine")

    (model,) = tracking.client().search_logged_models([tracking.experiment_id])
    assert model.source_run_id == winner.run_id
    assert model.params["learning_rate"] == "0.1"
    assert model.status == "READY"
    assert tracking.client().search_logged_models(["0"]) == []


def test_a_model_that_was_loaded_leaves_the_import_path_alone(wine: Dataset, tracking: Tracking) -> None:
    """Dask workers inherit the path: with a model's code on it they would train with that model's code."""
    before = list(sys.path)

    version = register_winner(tracking, winner_on(wine, tracking), wine, "wine")
    load_registered(tracking, version)

    assert sys.path == before


def test_an_alias_of_a_model_that_is_not_there_is_none(tracking: Tracking) -> None:
    assert version_by_alias(tracking, "nobody", "champion") is None
    assert last_retrained_digest(tracking, "nobody") is None


def test_a_promotion_moves_the_champion_and_remembers_the_data(wine: Dataset, tracking: Tracking) -> None:
    version = register_winner(tracking, winner_on(wine, tracking), wine, "wine")

    record_decision(tracking, version, promotion(True), "digest-1")

    assert version_by_alias(tracking, "wine", "champion") == version
    assert last_retrained_digest(tracking, "wine") == "digest-1"


def test_a_refusal_leaves_the_champion_and_remembers_the_data(wine: Dataset, tracking: Tracking) -> None:
    champion = register_winner(tracking, winner_on(wine, tracking), wine, "wine")
    record_decision(tracking, champion, promotion(True), "digest-1")
    challenger = register_winner(tracking, winner_on(wine, tracking, seed=1), wine, "wine")

    record_decision(tracking, challenger, promotion(False), "digest-2")

    assert version_by_alias(tracking, "wine", "champion") == champion
    assert last_retrained_digest(tracking, "wine") == "digest-2"
    assert tracking.client().get_model_version("wine", "2").tags[tags.PROMOTION] == "refused"


@pytest.mark.parametrize("name", ["ada's wine", 'the "good" wine', "wine 2.0", "vin rosé"])
def test_a_model_may_have_any_name_that_mlflow_takes(wine: Dataset, tracking: Tracking, name: str) -> None:
    check_model_name(name)
    winner = winner_on(wine, tracking, epochs=1)

    assert register_winner(tracking, winner, wine, name).version == 1
    assert register_winner(tracking, winner, wine, name).version == 1


@pytest.mark.parametrize("name", ["team/wine", "wine:2", """ada's "good" wine"""])
def test_a_name_that_mlflow_refuses_is_refused_at_once(name: str) -> None:
    with pytest.raises(InputError, match="choose another"):
        check_model_name(name)


CLIENT = """
import json, sys
import mlflow
import pandas as pd

uri, path, probabilities = sys.argv[1:]
model = mlflow.pyfunc.load_model(uri)
rows = pd.read_parquet(path)
missing = rows.columns[3]
answer = {
    "as_read": model.predict(rows).tolist(),
    "shuffled": model.predict(rows[rows.columns[::-1]]).tolist(),
    "as_floats": model.predict(rows.astype("float64")).tolist(),
}
if probabilities == "yes":
    frame = model.predict(rows, params={"probabilities": True})
    answer |= {"classes": list(frame.columns), "probabilities": frame.to_numpy().tolist()}
try:
    model.predict(rows.drop(columns=missing))
except Exception as error:
    answer["missing"] = [missing, str(error).splitlines()[-1][-200:]]
import backprop, flows
answer |= {"modules": sorted(sys.modules), "code": [backprop.__file__, flows.__file__]}
print(json.dumps(answer))
"""


@dataclass(frozen=True)
class Served:
    """A registered model, the raw test rows of its data, and what a process elsewhere got from the model for them."""

    dataset: Dataset
    rows: pd.DataFrame
    target: pd.Series
    answer: dict[str, Any]
    weights: Path
    files: list[Path]

    def outputs(self) -> np.ndarray:
        """What the trained network itself says of the prepared test rows, (N, C)."""
        architecture, parameters = load_weights(self.weights)
        network = Network(architecture, select_backend("cpu"))
        x = np.asarray(self.dataset.test.features)
        return np.asarray(network.predict(parameters, x))[0]


def serve(table: Table, task: str, directory: Path, **changes: object) -> Served:
    """Train and register one trial on a table, and ask the model from a process of another working directory."""
    dataset = open_dataset(write_dataset(directory / "datasets", table, task, SplitParameters()))
    tracking = open_tracking("served")
    winner = winner_on(dataset, tracking, **changes)
    version = register_winner(tracking, winner, dataset, table.name)
    rows = raw_test_rows(dataset)
    target = rows.pop(dataset.preparation.target)
    elsewhere = directory / "elsewhere"
    elsewhere.mkdir()
    rows.to_parquet(elsewhere / "rows.parquet")
    (elsewhere / "client.py").write_text(CLIENT)
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    result = subprocess.run(
        [
            sys.executable,
            "client.py",
            version.uri,
            "rows.parquet",
            "yes" if task == "classification" else "no",
        ],
        cwd=elsewhere,
        env={
            **environment,
            "MLFLOW_TRACKING_URI": tracking.uri,
            "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    client = tracking.client()
    return Served(
        dataset=dataset,
        rows=rows,
        target=target,
        answer=json.loads(result.stdout.splitlines()[-1]),
        weights=Path(client.download_artifacts(winner.run_id, "weights.safetensors", str(elsewhere))),
        files=[path for path in (directory / "mlruns").rglob("*") if path.is_file()],
    )


@pytest.fixture(scope="module")
def in_its_own_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    directory = tmp_path_factory.mktemp("served")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(directory)
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{directory}/mlflow.db")
        yield directory
        import mlflow

        mlflow.set_tracking_uri(None)


@pytest.fixture(scope="module")
def wines(in_its_own_store: Path) -> Served:
    """Wine under its text labels, with columns of whole numbers of two sizes and one of truth values."""
    table = read_source("wine", None)
    features = table.features.assign(
        proline=table.features["proline"].astype("int64"),
        magnesium=table.features["magnesium"].astype("uint8"),
        strong=table.features["alcohol"] > 13,
    )
    return serve(Table("wines", "wines.csv", features, table.target), "classification", in_its_own_store, epochs=20)


@pytest.fixture(scope="module")
def patients(in_its_own_store: Path) -> Served:
    """Diabetes: a quantity of 25 to 346."""
    directory = in_its_own_store / "patients"
    directory.mkdir()
    table = read_source("diabetes", None)
    return serve(table, "regression", directory, learning_rate=0.01, epochs=40)


def test_a_served_classifier_answers_raw_rows_with_the_original_labels(wines: Served) -> None:
    expected = label_array(wines.dataset.preparation.classes or ())[wines.outputs().argmax(axis=1)]

    assert wines.answer["as_read"] == expected.tolist()
    assert set(expected) == {"class_0", "class_1", "class_2"}
    assert np.mean(np.array(wines.answer["as_read"]) == wines.target.to_numpy()) > 0.8


@pytest.mark.parametrize("way", ["shuffled", "as_floats"])
def test_the_order_and_the_number_types_of_the_columns_do_not_matter(wines: Served, way: str) -> None:
    assert wines.answer[way] == wines.answer["as_read"]


def test_probabilities_are_one_column_a_class(wines: Served) -> None:
    probabilities = np.array(wines.answer["probabilities"])

    assert wines.answer["classes"] == ["class_0", "class_1", "class_2"]
    assert probabilities.sum(axis=1) == pytest.approx(1, abs=1e-5)
    assert probabilities == pytest.approx(wines.outputs(), abs=1e-5)


@pytest.mark.parametrize("served", ["wines", "patients"])
def test_a_missing_column_is_named(served: str, request: pytest.FixtureRequest) -> None:
    name, message = request.getfixturevalue(served).answer["missing"]

    assert name in message
    assert "missing" in message


def test_a_served_regression_answers_in_the_unit_of_the_target(patients: Served) -> None:
    predicted = np.array(patients.answer["as_read"])

    assert predicted == pytest.approx(patients.dataset.preparation.restore_target(patients.outputs()[:, 0]), rel=1e-5)
    assert r2_score(patients.target, predicted) > 0.3


@pytest.mark.parametrize("served", ["wines", "patients"])
def test_a_served_model_needs_its_own_copy_of_the_code_and_none_of_the_pipeline(
    served: str, request: pytest.FixtureRequest
) -> None:
    answer = request.getfixturevalue(served).answer

    assert {"prefect", "dask", "distributed", "sklearn", "cupy"}.isdisjoint(answer["modules"])
    assert all("/artifacts/code/" in file for file in answer["code"])


def test_a_model_holds_weights_and_text_and_no_pickle(wines: Served) -> None:
    names = {path.name for path in wines.files}
    kinds = {path.suffix for path in wines.files}

    assert {"MLmodel", "weights.safetensors", "preparation.json", "served_model.py"} <= names
    assert kinds.isdisjoint({".pkl", ".pickle", ".joblib", ".pt", ".npy"})
