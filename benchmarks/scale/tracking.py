"""What it costs to write trials to MLflow, as one writer and as two: the pipeline's calls, without the pipeline."""

import os
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

WRITERS = (1, 2)
PARAMS = 17
METRICS = ("train/loss", "val/loss", "val/accuracy")


def measure_tracking(trials: int) -> dict[str, Any]:
    """Return seconds for each trial of writers at once, each of which writes so many trials to one SQLite store."""
    seconds: dict[str, float] = {}
    with tempfile.TemporaryDirectory(prefix="backprop-scale-") as directory:
        uri = f"sqlite:///{Path(directory) / 'mlflow.db'}"
        for writers in WRITERS:
            with ProcessPoolExecutor(writers, get_context("spawn")) as pool:
                # The first call opens the store; all writers are there before one is timed.
                list(pool.map(write_trials, [uri] * writers, [1] * writers))
                started = time.perf_counter()
                list(pool.map(write_trials, [uri] * writers, [trials] * writers))
                seconds[str(writers)] = (time.perf_counter() - started) / (writers * trials)
    return {
        "trials": trials,
        "seconds_per_trial": seconds,
        # How many writers' worth of trials two writers bring about: SQLite has one writer at a time.
        "parallel_writers": max(1.0, seconds["1"] / seconds["2"]),
    }


def write_trials(uri: str, trials: int) -> None:
    """Write trials as `flows.tracking.trial_runs` does: create, name the dataset, deliver params and metrics, end."""
    os.environ["MLFLOW_TRACKING_URI"] = uri
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    os.environ["MLFLOW_LOGGING_LEVEL"] = "WARNING"
    from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param

    from flows.tracking.store import open_tracking

    tracking = open_tracking("scale", one_machine=True)
    client = tracking.client()
    named = DatasetInput(Dataset("digits", "0" * 8, "local", "{}"), [InputTag("mlflow.data.context", "training")])
    params = [Param(f"param_{k}", "0.1") for k in range(PARAMS)]
    for _ in range(trials):
        run = client.create_run(tracking.experiment_id).info.run_id
        client.log_inputs(run, [named])
        now = int(time.time() * 1000)
        client.log_batch(run, metrics=[Metric(name, 0.5, now, 1) for name in METRICS], params=params)
        client.set_terminated(run)
