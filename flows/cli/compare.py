"""`backprop compare`."""

from enum import StrEnum
from typing import Annotated

import typer

from flows.cli.exits import Exits, console
from flows.cli.options import AsJson, Datasets, Verbose, settle_settings, wait_for_no_server

app = typer.Typer()


class RowsChoice(StrEnum):
    """Which rows the runs are compared on."""

    auto = "auto"
    validation = "validation"
    test = "test"


@app.command(
    epilog="[bold]Examples[/bold]\n\nbackprop compare 3f2a9c 81b0de\n\n"
    "backprop compare digits@champion digits@challenger\n\nbackprop compare 3f2a9c 81b0de --json"
)
def compare(
    runs: Annotated[
        list[str],
        typer.Argument(
            metavar="RUN RUN...",
            help="2 to 8 trials, or searches, whose winners are meant: what `backprop show` takes.",
        ),
    ],
    rows: Annotated[
        RowsChoice,
        typer.Option(help="auto is test if all of them were tested, as winners are, and validation otherwise."),
    ] = RowsChoice.auto,
    confidence: Annotated[float, typer.Option(min=0.5, max=0.999, help="Of the intervals, two-sided.")] = 0.95,
    datasets: Datasets = "datasets",
    as_json: AsJson = False,
    verbose: Verbose = False,
) -> None:
    """Compare runs: what differs, metrics and curves side by side, and whether the difference is more than luck.

    For the last they are measured once more on the same rows, if their dataset is here.
    """
    with Exits(verbose):
        settle_settings(verbose)
        wait_for_no_server()
        from flows.terminal.compare import run_compare

        run_compare(console, runs, datasets, rows.value, confidence, as_json=as_json)
