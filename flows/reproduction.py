"""Training a finished trial again, alone and on this machine, and comparing what came out with what its run holds."""

import tempfile
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from mlflow import MlflowClient
from pydantic import BaseModel, ConfigDict
from threadpoolctl import threadpool_limits

from backprop import EpochReport, Parameters, WeightsError, save_weights, select_backend, train
from backprop.backend import Backend, Device, DeviceError
from flows.comparison import (
    TOLERANCE,
    Curves,
    CurvesComparison,
    Verdict,
    WeightsComparison,
    compare_curves,
    compare_weights,
    verdict,
)
from flows.compute.core_stack import stack_of
from flows.compute.stack_training import samples_of
from flows.data.catalogue import SHORT, list_datasets
from flows.data.root import Root, open_root
from flows.data.store import Dataset, DatasetReference, open_dataset
from flows.environment import Environment, environment_of
from flows.errors import ClusterError, DatasetError
from flows.tracking.recorded_trial import RecordedTrial, read_start, read_trial, read_weights
from flows.tracking.store import existing_client
from flows.tracking.trial_delivery import WEIGHTS_FILE, file_digest
from flows.tracking.trial_lookup import find_trial_run
from flows.tracking.trial_news import measured_in
from flows.trials import DTYPE, SHUFFLE_SEED, PlannedTrial, plan_trial, plan_warm_start

OnEpoch = Callable[[int, int], None]
"""Told after every epoch: which it was, and of how many."""


class Difference(BaseModel):
    """Something that is not as it was when the trial was trained first."""

    model_config = ConfigDict(frozen=True)

    what: str
    then: str
    now: str


class Reproduction(BaseModel):
    """What came of training a trial again.

    Attributes
    ----------
    differences : tuple of Difference
        What was otherwise then and may have changed the numbers, such as a version.
    circumstances : tuple of str
        How it was trained then, where it was not just trained alone to its end.
    epochs : int
        For how many it was trained now.
    """

    model_config = ConfigDict(frozen=True)

    run_id: str
    trial_key: str
    name: str
    dataset: str
    verdict: Verdict
    tolerance: float
    weights: WeightsComparison
    curves: CurvesComparison
    differences: tuple[Difference, ...]
    circumstances: tuple[str, ...]
    epochs: int
    recorded_environment: Environment
    environment: Environment


@dataclass(frozen=True)
class TrainedAlone:
    """What a training came to; ``digest`` is that of the file of its weights."""

    parameters: Parameters
    digest: str
    curves: Curves
    epochs: int
    diverged_at: int | None


def reproduce(wanted: str, datasets: str, device: Device = "auto", on_epoch: OnEpoch | None = None) -> Reproduction:
    """Train a trial again and compare.

    Parameters
    ----------
    wanted : str
        What `find_trial_run` takes.
    datasets : str
        Where the prepared datasets are.
    device : str
        ``"auto"`` is what the trial was trained on, if this machine has it.

    Raises
    ------
    RunError
        There is no such run, it is not of a trial that finished, or it does not hold what it takes.
    DatasetError
        The trial's dataset is not there any more, or damaged.
    ClusterError
        This machine has not the device that was asked for.
    """
    client = existing_client()
    recorded = read_trial(client, find_trial_run(client, wanted))
    dataset = find_dataset_of(recorded, datasets)
    trial, initial = _planned(recorded, dataset), read_start(client, recorded)
    backend = _backend(device, recorded.environment)
    # A minibatch's rows are shared out to as many threads, which orders its sums.
    with threadpool_limits(limits=recorded.environment.threads, user_api="blas"):
        environment = environment_of(backend)
        trained = train_alone(trial, dataset, backend, recorded.pruned_at, on_epoch, initial)
    weights = _compare_weights(client, recorded, trained)
    curves = compare_curves(recorded.curves, trained.curves)
    return Reproduction(
        run_id=recorded.run_id,
        trial_key=recorded.key,
        name=recorded.name,
        dataset=recorded.dataset_name,
        verdict=verdict(weights, curves, same_end=trained.diverged_at == recorded.diverged_at),
        tolerance=TOLERANCE,
        weights=weights,
        curves=curves,
        differences=tuple(_differences(recorded, trial, trained, environment)),
        circumstances=tuple(_circumstances(recorded, dataset)),
        epochs=trained.epochs,
        recorded_environment=recorded.environment,
        environment=environment,
    )


def find_dataset_of(recorded: RecordedTrial, datasets: str) -> Dataset:
    """Return the dataset, or the fold of one, that a trial was trained on.

    Raises
    ------
    DatasetError
        It is not there; the message says how to ingest it again.
    """
    root = open_root(datasets)
    digest = recorded.dataset_digest
    if not root.has(digest):
        raise DatasetError(_how_to_ingest(recorded, root, datasets))
    return open_dataset(DatasetReference(name=recorded.dataset_name, digest=digest, path=root.place(digest)))


