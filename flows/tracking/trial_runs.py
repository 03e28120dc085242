"""The MLflow runs of a stack's trials, written by the worker that trains them."""

import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from mlflow.entities import Metric, Param, RunTag

from backprop import EpochReport, Finished, save_weights
from flows.data.store import Dataset
from flows.tracking import tags
from flows.tracking.inputs import dataset_input
from flows.tracking.store import Tracking
from flows.trials import DTYPE, SHUFFLE_SEED, PlannedTrial, describe, widths

WEIGHTS_FILE = "weights.safetensors"

FLUSH_SECONDS = 1.0
"""Least time between two deliveries of buffered metrics."""

FLUSH_SHARE = 0.05
"""Most of a worker's time that deliveries may take while a stack trains."""

METRICS_PER_CALL = 1000
"""What MLflow accepts in one log_batch."""


class StackStopped(Exception):  # noqa: N818 - an order that was followed, not an error
    """The search was interrupted while the stack trained; its trials end as KILLED."""


class TrialRuns:
    """One MLflow run for each trial of a stack, open while the stack trains.

    Metrics are buffered and delivered while training goes on, so that curves grow in the UI, without a call
    per trial and epoch. A run that has not finished when the block is left ends as FAILED, or KILLED
    if it was stopped, with the reason.

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
        self._buffers: list[list[Metric]] = [[] for _ in trials]
        self._next_flush = 0.0

    def __enter__(self) -> Self:
        for place, trial in enumerate(self._trials):
            self._open[place] = self._create(trial)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        stopped = kind is not None and (issubclass(kind, StackStopped) or not issubclass(kind, Exception))
        reason = f"{kind.__name__}: {error}" if kind else "the stack ended before this trial did"
        for run_id in self._open.values():
            self._client.set_tag(run_id, tags.FAILURE, reason[:500])
            self._client.set_terminated(run_id, status="KILLED" if stopped else "FAILED")

    def record(self, report: EpochReport) -> None:
        """Take an epoch's metrics, deliver what is due, and end the runs of the trials that finished.

        The RMSE is scaled back to the target's unit. A number that is not finite is not a metric: MLflow would
        store infinity as 1.8e308, so a divergence is a tag.
        """
        now = int(time.time() * 1000)
        for name, values in report.metrics.items():
            unit = self._dataset.preparation.target_scale if name.endswith("/rmse") else 1.0
            for place, value in zip(report.trials, values, strict=True):
                if np.isfinite(value):
                    self._buffers[place].append(Metric(name, float(value) * unit, now, report.epoch))
        for finished in report.finished:
            self._finish(finished, report.epoch)
        self._flush_if_due()

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
        run_id = str(run.info.run_id)
        self._client.log_batch(run_id, params=[Param(name, str(value)) for name, value in _parameters(trial).items()])
        self._client.log_inputs(run_id, [dataset_input(self._dataset, "training")])
        return run_id

    def _flush_if_due(self) -> None:
        started = time.monotonic()
        if started < self._next_flush:
            return
        for place in self._open:
            self._deliver(place)
        finished = time.monotonic()
        self._next_flush = finished + max(FLUSH_SECONDS, (finished - started) / FLUSH_SHARE)

    def _deliver(self, place: int, extra_tags: Sequence[RunTag] = ()) -> None:
        buffer = self._buffers[place]
        self._buffers[place] = []
        for start in range(0, len(buffer), METRICS_PER_CALL):
            self._client.log_batch(self._open[place], metrics=buffer[start : start + METRICS_PER_CALL])
        if extra_tags:
            self._client.log_batch(self._open[place], tags=extra_tags)

    def _finish(self, finished: Finished, epoch: int) -> None:
        place = finished.trial
        self._deliver(place, [RunTag(tags.DIVERGED, str(epoch))] if finished.diverged else ())
        run_id = self._open[place]
        with tempfile.TemporaryDirectory() as directory:
            path = Path(directory) / WEIGHTS_FILE
            save_weights(path, self._trials[place].architecture, finished.parameters)
            self._client.log_artifact(run_id, str(path))
        self._client.set_terminated(run_id, status="FINISHED")
        # Last, so that a failure on the way still ends this run as failed.
        del self._open[place]


def _parameters(trial: PlannedTrial) -> dict[str, object]:
    """Return a trial's MLflow params: every trial has every key, and numbers are numbers."""
    architecture = trial.architecture
    return {
        **trial.hyperparameters.model_dump(exclude={"hidden"}),
        "hidden": widths(architecture.hidden),
        "n_layers": len(architecture.hidden),
        "width": max(architecture.hidden, default=0),
        "parameters": architecture.parameter_count,
        "output_activation": architecture.output_activation,
        "loss": architecture.loss,
        "shuffle_seed": SHUFFLE_SEED,
        "dtype": DTYPE,
    }
