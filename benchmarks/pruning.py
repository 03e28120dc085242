"""What stop rules cost and save on Fashion-MNIST: ``python -m benchmarks.pruning``.

One grid is searched without a rule and by each rule, by `backprop train` in a directory of its own. A trial that is not
pruned trains to the same bits whoever trains beside it, so the searches differ in nothing but who was pruned.
"""

import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
import yaml
from mlflow import MlflowClient
from rich.console import Console
from rich.table import Table

from benchmarks.data import load

REPOSITORY = Path(__file__).parents[1]
EXPERIMENT = "pruning"

FULL = "full grid"
HALVING = "halving"
RULES: dict[str, dict[str, Any] | None] = {
    FULL: None,
    HALVING: {"rule": "halving", "factor": 3, "first": 3},
    "hyperband": {"rule": "hyperband", "factor": 3, "first": 1},
    "median": {"rule": "median", "after": 5},
}
GRID: dict[str, list[Any]] = {
    "hidden": [[64], [128]],
    "learning_rate": [0.005, 0.01, 0.02, 0.05, 0.1, 0.2],
    "batch_size": [64],
    "epochs": [27],
    "seed": [0, 1, 2],
}

MOST_POINTS_LOST = 0.2
MOST_EPOCHS = 1 / 3

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
console = Console(width=None if sys.stdout.isatty() else 132)


class SearchError(RuntimeError):
    """A search ended badly."""


@dataclass(frozen=True)
class Searched:
    """What a search found and what it took.

    Attributes
    ----------
    best : float
        Validation accuracy of the winner, in percent.
    trained, full : int
        Epochs, of all trials: that it trained, and that the grid has.
    pruned : int
        Trials.
    seconds : float
        Of the command from start to end.
    """

    best: float
    trained: int
    full: int
    pruned: int
    seconds: float

    @property
    def part(self) -> float:
        """The epochs trained as a part of the grid's."""
        return self.trained / self.full


@app.command()
def pruning(
    images: Annotated[int, typer.Option(min=1000, max=60_000, help="Of Fashion-MNIST's training images.")] = 20_000,
    workers: Annotated[int, typer.Option(min=1, help="Local Dask workers.")] = 2,
    rules: Annotated[str, typer.Option(help="Rules to race against the full grid.")] = "halving,hyperband,median",
) -> None:
    """Search one grid of 36 trials, 27 epochs, in full and by every stop rule.

    Ends with 1 if halving loses more than 0.2 points of the best validation accuracy, or trains more than a third of
    the epochs.
    """
    searched: dict[str, Searched] = {}
    with tempfile.TemporaryDirectory(prefix="backprop-pruning-", ignore_cleanup_errors=True) as directory:
        place = Path(directory)
        data = load("fashion", images, dense=False)
        np.savez(place / "fashion.npz", x=np.rint(data.x * 255).astype("uint8").reshape(-1, 28, 28), y=data.codes)
        for name in (FULL, *rules.split(",")):
            with console.status(name):
                searched[name] = search(place, name, RULES[name], workers)
    console.print(shown(searched, images))
    said = failures(searched)
    for line in said:
        console.print(line, highlight=False)
    raise typer.Exit(int(bool(said)))


def search(place: Path, name: str, rule: dict[str, Any] | None, workers: int) -> Searched:
    """Run `backprop train` by a rule and read from MLflow what came of it.

    Raises
    ------
    SearchError
        It failed.
    """
    directory = place / name.replace(" ", "-")
    (directory / "prefect").mkdir(parents=True)
    (directory / "space.yaml").write_text(yaml.safe_dump({"grid": GRID, **({"stop": rule} if rule else {})}))
    store = f"sqlite:///{directory / 'mlflow.db'}"
    command = ["train", "--data", "../fashion.npz", "--space", "space.yaml", "--experiment", EXPERIMENT]
    settings = {
        "PYTHONPATH": str(REPOSITORY),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "PREFECT_HOME": str(directory / "prefect"),
        "MLFLOW_TRACKING_URI": store,
    }
    begin = time.perf_counter()
    ended = subprocess.run(  # noqa: S603 - our own program
        [sys.executable, "-c", "from flows.cli import main; main()", *command, "--workers", str(workers)],
        cwd=directory,
        env={**os.environ, **settings},
        capture_output=True,
        text=True,
        check=False,
    )
    seconds = time.perf_counter() - begin
    if ended.returncode != 0:
        raise SearchError(f"{name} ended with exit code {ended.returncode}:\n{ended.stderr.strip()[-2000:]}")
    return read(store, seconds)


def read(store: str, seconds: float) -> Searched:
    """Return what a search left in MLflow."""
    client = MlflowClient(tracking_uri=store)
    [experiment] = [found for found in client.search_experiments() if found.name == EXPERIMENT]
    runs = client.search_runs([experiment.experiment_id], max_results=1000)
    [parent] = [run for run in runs if "search.key" in run.data.tags]
    trials = [run for run in runs if "trial.key" in run.data.tags]
    epochs = [int(run.data.params["epochs"]) for run in trials]
    return Searched(
        best=100 * parent.data.metrics["best/val/accuracy"],
        trained=sum(int(run.data.tags.get("pruned", most)) for run, most in zip(trials, epochs, strict=True)),
        full=sum(epochs),
        pruned=sum("pruned" in run.data.tags for run in trials),
        seconds=seconds,
    )


def failures(searched: dict[str, Searched]) -> list[str]:
    """Return in what halving misses its target; nothing if it does not."""
    full, halving = searched[FULL], searched.get(HALVING)
    if halving is None:
        return []
    said = []
    if full.best - halving.best > MOST_POINTS_LOST + 1e-9:
        said.append(f"halving lost {full.best - halving.best:.2f} points: {MOST_POINTS_LOST} are allowed")
    if halving.part > MOST_EPOCHS:
        said.append(f"halving trained {halving.part:.1%} of the epochs: {MOST_EPOCHS:.1%} are allowed")
    return said


def shown(searched: dict[str, Searched], images: int) -> Table:
    """Return what was measured as a table."""
    title = f"{len(GRID['hidden']) * len(GRID['learning_rate']) * len(GRID['seed'])} trials on {images:,} images"
    table = Table("search", title=title, title_justify="left")
    for heading in ("best val/accuracy, %", "points lost", "pruned", "epochs trained", "part", "seconds"):
        table.add_column(heading, justify="right")
    for name, found in searched.items():
        table.add_row(
            name,
            f"{found.best:.2f}",
            f"{searched[FULL].best - found.best:.2f}",
            str(found.pruned),
            f"{found.trained:,}",
            f"{found.part:.1%}",
            f"{found.seconds:.0f}",
        )
    return table


if __name__ == "__main__":
    app()
