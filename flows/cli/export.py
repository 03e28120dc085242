"""`backprop export`."""

from pathlib import Path
from typing import Annotated

import typer

from flows.cli.exits import Exits, console
from flows.cli.options import Datasets, settle_settings
from flows.errors import InputError

app = typer.Typer()


@app.command(
    epilog="[bold]Examples[/bold]\n\nbackprop export digits@champion\n\n"
    "backprop export churn/3 --output churn.onnx --overwrite"
)
def export(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL", help="NAME@ALIAS or NAME/VERSION of a registered model, or the id of a trial's run."
        ),
    ],
    output: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The file to write; NAME-VERSION.onnx if not given.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a file that is there.")] = False,
    datasets: Datasets = "datasets",
) -> None:
    """Write a model as an ONNX file, with its preparation: raw columns in, labels and probabilities out.

    What ONNX cannot hold, such as dates, is refused and named.
    """
    with Exits(verbose=False, kept="nothing was written"):
        settle_settings(verbose=False)
        try:
            from flows.terminal.export import run_export
        except ModuleNotFoundError as error:
            if error.name != "onnx":
                raise
            raise InputError("onnx is not installed; pip install 'backprop[onnx]'") from error
        run_export(console, model, output, datasets, overwrite=overwrite)
