"""`backprop compare` in the terminal: what differs, the metrics and curves, and whether it is real; or all as JSON."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.style import Style
from rich.table import Table
from rich.text import Text

from flows.inspection.plots import COLOURS, Line, plot
from flows.inspection.side_by_side import SideBySide, compare
from flows.inspection.significance import Difference, Rows, Significance
from flows.inspection.words import number
from flows.terminal.data import print_json
from flows.tracking.store import answering, existing_client

_WIDEST = 100
"""Characters beyond which a plot shows no more."""

_LONG = 24
"""Characters of a value that has no place in a column."""


def run_compare(
    console: Console,
    wanted: Sequence[str],
    datasets: str,
    rows: Rows | Literal["auto"],
    confidence: float,
    *,
    as_json: bool,
) -> None:
    """Compare runs and print what came of it."""
    client = existing_client()
    with answering(client.tracking_uri):
        found = compare(client, wanted, datasets, rows, confidence)
    if as_json:
        print_json(found)
        return
    for trial, colour in zip(found.trials, COLOURS, strict=False):
        of = f", the winner of search {trial.search[:8]}" if trial.search is not None else ""
        line = Text.assemble(
            (trial.letter, Style(color=colour, bold=True)), f"  {trial.name} (run {trial.run_id[:8]}{of})"
        )
        console.print(line, soft_wrap=True, highlight=False)
        if trial.status != "FINISHED" or "all of its" not in trial.outcome:
            console.print(f"   {escape(trial.outcome)}", soft_wrap=True, highlight=False)
    for part in differences(found):
        console.print(part, soft_wrap=isinstance(part, str), highlight=False)
    if found.metrics:
        console.print(side_by_side("Metrics of the last epoch", found, _numbers(found.metrics), justify="right"))
    for name, curves in found.curves.items():
        lines = [
            Line(trial.letter, curve, COLOURS[place])
            for place, (trial, curve) in enumerate(zip(found.trials, curves, strict=True))
        ]
        console.print(plot(name, lines, min(console.width, _WIDEST)))
    for sentence in verdict(found.significance):
        console.print(sentence, soft_wrap=True, highlight=False)


def differences(found: SideBySide) -> Iterator[Table | str]:
    """Yield what differs in params, data and environment, and that the rest is the same."""
    if found.params:
        yield side_by_side("Params", found, {name: [_text(one) for one in each] for name, each in found.params.items()})
    same = ", ".join(f"{name} {value}" for name, value in found.common.items())
    yield f"{'The same in all' if found.params else 'All params are the same'}: {escape(same)}"
    yield from _lines("Data", found.data, found)
    if found.is_environment_known:
        yield from _lines("Environment", found.environment, found)
    else:
        yield "Environment: it was not recorded."


def side_by_side(
    title: str, found: SideBySide, rows: Mapping[str, Sequence[str]], justify: Literal["left", "right"] = "left"
) -> Table:
    """Return a table with a column for each trial, under its letter."""
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD)
    table.add_column("")
    for trial, colour in zip(found.trials, COLOURS, strict=False):
        table.add_column(trial.letter, justify=justify, overflow="fold", header_style=Style(color=colour, bold=True))
    for name, values in rows.items():
        table.add_row(escape(name), *map(escape, values))
    return table


def verdict(significance: Significance) -> Iterator[str]:
    """Yield whether the differences are real, a sentence each, and what to bear in mind."""
    if significance.unknown is not None:
        yield f"[bold]Is it real?[/bold] That cannot be said: {escape(significance.unknown)}."
        return
    yield (
        f"[bold]Is it real?[/bold] Measured once more on the same {significance.count:,} {significance.rows} rows "
        f"(paired bootstrap, {significance.resamples:,} draws, {significance.confidence:.0%} intervals):"
    )
    for each in significance.differences:
        yield f"  {_sentence(each)}"
    for note in significance.notes:
        yield f"Note: {escape(note)}."


def _sentence(each: Difference) -> str:
    values = f"{each.metric} {number(each.second_value)} against {number(each.first_value)}"
    if each.verdict == "unclear":
        said = f"[bold]{each.second} and {each.first} cannot be told apart[/bold]"
        return f"{said}: {values}, a gain of {_signed(each.gain)}, from {_signed(each.low)} to {_signed(each.high)}"
    near, far = sorted(map(abs, (each.low, each.high)))
    said = f"[bold green]{each.second} is {each.verdict} than {each.first}[/bold green]"
    return f"{said}: {values}, by {number(abs(each.gain))}, from {number(near)} to {number(far)}"


def _signed(value: float) -> str:
    return f"{'+' if value > 0 else ''}{number(value)}"


def _lines(title: str, differing: Mapping[str, Sequence[str | None]], found: SideBySide) -> Iterator[str]:
    """Yield what differs in lines: the values are long."""
    if not differing:
        yield f"{title}: the same."
        return
    yield f"{title}:"
    for name, values in differing.items():
        said = ", ".join(f"{trial.letter} {_text(value)}" for trial, value in zip(found.trials, values, strict=True))
        yield f"  {name}: {escape(said)}"


def _numbers(metrics: Mapping[str, Sequence[float | None]]) -> dict[str, list[str]]:
    return {name: [number(value) for value in values] for name, values in metrics.items()}


def _text(value: str | None) -> str:
    return "none" if value is None else value if len(value) <= _LONG or " " in value else f"{value[:12]}…"
