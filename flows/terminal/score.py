"""What a person sees while `backprop score` runs, and at its end."""

from rich.console import Console
from rich.markup import escape
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from flows.compute.temporary_server import TemporaryServer
from flows.parameters import ScoreParameters
from flows.score import ScoreReport, score
from flows.scoring.progress import listening
from flows.terminal.train import reporting_to

SHOWN = 10
"""Labels that are listed; the run's page has more."""


def run_score(
    parameters: ScoreParameters, console: Console, server: TemporaryServer | None = None, *, as_json: bool = False
) -> None:
    """Run the `score` flow, count the rows meanwhile, and print what came of it."""
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    # On the error stream, as the answer may be piped on.
    shown = Console(stderr=True)
    with (
        Progress(*columns, console=shown, transient=True, disable=not shown.is_terminal) as progress,
        reporting_to(server),
    ):
        task = progress.add_task("starting")

        def count(rows: int) -> None:
            progress.update(task, description=f"{rows:,} rows scored")

        with listening(count):
            report = score(
                model=parameters.model,
                data=parameters.data,
                to=parameters.to,
                keep=parameters.keep,
                overwrite=parameters.overwrite,
                compute=parameters.compute,
            )
    if as_json:
        console.print_json(report.model_dump_json())
        return
    for line in summary(report):
        console.print(line, soft_wrap=True, highlight=False)


def summary(report: ScoreReport) -> list[str]:
    """Return what was written, from what, and how often each label was predicted."""
    lines = [
        f"{report.rows:,} rows of {escape(report.data)} scored with [bold]{escape(report.model)}[/bold] version "
        f"[bold]{report.version}[/bold] in {report.seconds:.1f} s: [bold]{escape(report.to)}[/bold]"
    ]
    listed = [f"{escape(label)} {count:,}" for label, count in list(report.predicted.items())[:SHOWN]]
    if listed:
        more = len(report.predicted) - SHOWN
        lines.append(f"[dim]predicted: {', '.join(listed)}{f' and {more} other labels' if more > 0 else ''}[/dim]")
    return lines
