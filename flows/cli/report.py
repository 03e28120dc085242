"""`backprop report`."""

from pathlib import Path
from typing import Annotated

import typer

from flows.cli.exits import Exits, console
from flows.cli.options import Verbose, settle_settings

app = typer.Typer()


@app.command(
    epilog="[bold]Examples[/bold]\n\nbackprop report digits@challenger\n\nbackprop report 3f2a9c0d --to report.html"
)
def report(
    run: Annotated[
        str,
        typer.Argument(metavar="RUN", help="A search, or one of its trials: a run's id, its beginning, or NAME@ALIAS."),
    ],
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
