"""Which MLflow store the pipeline writes to, made once before any worker touches it."""

import os
from pathlib import Path

from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from pydantic import BaseModel, ConfigDict

from flows.tracking.sqlite import use_write_ahead_log

DEFAULT_URI = "sqlite:///mlflow.db"


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
        return str(client.create_experiment(experiment))
    except MlflowException:
        # Another flow made it between the look and the creation.
        found = client.get_experiment_by_name(experiment)
        if found is None:
            raise
        return str(found.experiment_id)
