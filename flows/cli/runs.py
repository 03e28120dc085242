"""`backprop runs`."""

from typing import Annotated

import typer

from flows.cli.exits import Exits, console
from flows.cli.options import AsJson, Verbose, settle_settings, validated, wait_for_no_server

app = typer.Typer()


@app.command(
    epilog="[bold]Examples[/bold]\n\nbackprop runs\n\nbackprop runs --experiment digits --limit 5\n\n"
    "backprop runs --status failed --json"
)
def runs(
    experiment: Annotated[str | None, typer.Option(help="Those of one MLflow experiment.")] = None,
    dataset: Annotated[str | None, typer.Option(help="Those on data of this name.")] = None,
    status: Annotated[str | None, typer.Option(help="running, finished, failed or killed.")] = None,
    limit: Annotated[int, typer.Option(help="Most searches that are listed.")] = 20,
    as_json: AsJson = False,
    verbose: Verbose = False,
) -> None:
    """List the searches that were recorded, newest first, with what became of their trials and what won."""
    with Exits(verbose):
        settle_settings(verbose)
        wait_for_no_server()
        from flows.inspection.searches import Wanted
        from flows.terminal.runs import run_runs

        wanted = validated(
            Wanted,
            experiment=experiment or None,
            dataset=dataset or None,
            status=status and status.upper(),
            limit=limit,
        )
        run_runs(console, wanted, as_json=as_json)
