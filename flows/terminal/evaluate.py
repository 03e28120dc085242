"""What a person sees of `backprop evaluate`."""

import math

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from flows.compute.temporary_server import TemporaryServer
from flows.evaluate import EvaluationReport, evaluate
from flows.parameters import EvaluateParameters
from flows.terminal.train import reporting_to

SHOWN = 30
"""Classes, labels or targets that are listed; MLflow has all."""


def run_evaluate(
    parameters: EvaluateParameters, console: Console, server: TemporaryServer | None = None, *, as_json: bool = False
) -> None:
    """Run the `evaluate` flow and print what it measured."""
    with Console(stderr=True).status("measuring"), reporting_to(server):
        report = evaluate(
            model=parameters.model,
            data=parameters.data,
            target=parameters.targets or None,
            confidence=parameters.confidence,
            experiment=parameters.experiment,
            datasets=parameters.datasets,
        )
    if as_json:
        console.print_json(report.model_dump_json())
        return
    console.print(measures_table(report))
    if report.parts:
        console.print(parts_table(report))
    console.print(f"[dim]MLflow run {report.run_id}[/dim]", highlight=False, soft_wrap=True)


def measures_table(report: EvaluationReport) -> Table:
    """Return every measure with its interval, beside what a constant answer reaches."""
    table = Table(
        title=f"{escape(report.model)} version {report.version} on {report.rows:,} rows, {escape(report.data)}",
        title_justify="left",
    )
    table.add_column("measure")
    for column in ("value", f"{report.confidence:.0%} interval", "constant answer"):
        table.add_column(column, justify="right")
    for measure in report.measures:
        table.add_row(
            measure.name, number(measure.value), interval(measure.low, measure.high), number(measure.baseline)
        )
    return table


def parts_table(report: EvaluationReport) -> Table:
    """Return the measures of each class, label or target; the interval is that of the first."""
    measures = list(report.parts[0].measures)
    table = Table()
    table.add_column({"classification": "class", "multilabel": "label"}.get(report.task, "target"))
    for column in ("rows", measures[0], "interval", *measures[1:]):
        table.add_column(column, justify="right")
    for part in report.parts[:SHOWN]:
        first, *others = (number(part.measures[name]) for name in measures)
        table.add_row(escape(part.name), f"{part.rows:,}", first, interval(part.low, part.high), *others)
    if len(report.parts) > SHOWN:
        table.caption = f"and {len(report.parts) - SHOWN} more, which MLflow has"
    return table


def number(value: float | None) -> str:
    """Return a number as a table shows it; nothing where nothing is known."""
    return "" if value is None or not math.isfinite(value) else f"{value:.4f}" if abs(value) < 1000 else f"{value:,.1f}"


def interval(low: float | None, high: float | None) -> str:
    """Return both ends."""
    return "" if low is None or high is None else f"{number(low)} to {number(high)}"
