"""Why a challenger was promoted or refused: as Markdown for the run page and the registry, and as a page with a plot.

The page needs neither a network nor a program: its plot is drawn as SVG, so that a retraining a night leaves kilobytes.
"""

from dataclasses import asdict, dataclass
from html import escape
from typing import Any, Literal

import numpy as np

from flows.retraining.promotion import Decision, Gain, Guarded
from flows.tracking.registry import RegisteredVersion

STYLE = """
body { font: 14px/1.5 system-ui, sans-serif; color: #1b2733; margin: 24px auto; max-width: 900px; padding: 0 16px; }
h1 { font-size: 20px; margin: 0 0 4px; }
table { border-collapse: collapse; width: 100%; margin-top: 16px; }
td, th { text-align: left; padding: 4px 10px; border-bottom: 1px solid #dde3ea; }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; }
text { font: 12px system-ui, sans-serif; fill: #1b2733; }
"""

COLOURS = {"better": "#2e7d4f", "level": "#8a94a0", "worse": "#c0392b"}

MOST_DESCRIPTION = 4500
"""Characters of a version's description; MLflow keeps 5,000."""


@dataclass(frozen=True)
class DecisionReport:
    """A decision, and what it was about.

    Attributes
    ----------
    champion : RegisteredVersion or None
        The champion before it.
    data : str
        Where the rows came from, with the digest.
    search : str
        The space that was searched, and what it began with.
    """

    decision: Decision
    challenger: RegisteredVersion
    champion: RegisteredVersion | None
    data: str
    search: str

    @property
    def title(self) -> str:
        """Of what the decision is, and which it is."""
        verdict = "promoted" if self.decision.promoted else "refused"
        return f"{self.challenger.name}: {verdict} version {self.challenger.version}"

    @property
    def champion_before(self) -> str:
        """The champion before it, in words."""
        return f"version {self.champion.version}" if self.champion else "none"


@dataclass(frozen=True)
class Row:
    """A gain as a line of the report: what it is of, over whom, and what is asked of it, as a number and in words."""

    name: str
    rows: int
    gain: Gain | None
    asked: float
    words: str
    verdict: str


def rows_of(decision: Decision) -> list[Row]:
    """Return the gains of a decision, those that decided first."""
    rows = [
        Row(
            f"{decision.metric}, over the baseline",
            decision.rows,
            decision.over_baseline,
            0.0,
            "a gain",
            _holds(decision.over_baseline.at_least > 0),
        )
    ]
    if decision.over_champion is not None:
        over = decision.over_champion
        verdict = _holds(over.at_least > decision.min_gain)
        rows.insert(
            0,
            Row(
                f"{decision.metric}, over the champion",
                decision.rows,
                over,
                decision.min_gain,
                f"more than {decision.min_gain:g}",
                verdict,
            ),
        )
    return [*rows, *(_guarded(guard) for guard in decision.guarded)]


def _holds(holds: bool) -> str:
    return "better" if holds else "not better"


def _guarded(guard: Guarded) -> Row:
    name = guard.name if guard.name == guard.metric else f"{guard.metric} where {guard.name}"
    asked = f"a loss of at most {guard.tolerance:g}" if guard.tolerance else "no loss"
    return Row(name, guard.rows, guard.gain, -guard.tolerance, asked, guard.verdict)


def markdown(report: DecisionReport) -> str:
    """Return the report for the page of the Prefect run."""
    return f"# {report.title}\n\n{body(report)}"


def description(report: DecisionReport) -> str:
    """Return the report for the version in the registry, cut where MLflow would refuse it."""
    text = body(report)
    if len(text) <= MOST_DESCRIPTION:
        return text
    return (
        text[: text.rindex("\n", 0, MOST_DESCRIPTION)] + "\n\nThe rest is in promotion/decision.html of the search.\n"
    )


def body(report: DecisionReport) -> str:
    """Return the reason, what was compared, and a table of gains."""
    level = f"{report.decision.confidence:.0%}"
    lines = [
        f"{_cell(report.decision.reason)}.",
        "",
        "| | |",
        "|---|---|",
        f"| challenger | version {report.challenger.version} |",
        f"| champion before | {report.champion_before} |",
        f"| data | {_cell(report.data)} |",
        f"| searched | {_cell(report.search)} |",
        "",
        f"| what | test rows | challenger | other | gain | {level} interval | asked for | |",
        "|---|---:|---:|---:|---:|---:|---:|---|",
    ]
    lines += [f"| {' | '.join(_cell(cell) for cell in cells(row))} |" for row in rows_of(report.decision)]
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    """Return text that may stand in a cell of a Markdown table."""
    return text.replace("|", "\\|").replace("\n", " ")


def cells(row: Row) -> list[str]:
    """Return a gain as a row of a table has it."""
    if row.gain is None:
        return [row.name, f"{row.rows:,}", "", "", "", "", "", row.verdict]
    low, high = row.gain.interval
    numbers = [f"{row.gain.challenger:.4g}", f"{row.gain.other:.4g}", f"{row.gain.value:+.3g}"]
    return [
        row.name,
        f"{row.rows:,}",
        *numbers,
        f"{low:+.3g} to {high:+.3g}",
        row.words,
        row.verdict,
    ]


