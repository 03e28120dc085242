"""The result as a table and as JSON."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.table import Table

from benchmarks.entrants import LABELS, OURS
from benchmarks.race import Measurement
from benchmarks.rows import FASTEST, LIMIT
from benchmarks.verdicts import Line, Reached

RACED = {FASTEST: "the fastest peer", **LABELS}


def speeds_table(lines: Sequence[Line]) -> Table:
    """Return the table of what was measured: a line a row, a column for each contestant that raced in any."""
    shown = Table(title="samples x trials per second; memory: peak of a process")
    shown.add_column("row", no_wrap=True)
    seen = {runner for line in lines for runner in (*line.values, *line.notes)} | {OURS}
    runners = [runner for runner in LABELS if runner in seen]
    for runner in runners:
        shown.add_column(LABELS[runner], justify="right", min_width=7)
    shown.add_column("limit", justify="right", min_width=7)
    for line in lines:
        shown.add_row(line.name, *(_cell(line, runner) for runner in runners), _number(line.limit, line))
    return shown


def verdicts_table(lines: Sequence[Line]) -> Table:
    """Return the table of what it comes to: ratio to the best peer, part of the limit, targets and floor."""
    shown = Table(title="ratios, more is better")
    shown.add_column("row", no_wrap=True)
    shown.add_column("ratio to the best peer", no_wrap=True)
    shown.add_column("of limit", justify="right")
    shown.add_column("target: reached", no_wrap=True)
    shown.add_column("floor", justify="right")
    for line in lines:
        floor = "" if line.floor is None else f"{line.floor:.2f}"
        shown.add_row(
            line.name,
            "" if line.ratio is None or line.best is None else f"{line.ratio:.2f} x {LABELS[line.best]}",
            "" if line.fraction is None else f"{line.fraction:.2f}",
            "\n".join(_target(r) for r in line.reached),
            f"[red]{floor}[/red]" if line.is_under_floor else floor,
        )
    return shown


def footnotes(lines: Sequence[Line]) -> list[str]:
    """Return why a contestant has no number in a row, a sentence each."""
    return [f"{line.name}: {LABELS[runner]}: {note}" for line in lines for runner, note in line.notes.items()]


def write_json(
    path: Path,
    machine: Mapping[str, Any],
    settings: Mapping[str, Any],
    lines: Sequence[Line],
    measured: Mapping[str, Mapping[str, Measurement]],
    skipped: Mapping[str, str],
) -> None:
    """Write everything that was measured."""
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {
        "machine": machine,
        "settings": settings,
        "limits": {
            "limit_gemm": "the row's matrix products alone through NumPy's BLAS, float32, outputs preallocated, the "
            "best of the layouts in `tried`",
            "limit_update": "one in-place pass, a += s, over an array of the parameters' bytes for every sample, in a "
            "loop compiled by Numba (by np.add where `versions` has no numba); a training that skips the weights of "
            "inputs that are 0 may exceed it",
        },
        "lines": [line_as_json(line) for line in lines],
        "measured": {row: {name: asdict(m) for name, m in runners.items()} for row, runners in measured.items()},
        "skipped": dict(skipped),
    }
    path.write_text(json.dumps(content, indent=2) + "\n")


def write_markdown(path: Path, lines: Sequence[Line]) -> None:
    """Write the table for docs/performance.md: ours, the three fastest peers, ratio, part of the limit, targets."""
    head = ("row", "ours", "peers, fastest first", "ratio", "of limit", "target: reached")
    rows = [head, ("---",) * len(head)]
    for line in lines:
        smaller_first = line.unit.startswith("bytes")
        peers = sorted(((v, n) for n, v in line.values.items() if n != OURS and v), reverse=not smaller_first)
        rows.append(
            (
                line.name,
                _number(line.values.get(OURS), line),
                ", ".join(f"{LABELS[name]} {_number(value, line)}" for value, name in peers[:3]),
                "" if line.ratio is None else f"{line.ratio:.2f}",
                "" if line.fraction is None else f"{line.fraction:.2f}",
                "; ".join(f"{described(r)}: {r.ratio:.2f}" for r in line.reached if r.ratio is not None),
            )
        )
    path.write_text("".join(f"| {' | '.join(row)} |\n" for row in rows))


def line_as_json(line: Line) -> dict[str, Any]:
    """Return a line with the shares of its targets."""
    return {**asdict(line), "reached": [{**asdict(r), "share": r.share} for r in line.reached]}


def described(reached: Reached) -> str:
    """Say a target: ``1.4 x JAX vmap``, ``0.6 of the limit``."""
    target = reached.target
    return (
        f"{target.ratio:g} of the limit" if target.against == LIMIT else f"{target.ratio:g} x {RACED[target.against]}"
    )


def _target(reached: Reached) -> str:
    if reached.ratio is None:
        return f"{described(reached)}: not measured"
    colour = "green" if reached.share is not None and reached.share >= 1 else "yellow"
    return f"[{colour}]{described(reached)}: {reached.ratio:.2f}[/{colour}]"


def _cell(line: Line, runner: str) -> str:
    note = line.notes.get(runner)
    if note is not None:
        return f"[red]{note.split()[0]}[/red]" if note.startswith("WRONG") else "[yellow]none[/yellow]"
    return _number(line.values.get(runner), line)


def _number(value: float | None, line: Line) -> str:
    """Return three digits and a suffix: ``1.16M``."""
    if value is None:
        return ""
    if line.unit.startswith("bytes"):
        return f"{value / 1e6:,.0f} MB"
    for suffix, unit in (("M", 1e6), ("k", 1e3)):
        if value >= unit:
            return f"{value / unit:#.3g}".rstrip(".") + suffix
    return f"{value:.0f}"
