"""What a person chooses, as the pydantic models that the command line, the flows and the Prefect form share."""

from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from backprop.activations import activation
from backprop.optimizers import optimizer
from flows.data.folds import FoldCount
from flows.data.splitting import SplitParameters

TaskChoice = Literal["auto", "classification", "regression", "multilabel"]

DATA = "A built-in data set (digits, wine, ...), a file, a directory, or what docs/sources lists"


def _known_activation(name: str) -> str:
    activation(name)
    return name


def _known_optimizer(name: str) -> str:
    optimizer(name)
    return name


def _readable_memory(text: str) -> str:
    """Check that Dask reads an amount of memory."""
    from dask.utils import parse_bytes

    parse_bytes(text)
    return text


Memory = Annotated[str, AfterValidator(_readable_memory)]
Width = Annotated[int, Field(ge=1, le=1_000_000)]
Hidden = tuple[Width, ...]
ActivationName = Annotated[str, AfterValidator(_known_activation)]
OptimizerName = Annotated[str, AfterValidator(_known_optimizer)]
Penalty = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Dropout = Annotated[float, Field(ge=0, lt=1)]
LearningRate = Annotated[float, Field(gt=0, allow_inf_nan=False)]
BatchSize = Annotated[int, Field(ge=1)]
Epochs = Annotated[int, Field(ge=1)]
Seed = Annotated[int, Field(ge=0)]


class Strict(BaseModel):
    """Immutable, and an unknown field is an error: a misspelt name must not be silently ignored."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Hyperparameters(Strict):
    """What one trial of a search is made of."""

    hidden: Hidden = Field(description="Units of each hidden layer; an empty list is a linear model")
    activation: ActivationName = Field(description="Activation of the hidden layers")
    optimizer: OptimizerName = Field(default="sgd", description="sgd, momentum, nesterov, rmsprop, adam or adamw")
    learning_rate: LearningRate = Field(description="What the optimiser multiplies its step with")
    batch_size: BatchSize = Field(description="Samples per update")
    epochs: Epochs = Field(description="Passes over the training rows")
    seed: Seed = Field(description="Draws the initial weights and the masks of dropout")
    l2: Penalty = Field(default=0.0, description="Strength of the penalty l2/2 sum W^2; biases are exempt")
    dropout: Dropout = Field(default=0.0, description="Probability to leave a hidden unit out of an update")


class Grid(Strict):
    """Lists of values; the search trains their product."""

    hidden: tuple[Hidden, ...] = Field(description="One list of widths per trial")
    activation: tuple[ActivationName, ...] = ("relu",)
    optimizer: tuple[OptimizerName, ...] = ("sgd",)
    learning_rate: tuple[LearningRate, ...]
    batch_size: tuple[BatchSize, ...] = (32,)
    epochs: tuple[Epochs, ...] = (20,)
    seed: tuple[Seed, ...] = (0,)
    l2: tuple[Penalty, ...] = (0.0,)
    dropout: tuple[Dropout, ...] = (0.0,)


class Halving(Strict):
    """Successive halving: at every rung the best go on, and the others end."""

    rule: Literal["halving"]
    factor: int = Field(default=3, ge=2, description="Of the trials at a rung, one in so many goes on")
    first: Epochs = Field(default=3, description="Epoch of the first rung; the next are each `factor` times as late")


class Hyperband(Strict):
    """Successive halving in brackets, which differ in how early their first rung is."""

    rule: Literal["hyperband"]
    factor: int = Field(default=3, ge=2, description="Of the trials of a bracket at a rung, one in so many goes on")
    first: Epochs = Field(default=1, description="Epoch of the first bracket's first rung")


class Median(Strict):
    """The median rule: a trial ends whose best score is worse than the median of the others' averages so far."""

    rule: Literal["median"]
    after: Epochs = Field(default=5, description="The first epoch after which a trial may be ended")


StopRule = Annotated[Halving | Hyperband | Median, Field(discriminator="rule")]


