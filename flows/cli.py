"""The `backprop` command."""

import logging
import os
import signal
import sys
import traceback
import warnings
from typing import Annotated, NoReturn

import typer
from pydantic import ValidationError
from rich.console import Console

from backprop import __version__
from flows.configurations import configurations
from flows.errors import InputError, SpaceError
from flows.parameters import TrainParameters, describe_validation_error
from flows.spaces import bundled_spaces, load_space

BAD_INPUT = 2
FAILED = 1
INTERRUPTED = 130

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)
DATA = "A built-in data set (digits, wine, ...), a file, a directory, a URL or a query: see docs/sources."
DATASETS = "Where the prepared datasets are: a directory, or a URL such as s3://bucket/datasets."

console = Console()
errors = Console(stderr=True, soft_wrap=True, highlight=False)


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


@app.command(
    epilog="[bold]Examples[/bold]\n\n"
    "backprop train --data wine --space quick\n\n"
    "backprop train --data churn.csv --target churned --space my-space.yaml\n\n"
    "backprop train --data s3://bucket/visits/ --target sold --split-by time --split-column day\n\n"
    "backprop train --data idx:/usr/share/datasets/fashion-mnist --space fashion-mnist"
)
def train(
    data: Annotated[str, typer.Option(help=DATA)] = "digits",
    target: Annotated[
        list[str] | None,
        typer.Option(help="Target column; several for several quantities or labels. None where the data brings it."),
    ] = None,
    space: Annotated[str, typer.Option(help=f"Search space: {', '.join(bundled_spaces())}, or a YAML file.")] = "quick",
    task: Annotated[
        str,
        typer.Option(help="auto, classification, regression or multilabel; auto decides by the target's values."),
    ] = "auto",
    preparation: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="YAML of the preparation: written if there is none, followed if there is."),
    ] = None,
    split_by: Annotated[
        str, typer.Option(help="random, group, time or column: what decides the part of a row.")
    ] = "random",
    split_column: Annotated[
        str | None, typer.Option(help="Column of the groups, of the time, or of train, validation and test.")
    ] = None,
    validation: Annotated[float, typer.Option(help="Fraction of the rows that validates.")] = 0.15,
    test: Annotated[float, typer.Option(help="Fraction of the rows that tests.")] = 0.15,
    split_seed: Annotated[int, typer.Option(help="Draws the rows, or the groups.")] = 0,
    workers: Annotated[int | None, typer.Option(help="Local Dask workers; one per core if not given.")] = None,
    worker_memory: Annotated[
        str | None,
        typer.Option(help="What a local worker may take for itself, such as 2GiB; a mapped dataset is extra."),
    ] = None,
    scheduler: Annotated[str | None, typer.Option(help="Address of a running Dask scheduler to use instead.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or gpu; auto is a worker's GPU if it has one.")] = "auto",
    checkpoint_seconds: Annotated[
        float, typer.Option(help="Least seconds between two checkpoints of a stack, for a search that is killed.")
    ] = 30.0,
    experiment: Annotated[str | None, typer.Option(help="MLflow experiment; the dataset's name if not given.")] = None,
    model: Annotated[str | None, typer.Option(help="Registered model; the experiment's name if not given.")] = None,
    datasets: Annotated[str, typer.Option(help=DATASETS)] = "datasets",
    verbose: Annotated[bool, typer.Option("--verbose", help="Show all logs, and tracebacks of failures.")] = False,
) -> None:
    """Train a grid of networks, test the winner, register it.

    Trials that are finished already are not trained again: the same command run twice trains nothing the
    second time, and after a kill it goes on from the last checkpoint. Runs go to MLflow, sqlite:///mlflow.db
    unless MLFLOW_TRACKING_URI says otherwise.
    """
    with _Exits(verbose):
        parameters = _parameters(
            data=data,
            target=target or None,
            space=space,
            task=task,
            preparation=preparation,
            experiment=experiment,
            model=model,
            datasets=datasets,
            split={
                "by": split_by,
                "column": split_column,
                "validation": validation,
                "test": test,
                "seed": split_seed,
            },
            compute={
                "workers": workers,
                "worker_memory": worker_memory,
                "scheduler": scheduler,
                "device": device,
                "checkpoint_seconds": checkpoint_seconds,
            },
        )
        _check_early(parameters)
        _settle_settings(verbose)
        # Bad usage has been answered by now. What takes seconds to start does so while this process imports.
        from flows.compute.temporary_server import TemporaryServer

        server = TemporaryServer.if_needed()
        from flows.compute.local_cluster import cluster_ahead

        with cluster_ahead(parameters.compute):
            # Prefect reads its settings when it is imported: not before they are settled.
            from flows.terminal import run_train

            run_train(parameters, console, server)


