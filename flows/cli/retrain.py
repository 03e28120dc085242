"""`backprop retrain`."""

from typing import Annotated, Any

import typer
from pydantic import BaseModel, ValidationError

from flows.cli.exits import Exits, console
from flows.cli.options import (
    DATA,
    AsJson,
    CheckpointSeconds,
    Cluster,
    Datasets,
    Device,
    Experiment,
    Preparation,
    QueueSeconds,
    Scheduler,
    SplitBy,
    SplitColumn,
    SplitSeed,
    StackSeconds,
    Target,
    Task,
    Test,
    Validation,
    Verbose,
    Watch,
    WorkerMemory,
    Workers,
    settle_settings,
    split_of,
    train_parameters,
)
from flows.cli.train import check_early
from flows.data.drift import DriftParameters
from flows.errors import InputError
from flows.parameters import AUTO, AroundParameters, PromotionParameters, describe_validation_error
from flows.spaces import bundled_spaces

app = typer.Typer()


@app.command(
    epilog="[bold]Examples[/bold]\n\n"
    "backprop retrain --data churn.csv --target churned\n\n"
    "backprop retrain --data churn.csv --target churned --min-gain 0.005 --guard region --guard tenure=0.02\n\n"
    "backprop retrain --data prices.parquet --target price --metric mae --guard-metric rmse --json"
)
def retrain(
    data: Annotated[str, typer.Option(help=DATA)] = "digits",
    target: Target = None,
    space: Annotated[
        str,
        typer.Option(help=f"auto (around the champion), {', '.join(bundled_spaces())}, or a YAML file."),
    ] = AUTO,
    warm_start: Annotated[bool, typer.Option(help="Whether one trial goes on from the champion's weights.")] = True,
    metric: Annotated[
        str,
        typer.Option(help="auto (accuracy or rmse), accuracy, balanced_accuracy, f1_macro, log_loss, rmse, mae, r2."),
    ] = "auto",
    min_gain: Annotated[float, typer.Option(help="Gain that the challenger must exceed, in the metric's unit.")] = 0.0,
    confidence: Annotated[float, typer.Option(help="One-sided confidence in the gain.")] = 0.95,
    guard: Annotated[
        list[str] | None,
        typer.Option(
            metavar="COLUMN[=TOLERANCE]", help="Column on no slice of which the challenger may be worse; repeatable."
        ),
    ] = None,
    guard_metric: Annotated[
        list[str] | None,
        typer.Option(metavar="METRIC[=TOLERANCE]", help="Further metric that may not get worse; repeatable."),
    ] = None,
    drift_stop: Annotated[bool, typer.Option(help="Whether drift stops the retraining.")] = True,
    task: Task = "auto",
    preparation: Preparation = None,
    split_by: SplitBy = "random",
    split_column: SplitColumn = None,
    validation: Validation = 0.15,
    test: Test = 0.15,
    split_seed: SplitSeed = 0,
    cluster: Cluster = "local",
    workers: Workers = None,
    worker_memory: WorkerMemory = None,
    scheduler: Scheduler = None,
    queue_seconds: QueueSeconds = 3600.0,
    device: Device = "auto",
    checkpoint_seconds: CheckpointSeconds = 30.0,
    stack_seconds: StackSeconds = None,
    watch: Watch = "layers",
    experiment: Experiment = None,
    model: Annotated[str | None, typer.Option(help="Registered model; the experiment's name if not given.")] = None,
    datasets: Datasets = "datasets",
    as_json: AsJson = False,
    verbose: Verbose = False,
) -> None:
    """Train again if the data changed, and move @champion if that is better.

    Ends as Unchanged, Drifted, Promoted or Refused, all with exit code 0; docs/retraining.md says what each means.
    `backprop rollback` takes a promotion back.
    """
    with Exits(verbose):
        parameters = train_parameters(
            data=data,
            target=target or None,
            space=space,
            task=task,
            preparation=preparation,
            experiment=experiment,
            model=model,
            datasets=datasets,
            split=split_of(split_by, split_column, validation, test, split_seed),
            compute={
                "cluster": cluster,
                "workers": workers,
                "worker_memory": worker_memory,
                "scheduler": scheduler,
                "queue_seconds": queue_seconds,
                "device": device,
                "checkpoint_seconds": checkpoint_seconds,
                "stack_seconds": stack_seconds,
                "watch": watch,
            },
        )
        promotion = _checked(
            PromotionParameters,
            metric=metric,
            min_gain=min_gain,
            confidence=confidence,
            guards={
                "slices": [_guarded("column", "--guard", given) for given in guard or ()],
                "metrics": [_guarded("metric", "--guard-metric", given) for given in guard_metric or ()],
            },
        )
        check_early(parameters if space != AUTO else parameters.model_copy(update={"space": "quick"}))
        settle_settings(verbose)
        from flows.compute.temporary_server import TemporaryServer

        server = TemporaryServer.if_needed()
        # Prefect reads its settings when it is imported: not before they are settled.
        from flows.terminal.retrain import run_retrain

        run_retrain(
            parameters,
            promotion,
            DriftParameters(stop=drift_stop),
            AroundParameters(),
            console,
            server,
            warm_start=warm_start,
            as_json=as_json,
        )


def _checked(model: type[BaseModel], **given: object) -> Any:
    try:
        return model.model_validate(given)
    except ValidationError as error:
        raise InputError(describe_validation_error(list(error.errors()))) from error


def _guarded(what: str, option: str, given: str) -> dict[str, object]:
    """Read NAME or NAME=TOLERANCE; a column may have an equals sign in its name."""
    name, equals, tolerance = given.rpartition("=")
    if not equals:
        return {what: given}
    try:
        return {what: name, "tolerance": float(tolerance)}
    except ValueError as error:
        raise InputError(f"{option} {given!r}: {tolerance!r} is no number; write {name}=0.01") from error
