"""The `backprop` command, one module a subcommand."""

from typing import Annotated

import typer

from backprop import __version__
from flows.cli import (
    compare,
    data,
    doctor,
    evaluate,
    explain,
    export,
    open_page,
    report,
    reproduce,
    retrain,
    rollback,
    runs,
    score,
    show,
    space,
    train,
    up,
)
from flows.cli.exits import console
from flows.cli.options import HELP_OPTIONS

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings=HELP_OPTIONS,
)
app.add_typer(train.app)
app.add_typer(retrain.app)
app.add_typer(rollback.app)
app.add_typer(report.app)
app.add_typer(runs.app)
app.add_typer(show.app)
app.add_typer(compare.app)
app.add_typer(open_page.app)
app.add_typer(reproduce.app)
app.add_typer(evaluate.app)
app.add_typer(score.app)
app.add_typer(export.app)
app.add_typer(explain.app)
app.add_typer(doctor.app)
app.add_typer(up.app)
app.add_typer(data.app, name="data")
app.add_typer(space.app, name="space")


def _version(wanted: bool) -> None:
    if wanted:
        console.print(f"backprop {__version__}")
        raise typer.Exit


@app.callback()
def backprop(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Find the best multilayer perceptron for your data.

    A grid of hyperparameters is trained by explicit backpropagation on a Dask cluster, tracked in MLflow,
    and its winner is tested and registered.

    [bold]Start here[/bold]: backprop train

    [bold]Exit codes[/bold]: 0 all went well, 1 the run failed, 2 the command or its input is wrong.
    """


def main() -> None:
    """Run the command line."""
    app()
