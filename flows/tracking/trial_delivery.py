"""The MLflow runs of a stack's trials: opened, told of their news, ended.

Every call may be made again after one that failed half-way, by this process or by another: a run is looked for before
it is made, a point is the same point however often it is told, and what a run already shows is not told again.
"""

import hashlib
import shutil
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path

from mlflow.entities import Metric, Param, RunTag
from mlflow.utils.validation import MAX_METRICS_PER_BATCH

from backprop.reports import Reason
from flows.data.store import Dataset
from flows.environment import Environment
from flows.parameters import OPTIMIZER_NUMBERS
from flows.tracking import tags
from flows.tracking.artifacts import local_directory
from flows.tracking.inputs import dataset_inputs
from flows.tracking.search_runs import SearchRun, stack_runs
from flows.tracking.trial_news import Point, TrialEnd
from flows.trials import DTYPE, SHUFFLE_SEED, PlannedTrial, WarmStart, configuration_key, describe, widths

WEIGHTS_FILE = "weights.safetensors"

_ENDED_EARLY: dict[Reason, str] = {"diverged": tags.DIVERGED, "stopped": tags.PRUNED}
"""The tags that hold the epoch in which something ended a trial; their names are its outcome."""

TRAINED = "trained"
"""The outcome of the other trials. Every trial has one: MLflow finds no run by a tag that it lacks."""


class TrialDelivery:
    """Tells MLflow of the trials of a stack, in four calls each where nothing fails.

    They are: create the run, name its dataset, deliver params and metrics, end the run.

    Parameters
    ----------
    run : SearchRun
        The search that the trials belong to.
    stack : str
        Name of the stack, a tag on every run.
    trials : sequence of PlannedTrial
        In the order of the stack; every method takes places in it.
    varying : frozenset of str
        The hyperparameters that differ within the search; they make the runs' names.
    unfinished : mapping of str to str
        Runs to go on with, by trial key: of an earlier attempt.
    environment : Environment, optional
        Where the trials are trained; left out if they are not.
    """

    def __init__(
        self,
        run: SearchRun,
        stack: str,
        dataset: Dataset,
        trials: Sequence[PlannedTrial],
        varying: frozenset[str],
        unfinished: Mapping[str, str],
        environment: Environment | None = None,
    ) -> None:
        self._client = run.tracking.client()
        self._run = run
        self._stack = stack
        self._dataset = dataset
        self._trials = trials
        self._varying = varying
        self._unfinished = dict(unfinished)
        self._environment = None if environment is None else environment.model_dump_json(exclude_none=True)
        self._inputs = dataset_inputs(dataset, ("training", "validation"))
        self._creation_failed = False
        self._run_ids: dict[int, str] = {}
        self._directories: dict[int, Path | None] = {}
        self._shown: dict[int, int] = {}
        self._without_inputs: set[int] = set()
        self._without_params: set[int] = set()
        self._told_at_end: dict[int, list[RunTag]] = {}

    def is_open(self, place: int) -> bool:
        """Return whether a trial has a run that knows its dataset."""
        return place in self._run_ids and place not in self._without_inputs

    def open(self, place: int) -> None:
        """Make the run of a trial, or set the one it has to RUNNING, and name its dataset."""
        if place not in self._run_ids:
            if self._creation_failed:
                # The server may have made the run and died before it said so.
                self._unfinished |= {key: found.run_id for key, found in stack_runs(self._run, self._stack).items()}
            run_id = self._unfinished.get(self._trials[place].key)
            if run_id is None:
                self._create(place)
            else:
                self._reopen(place, run_id)
        if place in self._without_inputs:
            self._client.log_inputs(self._run_ids[place], self._inputs)
            self._without_inputs.discard(place)

    def tell(self, place: int, points: Sequence[Point], extra_tags: Sequence[RunTag] = ()) -> None:
        """Deliver points, the params if the run has none yet, and tags, in one call; none if there is nothing."""
        asked = _parameters(self._trials[place]) if place in self._without_params else {}
        params = [Param(name, str(value)) for name, value in asked.items()]
        new = [point for point in points if point.step > self._shown.get(place, 0)]
        batches = list(_batches(new)) or [[]]
        for batch in batches[:-1]:
            self._client.log_batch(self._run_ids[place], metrics=batch)
        if batches[-1] or params or extra_tags:
            self._client.log_batch(self._run_ids[place], metrics=batches[-1], params=params, tags=extra_tags)
        self._without_params.discard(place)

    def finish(self, place: int, points: Sequence[Point], end: TrialEnd) -> None:
        """Deliver what is left of a trial and its weights, and end its run."""
        self._log_weights(place, end.weights)
        told = [RunTag(tags.WEIGHTS_DIGEST, file_digest(end.weights)), *self._told_at_end.get(place, ())]
        told.append(RunTag(tags.OUTCOME, _ENDED_EARLY.get(end.reason, TRAINED)))
        if end.reason in _ENDED_EARLY:
            told.append(RunTag(_ENDED_EARLY[end.reason], str(end.epoch)))
        self.tell(place, points, told)
        self._client.set_terminated(self._run_ids[place], status="FINISHED")

    def abandon(self, place: int, points: Sequence[Point], status: str, reason: str) -> None:
        """End the run of a trial that did not finish, as FAILED or KILLED; a trial that has no run gets none."""
        if place in self._run_ids:
            self.tell(place, points, [RunTag(tags.FAILURE, reason[:500])])
            self._client.set_terminated(self._run_ids[place], status=status)

    def _create(self, place: int) -> None:
        trial = self._trials[place]
        self._creation_failed = True
        run = self._client.create_run(
            self._run.tracking.experiment_id,
            run_name=_name(trial, self._varying),
            tags={
                tags.PARENT: self._run.run_id,
                tags.TRIAL_KEY: trial.key,
                tags.CONFIGURATION: configuration_key(trial.hyperparameters, trial.start),
                tags.FOLD: str(trial.fold),
                **({tags.REFIT: "true"} if trial.refit else {}),
                **({} if trial.start is None else _begins_with(trial.start)),
                tags.STACK: self._stack,
                tags.DATASET: self._dataset.reference.name,
                tags.DATASET_DIGEST: self._dataset.reference.digest,
                **({tags.ENVIRONMENT: self._environment} if self._environment is not None else {}),
            },
        )
        self._creation_failed = False
        self._without_inputs.add(place)
        self._without_params.add(place)
        self._hold(place, run.info.run_id, run.info.artifact_uri)

    def _reopen(self, place: int, run_id: str) -> None:
        """Go on with a run of an earlier attempt, which may have shown more than the last checkpoint knows of."""
        found = self._client.get_run(run_id)
        if found.info.status != "RUNNING":
            self._client.update_run(run_id, status="RUNNING")
        if found.data.tags.get(tags.STACK) != self._stack:
            self._client.set_tag(run_id, tags.STACK, self._stack)
        if tags.FAILURE in found.data.tags:
            self._client.delete_tag(run_id, tags.FAILURE)
        began_in = found.data.tags.get(tags.ENVIRONMENT)
        if self._environment is not None and began_in != self._environment:
            name = tags.ENVIRONMENT if began_in is None else tags.RESUMED_IN
            self._told_at_end[place] = [RunTag(name, self._environment)]
        # The layers' numbers are there at few epochs, and never at one at which the others are not.
        every_epoch = (name for name in found.data.metrics if not name.startswith("layer/"))
        steps = (point.step for name in every_epoch for point in self._client.get_metric_history(run_id, name))
        self._shown[place] = max(steps, default=0)
        if found.inputs is None or not found.inputs.dataset_inputs:
            self._without_inputs.add(place)
        if not found.data.params:
            self._without_params.add(place)
        self._hold(place, run_id, found.info.artifact_uri)

    def _hold(self, place: int, run_id: str, artifact_uri: str) -> None:
        self._directories[place] = local_directory(artifact_uri)
        self._run_ids[place] = str(run_id)

    def _log_weights(self, place: int, weights: Path) -> None:
        directory = self._directories[place]
        if directory is None:
            self._client.log_artifact(self._run_ids[place], str(weights))
            return
        # MLflow would look the run up again to find this directory, and do the same.
        directory.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(weights, directory / WEIGHTS_FILE)


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file, 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _batches(points: Sequence[Point]) -> Iterator[list[Metric]]:
    """Yield points as metrics, as many as a call may have, never a part of an epoch.

    An epoch is shown whole or not at all: whoever goes on with a run asks it only for its last.
    """
    batch: list[Metric] = []
    for _, epoch in groupby(points, key=lambda point: point.step):
        metrics = [Metric(*point) for point in epoch]
        if batch and len(batch) + len(metrics) > MAX_METRICS_PER_BATCH:
            yield batch
            batch = []
        # The newest first: of what comes in one call the store then has no older value to replace as its latest.
        batch = metrics + batch
    if batch:
        yield batch


