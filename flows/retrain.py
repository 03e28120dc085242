"""The `retrain` flow: on a schedule, train again if the data changed, and promote only what is better."""

from typing import Any

import numpy as np
from prefect import flow, task
from prefect.artifacts import create_markdown_artifact
from prefect.client.schemas.objects import State
from prefect.logging import get_run_logger
from prefect.states import Completed
from pydantic import BaseModel, ConfigDict

from flows.data.drift import DriftParameters
from flows.data.splitting import SplitParameters
from flows.data.store import DatasetReference, open_dataset, raw_test_rows
from flows.drift_check import drift_since
from flows.errors import RunFailedError, TableError
from flows.parameters import ComputeParameters, PromotionParameters, TaskChoice, TrainParameters
from flows.promotion import Decision, baseline_prediction, decide, score_rows
from flows.tracking.data_reports import record_stop
from flows.tracking.registry import (
    CHAMPION,
    RegisteredVersion,
    check_model_name,
    last_retrained_digest,
    load_registered,
    record_decision,
    remember_digest,
    version_by_alias,
)
from flows.tracking.store import Tracking, open_tracking
from flows.train import TrainReport, ingest_for, train_on


class RetrainReport(BaseModel):
    """What a run of `retrain` led to.

    Attributes
    ----------
    champion : RegisteredVersion
        The champion now.
    """

    model_config = ConfigDict(frozen=True)

    train: TrainReport
    decision: Decision
    champion: RegisteredVersion | None


@flow(name="retrain", flow_run_name="retrain {data} on {space}", persist_result=False)
def retrain(
    data: str = "digits",
    target: str | tuple[str, ...] | None = None,
    space: str = "quick",
    task: TaskChoice = "auto",
    preparation: str | None = None,
    experiment: str | None = None,
    model: str | None = None,
    split: SplitParameters = SplitParameters(),  # noqa: B008 - immutable
    compute: ComputeParameters = ComputeParameters(),  # noqa: B008 - immutable
    promotion: PromotionParameters = PromotionParameters(),  # noqa: B008 - immutable
    drift: DriftParameters = DriftParameters(),  # noqa: B008 - immutable
    datasets: str = "datasets",
) -> State[Any]:
    """Train again if the data changed since the last time, and move @champion if the challenger is better.

    Ends in one of four named states: Unchanged, Drifted, Promoted or Refused. Drifted says that the data moved so far
    from what the model was last retrained on that a person should look before anything is trained; the champion stays.

    Args:
        data: A built-in data set, a file, a directory, or what docs/sources lists
        target: Target column, or a list of them; none where the source brings its own
        space: A bundled search space or a YAML file
        task: What to predict; auto decides by the target's values
        preparation: YAML file of the preparation; written if there is none, and followed if there is
        experiment: MLflow experiment; the dataset's name if empty
        model: Name of the registered model; the experiment's name if empty
        split: How rows are split into training, validation and test
        compute: Where stacks of trials are trained
        promotion: When a challenger replaces the champion
        drift: How far the data may move before a retraining stops
        datasets: Where the prepared datasets are: a directory, or a URL such as s3://bucket/datasets
    """
    parameters = TrainParameters(
        data=data,
        target=target,
        task=task,
        preparation=preparation,
        space=space,
        experiment=experiment,
        model=model,
        split=split,
        compute=compute,
        datasets=datasets,
    )
    ingested = ingest_for(parameters)
    dataset = ingested.dataset
    name = parameters.model_for(dataset.name)
    check_model_name(name)
    tracking = open_tracking(parameters.experiment_for(dataset.name))
    last = last_retrained_digest(tracking, name)
    if last == dataset.digest:
        message = f"the data is unchanged since the last retraining of {name!r} (digest {dataset.digest[:12]})"
        get_run_logger().info("Ends early: %s", message)
        return Completed(name="Unchanged", message=message)

    moved = drift_since(last, dataset, drift)
    if moved is not None and moved.drifted and drift.stop:
        record_stop(tracking, open_dataset(dataset), moved)
        get_run_logger().warning("Stops: %s", moved.summary)
        return Completed(name="Drifted", message=f"{moved.summary}; if that is right, retrain once with drift.stop off")

    report = train_on(ingested, parameters, moved)
    champion = version_by_alias(tracking, name, CHAMPION)
    if champion == report.registered:
        # The data went back to what the champion was trained on: there is nothing to judge.
        remember_digest(tracking, name, dataset.digest)
        return Completed(name="Refused", message="the winner of the search is the champion itself, which stands")
    decision = judge(tracking, dataset, report.registered, champion, promotion)
    record_decision(tracking, report.registered, decision, dataset.digest)
    _publish(report.registered, champion, decision)
    return Completed(
        name="Promoted" if decision.promoted else "Refused",
        message=decision.reason,
        data=RetrainReport(
            train=report, decision=decision, champion=report.registered if decision.promoted else champion
        ),
    )


@task(name="judge-challenger", persist_result=False)
def judge(
    tracking: Tracking,
    dataset: DatasetReference,
    challenger: RegisteredVersion,
    champion: RegisteredVersion | None,
    promotion: PromotionParameters,
) -> Decision:
    """Measure challenger, champion and baseline on the same raw test rows, and decide."""
    opened = open_dataset(dataset)
    preparation = opened.preparation
    rows = raw_test_rows(opened)
    target = rows[list(preparation.targets)]
    rows = rows.drop(columns=target.columns)
    constant = baseline_prediction(preparation, np.asarray(opened.train.target), len(rows))

    def scored(version: RegisteredVersion) -> np.ndarray:
        try:
            return score_rows(preparation, target, load_registered(tracking, version).predict(None, rows))
        except TableError as error:
            raise RunFailedError(
                f"{version.name} version {version.version} cannot be measured on this data: {error}; "
                f"train under another model name, or take the alias {CHAMPION} off that version"
            ) from error

    return decide(
        opened.task,
        challenger=scored(challenger),
        baseline=score_rows(preparation, target, constant),
        champion=None if champion is None else scored(champion),
        promotion=promotion,
    )


def _publish(challenger: RegisteredVersion, champion: RegisteredVersion | None, decision: Decision) -> None:
    """Put the decision on the Prefect run page."""
    before = f"version {champion.version}" if champion else "none"
    create_markdown_artifact(
        key="promotion",
        description=f"Whether the challenger of {challenger.name} was promoted",
        markdown=(
            f"# {challenger.name}: {'promoted' if decision.promoted else 'refused'}\n\n"
            f"{decision.reason}.\n\n"
            f"| | version |\n|---|---|\n| challenger | {challenger.version} |\n| champion before | {before} |\n"
        ),
    )
