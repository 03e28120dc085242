"""The command line of the benchmark, and the order of its events."""

import os
import signal
import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.console import Console
from rich.markup import escape

from benchmarks.data import MissingDataError
from benchmarks.entrants import peers
from benchmarks.floors import load_floors, save_floors
from benchmarks.machine import machine
from benchmarks.pipeline import PipelineError, PipelineRow, run_pipeline
from benchmarks.plot import plot
from benchmarks.race import Measurement, race
from benchmarks.report import described, footnotes, speeds_table, verdicts_table, write_json, write_markdown
from benchmarks.rows import ROWS, Row, quick, task_of
from benchmarks.verdicts import Line, failures, memory_line, speed_line, worst

BAD_INPUT = 2
FAILED = 1
RESULTS = Path(__file__).with_name("results")
REPEATS = 3
PIPELINE_REPEATS = 1
"""It takes minutes, and noise is averaged over a thousand trials."""

Measured = dict[str, dict[str, Measurement]]

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
console = Console(width=None if sys.stdout.isatty() else 132)
errors = Console(stderr=True, soft_wrap=True, highlight=False)


@app.command()
def bench(
    quick_run: Annotated[bool, typer.Option("--quick", help="Three minutes: less data, fewer peers and rows.")] = False,
    rows: Annotated[str | None, typer.Option(help="Names of rows, with commas between; all if not given.")] = None,
    repeats: Annotated[int, typer.Option(min=1, help="Of every measurement.")] = REPEATS,
    out: Annotated[Path, typer.Option(help="Directory of the results.")] = RESULTS,
    set_floors: Annotated[
        bool, typer.Option("--set-floors", help="Write the ratios of this run, less a tenth, as the floors.")
    ] = False,
    samples: Annotated[
        int | None, typer.Option(min=1, hidden=True, help="Train on the first of each row only.")
    ] = None,
) -> None:
    """Race this project against its peers, and hold it to its targets, limits and floors.

    [bold]Exit codes[/bold]: 0 all went well; 1 a contestant trained something else, a row is under its floor, or (with
    CI=true) a row or a peer is missing; 2 the command is wrong.
    """
    # Ended from outside it clears away what an interrupt would: processes and temporary directories.
    signal.signal(signal.SIGTERM, _interrupt)
    chosen = _chosen(rows, quick_run=quick_run)
    if set_floors and (quick_run or rows or samples):
        _refuse("--set-floors takes a full run: leave out --quick and --rows")
    facts = machine()
    if samples:
        chosen = [replace(row, samples=samples) if isinstance(row, Row) else row for row in chosen]
    # Floors are of full runs: smaller data and fewer peers give other ratios.
    floors = {} if quick_run or samples or set_floors else load_floors()
    measured, skipped = _measured(chosen, repeats, all_peers=not quick_run)
    lines = _lines(chosen, measured, floors)
    settings = {"quick": quick_run, "repeats": repeats, "samples": samples}
    write_json(out / "latest.json", facts, settings, lines, measured, skipped)
    write_markdown(out / "latest.md", lines)
    plot(lines, out / "latest.png")
    if set_floors:
        save_floors(lines, f"{facts['cpu']}, {facts['cores']} cores, {facts['measured_at']}")
    _conclude(lines, measured, skipped, out)


def _chosen(names: str | None, *, quick_run: bool) -> list[Row | PipelineRow]:
    pipeline = PipelineRow()
    every: list[Row | PipelineRow] = [*ROWS, pipeline]
    if names is not None:
        known = {row.name: row for row in every}
        unknown = [name for name in names.split(",") if name not in known]
        if unknown:
            _refuse(f"--rows has {unknown[0]!r}: use {', '.join(known)}")
        every = [known[name] for name in names.split(",")]
    if not quick_run:
        return every
    small = [quick(row) if isinstance(row, Row) else replace(row, rates=10, seeds=10) for row in every]
    return [row for row in small if row is not None]


def _measured(chosen: list[Row | PipelineRow], repeats: int, *, all_peers: bool) -> tuple[Measured, dict[str, str]]:
    measured: Measured = {}
    skipped: dict[str, str] = {}
    with console.status("starting") as status:
        tell = status.update if console.is_terminal else console.print
        for row in chosen:
            try:
                if isinstance(row, PipelineRow):
                    measured[row.name] = run_pipeline(row, PIPELINE_REPEATS, tell)
                else:
                    task = task_of(row)
                    measured[row.name] = race(row, task, peers(row, every=all_peers), repeats, tell)
            except (MissingDataError, PipelineError) as error:
                skipped[row.name] = str(error)
    return measured, skipped


def _lines(chosen: list[Row | PipelineRow], measured: Measured, floors: dict[str, float]) -> list[Line]:
    raced = [row for row in chosen if row.name in measured]
    lines = [speed_line(row.name, row.targets, measured[row.name], floors.get(row.name)) for row in raced]
    for row in raced:
        if isinstance(row, Row) and row.memory_counts:
            name = f"memory-{row.name}"
            lines.append(memory_line(name, measured[row.name], floors.get(name)))
    return lines


def _conclude(lines: list[Line], measured: Measured, skipped: dict[str, str], out: Path) -> None:
    console.print(speeds_table(lines), verdicts_table(lines), sep="\n")
    for note in footnotes(lines):
        console.print(escape(note), highlight=False)
    console.print(f"Written: {out / 'latest.json'}, {out / 'latest.png'}", highlight=False)
    problems = failures(lines, measured)
    missing = {m.unavailable for runners in measured.values() for m in runners.values() if m.missing and m.unavailable}
    absent = [f"{name} was skipped: {reason}" for name, reason in skipped.items()] + sorted(missing)
    for sentence in absent:
        errors.print(f"[yellow]{escape(sentence)}[/yellow]")
    # Where CI runs nothing may be missing: a race without rivals is always won.
    if os.environ.get("CI") == "true":
        problems += absent
    for problem in problems:
        errors.print(f"[red]error:[/red] {escape(problem)}")
    last = worst(lines)
    if last is None:
        console.print("worst row: none has a target that could be measured")
    else:
        line, reached = last
        console.print(
            f"worst row: {line.name}, ratio {reached.ratio:.2f} where its target is {described(reached)}",
            highlight=False,
            soft_wrap=True,
        )
    if problems or not lines:
        raise typer.Exit(FAILED)


def _interrupt(number: int, frame: object) -> NoReturn:  # noqa: ARG001 - the signature of a signal handler
    raise KeyboardInterrupt


def _refuse(message: str) -> NoReturn:
    errors.print(f"[red]error:[/red] {escape(message)}")
    raise typer.Exit(BAD_INPUT)