def _begins_with(start: WarmStart) -> dict[str, str]:
    return {tags.WARM_START: start.version, tags.WARM_START_DIGEST: start.digest}


def _name(trial: PlannedTrial, varying: frozenset[str]) -> str:
    """Return what a trial's run is called: what differs from its siblings, the fold or a warm start at last."""
    last = [f"fold {trial.fold}"] if trial.fold else ["refit"] if trial.refit else []
    warm = ["warm start"] if trial.start is not None else []
    return " · ".join([describe(trial.hyperparameters, varying), *last, *warm])


def _parameters(trial: PlannedTrial) -> dict[str, object]:
    """Return a trial's MLflow params: every trial has every key, and numbers are numbers.

    A number that its optimiser does not have is 0, which is what an optimiser does without momentum or decay.
    """
    architecture = trial.architecture
    return {
        **trial.hyperparameters.model_dump(exclude={"hidden"}),
        **dict.fromkeys(OPTIMIZER_NUMBERS, 0.0),
        **trial.hyperparameters.optimizer_numbers,
        "hidden": widths(architecture.hidden),
        "n_layers": len(architecture.hidden),
        "width": max(architecture.hidden, default=0),
        "width_first": next(iter(architecture.hidden), 0),
        "width_last": next(reversed(architecture.hidden), 0),
        "parameters": architecture.parameter_count,
        "output_activation": architecture.output_activation,
        "loss": architecture.loss,
        "shuffle_seed": SHUFFLE_SEED,
        "dtype": DTYPE,
        "fold": trial.fold,
    }