def _parameters(**given: object) -> TrainParameters:
    try:
        return TrainParameters.model_validate(given)
    except ValidationError as error:
        raise InputError(describe_validation_error(list(error.errors()))) from error


def _check_early(parameters: TrainParameters) -> None:
    """Find at once what would otherwise be found after Prefect has started."""
    from flows.data.declarations import read_own_plan
    from flows.data.root import open_root
    from flows.data.sources import open_source, require_targets
    from flows.data.splitting import require_split_column

    plan = read_own_plan(parameters.preparation)
    source = open_source(parameters.data)
    targets = require_targets(source, parameters.targets or (plan.target if plan else ()))
    require_split_column(source, targets, parameters.split)
    open_root(parameters.datasets)
    try:
        configurations(load_space(parameters.space))
    except SpaceError as error:
        where = "" if parameters.space in str(error) else f"{parameters.space}: "
        raise SpaceError(f"{where}{error}") from error


def _settle_settings(verbose: bool) -> None:
    """Set what Prefect and MLflow read when they are imported; what the user has set stays."""
    # Twenty seconds, Prefect's default, is too little for the first start on a busy or slow machine.
    os.environ.setdefault("PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS", "180")
    # Of a server MLflow would print two lines for every run that ends.
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
    if verbose:
        return
    # The terminal is the progress bar's; the run's logs are on its Prefect page all the same.
    os.environ.setdefault("PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL", "CRITICAL")
    os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")
    logging.getLogger("distributed").setLevel(logging.CRITICAL)
    # MLflow asks for type hints, which its own schema enforcement of frames does not know.
    warnings.filterwarnings("ignore", message=".*Add type hints to the `predict` method.*")


class _Exits:
    """Turns what a command raises into one line and an exit code."""

    def __init__(self, verbose: bool) -> None:
        self._verbose = verbose

    def __enter__(self) -> None:
        # A terminated search ends its runs like an interrupted one.
        self._before = signal.signal(signal.SIGTERM, _interrupt)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        signal.signal(signal.SIGTERM, self._before)
        if error is None or isinstance(error, typer.Exit | SystemExit):
            return
        if self._verbose:
            traceback.print_exception(error)
        if isinstance(error, KeyboardInterrupt):
            self._exit("interrupted: what was finished is kept, and the same command goes on from there", INTERRUPTED)
        if isinstance(error, InputError):
            _show_violations(error)
            self._exit(str(error), BAD_INPUT)
        hint = "" if self._verbose else " (--verbose shows where)"
        self._exit(f"{type(error).__name__}: {' '.join(str(error).split())}{hint}", FAILED)

    def _exit(self, message: str, code: int) -> NoReturn:
        # A column may well be called a:b:y, which is no emoji.
        errors.print(f"[red]error:[/red] {_escaped(message)}", emoji=False)
        sys.stdout.flush()
        raise typer.Exit(code)


def _show_violations(error: InputError) -> None:
    """Print all that is wrong with a table before the one line that says the first of it."""
    from flows.data.violations import SchemaViolationError

    if isinstance(error, SchemaViolationError):
        from flows.violations_terminal import print_violations

        print_violations(errors, error)


def _escaped(message: str) -> str:
    from rich.markup import escape

    return escape(" ".join(message.split()))


def _interrupt(number: int, frame: object) -> NoReturn:  # noqa: ARG001 - the signature of a signal handler
    raise KeyboardInterrupt


