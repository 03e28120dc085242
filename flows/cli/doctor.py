"""`backprop doctor`."""

from typing import Annotated

import typer

from flows.cli.exits import FAILED, Exits, console
from flows.cli.options import (
    DATA,
    AsJson,
    Datasets,
    SplitBy,
    SplitColumn,
    SplitSeed,
    Target,
    Task,
    Test,
    Validation,
    Verbose,
    split_of,
    train_parameters,
)

app = typer.Typer()


@app.command(
    epilog="[bold]Examples[/bold]\n\nbackprop doctor digits\n\n"
    "backprop doctor churn.csv --target churned --space my-space.yaml\n\n"
    "backprop doctor prices.parquet --target price --space regression --json --strict"
)
def doctor(
    data: Annotated[str, typer.Argument(metavar="DATA", help=DATA)],
    target: Target = None,
    space: Annotated[
        str, typer.Option(help="Whose networks are probed: a bundled search space or a YAML file.")
    ] = "quick",
    task: Task = "auto",
    preparation: Annotated[
        str | None, typer.Option(metavar="FILE", help="YAML of the preparation, followed if there is one.")
    ] = None,
    split_by: SplitBy = "random",
    split_column: SplitColumn = None,
    validation: Validation = 0.15,
    test: Test = 0.15,
    split_seed: SplitSeed = 0,
    datasets: Datasets = "datasets",
    strict: Annotated[bool, typer.Option("--strict", help="End with exit code 1 if there is a problem.")] = False,
    as_json: AsJson = False,
    verbose: Verbose = False,
) -> None:
    """Say why a network does not learn, or will not, from a short look at its data and its space.

    A few thousand rows are looked at as `backprop train` would prepare them, and some of the space's
    networks are trained on them for a moment, in this process. Nothing is written. Every finding comes
    with its numbers and with what to do.
    """
    with Exits(verbose, kept="nothing was written"):
        parameters = train_parameters(
            data=data,
            target=target or None,
            space=space,
            task=task,
            preparation=preparation,
            datasets=datasets,
            split=split_of(split_by, split_column, validation, test, split_seed),
        )
        from flows.configurations import check_before_data
        from flows.spaces import load_space

        check_before_data(load_space(parameters.space))
        from flows.terminal.doctor import run_doctor

        found = run_doctor(parameters, console, as_json=as_json)
        if strict and found.has_problem:
            raise typer.Exit(FAILED)
