"""`backprop evaluate`."""

from typing import Annotated

import typer

from flows.cli.exits import Exits, console
from flows.cli.options import DATA, AsJson, Datasets, Model, Verbose, settle_settings, validated
from flows.parameters import EvaluateParameters

app = typer.Typer()


@app.command(
    epilog="[bold]Examples[/bold]\n\nbackprop evaluate digits@champion\n\n"
    "backprop evaluate churn@champion --data labelled-in-july.csv\n\n"
    "backprop evaluate churn/3 --data 's3://bucket/visits/' --target sold --json"
)
def evaluate(
    model: Model,
    data: Annotated[
        str | None, typer.Option(help=f"{DATA} The test rows that the model was not trained on if not given.")
    ] = None,
    target: Annotated[
        list[str] | None,
        typer.Option(help="What the data calls the target, if not as the model does; several for several."),
    ] = None,
    confidence: Annotated[float, typer.Option(help="Of the intervals, two-sided.")] = 0.95,
    experiment: Annotated[str | None, typer.Option(help="MLflow experiment; the model's own if not given.")] = None,
    datasets: Datasets = "datasets",
    as_json: AsJson = False,
    verbose: Verbose = False,
) -> None:
    """Measure a registered model on labelled data.

    Every measure has an interval and stands beside what a constant answer reaches; of classes there is a line each.
    The measures go to MLflow, as a run that belongs to the model.
    """
    with Exits(verbose, kept="nothing was written"):
        parameters = validated(
            EvaluateParameters,
            model=model,
            data=data,
            target=target or None,
            confidence=confidence,
            experiment=experiment,
            datasets=datasets,
        )
        settle_settings(verbose)
        from flows.compute.temporary_server import TemporaryServer

        server = TemporaryServer.if_needed()
        from flows.terminal.evaluate import run_evaluate

        run_evaluate(parameters, console, server, as_json=as_json)
