"""What a person sees while `backprop train` runs, and at its end."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from prefect.settings import PREFECT_API_URL, temporary_settings
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from flows.compute.temporary_server import TemporaryServer
from flows.parameters import TrainParameters
from flows.progress import SearchProgress, listening
from flows.ranking import Candidate
from flows.select import Selection
from flows.train import TrainReport, train

SHOWN = 10
"""Rows of the leaderboard in the terminal; MLflow has all of them."""

_ALWAYS = ("hidden", "activation", "learning_rate", "batch_size", "epochs", "seed")
_IF_VARYING = ("optimizer", "l2", "dropout")


class TrialsBar:
    """A progress bar over the work of a search, with what came of it so far."""

    def __init__(self, console: Console) -> None:
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[rest]}"),
            TimeElapsedColumn(),
            console=console,
            transient=False,
        )
        self._bar: TaskID = self._progress.add_task("starting", total=None, rest="")

    def __enter__(self) -> "TrialsBar":
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def warned(self, text: str) -> None:
        """Print a line above the bar."""
        self._progress.console.print(f"[yellow]warning:[/yellow] {escape(text)}", soft_wrap=True, highlight=False)

    def search_advanced(self, progress: SearchProgress) -> None:
        """Move the bar by the work that is done, and show the counts, the best score and the time left."""
        self._progress.update(
            self._bar,
            description=f"{progress.finished} of {progress.total} trials",
            total=1.0,
            completed=progress.share,
            rest=" · ".join(progress.describe().split(" · ")[1:]),
        )

    def search_ended(self) -> None:
        """Say that what follows is not training."""
        self._progress.update(self._bar, description="testing the best")


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
    console.print(leaderboard(report.selection, report.dataset.name, with_epochs=with_epochs))
    for line in summary(report, total_seconds=time.monotonic() - started):
        console.print(line, soft_wrap=True, highlight=False)


def leaderboard(selection: Selection, name: str, *, with_epochs: bool = False) -> Table:
    """Return the best configurations as a table: rank, hyperparameters, validation, and the winner's test metrics.

    Where a configuration has several trials, validation is their mean and sample standard deviation. ``with_epochs``
    adds how long each was trained, for a search that prunes. What was measured of single targets, such as
    ``test/rmse/height``, is in MLflow.
    """
    table = Table(title=f"Leaderboard: {name}", title_justify="left", caption_justify="left")
    table.caption = _members(selection.ranked[0])
    table.add_column("rank", justify="right")
    columns = (*_ALWAYS, *(name for name in _IF_VARYING if len({_shown(c, name) for c in selection.ranked}) > 1))
    for column in columns:
        table.add_column(column, justify="right")
    if with_epochs:
        table.add_column("trained", justify="right")
    measures = [name for name in selection.ranked[0].metrics if name.startswith("val/")]
    for measure in (selection.metric, *(name for name in sorted(measures) if name != selection.metric)):
        table.add_column(measure, justify="right")
    tested = [name for name in selection.test if name != "test/loss" and name.count("/") == 1]
    for measure in tested:
        table.add_column(measure, justify="right")
    for place, candidate in enumerate(selection.ranked[:SHOWN], start=1):
        shown = (selection.metric, *(name for name in sorted(measures) if name != selection.metric))
        table.add_row(
            str(place),
            *(escape(_shown(candidate, column)) for column in columns),
            *((candidate.trained,) if with_epochs else ()),
            *(_measured(candidate, name) for name in shown),
            *(f"{selection.test[name]:.4f}" if place == 1 else "" for name in tested),
            style="bold green" if place == 1 else None,
        )
    return table


def _members(best: Candidate) -> str | None:
    """Say what a row is the mean of; nothing if it is one trial."""
    if len(best.members) == 1:
        return None
    seeds = len({member.params["seed"] for member in best.members})
    folds = len(best.members) // seeds
    of = " x ".join(f"{count} {what}" for count, what in ((seeds, "seeds"), (folds, "folds")) if count > 1)
    return f"mean ± sample standard deviation (n - 1) of {len(best.members)} trials: {of}"


def _shown(candidate: Candidate, param: str) -> str:
    """Return a param of a configuration; of several seeds the first and the last."""
    values = [member.params[param] for member in candidate.members]
    return values[0] if len(set(values)) == 1 else f"{values[0]} to {values[-1]}"


def _measured(candidate: Candidate, metric: str) -> str:
    mean = f"{candidate.metrics[metric]:.4f}"
    return f"{mean} ± {candidate.deviations[metric]:.4f}" if metric in candidate.deviations else mean


def summary(report: TrainReport, total_seconds: float) -> list[str]:
    """Return the lines below the leaderboard."""
    return [*_trials(report), _registered(report), _cost(report, total_seconds), _open_mlflow(report.run.tracking.uri)]


def _trials(report: TrainReport) -> list[str]:
    ranked, diverged = report.selection.ranked, report.selection.diverged
    total, trained = report.outcome.trials, report.outcome.trained
    more = f", {len(ranked) - SHOWN} more below these in MLflow" if len(ranked) > SHOWN else ""
    if trained == 0:
        first = f"All {total} trials were found finished by their key; nothing was trained{more}."
    else:
        before = f", {total - trained} were found finished by their key" if trained < total else ""
        first = f"Trained {trained} of {total} trials{before}{more}."
    lines = [first]
    if report.outcome.refit is not None:
        lines.append("The best was trained once more on all training rows, the refit, which is tested and registered.")
    if report.outcome.stop is not None:
        candidates = (*ranked, *diverged)
        pruned = sum(candidate.pruned_at is not None for candidate in candidates)
        epochs, full = (sum(c.epochs_trained for c in candidates), sum(c.most_epochs for c in candidates))
        lines.append(f"{pruned} pruned, {epochs:,} of {full:,} epochs trained.")
    if diverged:
        names = "; ".join(f"{candidate.name} at epoch {candidate.diverged_at}" for candidate in diverged[:3])
        lines.append(f"[yellow]{len(diverged)} diverged[/yellow] (loss no longer finite): {escape(names)}")
    if failed := report.outcome.failed:
        lines.append(f"[red]{len(failed)} failed[/red]: {escape('; '.join(sorted(set(failed.values()))[:3]))}")
    return lines


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
