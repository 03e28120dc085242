"""What a person sees while `backprop train` runs, and at its end."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from prefect.settings import PREFECT_API_URL, temporary_settings
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from flows.compute.temporary_server import TemporaryServer
from flows.evaluate import Evaluation
from flows.parameters import TrainParameters
from flows.progress import listening
from flows.ranking import Objective
from flows.train import TrainReport, train

SHOWN = 10
"""Rows of the leaderboard in the terminal; MLflow has all of them."""

_ALWAYS = ("hidden", "activation", "learning_rate", "batch_size", "epochs", "seed")
_IF_VARYING = ("optimizer", "l2", "dropout")


class TrialsBar:
    """A progress bar over trials with the best score so far."""

    def __init__(self, console: Console) -> None:
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[best]}"),
            TimeElapsedColumn(),
            console=console,
            transient=False,
        )
        self._bar: TaskID = self._progress.add_task("starting", total=None, best="")
        self._metric = ""

    def __enter__(self) -> "TrialsBar":
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def warned(self, text: str) -> None:
        """Print a line above the bar."""
        self._progress.console.print(f"[yellow]warning:[/yellow] {escape(text)}", soft_wrap=True, highlight=False)

    def search_started(self, total: int, finished_before: int, goal: Objective) -> None:
        """Set the length of the bar."""
        self._metric = goal.metric
        self._progress.update(self._bar, description="trials", total=total, completed=finished_before)

    def trials_advanced(self, finished: int, best: float | None) -> None:
        """Move the bar and show the best score."""
        score = "" if best is None else f"best {self._metric} {best:.4g}"
        self._progress.update(self._bar, completed=finished, best=score)

    def search_ended(self) -> None:
        """Say that what follows is not training."""
        self._progress.update(self._bar, description="evaluating")


@contextmanager
def _reporting_to(server: TemporaryServer | None) -> Iterator[None]:
    """Let the flows in the block report to a server started for them, and the workers that they start."""
    url = server.api_url() if server is not None else None
    with temporary_settings({PREFECT_API_URL: url} if url is not None else {}):
        yield


def run_train(parameters: TrainParameters, console: Console, server: TemporaryServer | None = None) -> None:
    """Run the `train` flow with a progress bar and print what came of it."""
    started = time.monotonic()
    with TrialsBar(console) as bar, _reporting_to(server), listening(bar):
        report = train(
            data=parameters.data,
            target=parameters.targets or None,
            space=parameters.space,
            task=parameters.task,
            preparation=parameters.preparation,
            experiment=parameters.experiment,
            model=parameters.model,
            split=parameters.split,
            compute=parameters.compute,
            datasets=parameters.datasets,
        )
    with_epochs = report.outcome.stop is not None
    console.print(leaderboard(report.evaluation, report.dataset.name, with_epochs=with_epochs))
    for line in summary(report, total_seconds=time.monotonic() - started):
        console.print(line, soft_wrap=True, highlight=False)


def leaderboard(evaluation: Evaluation, name: str, *, with_epochs: bool = False) -> Table:
    """Return the best trials as a table: rank, hyperparameters, validation, and the winner's test metrics.

    ``with_epochs`` adds how long each was trained, for a search that prunes. What was measured of single targets, such
    as ``test/rmse/height``, is in MLflow.
    """
    table = Table(title=f"Leaderboard: {name}", title_justify="left")
    table.add_column("rank", justify="right")
    columns = (*_ALWAYS, *(name for name in _IF_VARYING if len({r.params[name] for r in evaluation.ranked}) > 1))
    for column in columns:
        table.add_column(column, justify="right")
    if with_epochs:
        table.add_column("trained", justify="right")
    measures = [name for name in evaluation.winner.metrics if name.startswith("val/")]
    for measure in (evaluation.metric, *(name for name in sorted(measures) if name != evaluation.metric)):
        table.add_column(measure, justify="right")
    tested = [name for name in evaluation.test if name != "test/loss" and name.count("/") == 1]
    for measure in tested:
        table.add_column(measure, justify="right")
    for place, record in enumerate(evaluation.ranked[:SHOWN], start=1):
        shown = (evaluation.metric, *(name for name in sorted(measures) if name != evaluation.metric))
        table.add_row(
            str(place),
            *(escape(record.params[column]) for column in columns),
            *((record.trained,) if with_epochs else ()),
            *(f"{record.metrics[name]:.4f}" for name in shown),
            *(f"{evaluation.test[name]:.4f}" if place == 1 else "" for name in tested),
            style="bold green" if place == 1 else None,
        )
    return table


def summary(report: TrainReport, total_seconds: float) -> list[str]:
    """Return the lines below the leaderboard."""
    return [*_trials(report), _registered(report), _cost(report, total_seconds), _open_mlflow(report.run.tracking.uri)]


def _trials(report: TrainReport) -> list[str]:
    ranked, diverged = report.evaluation.ranked, report.evaluation.diverged
    total, trained = len(report.outcome.trial_keys), report.outcome.trained
    more = f", {len(ranked) - SHOWN} more below these in MLflow" if len(ranked) > SHOWN else ""
    if trained == 0:
        first = f"All {total} trials were found finished by their key; nothing was trained{more}."
    else:
        before = f", {total - trained} were found finished by their key" if trained < total else ""
        first = f"Trained {trained} of {total} trials{before}{more}."
    lines = [first]
    if report.outcome.stop is not None:
        records = (*ranked, *diverged)
        pruned = sum(record.pruned_at is not None for record in records)
        trained_epochs, full = (sum(record.epochs_trained for record in records), sum(r.most_epochs for r in records))
        lines.append(f"{pruned} pruned, {trained_epochs:,} of {full:,} epochs trained.")
    if not diverged:
        return lines
    names = "; ".join(f"{record.name} at epoch {record.diverged_at}" for record in diverged[:3])
    return [*lines, f"[yellow]{len(diverged)} diverged[/yellow] (loss no longer finite): {escape(names)}"]


def _registered(report: TrainReport) -> str:
    model = report.registered
    return (
        f"Registered as model [bold]{escape(model.name)}[/bold] version [bold]{model.version}[/bold], "
        f"alias @challenger: models:/{escape(model.name)}@challenger"
    )


def _cost(report: TrainReport, total_seconds: float) -> str:
    parts = " · ".join(f"{part} {spent:.1f} s" for part, spent in report.seconds.items())
    parts = f"{total_seconds:.1f} s in all: {parts}"
    stacks = report.outcome.stacks
    if not stacks:
        return f"[dim]{parts}[/dim]"
    training = sum(stack.training_seconds for stack in stacks)
    workers = len({stack.worker for stack in stacks})
    peak = max(stack.peak_bytes for stack in stacks) / 2**20
    return (
        f"[dim]{parts}; {training:.1f} s of training on {workers} worker{'s' if workers > 1 else ''}, "
        f"peak memory of a worker {peak:.0f} MiB[/dim]"
    )


def _open_mlflow(uri: str) -> str:
    """Return the one command that opens the MLflow UI on the store that was written."""
    if uri.startswith("http"):
        return f"Compare the runs: open [bold]{uri}[/bold]"
    prefix = f"sqlite:///{Path.cwd()}/"
    shown = f"sqlite:///{uri.removeprefix(prefix)}" if uri.startswith(prefix) else uri
    return f"Compare the runs: [bold]{_program('mlflow')} ui --backend-store-uri {shown}[/bold]"


def _program(name: str) -> str:
    """Return how to call a program of this environment from here."""
    path = Path(sys.executable).with_name(name)
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)
