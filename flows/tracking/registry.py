"""The model registry: the winner of a search as a version of a registered model, and its aliases."""

import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import Any

import mlflow
from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from mlflow.models import Model
from pydantic import BaseModel, ConfigDict

import backprop
import flows
from flows.data.store import Dataset, raw_train_sample
from flows.errors import InputError
from flows.tracking import tags
from flows.tracking.search_runs import TrialRecord
from flows.tracking.signature import signature_of
from flows.tracking.store import Tracking
from flows.tracking.trial_delivery import WEIGHTS_FILE

CHALLENGER = "challenger"
CHAMPION = "champion"
PREVIOUS = "previous"
EXAMPLE_ROWS = 5

_REQUIREMENTS = ("mlflow", "numpy", "pandas", "pydantic", "safetensors", "scipy")


class RegisteredVersion(BaseModel):
    """A version of a registered model."""

    model_config = ConfigDict(frozen=True)

    name: str
    version: int

    @property
    def uri(self) -> str:
        """What MLflow loads it by."""
        return f"models:/{self.name}/{self.version}"


def check_model_name(name: str) -> None:
    """Raise an InputError if MLflow could not register a model of this name, before anything is trained for it."""
    if {"/", ":"} & set(name) or {"'", '"'} <= set(name):
        raise InputError(
            f"model {name!r}: MLflow allows no / and no : in the name of a model, nor both kinds of quotes; "
            "choose another as `model`"
        )


def register_winner(tracking: Tracking, winner: TrialRecord, dataset: Dataset, name: str) -> RegisteredVersion:
    """Register a trial as a version of a model and give it the alias `challenger`; a trial is registered once."""
    client = tracking.client()
    version = _version_of(client, name, winner.key) or _register(tracking, client, winner, dataset, name)
    client.set_registered_model_alias(name, CHALLENGER, str(version))
    return RegisteredVersion(name=name, version=version)


def version_by_alias(tracking: Tracking, name: str, alias: str) -> RegisteredVersion | None:
    """Return the version that an alias of a model points to, or None if there is no such model or alias."""
    try:
        found = tracking.client().get_model_version_by_alias(name, alias)
    except MlflowException as error:
        if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            return None
        raise
    return RegisteredVersion(name=name, version=int(found.version))


def load_registered(tracking: Tracking, version: RegisteredVersion) -> Any:
    """Load a version; its `predict(None, rows)` takes raw rows and checks them itself.

    This is the served model without MLflow's check of column types, which would refuse whole numbers in a column
    that had fractions when the model was registered, and the other way round.
    """
    mlflow.set_tracking_uri(tracking.uri)
    with _import_path_restored():
        return mlflow.pyfunc.load_model(version.uri).unwrap_python_model()


def _version_of(client: MlflowClient, name: str, trial_key: str) -> int | None:
    quote = '"' if "'" in name else "'"
    versions: list[ModelVersion] = client.search_model_versions(f"name = {quote}{name}{quote}")
    return next((int(found.version) for found in versions if found.tags.get(tags.TRIAL_KEY) == trial_key), None)


def _register(tracking: Tracking, client: MlflowClient, winner: TrialRecord, dataset: Dataset, name: str) -> int:
    # Model.log and register_model know no tracking_uri of their own, only the process's.
    mlflow.set_tracking_uri(tracking.uri)
    preparation = dataset.preparation
    example = raw_train_sample(dataset).drop(columns=list(preparation.targets)).head(EXAMPLE_ROWS)
    # Made here because Model.log would put it into the default experiment.
    model = client.create_logged_model(
        tracking.experiment_id, name="model", source_run_id=winner.run_id, params=winner.params
    )
    with _import_path_restored(), tempfile.TemporaryDirectory() as directory:
        weights = client.download_artifacts(winner.run_id, WEIGHTS_FILE, directory)
        prepared = Path(directory) / "preparation.json"
        prepared.write_text(preparation.model_dump_json(indent=2))
        logged = Model.log(
            artifact_path=None,
            model_id=model.model_id,
            flavor=mlflow.pyfunc,
            run_id=winner.run_id,
            python_model=str(Path(__file__).with_name("served_model.py")),
            artifacts={"weights": weights, "preparation": str(prepared)},
            code_paths=[str(Path(package.__file__).parent) for package in (backprop, flows) if package.__file__],
            signature=signature_of(preparation, example),
            input_example=example,
            pip_requirements=[f"{package}=={installed_version(package)}" for package in _REQUIREMENTS],
        )
    created = client.create_model_version(
        _ensure_model(client, name),
        source=logged.model_uri,
        run_id=winner.run_id,
        tags={tags.TRIAL_KEY: winner.key, tags.DATASET_DIGEST: dataset.reference.digest},
        model_id=logged.model_id,
    )
    return int(created.version)


def _ensure_model(client: MlflowClient, name: str) -> str:
    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    return name


@contextmanager
def _import_path_restored() -> Iterator[None]:
    """Undo that MLflow puts the code of every model it loads first on the import path.

    Dask workers are started with this process's path: they would train with an old model's code.
    """
    before = sys.path
    try:
        yield
    finally:
        sys.path = before
