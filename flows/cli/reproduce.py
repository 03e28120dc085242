"""`backprop reproduce`."""

from typing import Annotated

import typer

from backprop.backend import Device
from flows.cli.exits import Exits, console
from flows.cli.options import AsJson, Datasets, RunName, Verbose, settle_settings, wait_for_no_server

app = typer.Typer()


@app.command(
    epilog="[bold]Examples[/bold]\n\nbackprop reproduce models:/digits@champion\n\nbackprop reproduce 3f2a9c\n\n"
    "backprop reproduce 3f2a9c --device cpu --json\n\n[bold]Exit codes[/bold]: 0 the weights are identical or equal "
    "within tolerance, 1 they are different, 2 the run is of no use for this."
)
def reproduce(
    run: RunName,
    datasets: Datasets = "datasets",
    device: Annotated[
        Device, typer.Option(help="Where to train it; auto is what it was trained on, if this machine has it.")
    ] = "auto",
    as_json: AsJson = False,
    verbose: Verbose = False,
) -> None:
    """Train a finished trial again, alone and on this machine, and compare the weights and the metrics of every epoch.

    Says whether they are identical, equal within tolerance or different, and what differs between then and now:
    versions, backend, processor. Nothing is written.
    """
    with Exits(verbose):
        settle_settings(verbose)
        wait_for_no_server()
        from flows.terminal.reproduce import run_reproduce

        if not run_reproduce(console, run, datasets, device, as_json=as_json):
            raise typer.Exit(1)
