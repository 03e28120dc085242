"""One trial: what it was trained with, how it went and ended, and how to have it again."""

import json
import shlex
from collections.abc import Mapping
from datetime import datetime

from mlflow import MlflowClient
from mlflow.entities import Run
from pydantic import BaseModel, ConfigDict

from flows.inspection.searches import ModelVersion, moment, registered_versions
from flows.tracking import tags
from flows.tracking.recorded_trial import CURVES, tracking_of
from flows.tracking.search_runs import metric_curves

Curve = tuple[tuple[int, float], ...]
"""Epochs with what a metric was after each."""


class TrialDetails(BaseModel):
    """A trial with all that `backprop show` says of it.

    Attributes
    ----------
    search, search_name : str or None
        The run of its search, and what that is called.
    ended : datetime or None
        None while it is trained.
    outcome : str
        How it ended, as a sentence has it.
    params : dict of str to str
    metrics : dict of str to float
        Of the last epoch; of a winner also of the test rows.
    curves : dict of str to (epoch, value) pairs
        The metrics of every epoch.
    tags : dict of str to str
        Without MLflow's own, and without the environment.
    environment : dict of str to value, or None
        What it was trained with, as the run has it.
    weights_sha256 : str or None
        Of the file of its weights.
    reproduce : str or None
        The command that trains it again and compares; None where there is nothing to compare with.
    command : str or None
        The command that trains its search.
    """

    model_config = ConfigDict(frozen=True)

    run_id: str
    name: str
    trial_key: str
    experiment: str
    experiment_id: str
    search: str | None
    search_name: str | None
    dataset: str
    dataset_digest: str
    status: str
    outcome: str
    started: datetime
    ended: datetime | None
    models: tuple[ModelVersion, ...]
    params: dict[str, str]
    metrics: dict[str, float]
    curves: dict[str, Curve]
    tags: dict[str, str]
    environment: dict[str, str | int | None] | None
    weights_sha256: str | None
    reproduce: str | None
    command: str | None


def read_trial_details(client: MlflowClient, run: Run) -> TrialDetails:
    """Return what the run of a trial says, whatever became of it."""
    found, tracking = run.data.tags, tracking_of(client, run)
    parent = client.get_run(found[tags.PARENT]) if tags.PARENT in found else None
    digest = found.get(tags.WEIGHTS_DIGEST)
    return TrialDetails(
        run_id=run.info.run_id,
        name=run.info.run_name or run.info.run_id,
        trial_key=found[tags.TRIAL_KEY],
        experiment=tracking.experiment,
        experiment_id=tracking.experiment_id,
        search=None if parent is None else parent.info.run_id,
        search_name=None if parent is None else parent.info.run_name,
        dataset=tags.read(found, tags.DATASET) or "",
        dataset_digest=found.get(tags.DATASET_DIGEST, ""),
        status=run.info.status,
        outcome=outcome(run),
        started=moment(run.info.start_time),
        ended=moment(run.info.end_time) if run.info.end_time else None,
        models=registered_versions(client).get(run.info.run_id, ()),
        params=dict(sorted(run.data.params.items())),
        metrics=dict(sorted(run.data.metrics.items())),
        curves=curves_of(client, run),
        tags=own_tags(found),
        environment=json.loads(found[tags.ENVIRONMENT]) if tags.ENVIRONMENT in found else None,
        weights_sha256=digest,
        reproduce=shlex.join(["backprop", "reproduce", run.info.run_id]) if digest is not None else None,
        command=None if parent is None else parent.data.tags.get(tags.COMMAND),
    )


def curves_of(client: MlflowClient, run: Run) -> dict[str, Curve]:
    """Return the metrics that a trial has of every epoch, a call to MLflow for each."""
    names = sorted(name for name in run.data.metrics if name.startswith(CURVES))
    by_epoch = sorted(metric_curves(tracking_of(client, run), run.info.run_id, names).items())
    return {name: tuple((epoch, values[name]) for epoch, values in by_epoch if name in values) for name in names}


def outcome(run: Run) -> str:
    """Say how a trial ended."""
    found, epochs = run.data.tags, run.data.params.get("epochs")
    why = f": {found[tags.FAILURE]}" if tags.FAILURE in found else ""
    if run.info.status == "RUNNING":
        return "it is still trained"
    if run.info.status != "FINISHED":
        return f"it {'failed' if run.info.status == 'FAILED' else 'was stopped'} before it was finished{why}"
    if (diverged_at := tags.read(found, tags.DIVERGED)) is not None:
        return f"it diverged: its loss stopped being finite in epoch {diverged_at} of {epochs}"
    if tags.PRUNED in found:
        return f"the stop rule ended it after epoch {found[tags.PRUNED]} of {epochs}"
    return f"it was trained for all of its {epochs} epochs"


def own_tags(found: Mapping[str, str]) -> dict[str, str]:
    """Return the tags that the pipeline or a person set, but for the environment, which is a document of its own."""
    documents = (tags.ENVIRONMENT, tags.RESUMED_IN)
    return {
        name: value for name, value in sorted(found.items()) if not name.startswith("mlflow.") and name not in documents
    }
