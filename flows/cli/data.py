"""`backprop data`: the prepared datasets."""

from typing import Annotated

import typer

from flows.cli.exits import Exits, console
from flows.cli.options import HELP_OPTIONS, AsJson, Datasets

app = typer.Typer(
    no_args_is_help=True, context_settings=HELP_OPTIONS, help="List, show and remove the prepared datasets."
)

Wanted = Annotated[
    str, typer.Argument(metavar="DATASET", help="The name of a dataset, or the beginning of its digest.")
]


@app.command("list")
def list_datasets(datasets: Datasets = "datasets", as_json: AsJson = False) -> None:
    """List the datasets that were ingested."""
    with Exits(verbose=False):
        from flows.terminal.data import run_list

        run_list(console, datasets, as_json)


@app.command("show")
def show_dataset(dataset: Wanted, datasets: Datasets = "datasets", as_json: AsJson = False) -> None:
    """Show where a dataset came from, how it was split, and how each column was prepared."""
    with Exits(verbose=False):
        from flows.terminal.data import run_show

        run_show(console, datasets, dataset, as_json)


@app.command("remove")
def remove_dataset(
    dataset: Wanted,
    datasets: Datasets = "datasets",
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Remove a dataset; models that were trained on it stay."""
    with Exits(verbose=False):
        from flows.terminal.data import run_remove

        run_remove(console, datasets, dataset, yes)
