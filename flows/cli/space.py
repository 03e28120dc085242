"""`backprop space`: what a search space comes to."""

import os
from typing import Annotated

import typer

from flows.cli.exits import Exits, console
from flows.cli.options import (
    DATA,
    HELP_OPTIONS,
    AsJson,
    Datasets,
    Device,
    Experiment,
    SplitBy,
    SplitColumn,
    SplitSeed,
    StackSeconds,
    Target,
    Task,
    Test,
    Validation,
    WorkerMemory,
    Workers,
    settle_settings,
    split_of,
    train_parameters,
    wait_for_no_server,
)
from flows.errors import InputError

app = typer.Typer(
    no_args_is_help=True, context_settings=HELP_OPTIONS, help="Show what a search space comes to before it is trained."
)


@app.command(
    "show",
    epilog="[bold]Examples[/bold]\n\nbackprop space show quick\n\nbackprop space show my-space.yaml --data digits\n\n"
    "backprop space show my-space.yaml --data churn.csv --target churned --json",
)
def show_space(
    space: Annotated[str, typer.Argument(metavar="SPACE", help="A bundled search space or a YAML file.")],
    data: Annotated[str | None, typer.Option(help=f"{DATA} Without it, the trials only.")] = None,
    target: Target = None,
    task: Task = "auto",
    preparation: Annotated[
        str | None, typer.Option(metavar="FILE", help="YAML of the preparation, followed if there is one.")
    ] = None,
    split_by: SplitBy = "random",
    split_column: SplitColumn = None,
    validation: Validation = 0.15,
    test: Test = 0.15,
    split_seed: SplitSeed = 0,
    workers: Workers = None,
    worker_memory: WorkerMemory = None,
    device: Device = "auto",
    stack_seconds: StackSeconds = None,
    experiment: Experiment = None,
    datasets: Datasets = "datasets",
    show_all: Annotated[bool, typer.Option("--all", help="Show every trial and stack, not only the first.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show the trials of a search space, the stacks they fall into, and what they will cost.

    Time is estimated from a few minibatches of each kind of stack, trained for a second or two. The options are
    those of `backprop train`. Nothing is written; data that was not ingested yet is read, and of data
    that was it says how many of the trials are finished already.
    """
    with Exits(verbose=False):
        about_data = {"--target": target, "--preparation": preparation, "--split-column": split_column}
        given = [option for option, value in about_data.items() if value]
        if data is None and given:
            raise InputError(f"{given[0]} says what is in the data, and there is none; name it with --data")
        settle_settings(verbose=False)
        # Whether trials are finished is worth a look, and no wait for a server that is away.
        wait_for_no_server()
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
        from flows.terminal.space import run_show

        if data is None:
            run_show(console, space, None, as_json=as_json, show_all=show_all)
            return
        parameters = train_parameters(
            data=data,
            target=target or None,
            space=space,
            task=task,
            preparation=preparation,
            experiment=experiment,
            datasets=datasets,
            split=split_of(split_by, split_column, validation, test, split_seed),
            compute={
                "workers": workers,
                "worker_memory": worker_memory,
                "device": device,
                "stack_seconds": stack_seconds,
            },
        )
        run_show(console, space, parameters, as_json=as_json, show_all=show_all)


@app.command("schema")
def show_schema() -> None:
    """Print the JSON Schema of a space's file, by which an editor completes and checks it."""
    from flows.space_document import space_schema

    print(space_schema(), end="")  # noqa: T201 - rich would wrap it
