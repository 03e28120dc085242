"""What a finished trial's run holds of it: enough to train it again, and to say whether it came out the same."""

import tempfile
from dataclasses import dataclass
from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.exceptions import MlflowException
from pydantic import ValidationError

from backprop import Architecture, Parameters, WeightsError, load_weights
from flows.data.sources.files import first_line
from flows.environment import Environment
from flows.errors import RunError
from flows.parameters import Hyperparameters, default_numbers, describe_validation_error
from flows.tracking import tags
from flows.tracking.search_runs import SearchRun, metric_curves, stack_runs
from flows.tracking.store import Tracking
from flows.tracking.trial_delivery import WEIGHTS_FILE, file_digest
from flows.trials import WarmStart

START_FILE = "warm_start/weights.safetensors"
"""On the run of a search, what its warm start begins with."""

CURVES = ("train/", "val/")
"""How the metrics begin that a trial has after every epoch."""


@dataclass(frozen=True)
class RecordedTrial:
    """A finished trial as its run tells it.

    Attributes
    ----------
    environment : Environment
        Where it was trained.
    resumed_in : Environment or None
        Where it was gone on with, if that was another.
    weights_digest : str
        SHA-256 of the file of its weights.
    pruned_at, diverged_at : int or None
        The epoch after which a stop rule ended it, or in which it diverged.
    stack_trials : int
        Trials of the stack as part of which it was trained.
    command : str or None
        The command that trains its search.
    curves : dict of int to dict of str to float
        Its metrics by epoch.
    start : WarmStart or None
        What it began with, if not with drawn weights.
    parent : str or None
        The run of its search.
    """

    run_id: str
    name: str
    key: str
    hyperparameters: Hyperparameters
    shuffle_seed: int
    dtype: str
    dataset_name: str
    dataset_digest: str
    fold: int
    is_refit: bool
    environment: Environment
    resumed_in: Environment | None
    weights_digest: str
    pruned_at: int | None
    diverged_at: int | None
    stack_trials: int
    command: str | None
    curves: dict[int, dict[str, float]]
    start: WarmStart | None = None
    parent: str | None = None


def read_trial(client: MlflowClient, run: Run) -> RecordedTrial:
    """Return what the run of a trial says.

    Raises
    ------
    RunError
        The trial did not finish, or its run was written by a version of this project that noted less.
    """
    found, who = run.data.tags, f"trial {run.info.run_id} ({run.info.run_name})"
    if run.info.status != "FINISHED":
        reason = f" ({found[tags.FAILURE]})" if tags.FAILURE in found else ""
        raise RunError(
            f"{who} is {run.info.status}, not finished{reason}: there are no weights to compare with; the same "
            "`backprop train` goes on with it"
        )
    missing = [name for name in (tags.ENVIRONMENT, tags.WEIGHTS_DIGEST) if name not in found]
    if missing:
        raise RunError(
            f"{who} has no tag {' and no tag '.join(missing)}: an older version of backprop recorded it, and what was "
            "not noted cannot be compared; delete the run, and the same `backprop train` trains it again"
        )
    tracking = tracking_of(client, run)
    parent = found.get(tags.PARENT)
    pruned_at, diverged_at = (tags.read(found, name) for name in (tags.PRUNED, tags.DIVERGED))
    names = [name for name in run.data.metrics if name.startswith(CURVES)]
    hyperparameters = hyperparameters_of(run.data.params, who)
    start = None
    if tags.WARM_START_DIGEST in found:
        start = WarmStart(
            version=found[tags.WARM_START], digest=found[tags.WARM_START_DIGEST], hyperparameters=hyperparameters
        )
    return RecordedTrial(
        run_id=run.info.run_id,
        name=run.info.run_name or run.info.run_id,
        key=found[tags.TRIAL_KEY],
        hyperparameters=hyperparameters,
        shuffle_seed=int(run.data.params["shuffle_seed"]),
        dtype=run.data.params["dtype"],
        dataset_name=tags.read(found, tags.DATASET) or "",
        dataset_digest=found[tags.DATASET_DIGEST],
        fold=int(found.get(tags.FOLD, "0")),
        is_refit=tags.REFIT in found,
        environment=_environment(found[tags.ENVIRONMENT], who),
        resumed_in=_environment(found[tags.RESUMED_IN], who) if tags.RESUMED_IN in found else None,
        weights_digest=found[tags.WEIGHTS_DIGEST],
        pruned_at=int(pruned_at) if pruned_at else None,
        diverged_at=int(diverged_at) if diverged_at else None,
        stack_trials=1
        if parent is None
        else len(stack_runs(SearchRun(tracking=tracking, run_id=parent), found[tags.STACK])),
        command=None if parent is None else client.get_run(parent).data.tags.get(tags.COMMAND),
        curves=metric_curves(tracking, run.info.run_id, names),
        start=start,
        parent=parent,
    )


