"""`backprop score`."""

from typing import Annotated

import typer

from flows.cli.exits import Exits, console
from flows.cli.options import (
    DATA,
    AsJson,
    Cluster,
    Model,
    QueueSeconds,
    Scheduler,
    Verbose,
    WorkerMemory,
    Workers,
    settle_settings,
    validated,
)
from flows.parameters import ScoreParameters

app = typer.Typer()


@app.command(
    epilog="[bold]Examples[/bold]\n\n"
    "backprop score churn@champion --data customers.csv --to scores.parquet --keep customer_id\n\n"
    "backprop score churn/3 --data 's3://bucket/customers/' --to s3://bucket/scores.csv.gz\n\n"
    "backprop score churn@champion --data 'sql:postgresql://me@db/shop?table=customers' "
    "--to 'sql:postgresql://me@db/shop?table=scores' --overwrite"
)
def score(
    model: Model,
    data: Annotated[str, typer.Option(help=DATA)],
    to: Annotated[str, typer.Option(help="A .parquet, .csv or .csv.gz file, here or at a URL, or sql:URL?table=NAME.")],
    keep: Annotated[
        list[str] | None,
        typer.Option(
            help="Column of the data that goes with the predictions, such as a key; several times for several."
        ),
    ] = None,
    bare: Annotated[bool, typer.Option("--bare", help="Keep no column of the data; all are kept otherwise.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace what is at the destination.")] = False,
    cluster: Cluster = "local",
    workers: Workers = None,
    worker_memory: WorkerMemory = None,
    scheduler: Scheduler = None,
    queue_seconds: QueueSeconds = 3600.0,
    as_json: AsJson = False,
    verbose: Verbose = False,
) -> None:
    """Predict every row of some data with a registered model, and write the predictions.

    They are in the order of the rows, with the probability of every class and with the model's name and version. What
    is written is there whole or not at all, and memory does not grow with the rows.
    """
    with Exits(verbose, kept="nothing was written"):
        parameters = validated(
            ScoreParameters,
            model=model,
            data=data,
            to=to,
            keep=() if bare else keep or None,
            overwrite=overwrite,
            compute={
                "cluster": cluster,
                "workers": workers,
                "worker_memory": worker_memory,
                "scheduler": scheduler,
                "queue_seconds": queue_seconds,
            },
        )
        _check_early(parameters)
        settle_settings(verbose)
        from flows.compute.temporary_server import TemporaryServer

        server = TemporaryServer.if_needed()
        from flows.compute.local_cluster import cluster_ahead

        with cluster_ahead(parameters.compute):
            # Prefect reads its settings when it is imported: not before they are settled.
            from flows.terminal.score import run_score

            run_score(parameters, console, server, as_json=as_json)


def _check_early(parameters: ScoreParameters) -> None:
    """Find at once what would otherwise be found after Prefect has started."""
    from flows.data.sources import open_source
    from flows.scoring.destinations import open_destination

    open_source(parameters.data)
    destination = open_destination(parameters.to)
    if not parameters.overwrite:
        destination.require_free()
