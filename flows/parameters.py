"""What a person chooses, as the pydantic models that the command line, the flows and the Prefect form share."""

from collections.abc import Iterable
from dataclasses import fields
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ModelWrapValidatorHandler,
    PrivateAttr,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
    model_validator,
)

from backprop.activations import ACTIVATIONS, activation
from backprop.optimizers import OPTIMIZERS, optimizer
from flows.data.folds import FoldCount
from flows.data.splitting import SplitParameters
from flows.distributions import (
    DRAWN,
    EITHER,
    FIXED,
    ChoiceDistribution,
    Distribution,
    IntegerDistribution,
    RealDistribution,
)
from flows.form import DataAddress, named_as_written

TaskChoice = Literal["auto", "classification", "regression", "multilabel"]
WatchChoice = Literal["nothing", "layers", "gradients"]

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
MOST_UNITS = 1_000_000
Width = Annotated[int, Field(ge=1, le=MOST_UNITS)]
Hidden = tuple[Width, ...]
ActivationName = Annotated[
    str, AfterValidator(_known_activation), WithJsonSchema({"type": "string", "enum": list(ACTIVATIONS)})
]
OptimizerName = Annotated[
    str, AfterValidator(_known_optimizer), WithJsonSchema({"type": "string", "enum": list(OPTIMIZERS)})
]
Penalty = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Fraction = Annotated[float, Field(ge=0, lt=1)]
LearningRate = Annotated[float, Field(gt=0, allow_inf_nan=False)]
BatchSize = Annotated[int, Field(ge=1)]
Epochs = Annotated[int, Field(ge=1)]
Seed = Annotated[int, Field(ge=0)]


class Strict(BaseModel):
    """Immutable, and an unknown field is an error: a misspelt name must not be silently ignored."""

    model_config = ConfigDict(frozen=True, extra="forbid", field_title_generator=named_as_written)


OPTIMIZER_NUMBERS = ("momentum", "weight_decay")
"""Hyperparameters that only some optimisers have, by the name of the optimiser's own number."""


HYPERPARAMETERS = (
    "hidden",
    "activation",
    "optimizer",
    "learning_rate",
    *OPTIMIZER_NUMBERS,
    "batch_size",
    "epochs",
    "l2",
    "dropout",
    "seed",
)
"""What a space varies, in the order in which a person reads it."""


def default_numbers(optimizer: str) -> dict[str, float]:
    """Return those of `OPTIMIZER_NUMBERS` that an optimiser has, at what they are if nothing is said."""
    known: dict[str, Any] = {field.name: field.default for field in fields(OPTIMIZERS[optimizer])}
    return {name: known[name] for name in OPTIMIZER_NUMBERS if name in known}


def optimizers_with(number: str) -> list[str]:
    """Return the optimisers that have one of `OPTIMIZER_NUMBERS`."""
    return [optimizer for optimizer in OPTIMIZERS if number in default_numbers(optimizer)]


def _require_an_optimizer(number: str, optimizers: Iterable[str]) -> None:
    """Refuse a number that none of the optimisers has, which would change nothing."""
    given = list(dict.fromkeys(optimizers))
    if not any(number in default_numbers(optimizer) for optimizer in given):
        these = f"optimizer {given[0]} has" if len(given) == 1 else f"optimizers {', '.join(given)} have"
        raise ValueError(f"the {these} no {number}; remove it, or use {' or '.join(optimizers_with(number))}")


def _only_with_its_optimizer(number: str) -> dict[str, Any]:
    """Return what JSON Schema says of a mapping in which a number may stand only beside its optimisers."""
    optimizer = {"properties": {"optimizer": {"enum": optimizers_with(number)}}, "required": ["optimizer"]}
    return {"if": {"required": [number]}, "then": optimizer}


