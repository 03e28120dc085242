"""`backprop doctor` in the terminal: findings with their evidence and what to do, the worst first."""

from rich.console import Console
from rich.markup import escape
from rich.text import Text

from flows.diagnosis.doctor import Diagnosis, diagnose
from flows.diagnosis.finding import Evidence, Finding, Severity
from flows.diagnosis.table import read_table
from flows.parameters import TrainParameters
from flows.spaces import load_space
from flows.terminal.data import print_json

STYLES: dict[Severity, str] = {"problem": "bold red", "warning": "yellow", "hint": "cyan", "ok": "green"}

SHOWN = 6
"""Entries of a list that are shown; JSON has all."""

IN_JSON_ONLY = ("source_rows",)
"""Evidence that is too long for a terminal."""


def run_doctor(parameters: TrainParameters, console: Console, *, as_json: bool) -> Diagnosis:
    """Diagnose what `backprop train` would train, print what was found, and return it.

    Raises
    ------
    InputError
        The space is not valid, or the data cannot be read or trained on.
    """
    space = load_space(parameters.space)
    with Console(stderr=True).status("reading") as status:
        table = read_table(
            parameters.data,
            parameters.targets,
            parameters.task,
            parameters.preparation,
            parameters.split,
            parameters.datasets,
        )
        found = diagnose(table, space, parameters.space, status.update)
    if as_json:
        print_json(found.model_dump(mode="json"))
        return found
    print_diagnosis(console, found)
    return found


def print_diagnosis(console: Console, found: Diagnosis) -> None:
    """Print the findings, and what is well at last."""
    rows = f"{found.rows:,}" if found.rows == found.of_rows else f"{found.rows:,} of {found.of_rows:,}"
    console.print(
        f"[bold]{escape(found.data)}[/bold]: {found.task}, {rows} rows; space {escape(found.space)}: "
        f"{escape(', '.join(found.networks))}",
        highlight=False,
    )
    for finding in found.findings:
        if finding.severity != "ok":
            _print_finding(console, finding)
    console.print()
    for finding in found.findings:
        if finding.severity == "ok":
            _print_indented(console, Text.assemble(("ok", STYLES["ok"]), f"  {finding.check}: {finding.what}"), 4, 0)
    console.print()
    console.print(summary(found), highlight=False)


def summary(found: Diagnosis) -> str:
    """Return the last line: how many findings of each severity there are."""
    counts = {
        severity: sum(finding.severity == severity for finding in found.findings)
        for severity in ("problem", "warning", "hint")
    }
    told = [f"{count} {severity}{'' if count == 1 else 's'}" for severity, count in counts.items() if count]
    return ", ".join(told) if told else "All is well."


def _print_finding(console: Console, finding: Finding) -> None:
    console.print()
    _print_indented(console, Text.assemble((finding.severity, STYLES[finding.severity]), f"  {finding.check}"), 0)
    _print_indented(console, Text(finding.what), 2)
    _print_indented(console, Text(describe(finding.evidence), style="dim"), 2)
    _print_indented(console, Text.assemble(("do: ", "bold"), finding.remedy), 2)


def _print_indented(console: Console, text: Text, indent: int, first: int | None = None) -> None:
    """Print a text in the console's width, its lines indented, and the first of them otherwise if that is said."""
    for place, line in enumerate(text.wrap(console, console.width - indent)):
        line.rstrip()
        line.pad_left(first if place == 0 and first is not None else indent)
        console.print(line, highlight=False)


def describe(evidence: Evidence) -> str:
    """Return the numbers of a finding as a person reads them."""
    return "; ".join(
        f"{name.replace('_', ' ')} {_shown(value)}" for name, value in evidence.items() if name not in IN_JSON_ONLY
    )


def _shown(value: float | str | list[str] | list[int] | list[float]) -> str:
    if isinstance(value, list):
        rest = f" and {len(value) - SHOWN} more" if len(value) > SHOWN else ""
        return (", ".join(map(_shown, value[:SHOWN])) or "none") + rest
    if isinstance(value, str):
        return value
    return f"{value:,}" if isinstance(value, int) else f"{value:.3g}"
