"""Drift as a page that needs no network: how far each column moved, and what the most moved ones look like now."""

from collections.abc import Sequence
from html import escape
from typing import Any

from flows.data.drift import ColumnDrift, DriftReport, Verdict

# The columns beyond these are in the table below the plot.
MOST_BARS = 25
MOST_SHOWN = 9
SHOWN_IN_A_ROW = 3

COLOURS: dict[Verdict, str] = {"drifted": "#c0392b", "warning": "#e08e0b", "stable": "#8a94a0"}
REFERENCE_COLOUR, CURRENT_COLOUR = "#b9c3cf", "#1f5fa8"
ROW_HEIGHT = 240
# Of what stands below one another: the bins' labels are there.
ROW_GAP = 120
BAR_HEIGHT = 22

STYLE = """
body { font: 14px/1.5 system-ui, sans-serif; color: #1b2733; margin: 24px auto; max-width: 1180px; padding: 0 16px; }
h1 { font-size: 20px; margin: 0 0 4px; }
table { border-collapse: collapse; width: 100%; margin-top: 16px; }
td, th { text-align: left; padding: 4px 10px; border-bottom: 1px solid #dde3ea; }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; }
"""


def drift_page(report: DriftReport) -> str:
    """Return the whole page as HTML, the program that draws the plot within it."""
    plot = figure(report).to_html(full_html=False, include_plotlyjs=True) if report.columns else ""
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>Drift</title>'
        f"<style>{STYLE}</style></head><body><h1>Drift</h1><p>{escape(report.summary)}. "
        f"{report.rows_reference:,} reference rows, {report.rows_current:,} rows now.</p>"
        f"{plot}{table(report.columns)}</body></html>\n"
    )


def figure(report: DriftReport) -> Any:
    """Return the plot: a bar a column, and below it the shares on both sides of the columns that moved most."""
    # Here and not above: a flow that measures no drift needs none of it.
    from plotly.graph_objects import Bar
    from plotly.subplots import make_subplots

    bars, shown = report.columns[:MOST_BARS], report.columns[:MOST_SHOWN]
    rows = -(-len(shown) // SHOWN_IN_A_ROW)
    heights = [BAR_HEIGHT * len(bars) + 60, *[ROW_HEIGHT] * rows]
    plot = make_subplots(
        rows=1 + rows,
        cols=SHOWN_IN_A_ROW,
        specs=[[{"colspan": SHOWN_IN_A_ROW}, None, None], *[[{}] * SHOWN_IN_A_ROW] * rows],
        subplot_titles=["population stability index", *(escape(column.column) for column in shown)],
        row_heights=heights,
        vertical_spacing=ROW_GAP / (sum(heights) + ROW_GAP * rows),
    )
    plot.add_trace(
        Bar(
            x=[column.psi for column in bars],
            y=[escape(column.column) for column in bars],
            orientation="h",
            marker_color=[COLOURS[column.verdict] for column in bars],
            text=[f"{column.psi:.3f} {column.verdict}" for column in bars],
            textposition="outside",
            cliponaxis=False,
            showlegend=False,
        ),
        row=1,
        col=1,
    )
    largest = max(*(column.psi for column in bars), report.parameters.psi_stop)
    plot.update_xaxes(range=[0, 1.25 * largest], row=1, col=1)
    plot.update_yaxes(autorange="reversed", row=1, col=1)
    plot.add_vline(
        x=report.parameters.psi_warning, line_dash="dot", line_color=COLOURS["warning"], layer="below", row=1, col=1
    )
    plot.add_vline(
        x=report.parameters.psi_stop, line_dash="dot", line_color=COLOURS["drifted"], layer="below", row=1, col=1
    )
    for place, column in enumerate(shown):
        add_shares(plot, column, row=2 + place // SHOWN_IN_A_ROW, col=1 + place % SHOWN_IN_A_ROW, legend=place == 0)
    plot.update_layout(
        height=sum(heights) + ROW_GAP * rows + 120,
        template="plotly_white",
        barmode="group",
        bargap=0.15,
        margin={"l": 120, "r": 60, "t": 60, "b": 60},
        legend={"orientation": "h", "x": 1, "xanchor": "right", "y": 1, "yanchor": "bottom"},
    )
    return plot


def add_shares(plot: Any, column: ColumnDrift, row: int, col: int, legend: bool) -> None:
    """Draw the shares of a column's bins on both sides; bins that are empty on both are left out."""
    from plotly.graph_objects import Bar

    used = [i for i in range(len(column.bins)) if column.reference[i] or column.current[i]]
    for name, shares, colour in (
        ("reference", column.reference, REFERENCE_COLOUR),
        ("now", column.current, CURRENT_COLOUR),
    ):
        trace = Bar(
            x=[escape(column.bins[i]) for i in used],
            y=[shares[i] for i in used],
            name=name,
            legendgroup=name,
            showlegend=legend,
            marker_color=colour,
        )
        plot.add_trace(trace, row=row, col=col)
    plot.update_xaxes(type="category", tickangle=45, tickfont_size=10, row=row, col=col)
    plot.update_yaxes(tickformat=".0%", row=row, col=col)


def table(columns: Sequence[ColumnDrift]) -> str:
    """Return every column as a row of an HTML table."""
    head = (
        "<th>column</th><th class=number>PSI</th><th>test</th><th class=number>statistic</th>"
        "<th class=number>p-value</th><th>verdict</th>"
    )
    rows = "".join(
        f"<tr><td>{escape(column.column)}</td><td class=number>{column.psi:.4f}</td><td>{column.test or ''}</td>"
        f"<td class=number>{number(column.statistic, '.4g')}</td><td class=number>{number(column.p_value, '.2g')}</td>"
        f'<td style="color: {COLOURS[column.verdict]}">{column.verdict}</td></tr>'
        for column in columns
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"


def number(value: float | None, form: str) -> str:
    """Write a number if there is one."""
    return "" if value is None else format(value, form)
