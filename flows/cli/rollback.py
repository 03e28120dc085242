"""`backprop rollback`."""

from typing import Annotated

import typer

from flows.cli.exits import Exits, console
from flows.cli.options import AsJson, Verbose, settle_settings

app = typer.Typer()


@app.command(epilog="[bold]Examples[/bold]\n\nbackprop rollback churn\n\nbackprop rollback churn --json")
def rollback(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="The registered model.")],
    as_json: AsJson = False,
    verbose: Verbose = False,
) -> None:
    """Move @champion of a model back to @previous, and @previous to what it was.

    The version that was taken back is marked, and no retraining promotes it again. Twice is as if it had never been
    done. The store is sqlite:///mlflow.db unless MLFLOW_TRACKING_URI says otherwise.
    """
    with Exits(verbose):
        settle_settings(verbose)
        from flows.terminal.rollback import run_rollback

        run_rollback(model, console, as_json=as_json)