class Space(Strict):
    """A search space, as a YAML file holds it."""

    grid: Grid
    folds: FoldCount | None = Field(default=None, description="Folds of a cross-validation; none if empty")
    seeds: int = Field(default=1, ge=1, le=1000, description="Trials of each configuration, its own seed and the next")
    stop: StopRule | None = Field(default=None, description="When trials end before their epochs; never if empty")

    @model_validator(mode="after")
    def _stops_single_trials(self) -> Self:
        if self.stop is not None and (self.folds is not None or self.seeds > 1):
            other = "folds" if self.folds is not None else "seeds"
            raise ValueError(
                f"stop compares single trials, and a configuration with {other} is judged by all of its trials: "
                f"leave out stop or {other}"
            )
        return self


class ComputeParameters(Strict):
    """Where stacks of trials are trained."""

    workers: int | None = Field(
        default=None, ge=1, description="Local single-threaded Dask workers; one per core if empty"
    )
    worker_memory: Memory | None = Field(
        default=None, description="What a local worker may take for itself, 2GiB; its share of the machine if empty"
    )
    scheduler: str | None = Field(
        default=None, description="Address of a running Dask scheduler, tcp://host:8786; replaces `workers`"
    )
    device: Literal["auto", "cpu", "gpu"] = Field(
        default="auto", description="Where a worker computes; auto is its GPU if it has one"
    )
    checkpoint_seconds: float = Field(
        default=30.0,
        gt=0,
        allow_inf_nan=False,
        description="Least seconds between two checkpoints of a stack, from which a killed search goes on",
    )


class IngestParameters(Strict):
    """Everything the `ingest` flow is told."""

    data: str = Field(description=DATA)
    target: str | tuple[str, ...] | None = Field(
        default=None, description="Target column, or a list of them; none where the source brings its own"
    )
    task: TaskChoice = Field(default="auto", description="auto decides by the target's values")
    preparation: str | None = Field(
        default=None, description="YAML file of the preparation; written if there is none, and used if there is"
    )
    split: SplitParameters = SplitParameters()
    datasets: str = Field(
        default="datasets", description="Where the prepared datasets are: a directory, or a URL such as s3://..."
    )

    @property
    def targets(self) -> tuple[str, ...]:
        """The target columns that were named, whether as one name or as a list; empty if none was."""
        if self.target is None:
            return ()
        return (self.target,) if isinstance(self.target, str) else self.target


class TrainParameters(IngestParameters):
    """Everything the `train` flow is told."""

    space: str = Field(default="quick", description="A bundled search space or a YAML file")
    experiment: str | None = Field(default=None, description="MLflow experiment; the dataset's name if empty")
    model: str | None = Field(default=None, description="Registered model; the experiment's name if empty")
    compute: ComputeParameters = ComputeParameters()

    def experiment_for(self, dataset_name: str) -> str:
        """Return the MLflow experiment: the one named, or the dataset's name."""
        return self.experiment or dataset_name

    def model_for(self, dataset_name: str) -> str:
        """Return the registered model: the one named, or the experiment's name."""
        return self.model or self.experiment_for(dataset_name)


class PromotionParameters(Strict):
    """When a challenger replaces the champion."""

    min_gain: float = Field(
        default=0.0, ge=0, description="Gain on the test rows that the challenger must exceed, in the metric's unit"
    )
    confidence: float = Field(
        default=0.95, gt=0.5, lt=1, description="One-sided confidence in the gain, by paired bootstrap"
    )


def describe_validation_error(errors: list[Any]) -> str:
    """Return the first of pydantic's errors as `where: what`, for a message of one line."""
    first = errors[0]
    where = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in first["loc"]).lstrip(".")
    what = first["msg"].removeprefix("Value error, ")
    given = first.get("input")
    shown = f" (it is {given!r})" if isinstance(given, str | int | float | bool) else ""
    return f"{where or 'value'}: {what}{shown}"
