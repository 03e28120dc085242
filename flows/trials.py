"""Trials with an identity: hyperparameters on a dataset, and the key that names their result."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Literal

from pydantic import BaseModel, ConfigDict

import backprop.stack
from backprop import CORE_VERSION, Architecture
from flows.data.preparation import Task
from flows.data.shape import DatasetShape, dataset_shape
from flows.data.store import Dataset
from flows.parameters import Hyperparameters

SHUFFLE_SEED = 0
DTYPE: Literal["float32"] = "float32"


@dataclass(frozen=True)
class Head:
    """How the networks of a task end, and which of the core's measures are its own."""

    output_activation: str
    loss: str
    measured_as: backprop.stack.Task


HEADS: dict[Task, Head] = {
    "classification": Head("softmax", "cross_entropy", "classification"),
    "regression": Head("identity", "mse", "regression"),
    # Every output is the probability of a label of its own; the core's accuracy is then that of whole rows.
    "multilabel": Head("sigmoid", "binary_cross_entropy", "classification"),
}


class WarmStart(BaseModel):
    """A trial that begins where a registered version ended, instead of with drawn weights.

    Attributes
    ----------
    version : str
        The version, as a person calls it.
    digest : str
        SHA-256 of the weights that training begins with.
    hyperparameters : Hyperparameters
        Of the version, and so of the trial.
    """

    model_config = ConfigDict(frozen=True)

    version: str
    digest: str
    hyperparameters: Hyperparameters


class PlannedTrial(BaseModel):
    """A trial to be trained.

    Attributes
    ----------
    key : str
        SHA-256 over canonical JSON of everything that decides its result.
    start : WarmStart or None
        What it begins with, if not with drawn weights.
    fold : int
        The fold it is trained on, counted from 1; 0 is the dataset itself.
    refit : bool
        Whether it is the winner of a cross-validation, trained once more on the dataset itself.
    """

    model_config = ConfigDict(frozen=True)

    key: str
    hyperparameters: Hyperparameters
    architecture: Architecture
    fold: int = 0
    refit: bool = False
    start: WarmStart | None = None


def plan_trial(dataset: Dataset, hyperparameters: Hyperparameters, *, refit: bool = False) -> PlannedTrial:
    """Return the trial of some hyperparameters on a dataset, whose task decides how the network ends."""
    planned = plan_trial_on(dataset_shape(dataset.reference.digest, dataset.schema), hyperparameters)
    fold = dataset.fold.number if dataset.fold is not None else 0
    return planned.model_copy(update={"fold": fold, "refit": refit})


def plan_trial_on(shape: DatasetShape, hyperparameters: Hyperparameters) -> PlannedTrial:
    """Return the trial of some hyperparameters on a dataset of which no more is known than its shape."""
    head = HEADS[shape.task]
    architecture = Architecture(
        inputs=shape.inputs,
        hidden=hyperparameters.hidden,
        outputs=shape.outputs,
        activation=hyperparameters.activation,
        output_activation=head.output_activation,
        loss=head.loss,
    )
    return PlannedTrial(
        key=trial_key(shape.digest, architecture, hyperparameters),
        hyperparameters=hyperparameters,
        architecture=architecture,
    )


def plan_warm_start(dataset: Dataset, start: WarmStart) -> PlannedTrial:
    """Return the trial that trains on from the weights of a registered version."""
    cold = plan_trial(dataset, start.hyperparameters)
    key = trial_key(dataset.reference.digest, cold.architecture, start.hyperparameters, start.digest)
    return cold.model_copy(update={"key": key, "start": start})


def trial_key(
    digest: str, architecture: Architecture, hyperparameters: Hyperparameters, start: str | None = None
) -> str:
    """Return the trial's identity, 64 hexadecimal digits: equal keys are equal trainings.

    ``start`` is the digest of the weights that it begins with, if they are not drawn.
    """
    return canonical_digest(
        {
            "dataset": digest,
            "architecture": asdict(architecture),
            # Without what is None: a hyperparameter that came later changes no key of a trial that does not use it.
            "hyperparameters": hyperparameters.model_dump(exclude_none=True),
            "shuffle_seed": SHUFFLE_SEED,
            "dtype": DTYPE,
            "core": CORE_VERSION,
            **({} if start is None else {"start": start}),
        }
    )


def common_architecture(trials: Sequence[PlannedTrial]) -> Architecture:
    """Return the architecture of a stack of trials, each of whose layers is as wide as the widest of theirs."""
    hidden = zip(*(trial.architecture.hidden for trial in trials), strict=True)
    return replace(trials[0].architecture, hidden=tuple(map(max, hidden)))


def own_hidden(trial: PlannedTrial, architecture: Architecture) -> tuple[int, ...] | None:
    """Return a trial's own widths as the core takes them in a stack: None where they are the stack's."""
    return None if trial.architecture.hidden == architecture.hidden else trial.architecture.hidden


def configuration_key(hyperparameters: Hyperparameters, start: WarmStart | None = None) -> str:
    """Return what is the same for trials that differ in nothing but seed and fold, 12 hexadecimal digits."""
    chosen = hyperparameters.model_dump(exclude={"seed"}, exclude_none=True)
    return canonical_digest(chosen if start is None else {**chosen, "start": start.digest})[:12]


def canonical_digest(content: object) -> str:
    """Return the SHA-256 of content as JSON with sorted keys and no spaces."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def describe(hyperparameters: Hyperparameters, varying: frozenset[str]) -> str:
    """Return a short name of a trial that says what differs from its siblings, e.g. `lr=0.1 · 64-32 · relu`."""
    parts = {
        "learning_rate": f"lr={hyperparameters.learning_rate:g}",
        "hidden": widths(hyperparameters.hidden),
        "activation": hyperparameters.activation,
        "optimizer": hyperparameters.optimizer,
        **{name: f"{name}={value:g}" for name, value in hyperparameters.optimizer_numbers.items()},
        "batch_size": f"batch={hyperparameters.batch_size}",
        "epochs": f"epochs={hyperparameters.epochs}",
        "l2": f"l2={hyperparameters.l2:g}",
        "dropout": f"dropout={hyperparameters.dropout:g}",
        "seed": f"seed={hyperparameters.seed}",
    }
    chosen = [text for name, text in parts.items() if name in varying]
    return " · ".join(chosen or [parts["learning_rate"], parts["hidden"], parts["activation"]])


def varying_names(trials: list[Hyperparameters]) -> frozenset[str]:
    """Return the hyperparameters that take more than one value among the trials."""
    return frozenset(
        name for name in Hyperparameters.model_fields if len({getattr(trial, name) for trial in trials}) > 1
    )


def widths(hidden: tuple[int, ...]) -> str:
    """Return hidden widths as one readable string, `64-32`, or `linear` where there is no hidden layer."""
    return "-".join(map(str, hidden)) or "linear"