@app.command(
    epilog="[bold]Examples[/bold]\n\nbackprop explain\n\nbackprop explain --activation tanh --loss mse --hidden 3,2\n\n"
    "backprop explain --json"
)
def explain(
    activation: Annotated[
        str, typer.Option(help="sigma of the hidden layers, such as sigmoid, tanh or relu.")
    ] = "sigmoid",
    loss: Annotated[str, typer.Option(help="Such as cross_entropy, mse or binary_cross_entropy.")] = "cross_entropy",
    output_activation: Annotated[str | None, typer.Option(help="phi; what fits the loss if not given.")] = None,
    hidden: Annotated[str, typer.Option(help="Units of the hidden layers, such as 3 or 3,2.")] = "2",
    seed: Annotated[str, typer.Option(metavar="INTEGER", help="Draws the weights and the sample.")] = "0",
    scalar: Annotated[bool, typer.Option("--scalar", help="Explain y = x^2 at x = 4 only.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
) -> None:
    """Show backpropagation at work: every number of a tiny network and one sample.

    Of every stage the value, its local derivative and the gradient that the chain rule accumulates, beside the
    central difference, which must agree. docs/derivation.md derives what is shown.
    """
    with _Exits(verbose=False):
        from flows.explain_terminal import run_explain

        run_explain(
            console,
            activation=activation,
            loss=loss,
            output_activation=output_activation,
            hidden=hidden,
            seed=seed,
            scalar=scalar,
            as_json=as_json,
        )


data_app = typer.Typer(no_args_is_help=True, context_settings={"help_option_names": ["-h", "--help"]})
app.add_typer(data_app, name="data", help="List, show and remove the prepared datasets.")

Wanted = Annotated[
    str, typer.Argument(metavar="DATASET", help="The name of a dataset, or the beginning of its digest.")
]
Datasets = Annotated[str, typer.Option(help=DATASETS)]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")]


@data_app.command("list")
def list_datasets(datasets: Datasets = "datasets", as_json: AsJson = False) -> None:
    """List the datasets that were ingested."""
    with _Exits(verbose=False):
        from flows.data_terminal import run_list

        run_list(console, datasets, as_json)


@data_app.command("show")
def show_dataset(dataset: Wanted, datasets: Datasets = "datasets", as_json: AsJson = False) -> None:
    """Show where a dataset came from, how it was split, and how each column was prepared."""
    with _Exits(verbose=False):
        from flows.data_terminal import run_show

        run_show(console, datasets, dataset, as_json)


@data_app.command("remove")
def remove_dataset(
    dataset: Wanted,
    datasets: Datasets = "datasets",
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Remove a dataset; models that were trained on it stay."""
    with _Exits(verbose=False):
        from flows.data_terminal import run_remove

        run_remove(console, datasets, dataset, yes)


space_app = typer.Typer(no_args_is_help=True, context_settings={"help_option_names": ["-h", "--help"]})
app.add_typer(space_app, name="space", help="Show what a search space comes to before it is trained.")


@space_app.command(
    "show",
    epilog="[bold]Examples[/bold]\n\nbackprop space show quick\n\nbackprop space show my-space.yaml --data digits\n\n"
    "backprop space show my-space.yaml --data churn.csv --target churned --json",
)
def show_space(
    space: Annotated[str, typer.Argument(metavar="SPACE", help="A bundled search space or a YAML file.")],
    data: Annotated[str | None, typer.Option(help=f"{DATA} Without it, the trials only.")] = None,
    target: Annotated[list[str] | None, typer.Option(help="Target column; several for several targets.")] = None,
    task: Annotated[str, typer.Option(help="auto, classification, regression or multilabel.")] = "auto",
    preparation: Annotated[
        str | None, typer.Option(metavar="FILE", help="YAML of the preparation, followed if there is one.")
    ] = None,
    split_by: Annotated[str, typer.Option(help="random, group, time or column.")] = "random",
    split_column: Annotated[str | None, typer.Option(help="Column of the groups, the time or the parts.")] = None,
    validation: Annotated[float, typer.Option(help="Fraction of the rows that validates.")] = 0.15,
    test: Annotated[float, typer.Option(help="Fraction of the rows that tests.")] = 0.15,
    split_seed: Annotated[int, typer.Option(help="Draws the rows, or the groups.")] = 0,
    workers: Annotated[int | None, typer.Option(help="Local Dask workers; one per core if not given.")] = None,
    worker_memory: Annotated[
        str | None, typer.Option(help="What a local worker may take for itself, such as 2GiB.")
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or gpu.")] = "auto",
    datasets: Datasets = "datasets",
    show_all: Annotated[bool, typer.Option("--all", help="Show every trial and stack, not only the first.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show the trials of a search space, the stacks they fall into, and what they will cost.

    Time is estimated from a few minibatches of each kind of stack, trained for a second or two. The options are
    those of `backprop train`. Nothing is written; data that was not ingested yet is read.
    """
    with _Exits(verbose=False):
        about_data = {"--target": target, "--preparation": preparation, "--split-column": split_column}
        given = [option for option, value in about_data.items() if value]
        if data is None and given:
            raise InputError(f"{given[0]} says what is in the data, and there is none; name it with --data")
        from flows.space_terminal import run_show

        if data is None:
            run_show(console, space, None, as_json=as_json, show_all=show_all)
            return
        parameters = _parameters(
            data=data,
            target=target or None,
            space=space,
            task=task,
            preparation=preparation,
            datasets=datasets,
            split={
                "by": split_by,
                "column": split_column,
                "validation": validation,
                "test": test,
                "seed": split_seed,
            },
            compute={"workers": workers, "worker_memory": worker_memory, "device": device},
        )
        run_show(console, space, parameters, as_json=as_json, show_all=show_all)


@space_app.command("schema")
def show_schema() -> None:
    """Print the JSON Schema of a space's file, by which an editor completes and checks it."""
    from flows.space_document import space_schema

    print(space_schema(), end="")  # noqa: T201 - rich would wrap it


def main() -> None:
    """Run the command line."""
    app()