def as_json(report: DecisionReport) -> dict[str, Any]:
    """Return the report with every number, for programs."""
    return {
        "challenger": report.challenger.model_dump(),
        "champion_before": None if report.champion is None else report.champion.model_dump(),
        "data": report.data,
        "search": report.search,
        **as_finite(report.decision),
    }


def as_finite(decision: Decision) -> dict[str, Any]:
    """Return every number of a decision, those that JSON does not have as text."""
    content: dict[str, Any] = _finite(asdict(decision))
    return content


def _finite(value: Any) -> Any:
    """Return a value with text for what JSON has no number for."""
    if isinstance(value, dict):
        return {name: _finite(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(one) for one in value]
    return str(value) if isinstance(value, float) and not np.isfinite(value) else value


def page(report: DecisionReport) -> str:
    """Return the report as HTML that needs nothing else."""
    facts = (
        ("challenger", f"version {report.challenger.version}"),
        ("champion before", report.champion_before),
        ("data", report.data),
        ("searched", report.search),
    )
    head = ("what", "test rows", "challenger", "other", "gain", "interval", "asked for", "")
    columns = "".join(f"<th{_number(place)}>{escape(name)}</th>" for place, name in enumerate(head))
    lines = "".join(
        "<tr>" + "".join(f"<td{_number(place)}>{escape(cell)}</td>" for place, cell in enumerate(cells(row))) + "</tr>"
        for row in rows_of(report.decision)
    )
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(report.title)}</title>'
        f"<style>{STYLE}</style></head><body><h1>{escape(report.title)}</h1>"
        f"<p>{escape(report.decision.reason)}.</p>{plot(report.decision)}"
        f"<table><thead><tr>{columns}</tr></thead><tbody>{lines}</tbody></table><table><tbody>"
        + "".join(f"<tr><th>{name}</th><td>{escape(value)}</td></tr>" for name, value in facts)
        + "</tbody></table></body></html>\n"
    )


def _number(place: int) -> str:
    return " class=number" if 0 < place < len(["rows", "challenger", "other", "gain", "interval", "asked"]) + 1 else ""


# The plot, in its own units.
WIDTH, LABELS, LINE, MARGIN = 860, 330, 26, 30


def plot(decision: Decision) -> str:
    """Return every gain with its interval as SVG, in shares of the challenger's score where metrics differ."""
    rows = [row for row in rows_of(decision) if row.gain is not None and np.isfinite(row.gain.interval).all()]
    parts = [_lines(group) for group in _by_metric(rows)]
    height = sum(part[1] for part in parts)
    drawn, top = [], 0
    for text, part_height in parts:
        drawn.append(f'<g transform="translate(0 {top})">{text}</g>')
        top += part_height
    return f'<svg viewBox="0 0 {WIDTH} {height}" width="100%" role="img" aria-label="gains">{"".join(drawn)}</svg>'


def _by_metric(rows: list[Row]) -> list[list[Row]]:
    """Return rows whose gains have one unit together: the baseline's is too large to share an axis with the others."""
    groups: dict[str, list[Row]] = {}
    for row in rows:
        alone = row.name if "over the baseline" in row.name else row.name.split(" where ")[0].split(",")[0]
        groups.setdefault(alone, []).append(row)
    return list(groups.values())


def _lines(rows: list[Row]) -> tuple[str, int]:
    """Return gains on one axis, and how high that is."""
    ends = [0.0, *(end for row in rows if row.gain for end in (*row.gain.interval, row.asked))]
    low, high = min(ends), max(ends)
    span = (high - low) or 1.0
    low, high = low - 0.05 * span, high + 0.05 * span

    def x(value: float) -> float:
        return LABELS + (WIDTH - LABELS - MARGIN) * (value - low) / (high - low)

    bottom = LINE * len(rows) + 8
    drawn = [f'<line x1="{x(0):.1f}" x2="{x(0):.1f}" y1="4" y2="{bottom}" stroke="#b9c3cf"/>']
    for place, row in enumerate(rows):
        if row.gain is None:
            continue
        y = LINE * place + LINE / 2 + 4
        colour = COLOURS[_side(row)]
        (left, right), middle = row.gain.interval, row.gain.value
        drawn.append(
            f'<text x="{LABELS - 12}" y="{y + 4}" text-anchor="end">{escape(_short(row.name))}</text>'
            f'<line x1="{x(left):.1f}" x2="{x(right):.1f}" y1="{y}" y2="{y}" stroke="{colour}" stroke-width="3"/>'
            f'<circle cx="{x(middle):.1f}" cy="{y}" r="5" fill="{colour}"/>'
        )
        if row.asked:
            drawn.append(
                f'<line x1="{x(row.asked):.1f}" x2="{x(row.asked):.1f}" y1="{y - 8}" y2="{y + 8}" '
                'stroke="#1b2733" stroke-dasharray="2 2"/>'
            )
    drawn += [
        f'<text x="{x(end):.1f}" y="{bottom + 16}" text-anchor="middle">{end:+.3g}</text>'
        for end in sorted({min(ends), 0.0, max(ends)})
    ]
    return "".join(drawn), bottom + 28


def _side(row: Row) -> Literal["better", "level", "worse"]:
    if row.verdict == "worse":
        return "worse"
    return "better" if row.gain is not None and row.gain.interval[0] > 0 else "level"


def _short(name: str) -> str:
    return name if len(name) <= 48 else f"{name[:45]}..."
