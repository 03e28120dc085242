"""A registered model, opened by the name a person gives it: its network, its preparation, and where it came from."""

import tempfile
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

import mlflow
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from backprop import WeightsError
from flows.data.root import open_root
from flows.errors import ModelError
from flows.prediction import Predictor
from flows.tracking import tags
from flows.tracking.store import tracking_uri
from flows.tracking.trial_delivery import WEIGHTS_FILE

PREPARATION_FILE = "preparation.json"
FORMS = "write NAME@ALIAS, such as digits@champion, or NAME/VERSION, such as digits/3"


@dataclass(frozen=True)
class OpenedTrial:
    """A trial's network that can predict.

    Attributes
    ----------
    name : str
        Of the trial's run; of a registered model, the model's.
    run_id : str
        The trial's run.
    trial_key, dataset_digest : str
        What it was trained as, and on.
    """

    name: str
    run_id: str
    trial_key: str
    dataset_digest: str
    predictor: Predictor

    @property
    def title(self) -> str:
        """What to call it in a sentence."""
        return f"run {self.name}"


@dataclass(frozen=True)
class OpenedModel(OpenedTrial):
    """A version of a registered model.

    Attributes
    ----------
    model_id : str or None
        What MLflow calls the model that the version stands for; None if the version names a place of its own.
    """

    version: int
    model_id: str | None

    @property
    def title(self) -> str:
        """What to call it in a sentence."""
        return f"{self.name} version {self.version}"


def open_model(model: str) -> OpenedModel:
    """Return the version of a registered model that `NAME@ALIAS` or `NAME/VERSION` names.

    Raises
    ------
    ModelError
        There is no such model, version or alias, or it is none of this project's.
    """
    client = existing_store()
    name, version = _version(client, model)
    found = client.get_model_version(name, version)
    try:
        place = client.get_model_version_download_uri(name, version)
        with tempfile.TemporaryDirectory() as directory:
            predictor = Predictor.read(
                _artifact(f"{place}/artifacts/{WEIGHTS_FILE}", directory),
                _artifact(f"{place}/artifacts/{PREPARATION_FILE}", directory).read_text(),
            )
    except (MlflowException, OSError, WeightsError) as error:
        raise ModelError(
            f"{name} version {version}: it holds no {WEIGHTS_FILE} with {PREPARATION_FILE} ({_first_line(error)}); "
            "name a model that `backprop train` registered"
        ) from error
    return OpenedModel(
        name=name,
        version=int(version),
        run_id=str(found.run_id),
        model_id=_model_id(found.source),
        trial_key=found.tags.get(tags.TRIAL_KEY, ""),
        dataset_digest=found.tags.get(tags.DATASET_DIGEST, ""),
        predictor=predictor,
    )


def open_trial(run_id: str, datasets: str) -> OpenedTrial:
    """Return the network of any trial by the id of its run, with the preparation of the dataset it was trained on.

    Raises
    ------
    ModelError
        There is no such run, it is no finished trial's, or its dataset is not at ``datasets`` any more.
    """
    client = existing_store()
    try:
        run = client.get_run(run_id)
    except MlflowException as error:
        raise ModelError(f"run {run_id}: {client.tracking_uri} has no such run; copy its id from MLflow") from error
    digest = run.data.tags.get(tags.DATASET_DIGEST)
    if digest is None or tags.TRIAL_KEY not in run.data.tags:
        raise ModelError(f"run {run_id}: it is no trial of a search; name the run of a trial, or {FORMS}")
    preparation = open_root(datasets).read(f"{digest}/{PREPARATION_FILE}")
    if preparation is None:
        raise ModelError(f"run {run_id}: its dataset {digest[:12]} is not in {datasets}; say where with --datasets")
    try:
        with tempfile.TemporaryDirectory() as directory:
            predictor = Predictor.read(_artifact(f"runs:/{run_id}/{WEIGHTS_FILE}", directory), preparation)
    except (MlflowException, OSError, WeightsError) as error:
        raise ModelError(f"run {run_id}: it has no weights ({_first_line(error)}); name a finished trial") from error
    return OpenedTrial(
        name=str(run.info.run_name),
        run_id=run_id,
        trial_key=run.data.tags[tags.TRIAL_KEY],
        dataset_digest=digest,
        predictor=predictor,
    )


def existing_store() -> MlflowClient:
    """Return a client of the MLflow store; a ModelError where asking it would make a new one."""
    uri = tracking_uri()
    path = uri.removeprefix("sqlite:///")
    if path != uri and not Path(path).exists():
        raise ModelError(f"{uri}: there is no MLflow store; set MLFLOW_TRACKING_URI, or change to its directory")
    return MlflowClient(tracking_uri=uri)


def _version(client: MlflowClient, model: str) -> tuple[str, str]:
    """Return name and number of the version that is meant."""
    text = model.removeprefix("models:/")
    name, at, alias = text.rpartition("@")
    if at:
        try:
            return name, str(client.get_model_version_by_alias(name, alias).version)
        except MlflowException as error:
            raise _no_such(client, model, name) from error
    name, slash, number = text.rpartition("/")
    if not slash or not number.isdecimal():
        raise _no_such(client, model, text)
    try:
        return name, str(client.get_model_version(name, number).version)
    except MlflowException as error:
        raise _no_such(client, model, name) from error


def _no_such(client: MlflowClient, model: str, name: str) -> ModelError:
    """Say what there is instead of the model that was named."""
    known = {found.name: found for found in client.search_registered_models(max_results=1000)}
    if name not in known:
        close = get_close_matches(name, known, n=1)
        meant = f"did you mean {close[0]}?" if close else f"there are {', '.join(sorted(known)[:8]) or 'none'}"
        return ModelError(f"model {model!r}: {client.tracking_uri} has no model {name!r}; {meant}")
    aliases = [f"@{alias} (version {version})" for alias, version in sorted(known[name].aliases.items())]
    return ModelError(f"model {model!r}: {name} has {', '.join(aliases) or 'no aliases'}; {FORMS}")


def _model_id(source: str | None) -> str | None:
    prefix, _, model_id = (source or "").rpartition("/")
    return model_id if prefix == "models:" else None


def _artifact(uri: str, directory: str) -> Path:
    return Path(mlflow.artifacts.download_artifacts(artifact_uri=uri, dst_path=directory, tracking_uri=tracking_uri()))


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
