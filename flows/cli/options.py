"""Options that several commands have, and the parameters that they are of."""

import logging
import os
import warnings
from typing import Annotated, TypeVar

import typer
from pydantic import BaseModel, ValidationError

from flows.errors import InputError
from flows.parameters import TrainParameters, describe_validation_error

Parameters = TypeVar("Parameters", bound=BaseModel)

HELP_OPTIONS = {"help_option_names": ["-h", "--help"]}

DATA = "A built-in data set (digits, wine, ...), a file, a directory, a URL or a query: see docs/sources."

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")]
CheckpointSeconds = Annotated[
    float, typer.Option(help="Least seconds between two checkpoints of a stack, for a search that is killed.")
]
Cluster = Annotated[str, typer.Option(help="local or slurm: workers on this machine, or in SLURM jobs.")]
Datasets = Annotated[
    str, typer.Option(help="Where the prepared datasets are: a directory, or a URL such as s3://bucket/datasets.")
]
Device = Annotated[str, typer.Option(help="auto, cpu or gpu; auto is a worker's GPU if it has one.")]
Experiment = Annotated[str | None, typer.Option(help="MLflow experiment; the dataset's name if not given.")]
Model = Annotated[
    str,
    typer.Argument(metavar="MODEL", help="A registered model: NAME@ALIAS, such as digits@champion, or NAME/VERSION."),
]
Preparation = Annotated[
    str | None,
    typer.Option(metavar="FILE", help="YAML of the preparation: written if there is none, followed if there is."),
]
QueueSeconds = Annotated[
    float, typer.Option(help="Seconds that SLURM jobs may wait in the queue until the first runs.")
]
RunName = Annotated[
    str,
    typer.Argument(
        metavar="RUN",
        help="A run's id or name, a trial's key, the first digits of an id or a key, or a model: NAME@champion.",
    ),
]
Scheduler = Annotated[str | None, typer.Option(help="Address of a running Dask scheduler to use instead.")]
SplitBy = Annotated[str, typer.Option(help="random, group, time or column: what decides the part of a row.")]
SplitColumn = Annotated[
    str | None, typer.Option(help="Column of the groups, of the time, or of train, validation and test.")
]
SplitSeed = Annotated[int, typer.Option(help="Draws the rows, or the groups.")]
StackSeconds = Annotated[
    float | None,
    typer.Option(help="Most seconds that a stack trains, about: its trials end together. No limit if not given."),
]
State = Annotated[
    str, typer.Option(metavar="DIRECTORY", help="Where `backprop up` keeps everything that outlives the command.")
]
Target = Annotated[
    list[str] | None,
    typer.Option(help="Target column; several for several quantities or labels. None where the data brings it."),
]
Task = Annotated[
    str, typer.Option(help="auto, classification, regression or multilabel; auto decides by the target's values.")
]
Test = Annotated[float, typer.Option(help="Fraction of the rows that tests.")]
Validation = Annotated[float, typer.Option(help="Fraction of the rows that validates.")]
Verbose = Annotated[bool, typer.Option("--verbose", help="Show all logs, and tracebacks of failures.")]
WorkerMemory = Annotated[
    str | None,
    typer.Option(help="What a worker may take for itself, such as 2GiB; a mapped dataset is extra."),
]
Watch = Annotated[
    str,
    typer.Option(
        help="nothing, layers (norms of weights, dead units, at five epochs) or gradients (theirs too, at ten)."
    ),
]
Workers = Annotated[int | None, typer.Option(help="Dask workers; on this machine one per core if not given.")]


def train_parameters(**given: object) -> TrainParameters:
    """Return what the options say; raise an InputError that names the first that is wrong."""
    return validated(TrainParameters, **given)


def split_of(by: str, column: str | None, validation: float, test: float, seed: int) -> dict[str, object]:
    """Return what the options of the split say, as a field of the parameters."""
    return {"by": by, "column": column, "validation": validation, "test": test, "seed": seed}


def validated(kind: type[Parameters], **given: object) -> Parameters:
    """Return parameters of a kind; raise an InputError that names the first that is wrong."""
    try:
        return kind.model_validate(given)
    except ValidationError as error:
        raise InputError(describe_validation_error(list(error.errors()))) from error


def wait_for_no_server() -> None:
    """Let MLflow say at once that a server is away: for commands that only look; what the user has set stays."""
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")


def settle_settings(verbose: bool) -> None:
    """Set what Prefect and MLflow read when they are imported; what the user has set stays."""
    # Twenty seconds, Prefect's default, is too little for the first start on a busy or slow machine.
    os.environ.setdefault("PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS", "180")
    # Of a server MLflow would print two lines for every run that ends.
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
    # A trial's weights are a few kilobytes, and the bar would be in the way of ours.
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    if verbose:
        return
    # The terminal is the progress bar's; the run's logs are on its Prefect page all the same.
    os.environ.setdefault("PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL", "CRITICAL")
    os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")
    logging.getLogger("distributed").setLevel(logging.CRITICAL)
    # MLflow asks for type hints, which its own schema enforcement of frames does not know.
    warnings.filterwarnings("ignore", message=".*Add type hints to the `predict` method.*")
