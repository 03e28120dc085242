"""A report as one HTML file that needs no network: text and tables as they are, charts drawn by the page itself.

The program that draws (plotly.js, 4.8 MB, MIT) is part of the page, packed to a third by gzip, and unpacked
by the browser.
"""

import base64
import gzip
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cache
from html import escape
from importlib.resources import files
from typing import TypeAlias

from flows.report.charts import Chart

Part: TypeAlias = "str | Chart"
"""Of a section: HTML, or a chart."""


@dataclass(frozen=True)
class Section:
    """A part of the report with a heading, which links lead to by its name."""

    name: str
    title: str
    parts: list[Part] = field(default_factory=list)


@dataclass(frozen=True)
class Question:
    """What a reader wants to know, the answer in a sentence, and the section where more of it stands."""

    question: str
    answer: str
    section: str


def page(title: str, lead: str, questions: Sequence[Question], sections: Sequence[Section]) -> str:
    """Return the whole page."""
    charts: list[Chart] = []
    body = "".join(_section(section, charts) for section in sections)
    drawn = json.dumps(charts, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
    here = files("flows.report")
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<style>\n{(here / 'page.css').read_text('utf-8')}</style></head><body>"
        f"<h1>{escape(title)}</h1>{lead}{_contents(questions, sections)}{body}"
        "<noscript><p class=warning>The charts are drawn by JavaScript, which is switched off here.</p></noscript>"
        f'<script type="application/json" id="charts">{drawn}</script>'
        f'<script type="text/plain" id="plotly">{_packed_plotly()}</script>'
        f"<script type=module>\n{(here / 'page.js').read_text('utf-8')}</script></body></html>\n"
    )


def table(head: Sequence[str], rows: Iterable[Sequence[object]], *, winner: bool = False) -> str:
    """Return a table; columns of numbers stand to the right, and the first row may be the winner's."""
    lines = [[_cell(value) for value in row] for row in rows]
    right = [bool(lines) and all(is_number for _, is_number in column) for column in zip(*lines, strict=True)]
    named = list(zip(head, right or [False] * len(head), strict=True))
    heads = "".join(f"<th{' class=number' if number else ''}>{escape(name)}</th>" for name, number in named)
    body = "".join(
        f"<tr{' class=winner' if winner and place == 0 else ''}>"
        + "".join(
            f"<td{' class=number' if number else ''}>{text}</td>" for (text, _), number in zip(line, right, strict=True)
        )
        + "</tr>"
        for place, line in enumerate(lines)
    )
    return f'<div class="scroll"><table><thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table></div>'


def paragraph(text: str, kind: str = "") -> str:
    """Return text as a paragraph of a kind: answer, quiet or warning."""
    return f"<p{f' class={kind}' if kind else ''}>{escape(text)}</p>"


def folded(title: str, content: str) -> str:
    """Return HTML that is seen after a click on its title."""
    return f"<details><summary>{escape(title)}</summary>{content}</details>"


def pictures(shown: Iterable[tuple[str, str]], kind: str = "") -> str:
    """Return pictures, each given by its address and what stands below it."""
    each = "".join(
        f'<figure><img src="{address}" alt="{escape(text)}"><figcaption>{escape(text)}</figcaption></figure>'
        for address, text in shown
    )
    return f'<div class="pictures {kind}">{each}</div>'


def _cell(value: object) -> tuple[str, bool]:
    if isinstance(value, float):
        return (
            f"{value:.4g}" if abs(value) < 1 or abs(value) >= 1e6 else f"{value:,.4f}".rstrip("0").rstrip(".")
        ), True
    if isinstance(value, int):
        return f"{value:,}", True
    return escape(str(value)), str(value) == ""


def _section(section: Section, charts: list[Chart]) -> str:
    body = []
    for part in section.parts:
        if isinstance(part, str):
            body.append(part)
        else:
            layout = part["layout"]
            title = escape(layout["title"]["text"])
            body.append(
                f'<div class="chart" role="img" aria-label="{title}" data-chart="{len(charts)}" '
                f'style="height: {layout["height"]}px"></div>'
            )
            charts.append(part)
    return f'<section id="{section.name}"><h2>{escape(section.title)}</h2>{"".join(body)}</section>'


def _contents(questions: Sequence[Question], sections: Sequence[Section]) -> str:
    titles = {section.name: section.title for section in sections}
    rows = "".join(
        f"<tr><td>{escape(one.question)}</td><td>{escape(one.answer)}</td>"
        f'<td><a href="#{one.section}">{escape(titles[one.section])}</a></td></tr>'
        for one in questions
    )
    asked = {one.section for one in questions}
    rest = " · ".join(
        f'<a href="#{section.name}">{escape(section.title)}</a>' for section in sections if section.name not in asked
    )
    return (
        '<nav class="questions"><table><thead><tr><th>question</th><th>answer</th><th>more of it</th></tr></thead>'
        f"<tbody>{rows}</tbody></table><p class=quiet>Also: {rest}</p></nav>"
    )


@cache
def _packed_plotly() -> str:
    from plotly.offline import get_plotlyjs

    return base64.b64encode(gzip.compress(get_plotlyjs().encode(), compresslevel=6, mtime=0)).decode()