class Hyperparameters(Strict):
    """What one trial of a search is made of.

    A number that not every optimiser has is None where it is what its optimiser has anyway: equal trials are equal.
    """

    model_config = ConfigDict(
        json_schema_extra={"allOf": [_only_with_its_optimizer(number) for number in OPTIMIZER_NUMBERS]}
    )

    hidden: Hidden = Field(description="Units of each hidden layer; an empty list is a linear model")
    activation: ActivationName = Field(default="relu", description="Activation of the hidden layers")
    optimizer: OptimizerName = Field(default="sgd", description="sgd, momentum, nesterov, rmsprop, adam or adamw")
    learning_rate: LearningRate = Field(description="What the optimiser multiplies its step with")
    batch_size: BatchSize = Field(default=32, description="Samples per update")
    epochs: Epochs = Field(default=20, description="Passes over the training rows")
    seed: Seed = Field(default=0, description="Draws the initial weights and the masks of dropout")
    l2: Penalty = Field(default=0.0, description="Strength of the penalty l2/2 sum W^2; biases are exempt")
    dropout: Fraction = Field(default=0.0, description="Probability to leave a hidden unit out of an update")
    momentum: Fraction | None = Field(
        default=None, description="Of the optimizers momentum and nesterov: the part of the last step that is kept, 0.9"
    )
    weight_decay: Penalty | None = Field(
        default=None, description="Of the optimizer adamw: the part of a weight that a rate of 1 takes off, 0.01"
    )

    @field_validator(*OPTIMIZER_NUMBERS)
    @classmethod
    def _is_its_optimizers(cls, value: float | None, info: ValidationInfo) -> float | None:
        number, optimizer = str(info.field_name), info.data.get("optimizer")
        if value is None or optimizer is None:
            return value
        _require_an_optimizer(number, [optimizer])
        return None if value == default_numbers(optimizer)[number] else value

    @property
    def optimizer_numbers(self) -> dict[str, float]:
        """What the trial's optimiser is made with; nothing that it does not have."""
        defaults = default_numbers(self.optimizer)
        chosen = {name: getattr(self, name) for name in defaults}
        return {name: default if chosen[name] is None else chosen[name] for name, default in defaults.items()}


class Grid(Strict):
    """Lists of values; the search trains their product.

    A number that not every optimiser has multiplies the trials of those that have it, and leaves the others alone.
    """

    hidden: tuple[Hidden, ...] = Field(min_length=1, description="One list of widths per trial")
    activation: tuple[ActivationName, ...] = Field(default=("relu",), min_length=1)
    optimizer: tuple[OptimizerName, ...] = Field(default=("sgd",), min_length=1)
    learning_rate: tuple[LearningRate, ...] = Field(min_length=1)
    batch_size: tuple[BatchSize, ...] = Field(default=(32,), min_length=1)
    epochs: tuple[Epochs, ...] = Field(default=(20,), min_length=1)
    seed: tuple[Seed, ...] = Field(default=(0,), min_length=1)
    l2: tuple[Penalty, ...] = Field(default=(0.0,), min_length=1)
    dropout: tuple[Fraction, ...] = Field(default=(0.0,), min_length=1)
    momentum: tuple[Fraction, ...] | None = Field(
        default=None, min_length=1, description="Of the optimizers momentum and nesterov; 0.9 if left out"
    )
    weight_decay: tuple[Penalty, ...] | None = Field(
        default=None, min_length=1, description="Of the optimizer adamw; 0.01 if left out"
    )

    @field_validator(*OPTIMIZER_NUMBERS)
    @classmethod
    def _is_an_optimizers(cls, values: tuple[float, ...] | None, info: ValidationInfo) -> tuple[float, ...] | None:
        if values is not None and "optimizer" in info.data:
            _require_an_optimizer(str(info.field_name), info.data["optimizer"])
        return values


class LearningRateDistribution(RealDistribution[LearningRate]):
    """What a learning rate is drawn from."""


class PenaltyDistribution(RealDistribution[Penalty]):
    """What a strength is drawn from."""


class FractionDistribution(RealDistribution[Fraction]):
    """What a number of at least 0 and less than 1 is drawn from."""


