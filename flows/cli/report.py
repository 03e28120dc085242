"""`backprop report`."""

from pathlib import Path
from typing import Annotated

import typer

from flows.cli.exits import Exits, console
from flows.cli.options import Verbose, settle_settings

app = typer.Typer()


@app.command(
    epilog="[bold]Examples[/bold]\n\nbackprop report 3f2a9c0d5b7e41d8a6c2f0e9b8d7c6a5\n\n"
    "backprop report 3f2a9c0d5b7e41d8a6c2f0e9b8d7c6a5 --to report.html"
)
def report(
    run: Annotated[str, typer.Argument(metavar="RUN", help="Id of a search's run in MLflow, or of one of its trials.")],
    to: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write it there; onto the run of the search if not given.")
    ] = None,
    verbose: Verbose = False,
) -> None:
    """Make the report of a search again: which won, by how much, what mattered, where it fails, what it cost.

    `backprop train` and `backprop retrain` make it at the end of every search, as report/report.html on the search's
    run: one HTML file that needs no network.
    """
    with Exits(verbose, kept="nothing was written"):
        settle_settings(verbose)
        from flows.report.again import report_again

        console.print(report_again(run, to), soft_wrap=True, highlight=False, markup=False)