def tracking_of(client: MlflowClient, run: Run) -> Tracking:
    """Return the experiment of a run, in the store of a client."""
    experiment = client.get_experiment(run.info.experiment_id)
    return Tracking(uri=client.tracking_uri, experiment_id=experiment.experiment_id, experiment=experiment.name)


def hyperparameters_of(params: dict[str, str], who: str) -> Hyperparameters:
    """Return the hyperparameters that a run's params were written from.

    Raises
    ------
    RunError
        A param is missing or is no value of its hyperparameter.
    """
    hidden = params.get("hidden", "")
    given: dict[str, object] = {
        name: params[name] for name in Hyperparameters.model_fields if name in params and name != "hidden"
    }
    # Every run has every number of an optimiser, 0 where its own has none.
    for name in {"momentum", "weight_decay"} - set(default_numbers(str(given.get("optimizer", "sgd")))):
        given.pop(name, None)
    given["hidden"] = [] if hidden == "linear" else hidden.split("-")
    try:
        return Hyperparameters.model_validate(given)
    except ValidationError as error:
        raise RunError(
            f"{who} has params that are no trial's: {describe_validation_error(list(error.errors()))}"
        ) from error


def read_weights(client: MlflowClient, trial: RecordedTrial) -> Parameters:
    """Return a trial's weights; a WeightsError where `read_network` raises one."""
    return read_network(client, trial.run_id, trial.weights_digest)[1]


def read_network(client: MlflowClient, run_id: str, digest: str) -> tuple[Architecture, Parameters]:
    """Return the network that a trial's run holds, whose file has a SHA-256.

    Raises
    ------
    WeightsError
        Their file is not with the run any more, or is not the one that was written.
    """
    with tempfile.TemporaryDirectory(prefix="backprop-") as directory:
        try:
            path = Path(client.download_artifacts(run_id, WEIGHTS_FILE, directory))
        except (MlflowException, OSError) as error:
            raise WeightsError(f"{WEIGHTS_FILE} is not with the run any more ({first_line(error)})") from error
        if file_digest(path) != digest:
            raise WeightsError(f"{WEIGHTS_FILE} of the run is not the file that was written: its SHA-256 is another")
        return load_weights(path)


def read_start(client: MlflowClient, trial: RecordedTrial) -> Parameters | None:
    """Return the weights that a trial began with; None where they were drawn.

    Raises
    ------
    RunError
        Their file is not with the run of the search any more.
    """
    if trial.start is None or trial.parent is None:
        return None
    with tempfile.TemporaryDirectory(prefix="backprop-") as directory:
        try:
            return load_weights(Path(client.download_artifacts(trial.parent, START_FILE, directory)))[1]
        except (MlflowException, OSError, WeightsError) as error:
            raise RunError(
                f"trial {trial.run_id} began with the weights of {trial.start.version}, and {START_FILE} is not with "
                f"its search any more ({first_line(error)}); what it began with cannot be had again"
            ) from error


def _environment(text: str, who: str) -> Environment:
    try:
        return Environment.model_validate_json(text)
    except ValidationError as error:
        raise RunError(
            f"{who} has a tag {tags.ENVIRONMENT} of another version of backprop: "
            f"{describe_validation_error(list(error.errors()))}"
        ) from error
