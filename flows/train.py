"""The `train` flow: ingest, search, select, register, report. The main job of the project."""

import time
from dataclasses import dataclass

from mlflow.entities import Metric
from prefect import flow, task
from pydantic import BaseModel, ConfigDict

from backprop import Architecture, Parameters
from flows.compute.clusters import task_runner
from flows.compute.start_weights import StartWeights
from flows.configurations import check_before_data
from flows.data.drift import DriftReport
from flows.data.splitting import SplitParameters
from flows.data.store import DatasetReference, open_dataset
from flows.form import DataAddress, TargetColumns
from flows.ingest import Ingested, ingest
from flows.pages.publish import publish_search
from flows.parameters import ComputeParameters, Space, TaskChoice, TrainParameters
from flows.ranking import Selection
from flows.report.logged import ReportOutcome, report_on
from flows.report.searched import Searched, SearchFacts, members_of
from flows.search import SearchOutcome, search
from flows.select import select
from flows.spaces import SpaceName, load_space
from flows.tracking import tags
from flows.tracking.data_reports import log_drift, log_validation
from flows.tracking.registry import RegisteredVersion, check_model_name, register_winner
from flows.tracking.search_runs import SearchRun, TrialRecord, log_command, search_run
from flows.tracking.store import Tracking, open_tracking
from flows.train_command import train_command
from flows.trials import WarmStart


class TrainReport(BaseModel):
    """What a run of `train` led to.

    Attributes
    ----------
    seconds : dict of str to float
        Wall time of each part after ingestion.
    """

    model_config = ConfigDict(frozen=True)

    dataset: DatasetReference
    run: SearchRun
    outcome: SearchOutcome
    selection: Selection
    registered: RegisteredVersion
    report: ReportOutcome
    seconds: dict[str, float]


@flow(name="train", flow_run_name="train {data} on {space}", persist_result=False)
def train(
    data: DataAddress = "digits",
    target: TargetColumns = None,
    space: SpaceName = "quick",
    task: TaskChoice = "auto",
    preparation: str | None = None,
    experiment: str | None = None,
    model: str | None = None,
    split: SplitParameters = SplitParameters(),  # noqa: B008 - immutable
    compute: ComputeParameters = ComputeParameters(),  # noqa: B008 - immutable
    datasets: str = "datasets",
) -> TrainReport:
    """Train a grid of multilayer perceptrons, find the best, and register it as the challenger.

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
    candidates = candidates_of(parameters.space)
    return train_on(ingest_for(parameters, candidates.space.folds), parameters, candidates)


@dataclass(frozen=True)
class Candidates:
    """What a search trains: a space, and perhaps a trial that begins with the weights of a registered version.

    Attributes
    ----------
    name : str
        What the space is called.
    skipped : str or None
        Why there is no warm start where one was wanted.
    """

    name: str
    space: Space
    warm_start: WarmStart | None = None
    weights: tuple[Architecture, Parameters] | None = None
    skipped: str | None = None


def candidates_of(space: str) -> Candidates:
    """Return what a bundled space or a YAML file asks for; a SpaceError if it is not valid."""
    loaded = load_space(space)
    check_before_data(loaded)
    return Candidates(space, loaded)


def ingest_for(parameters: TrainParameters, folds: int | None) -> Ingested:
    """Ingest what the parameters name, with the folds that the space asks for."""
    return ingest(
        data=parameters.data,
        target=parameters.targets or None,
        task=parameters.task,
        preparation=parameters.preparation,
        split=parameters.split,
        datasets=parameters.datasets,
        folds=folds,
    )


def train_on(
    ingested: Ingested, parameters: TrainParameters, candidates: Candidates, drift: DriftReport | None = None
) -> TrainReport:
    """Search on an ingested dataset, select the winner and register it: what `train` and `retrain` share.

    What was found in the data is logged on the run of the search, with the drift that was measured, if any.
    """
    dataset = ingested.dataset
    space, warm_start = candidates.space, candidates.warm_start
    opened = open_dataset(dataset)
    name = parameters.model_for(dataset.name)
    check_model_name(name)
    tracking = open_tracking(parameters.experiment_for(dataset.name), one_machine=parameters.compute.is_local)
    seconds = {}
    with search_run(tracking, opened, candidates.name, space, warm_start) as run:
        log_command(run, train_command(parameters, opened.uri))
        log_validation(run, ingested.report)
        _begin_warm(run, dataset, candidates)
        if drift is not None:
            log_drift(tracking, run.run_id, drift)
        started = time.monotonic()
        runner = task_runner(parameters.compute)
        outcome = search.with_options(task_runner=runner)(
            dataset, space, run, parameters.compute, ingested.folds, warm_start
        )
        seconds["search"] = time.monotonic() - started

        started = time.monotonic()
        selection = select(dataset, space, outcome.end, run, ingested.folds, warm_start)
        registered = register(tracking, selection.winner, dataset, name)
        seconds["select"] = time.monotonic() - started
        if outcome.stacks:
            _log_cost(run, outcome, seconds)
        facts = SearchFacts(
            space=candidates.name,
            dataset=dataset,
            folds=ingested.folds,
            ranked=members_of(selection.ranked),
            diverged=members_of(selection.diverged),
            winner=selection.winner.key,
            failed=outcome.failed,
            registered=registered,
            stacks=outcome.stacks,
            seconds=seconds,
        )
        searched = Searched.of(run, facts, selection.ranked, selection.diverged, selection.winner, drift)
        report = report_on(searched)
        seconds["report"] = report.seconds
        publish_search(searched, outcome, selection.test, has_report=report.link is not None)
    return TrainReport(
        dataset=dataset,
        run=run,
        outcome=outcome,
        selection=selection,
        registered=registered,
        report=report,
        seconds=seconds,
    )


@task(name="register-winner", task_run_name="register {winner.name} as {name}", persist_result=False)
def register(tracking: Tracking, winner: TrialRecord, dataset: DatasetReference, name: str) -> RegisteredVersion:
    """Register the winner with its preparation, as `@challenger`."""
    return register_winner(tracking, winner, open_dataset(dataset), name)


def _begin_warm(run: SearchRun, dataset: DatasetReference, candidates: Candidates) -> None:
    """Put the weights of a warm start where workers find them, and say on the run what it begins with, or why not."""
    client = run.tracking.client()
    if candidates.skipped is not None:
        client.set_tag(run.run_id, tags.WARM_START_SKIPPED, candidates.skipped[:500])
    if candidates.warm_start is not None and candidates.weights is not None:
        client.set_tag(run.run_id, tags.WARM_START, candidates.warm_start.version)
        StartWeights(dataset, run).save(candidates.warm_start.digest, *candidates.weights)


def _log_cost(run: SearchRun, outcome: SearchOutcome, seconds: dict[str, float]) -> None:
    now = int(time.time() * 1000)
    measured = {
        **{f"time/{part}_seconds": spent for part, spent in seconds.items()},
        "time/training_seconds": sum(stack.training_seconds for stack in outcome.stacks),
        "memory/worker_peak_bytes": float(max(stack.peak_bytes for stack in outcome.stacks)),
    }
    metrics = [Metric(name, value, now, 0) for name, value in measured.items()]
    run.tracking.client().log_batch(run.run_id, metrics=metrics)