def _planned(recorded: RecordedTrial, dataset: Dataset) -> PlannedTrial:
    if recorded.start is not None:
        return plan_warm_start(dataset, recorded.start)
    return plan_trial(dataset, recorded.hyperparameters, refit=recorded.is_refit)


def train_alone(
    trial: PlannedTrial,
    dataset: Dataset,
    backend: Backend,
    until: int | None = None,
    on_epoch: OnEpoch | None = None,
    initial: Parameters | None = None,
) -> TrainedAlone:
    """Train a trial in a stack of its own, from drawn weights or given ones, ``until`` an epoch if one is given."""
    stack = stack_of([trial], dataset.task)
    samples = samples_of(dataset.train, dataset), samples_of(dataset.validation, dataset)
    last = until or trial.hyperparameters.epochs

    def trained(report: EpochReport) -> Collection[int]:
        if on_epoch is not None:
            on_epoch(report.epoch, last)
        return report.trials if report.epoch == until else ()

    reports = list(train(stack, *samples, backend, initial=initial, on_epoch=trained))
    [finished] = reports[-1].finished
    unit = dataset.preparation.metric_unit
    with tempfile.TemporaryDirectory(prefix="backprop-") as directory:
        file = Path(directory) / WEIGHTS_FILE
        save_weights(file, trial.architecture, finished.parameters)
        digest = file_digest(file)
    return TrainedAlone(
        parameters=finished.parameters,
        digest=digest,
        curves={report.epoch: {name: value for _, name, value in measured_in(report, unit)} for report in reports},
        epochs=len(reports),
        diverged_at=len(reports) if finished.diverged else None,
    )


def _how_to_ingest(recorded: RecordedTrial, root: Root, datasets: str) -> str:
    others = [entry for entry in list_datasets(root) if entry.schema.name == recorded.dataset_name]
    named = [entry.digest[:SHORT] for entry in others if entry.schema.fold is None]
    has = f", which has {recorded.dataset_name} as {' and '.join(named)}" if named else ""
    fold = f" (fold {recorded.fold})" if recorded.fold else ""
    command = recorded.command or "backprop train --data ..."
    return (
        f"the trial was trained on {recorded.dataset_name} {recorded.dataset_digest[:SHORT]}{fold}, which is not in "
        f"{datasets}{has}; the command that trained it ingests the same data again: {command}"
    )


def _backend(device: Device, recorded: Environment) -> Backend:
    """Return the backend of a device; of ``"auto"`` that of the first training, if this machine has it."""
    if device == "auto":
        device = "auto" if recorded.backend == "cupy" else "cpu"
    try:
        return select_backend(device)
    except DeviceError as error:
        raise ClusterError(f"this machine cannot train on device {device!r}: {error}") from error


def _compare_weights(client: MlflowClient, recorded: RecordedTrial, trained: TrainedAlone) -> WeightsComparison:
    try:
        then, missing = read_weights(client, recorded), None
    except WeightsError as error:
        then, missing = None, str(error)
    return compare_weights(recorded.weights_digest, trained.digest, then, trained.parameters, missing)


def _differences(
    recorded: RecordedTrial, trial: PlannedTrial, trained: TrainedAlone, environment: Environment
) -> Iterator[Difference]:
    """Yield what is not as it was, from the trial itself to the machine."""
    facts = {
        "trial key": (recorded.key[:SHORT], trial.key[:SHORT]),
        "shuffle seed": (str(recorded.shuffle_seed), str(SHUFFLE_SEED)),
        "dtype": (recorded.dtype, DTYPE),
        "diverged in epoch": (str(recorded.diverged_at or "none"), str(trained.diverged_at or "none")),
    }
    for what, (then, now) in facts.items():
        if then != now:
            yield Difference(what=what, then=then, now=now)
    for what, then, now in recorded.environment.differences(environment):
        yield Difference(what=what, then=then, now=now)


def _circumstances(recorded: RecordedTrial, dataset: Dataset) -> Iterator[str]:
    """Yield how a trial was trained first, where it was not just trained alone to its end."""
    if recorded.stack_trials > 1:
        yield f"it was trained in a stack of {recorded.stack_trials} trials, and now alone"
    if dataset.fold is not None:
        yield f"it is a trial on {dataset.fold}"
    if recorded.start is not None:
        yield f"it began with the weights of {recorded.start.version}, as it did now"
    if recorded.is_refit:
        yield "it is the refit of the winner of a cross-validation"
    if recorded.pruned_at is not None:
        yield f"a stop rule ended it after epoch {recorded.pruned_at}, and now it was trained as far"
    if recorded.diverged_at is not None:
        yield f"its loss stopped being finite in epoch {recorded.diverged_at}"
    if recorded.resumed_in is not None:
        changes = recorded.environment.differences(recorded.resumed_in)
        said = ", ".join(f"{what} {then}, then {now}" for what, then, now in changes)
        yield f"it was interrupted, and gone on with where this was another: {said}"
