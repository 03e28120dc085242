"""The MLflow runs of a stack's trials, written by the worker that trains them."""

import logging
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from mlflow.entities import Metric, Param, RunTag

from backprop import EpochReport, Finished, save_weights
from flows.data.store import Dataset
from flows.parameters import OPTIMIZER_NUMBERS
from flows.tracking import tags
from flows.tracking.artifacts import local_directory
from flows.tracking.inputs import dataset_inputs
from flows.tracking.store import Tracking
from flows.trials import DTYPE, SHUFFLE_SEED, PlannedTrial, describe, widths

WEIGHTS_FILE = "weights.safetensors"

FLUSH_SECONDS = 1.0
"""Least time between two deliveries of what is buffered, and before the first."""

FLUSH_SHARE = 0.05
"""Most of a worker's time that deliveries may take while a stack trains."""

_logger = logging.getLogger(__name__)


class StackStopped(Exception):  # noqa: N818 - an order that was followed, not an error
    """The search was interrupted while the stack trained; its trials end as KILLED."""


class TrialRuns:
    """One MLflow run for each trial of a stack, open while the stack trains.

    A trial costs four calls: create the run, name its dataset, deliver params and all metrics, end the run. A stack
    that trains for longer is delivered in between, so that its params and curves can be looked at: all trials at a
    time, never a call per trial and epoch. A run that has not finished when the block is left ends as FAILED, or
    KILLED if it was stopped, with the reason.

    Parameters
    ----------
    tracking : Tracking
    parent_run_id : str
        The search that the trials belong to.
    stack : str
        Name of the stack, a tag on every run.
    trials : sequence of PlannedTrial
        In the order of the stack.
    varying : frozenset of str
        The hyperparameters that differ within the search; they make the runs' names.
    """

    def __init__(
        self,
        tracking: Tracking,
        parent_run_id: str,
        stack: str,
        dataset: Dataset,
        trials: Sequence[PlannedTrial],
        varying: frozenset[str],
    ) -> None:
        self._client = tracking.client()
        self._experiment_id = tracking.experiment_id
        self._parent_run_id = parent_run_id
        self._stack = stack
        self._dataset = dataset
        self._trials = list(trials)
        self._varying = varying
        self._open: dict[int, str] = {}
        self._directories: list[Path | None] = []
        self._params = [[Param(name, str(value)) for name, value in _parameters(trial).items()] for trial in trials]
        self._buffers: list[list[Metric]] = [[] for _ in trials]
        self._next_flush = 0.0
        # Between the thread that trains and the one that delivers while the first epoch lasts.
        self._lock = threading.Lock()
        self._during_first_epoch: threading.Timer | None = None

    def __enter__(self) -> Self:
        started = time.monotonic()
        inputs = dataset_inputs(self._dataset, ("training", "validation"))
        for place, trial in enumerate(self._trials):
            self._open[place] = self._create(trial)
            self._client.log_inputs(self._open[place], inputs)
        # A delivery will take about as long as this did, and a short training is over before one is due.
        self._plan_flush(cost=time.monotonic() - started)
        self._during_first_epoch = threading.Timer(self._next_flush - time.monotonic(), self._deliver_params)
        self._during_first_epoch.daemon = True
        self._during_first_epoch.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._during_first_epoch is not None:
            self._during_first_epoch.cancel()
        stopped = kind is not None and (issubclass(kind, StackStopped) or not issubclass(kind, Exception))
        reason = f"{kind.__name__}: {error}" if kind else "the stack ended before this trial did"
        with self._lock:
            for place, run_id in self._open.items():
                self._deliver(place, [RunTag(tags.FAILURE, reason[:500])])
                self._client.set_terminated(run_id, status="KILLED" if stopped else "FAILED")

    def record(self, report: EpochReport) -> None:
        """Take an epoch's metrics, deliver what is due, and end the runs of the trials that finished.

        The RMSE is scaled back to the target's unit, if there is one target: of several it is in standard deviations.
        A number that is not finite is not a metric: MLflow would store infinity as 1.8e308, so a divergence is a tag.
        """
        now = int(time.time() * 1000)
        with self._lock:
            for name, values in report.metrics.items():
                unit = self._dataset.preparation.metric_unit if name.endswith("/rmse") else 1.0
                for place, value in zip(report.trials, values, strict=True):
                    if np.isfinite(value):
                        self._buffers[place].append(Metric(name, float(value) * unit, now, report.epoch))
            for finished in report.finished:
                self._finish(finished, report.epoch)
            if time.monotonic() >= self._next_flush:
                self._flush()

    def _create(self, trial: PlannedTrial) -> str:
        run = self._client.create_run(
            self._experiment_id,
            run_name=describe(trial.hyperparameters, self._varying),
            tags={
                tags.PARENT: self._parent_run_id,
                tags.TRIAL_KEY: trial.key,
                tags.STACK: self._stack,
                tags.DATASET: self._dataset.reference.name,
                tags.DATASET_DIGEST: self._dataset.reference.digest,
            },
        )
        self._directories.append(local_directory(run.info.artifact_uri))
        return str(run.info.run_id)

    def _deliver_params(self) -> None:
        """Let runs be told apart although their first epoch lasts: called by the timer, on a thread of its own."""
        with self._lock:
            if time.monotonic() < self._next_flush:
                return
            try:
                self._flush()
            except Exception:
                # What is left will be delivered by the training, which fails if that cannot be done.
                _logger.warning("a delivery to MLflow failed; it is tried again after the epoch", exc_info=True)

    def _flush(self) -> None:
        started = time.monotonic()
        for place in self._open:
            self._deliver(place)
        self._plan_flush(cost=time.monotonic() - started)

    def _plan_flush(self, cost: float) -> None:
        self._next_flush = time.monotonic() + max(FLUSH_SECONDS, cost / FLUSH_SHARE)

    def _deliver(self, place: int, extra_tags: Sequence[RunTag] = ()) -> None:
        params, metrics = self._params[place], self._buffers[place]
        # The newest first: of what comes in one call the store then has no older value to replace as its latest.
        self._client.log_batch(self._open[place], metrics=metrics[::-1], params=params, tags=extra_tags)
        self._params[place], self._buffers[place] = [], []

    def _finish(self, finished: Finished, epoch: int) -> None:
        place = finished.trial
        self._log_weights(finished)
        self._deliver(place, [RunTag(tags.DIVERGED, str(epoch))] if finished.diverged else ())
        self._client.set_terminated(self._open[place], status="FINISHED")
        # Last, so that a failure on the way still ends this run as failed.
        del self._open[place]

    def _log_weights(self, finished: Finished) -> None:
        place = finished.trial
        architecture, directory = self._trials[place].architecture, self._directories[place]
        if directory is not None:
            # MLflow would look the run up again to find this directory, and copy a file to it.
            directory.mkdir(parents=True, exist_ok=True)
            save_weights(directory / WEIGHTS_FILE, architecture, finished.parameters)
            return
        with tempfile.TemporaryDirectory() as temporary:
            path = Path(temporary) / WEIGHTS_FILE
            save_weights(path, architecture, finished.parameters)
            self._client.log_artifact(self._open[place], str(path))


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
        "parameters": architecture.parameter_count,
        "output_activation": architecture.output_activation,
        "loss": architecture.loss,
        "shuffle_seed": SHUFFLE_SEED,
        "dtype": DTYPE,
    }
