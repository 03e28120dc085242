"""Which MLflow store the pipeline writes to, made once before any worker touches it."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import requests
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from pydantic import BaseModel, ConfigDict

from flows.data.sources.files import first_line
from flows.errors import RunError
from flows.tracking.outages import passes
from flows.tracking.sqlite import use_write_ahead_log

DEFAULT_URI = "sqlite:///mlflow.db"

_KIND = {"mlflow.experimentKind": "custom_model_development"}
"""Opens an experiment in MLflow as training runs; without it the first visitor is shown prompts and traces."""


class Tracking(BaseModel):
    """Where a search is recorded; small and JSON-able, so that it travels to the workers."""

    model_config = ConfigDict(frozen=True)

    uri: str
    experiment_id: str
    experiment: str

    def client(self) -> MlflowClient:
        """Return a client of the store. It holds no run stack, so any thread or process may use one."""
        return MlflowClient(tracking_uri=self.uri)


def tracking_uri() -> str:
    """Return ``MLFLOW_TRACKING_URI``, or the SQLite file of the working directory; file paths made absolute.

    A worker has another working directory: a relative path would name another store there.
    """
    uri = os.environ.get("MLFLOW_TRACKING_URI") or DEFAULT_URI
    prefix = "sqlite:///"
    if uri.startswith(prefix) and not uri.startswith(prefix + "/") and uri != prefix + ":memory:":
        return f"{prefix}{Path(uri.removeprefix(prefix)).resolve()}"
    return uri


def existing_store() -> str | None:
    """Return where runs are recorded, or None if nothing ever was: to look for a run makes no store."""
    uri = tracking_uri()
    path = uri.removeprefix("sqlite:///")
    return None if path != uri and path != ":memory:" and not Path(path).exists() else uri


def existing_client() -> MlflowClient:
    """Return a client of the store that runs were recorded in.

    Raises
    ------
    RunError
        Nothing ever was.
    """
    uri = existing_store()
    if uri is None:
        raise RunError(f"no run was recorded at {tracking_uri()}; go to where it was, or set MLFLOW_TRACKING_URI")
    return MlflowClient(tracking_uri=uri)


@contextmanager
def answering(uri: str) -> Iterator[None]:
    """Turn what is raised where a store cannot be read into a RunError, which says so in one line.

    For a person who only looks: whoever trains waits for a server instead.
    """
    try:
        yield
    except (requests.RequestException, MlflowException) as error:
        if not passes(error):
            raise
        remedy = "start it" if uri.startswith("http") else "wait for whoever writes to it"
        raise RunError(
            f"MLflow at {uri} does not answer ({first_line(error)}); {remedy}, or set MLFLOW_TRACKING_URI"
        ) from error


def open_tracking(experiment: str, one_machine: bool = False) -> Tracking:
    """Create the store and the experiment if they are missing.

    ``one_machine`` says that all workers run on this one, so that a SQLite store may be written in the way that
    serves them best.

    Workers must find both: several processes that first touch a fresh SQLite file all fail in its migration,
    and several that create one experiment leave runs in the default one.
    """
    uri = tracking_uri()
    client = MlflowClient(tracking_uri=uri)
    found = client.get_experiment_by_name(experiment)
    experiment_id = found.experiment_id if found else _create_experiment(client, experiment)
    if one_machine:
        use_write_ahead_log(uri)
    return Tracking(uri=uri, experiment_id=experiment_id, experiment=experiment)


def _create_experiment(client: MlflowClient, experiment: str) -> str:
    try:
        return str(client.create_experiment(experiment, tags=_KIND))
    except MlflowException:
        # Another flow made it between the look and the creation.
        found = client.get_experiment_by_name(experiment)
        if found is None:
            raise
        return str(found.experiment_id)
