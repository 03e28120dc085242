"""The whole pipeline against a grid search: from the command to the last run in MLflow, process start to end."""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import yaml

from benchmarks.entrants import GRID_SEARCH, OURS
from benchmarks.race import Measurement
from benchmarks.rows import Target
from flows.tracking import tags

REPOSITORY = Path(__file__).parents[1]
EXAMINED = 20
"""Runs whose curves and weights are looked at one by one; the counts are of all."""

TRAIN_ROWS, VALIDATION_ROWS = 1258, 270
"""Of digits, as the pipeline splits them; checked."""


class PipelineError(RuntimeError):
    """A search ended badly, or has not tracked what it should have."""


@dataclass(frozen=True)
class PipelineRow:
    """A grid of learning rates and seeds on digits, 64-32-10, tracked."""

    name: str = "pipeline"
    hidden: tuple[int, ...] = (32,)
    batch: int = 32
    epochs: int = 20
    rates: int = 50
    seeds: int = 20
    targets: tuple[Target, ...] = (Target(GRID_SEARCH, 1),)

    @property
    def trials(self) -> int:
        """Number of trials."""
        return self.rates * self.seeds

    def grid(self) -> tuple[list[float], list[int]]:
        """Return the learning rates and the seeds."""
        return [round(float(rate), 6) for rate in np.geomspace(0.01, 0.3, self.rates)], list(range(self.seeds))


def run_pipeline(row: PipelineRow, repeats: int, tell: Callable[[str], None]) -> dict[str, Measurement]:
    """Return both searches' speeds, in samples x trials per second, measured in turns."""
    measured = {OURS: Measurement(way="backprop train"), GRID_SEARCH: Measurement(way="GridSearchCV, 2 x 1")}
    work = TRAIN_ROWS * row.trials * row.epochs
    for repeat in range(repeats):
        tell(f"{row.name}: {repeat + 1} of {repeats}, backprop train, {row.trials} trials")
        measured[OURS].speeds.append(work / tracked_search(row))
        tell(f"{row.name}: {repeat + 1} of {repeats}, GridSearchCV, {row.trials} fits")
        measured[GRID_SEARCH].speeds.append(work / grid_search(row))
    return measured


def tracked_search(row: PipelineRow) -> float:
    """Run `backprop train` in a directory of its own; return its seconds once its runs are found complete.

    Raises
    ------
    PipelineError
        It failed, or a run is missing something.
    """
    rates, seeds = row.grid()
    space = {
        "grid": {
            "hidden": [list(row.hidden)],
            "activation": ["relu"],
            "learning_rate": rates,
            "batch_size": [row.batch],
            "epochs": [row.epochs],
            "seed": seeds,
        }
    }
    with tempfile.TemporaryDirectory(prefix="backprop-bench-", ignore_cleanup_errors=True) as directory:
        place = Path(directory)
        (place / "space.yaml").write_text(yaml.safe_dump(space))
        (place / "prefect").mkdir()
        store = f"sqlite:///{place / 'mlflow.db'}"
        quiet = {
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "DO_NOT_TRACK": "1",
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "PREFECT_HOME": str(place / "prefect"),
            "MLFLOW_TRACKING_URI": store,
        }
        command = "from flows.cli import main; main()"
        seconds = _timed([sys.executable, "-c", command, "train", "--space", "space.yaml"], place, quiet)
        check_tracked(store, row)
    return seconds


def grid_search(row: PipelineRow) -> float:
    """Run scikit-learn's grid search; return its seconds."""
    rates, seeds = row.grid()
    grid = {
        "hidden": row.hidden,
        "batch": row.batch,
        "epochs": row.epochs,
        "rates": rates,
        "seeds": seeds,
        "processes": 2,
        "train_rows": TRAIN_ROWS,
        "validation_rows": VALIDATION_ROWS,
    }
    single = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    quiet = {**single, "PYTHONWARNINGS": "ignore"}
    return _timed([sys.executable, "-m", "benchmarks.grid_search", json.dumps(grid)], Path.cwd(), quiet)


def check_tracked(store: str, row: PipelineRow) -> None:
    """Find every trial's run FINISHED, and in some of them every epoch's loss and the weights.

    Raises
    ------
    PipelineError
        Something is missing.
    """
    from mlflow import MlflowClient
    from mlflow.entities import Run

    client = MlflowClient(tracking_uri=store)
    experiment = client.get_experiment_by_name("digits")
    if experiment is None:
        raise PipelineError(f"{store} has no experiment 'digits': the search has tracked nothing")
    runs: list[Run] = []
    token = None
    while True:
        page = client.search_runs([experiment.experiment_id], page_token=token, max_results=1000)
        runs += [run for run in page if "trial.key" in run.data.tags]
        token = page.token
        if not token:
            break
    finished = [run for run in runs if run.info.status == "FINISHED"]
    if len(runs) != row.trials or len(finished) != row.trials:
        raise PipelineError(
            f"{len(runs)} runs, {len(finished)} of them FINISHED: {row.trials} trials were to be trained"
        )
    for run in finished[:: max(1, len(finished) // EXAMINED)][:EXAMINED]:
        points = len(client.get_metric_history(run.info.run_id, "train/loss"))
        diverged = tags.read(run.data.tags, tags.DIVERGED)
        if points != row.epochs and diverged is None:
            raise PipelineError(f"run {run.info.run_id} has {points} points of train/loss: expected {row.epochs}")
        if "weights.safetensors" not in {artifact.path for artifact in client.list_artifacts(run.info.run_id)}:
            raise PipelineError(f"run {run.info.run_id} has no weights.safetensors")


def _timed(command: list[str], directory: Path, settings: dict[str, str]) -> float:
    environment = {**os.environ, **settings, "PYTHONPATH": str(REPOSITORY)}
    begin = time.perf_counter()
    ended = subprocess.run(command, cwd=directory, env=environment, capture_output=True, text=True, check=False)  # noqa: S603 - our own programs
    seconds = time.perf_counter() - begin
    if ended.returncode != 0:
        said = (ended.stderr or ended.stdout).strip()[-2000:]
        raise PipelineError(f"{command[1:4]} ended with exit code {ended.returncode}:\n{said}")
    return seconds
