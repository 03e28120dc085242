"""Charts as plotly's JSON, without plotly: the page draws them, and brings what is the same in all of them.

Colours are of Okabe and Ito's set, which people with any kind of colour vision tell apart, and stand on light and dark
ground; shades are cividis, for the same reason. No colour says what a shape, a name or a place does not say as well.
"""

import math
from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

Trace = dict[str, Any]
Chart = dict[str, Any]

WINNER = "#D55E00"
SECOND = "#0072B2"
SKY = "#56B4E9"
GREEN = "#009E73"
ORANGE = "#E69F00"
PURPLE = "#CC79A7"
GREY = "#8C8C8C"
PALE = "#C4CCD4"
SERIES = (SECOND, ORANGE, GREEN, PURPLE, SKY, WINNER, "#B8A800", GREY)
DASHES = ("solid", "dash", "dot", "dashdot")

MOST_LETTERS = 48
DIGITS = 4
FEW_EPOCHS = 12


def chart(traces: Sequence[Trace], title: str, x: str, y: str, *, height: int = 420, **layout: Any) -> Chart:
    """Return a chart with its title and the labels of its axes."""
    axes = {"xaxis": {"title": {"text": x}}, "yaxis": {"title": {"text": y}}}
    for axis in axes:
        axes[axis] |= layout.pop(axis, {})
    return {"data": list(traces), "layout": {"title": {"text": title}, "height": height, **axes, **layout}}


def numbers(values: Iterable[float]) -> list[float | None]:
    """Return numbers with as many digits as a chart shows, and a gap for what is none."""
    return [rounded(float(value)) for value in values]


def rounded(value: float) -> float | None:
    """Return a number with as many digits as a chart shows, None for what is none."""
    return float(f"{value:.{DIGITS}g}") if math.isfinite(value) else None


def label(text: object) -> str:
    """Return text that plotly shows as it is, cut where it is too long: plotly reads tags."""
    said = str(text)
    return escape(said if len(said) <= MOST_LETTERS else said[: MOST_LETTERS - 1] + "…", quote=False)


def line(x: Sequence[Any], y: Sequence[Any], name: str, colour: str, **more: Any) -> Trace:
    """Return a line."""
    style = {"color": colour, "width": more.pop("width", 2), "dash": more.pop("dash", "solid")}
    return {"type": "scatter", "mode": "lines", "x": list(x), "y": list(y), "name": name, "line": style, **more}


def points(x: Sequence[Any], y: Sequence[Any], name: str, colour: str, **more: Any) -> Trace:
    """Return points."""
    marker = {"color": colour, "size": more.pop("size", 7), "symbol": more.pop("symbol", "circle")}
    marker["opacity"] = more.pop("opacity", 1)
    return {"type": "scatter", "mode": "markers", "x": list(x), "y": list(y), "name": name, "marker": marker, **more}


def spread(values: Sequence[float], low: Sequence[float], high: Sequence[float]) -> dict[str, Any]:
    """Return error bars from the ends of intervals."""
    over = [top - value for value, top in zip(values, high, strict=True)]
    under = [value - bottom for value, bottom in zip(values, low, strict=True)]
    return {
        "type": "data",
        "symmetric": False,
        "array": numbers(over),
        "arrayminus": numbers(under),
        "thickness": 1.4,
        "width": 4,
    }


def joined(curves: Iterable[tuple[Sequence[float], Sequence[float]]]) -> tuple[list[Any], list[Any]]:
    """Return many curves as one, with gaps between them: a chart of a few traces draws faster than one of hundreds."""
    x: list[Any] = []
    y: list[Any] = []
    for across, up in curves:
        x += [*numbers(across), None]
        y += [*numbers(up), None]
    return x, y


def epoch_axis(last: int) -> dict[str, Any]:
    """Return an axis of epochs, which have no halves."""
    return {"dtick": 1} if last <= FEW_EPOCHS else {}


def diagonal(low: float, high: float, name: str) -> Trace:
    """Return the line on which both axes are the same."""
    return line([rounded(low), rounded(high)], [rounded(low), rounded(high)], name, GREY, dash="dash", width=1)
