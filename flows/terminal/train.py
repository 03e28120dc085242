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

from flows.compute.temporary_server import TemporaryServer
from flows.pages.links import passing_server
from flows.parameters import TrainParameters
from flows.progress import SearchProgress, listening
from flows.terminal.leaderboard import SHOWN, print_leaderboard
from flows.train import TrainReport, train


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
def reporting_to(server: TemporaryServer | None) -> Iterator[None]:
    """Let the flows in the block report to a server started for them, and the workers that they start."""
    url = server.api_url() if server is not None else None
    if url is None:
        yield
        return
    with temporary_settings({PREFECT_API_URL: url}), passing_server():
        yield


def run_train(parameters: TrainParameters, console: Console, server: TemporaryServer | None = None) -> None:
    """Run the `train` flow with a progress bar and print what came of it."""
    started = time.monotonic()
    with TrialsBar(console) as bar, reporting_to(server), listening(bar):
        report = train(**parameters.arguments())
    with_epochs = report.outcome.stop is not None
    print_leaderboard(console, report.selection, report.dataset.name, with_epochs=with_epochs)
    for line in summary(report, total_seconds=time.monotonic() - started):
        console.print(line, soft_wrap=True, highlight=False)


def summary(report: TrainReport, total_seconds: float) -> list[str]:
    """Return the lines below the leaderboard."""
    return [
        *_trials(report),
        _registered(report),
        reported(report),
        _cost(report, total_seconds),
        open_mlflow(report.run.tracking.uri),
    ]


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
    if repeated := report.outcome.repeated:
        lines.append(f"{repeated} that Optuna asked for were there already: it was told what they had reached.")
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


def reported(report: TrainReport) -> str:
    """Return where the report of the search is, or why there is none."""
    made = report.report
    if made.failure is None:
        return f"Report: [bold]{escape(made.link or '')}[/bold]"
    again = f"backprop report {report.run.run_id}"
    return f"[red]The report could not be made[/red] ({escape(made.failure)}); {again} tries again."


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


def open_mlflow(uri: str) -> str:
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