class CountDistribution(IntegerDistribution[BatchSize]):
    """What a whole number of at least 1 is drawn from."""


class HiddenDistribution(ChoiceDistribution[Hidden]):
    """Lists of widths, one of which is drawn."""


class ActivationDistribution(ChoiceDistribution[ActivationName]):
    """Activations, one of which is drawn."""


class OptimizerDistribution(ChoiceDistribution[OptimizerName]):
    """Optimisers, one of which is drawn."""


class RandomTrials(Strict):
    """Trials that are drawn; of each hyperparameter a value, or a distribution such as ``{uniform: [0, 0.5]}``.

    All trials have the same seed of their own, 0: what they differ in is what was drawn.
    """

    count: int = Field(ge=1, le=1_000_000, description="How many trials are drawn; those that are equal are one")
    seed: Seed = Field(default=0, description="Draws the trials: the same seed, the same trials on every machine")
    hidden: Annotated[Annotated[Hidden, FIXED] | Annotated[HiddenDistribution, DRAWN], EITHER]
    activation: Annotated[Annotated[ActivationName, FIXED] | Annotated[ActivationDistribution, DRAWN], EITHER] = "relu"
    optimizer: Annotated[Annotated[OptimizerName, FIXED] | Annotated[OptimizerDistribution, DRAWN], EITHER] = "sgd"
    learning_rate: Annotated[Annotated[LearningRate, FIXED] | Annotated[LearningRateDistribution, DRAWN], EITHER]
    batch_size: Annotated[Annotated[BatchSize, FIXED] | Annotated[CountDistribution, DRAWN], EITHER] = 32
    epochs: Annotated[Annotated[Epochs, FIXED] | Annotated[CountDistribution, DRAWN], EITHER] = 20
    l2: Annotated[Annotated[Penalty, FIXED] | Annotated[PenaltyDistribution, DRAWN], EITHER] = 0.0
    dropout: Annotated[Annotated[Fraction, FIXED] | Annotated[FractionDistribution, DRAWN], EITHER] = 0.0
    momentum: Annotated[Annotated[Fraction | None, FIXED] | Annotated[FractionDistribution, DRAWN], EITHER] = Field(
        default=None, description="Of the optimizers momentum and nesterov; 0.9 if left out"
    )
    weight_decay: Annotated[Annotated[Penalty | None, FIXED] | Annotated[PenaltyDistribution, DRAWN], EITHER] = Field(
        default=None, description="Of the optimizer adamw; 0.01 if left out"
    )

    @field_validator(*OPTIMIZER_NUMBERS)
    @classmethod
    def _is_an_optimizers(cls, value: object, info: ValidationInfo) -> object:
        optimizer = info.data.get("optimizer")
        if value is not None and optimizer is not None:
            _require_an_optimizer(
                str(info.field_name), optimizer.ends() if isinstance(optimizer, Distribution) else [optimizer]
            )
        return value


class OptunaTrials(RandomTrials):
    """Trials that Optuna asks for, a batch at a time, from what those before them reached; the same fields as a draw.

    Its sampler is TPE (Bergstra et al., "Algorithms for hyper-parameter optimization", NeurIPS 2011).
    """

    count: int = Field(ge=2, le=100_000, description="How many trials are asked for; those that are equal are one")
    seed: Seed = Field(default=0, description="Of Optuna's sampler: the same seed and results, the same trials")
    batch: int = Field(default=16, ge=1, description="Trials asked for at a time: they train beside each other")
    startup: int = Field(default=10, ge=1, description="Trials to have results of before they count: drawn till then")

    @property
    def distributions(self) -> dict[str, Distribution]:
        """The hyperparameters that are drawn, in the order of the fields."""
        given = {name: getattr(self, name) for name in type(self).model_fields}
        return {name: value for name, value in given.items() if isinstance(value, Distribution)}

    @property
    def batches(self) -> int:
        """How many batches there are; the last may be smaller."""
        return -(-self.count // self.batch)

    @property
    def at_random(self) -> int:
        """How many trials, at least, are drawn because too little is known."""
        return min(self.count, -(-self.startup // self.batch) * self.batch)

    @model_validator(mode="after")
    def _learns(self) -> Self:
        if not self.distributions:
            raise ValueError("every hyperparameter has one value; give at least one a distribution")
        if self.at_random == self.count:
            raise ValueError(
                f"all {self.count} trials would be drawn at random, since results count from batch "
                f"{-(-self.startup // self.batch) + 1} on (batch: {self.batch}, startup: {self.startup}); "
                "use a larger count, a smaller batch or startup, or `random:`"
            )
        return self


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


FORMS = ("grid", "random", "trials", "optuna")
"""The ways to say which trials a space has, each a field of `Space`."""


class Space(Strict):
    """A search space, as a YAML file holds it: a grid, trials that are drawn, named or asked of Optuna, or several."""

    model_config = ConfigDict(json_schema_extra={"anyOf": [{"required": [form]} for form in FORMS]})

    grid: Grid | None = Field(default=None, description="Lists of values, whose product is trained")
    random: RandomTrials | None = Field(default=None, description="Trials that are drawn from distributions")
    trials: tuple[Hyperparameters, ...] | None = Field(
        default=None, min_length=1, description="Trials, each with all that it is made of"
    )
    optuna: OptunaTrials | None = Field(default=None, description="Trials that Optuna asks for, batch by batch")
    folds: FoldCount | None = Field(default=None, description="Folds of a cross-validation; none if empty")
    seeds: int = Field(default=1, ge=1, le=1000, description="Trials of each configuration, its own seed and the next")
    stop: StopRule | None = Field(default=None, description="When trials end before their epochs; never if empty")
    _forms: tuple[str, ...] = PrivateAttr(default=())

    @model_validator(mode="wrap")
    @classmethod
    def _has_trials(cls, given: Any, build: ModelWrapValidatorHandler["Space"]) -> "Space":
        space = build(given)
        if isinstance(given, dict):
            space._forms = tuple(name for name in given if name in FORMS and getattr(space, name) is not None)
            if not space._forms:
                raise ValueError("the space has no trials; start it with `grid:`, `random:`, `trials:` or `optuna:`")
        return space

    @model_validator(mode="after")
    def _stops_single_trials(self) -> Self:
        if self.stop is not None and (self.folds is not None or self.seeds > 1):
            other = "folds" if self.folds is not None else "seeds"
            raise ValueError(
                f"stop compares single trials, and a configuration with {other} is judged by all of its trials: "
                f"leave out stop or {other}"
            )
        return self

    @model_validator(mode="after")
    def _knows_trials_that_it_deals(self) -> Self:
        if self.optuna is not None and isinstance(self.stop, Hyperband):
            raise ValueError(
                "hyperband deals all trials into brackets before the first is trained, and Optuna asks for them batch "
                "by batch: use the rule halving or median"
            )
        return self

    def asked(self) -> dict[str, Any]:
        """Return what the space asks for, as JSON has it, without what it leaves out.

        So it stays what it was when there is more that can be asked for.
        """
        return self.model_dump(mode="json", exclude_none=True, exclude={"seeds"} if self.seeds == 1 else None)

    @property
    def forms(self) -> tuple[str, ...]:
        """Which of the forms are given, in the order of the file."""
        return self._forms


class ClusterParameters(Strict):
    """The Dask cluster that works."""

    cluster: Literal["local", "slurm"] = Field(
        default="local", description="Where workers are started: on this machine, or as jobs of SLURM"
    )
    workers: int | None = Field(
        default=None, ge=1, description="Single-threaded Dask workers; on this machine one per core if empty"
    )
    worker_memory: Memory | None = Field(
        default=None,
        description="What a worker may take for itself, 2GiB; its share of the machine or of the SLURM job if empty",
    )
    queue_seconds: float = Field(
        default=3600.0,
        gt=0,
        allow_inf_nan=False,
        description="Seconds that SLURM jobs may wait in the queue until the first of them runs",
    )
    scheduler: str | None = Field(
        default=None, description="Address of a running Dask scheduler, tcp://host:8786; replaces `workers`"
    )

    @property
    def is_local(self) -> bool:
        """Whether the workers are started on this machine, for this run."""
        return self.cluster == "local" and self.scheduler is None

    @model_validator(mode="after")
    def _names_one_cluster(self) -> Self:
        if self.cluster == "slurm" and self.scheduler is not None:
            raise ValueError("the cluster slurm has a scheduler of its own; leave out cluster or scheduler")
        if self.cluster == "slurm" and self.workers is None:
            raise ValueError("the cluster slurm must be told how many workers it shall have; set workers")
        return self


class ComputeParameters(ClusterParameters):
    """Where stacks of trials are trained."""

    device: Literal["auto", "cpu", "gpu"] = Field(
        default="auto", description="Where a worker computes; auto is its GPU if it has one"
    )
    checkpoint_seconds: float = Field(
        default=30.0,
        gt=0,
        allow_inf_nan=False,
        description="Least seconds between two checkpoints of a stack, from which a killed search goes on",
    )
    stack_seconds: float | None = Field(
        default=None,
        gt=0,
        allow_inf_nan=False,
        description="Most seconds that a stack trains, about, so that results come as often; as it packs best if empty",
    )
    watch: WatchChoice = Field(
        default="layers",
        description="What is recorded of every layer: at five epochs norms of weights and dead units, or at ten and "
        "those of gradients too; it changes no result",
    )


def named(columns: str | tuple[str, ...] | None) -> tuple[str, ...]:
    """Return columns as a tuple, whether they were given as one name or as several; empty if none was."""
    if columns is None:
        return ()
    return (columns,) if isinstance(columns, str) else columns


class IngestParameters(Strict):
    """Everything the `ingest` flow is told."""

    data: DataAddress = Field(description=DATA)
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
        return named(self.target)


AUTO = "auto"
"""The space of a retraining that is around the champion, or bundled where there is none."""


class TrainParameters(IngestParameters):
    """Everything the `train` flow is told."""

    space: str = Field(default="quick", description="A bundled search space or a YAML file")
    experiment: str | None = Field(default=None, description="MLflow experiment; the dataset's name if empty")
    model: str | None = Field(default=None, description="Registered model; the experiment's name if empty")
    compute: ComputeParameters = ComputeParameters()

    def arguments(self) -> dict[str, Any]:
        """Return what the flows `train` and `retrain` are called with, by name."""
        return {name: getattr(self, name) for name in type(self).model_fields} | {"target": self.targets or None}

    def experiment_for(self, dataset_name: str) -> str:
        """Return the MLflow experiment: the one named, or the dataset's name."""
        return self.experiment or dataset_name

    def model_for(self, dataset_name: str) -> str:
        """Return the registered model: the one named, or the experiment's name."""
        return self.model or self.experiment_for(dataset_name)


MODEL = "A registered model: NAME@ALIAS, such as digits@champion, or NAME/VERSION"


class ScoreParameters(Strict):
    """Everything the `score` flow is told."""

    model: str = Field(min_length=1, description=MODEL)
    data: str = Field(min_length=1, description=DATA)
    to: str = Field(min_length=1, description="A .parquet, .csv or .csv.gz file or its URL, or sql:URL?table=NAME")
    keep: tuple[str, ...] | None = Field(
        default=None, description="Columns of the source that go with the predictions; all if empty"
    )
    overwrite: bool = Field(default=False, description="Replace what is at the destination")
    compute: ClusterParameters = ClusterParameters()


class EvaluateParameters(Strict):
    """Everything the `evaluate` flow is told."""

    model: str = Field(min_length=1, description=MODEL)
    data: str | None = Field(default=None, description=f"{DATA}; the test rows of the model's own dataset if empty")
    target: str | tuple[str, ...] | None = Field(
        default=None, description="What the target columns are called in the data; as the model knows them if empty"
    )
    confidence: float = Field(default=0.95, gt=0.5, lt=1, description="Of the intervals of the measures, two-sided")
    experiment: str | None = Field(default=None, description="MLflow experiment; the model's own if empty")
    datasets: str = Field(
        default="datasets", description="Where the prepared datasets are: a directory, or a URL such as s3://..."
    )

    @property
    def targets(self) -> tuple[str, ...]:
        """The target columns that were named, whether as one name or as a list; empty if none was."""
        return named(self.target)


class AroundParameters(Strict):
    """Which hyperparameters a retraining tries around those of the champion."""

    learning_rate_factor: float = Field(
        default=3.0, gt=1, le=1000, description="The champion's learning rate is tried times this, and divided by it"
    )
    width_factor: float = Field(
        default=2.0, gt=1, le=16, description="The champion's hidden widths are tried times this, and divided by it"
    )
    seeds: int = Field(
        default=2, ge=1, le=100, description="Seeds that the champion's own hyperparameters are tried with"
    )
    trials: int = Field(
        default=12, ge=1, le=1000, description="Most trials in all; the champion's own and its nearest come first"
    )


MetricName = Literal["accuracy", "balanced_accuracy", "f1_macro", "log_loss", "rmse", "mae", "r2"]


class SliceGuard(Strict):
    """A column by whose values the test rows are sliced; on no slice may the challenger be worse."""

    column: str = Field(
        description="A column of the data, numbers and dates by their quantiles, all else by its values"
    )
    tolerance: float = Field(
        default=0.0, ge=0, allow_inf_nan=False, description="Loss on a slice that is let pass, in the metric's unit"
    )
    least_rows: int = Field(default=30, ge=2, description="A slice of fewer test rows is shown and not judged")
    bins: int = Field(default=4, ge=2, le=100, description="Quantile bins of a column of numbers or dates")


class MetricGuard(Strict):
    """A further metric in which the challenger may not be worse."""

    metric: MetricName = Field(description="Another metric of the same test rows")
    tolerance: float = Field(
        default=0.0, ge=0, allow_inf_nan=False, description="Loss that is let pass, in this metric's unit"
    )


class Guards(Strict):
    """What must not get worse, however much better the challenger is on the whole."""

    slices: tuple[SliceGuard, ...] = Field(default=(), description="Columns by which the test rows are sliced")
    metrics: tuple[MetricGuard, ...] = Field(default=(), description="Further metrics on all test rows")
    proof: Literal["evidence", "estimate"] = Field(
        default="evidence",
        description="evidence refuses a loss that is beyond chance, at the confidence asked for; estimate any loss",
    )


class PromotionParameters(Strict):
    """When a challenger replaces the champion."""

    metric: Literal["auto", MetricName] = Field(
        default="auto", description="Metric of the test rows that decides; auto is accuracy, or RMSE of a regression"
    )
    min_gain: float = Field(
        default=0.0, ge=0, description="Gain on the test rows that the challenger must exceed, in the metric's unit"
    )
    confidence: float = Field(
        default=0.95, gt=0.5, lt=1, description="One-sided confidence in the gain, by paired bootstrap"
    )
    guards: Guards = Field(default=Guards(), description="What must not get worse for it")
    clean_process: bool = Field(
        default=True, description="Whether the challenger must first load and answer in a process of its own"
    )


def describe_validation_error(errors: list[Any]) -> str:
    """Return the first of pydantic's errors as `where: what`, for a message of one line."""
    first = errors[0]
    where = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in first["loc"]).lstrip(".")
    what = first["msg"].removeprefix("Value error, ")
    given = first.get("input")
    shown = f" (it is {given!r})" if isinstance(given, str | int | float | bool) else ""
    return f"{where or 'value'}: {what}{shown}"
