"""Curves as small plots of braille dots: eight dots a character, so 60 characters are 120 epochs wide.

Each curve has a colour, and where there are several its letter stands on it, so that they can be told apart in a pipe,
on paper and by eyes that see no red or no green. The first six colours are of Okabe and Ito (2008), those that are read
on light and on dark ground.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from rich.style import Style
from rich.text import Text

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8c6bb1", "#7f7f7f")

HEIGHT = 8
"""Lines of a plot, without its title and its axis of epochs."""

_BRAILLE = 0x2800
_DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))
"""The bits of a character's dots, by row and column."""

_DECADES = 1.5
"""A loss that falls through more powers of ten than this is shown on a logarithmic axis."""

_BETWEEN_LETTERS = 24
"""Characters of a curve to one letter on it."""


@dataclass(frozen=True)
class Line:
    """A curve to be drawn.

    Attributes
    ----------
    letter : str
        What stands on it.
    points : sequence of (epoch, value)
        Those whose value is not finite are left out.
    colour : str
        Of rich.
    """

    letter: str
    points: Sequence[tuple[int, float]]
    colour: str

    @property
    def finite(self) -> list[tuple[int, float]]:
        """The points that can be drawn, in order."""
        return sorted((epoch, value) for epoch, value in self.points if math.isfinite(value))


@dataclass(frozen=True)
class _Axes:
    """Where epochs and values lie among the dots: columns from the left, rows from the top."""

    first: int
    last: int
    low: float
    high: float
    is_log: bool
    is_flat: bool
    columns: int
    rows: int

    def column(self, epoch: float) -> float:
        return (epoch - self.first) / max(1, self.last - self.first) * (self.columns - 1)

    def row(self, value: float) -> float:
        return (self.high - self.scaled(value)) / (self.high - self.low) * (self.rows - 1)

    def scaled(self, value: float) -> float:
        return math.log10(value) if self.is_log else value

    def value(self, row: float) -> float:
        scaled = self.high - row / (self.rows - 1) * (self.high - self.low)
        return 10**scaled if self.is_log else scaled


def plot(title: str, lines: Sequence[Line], width: int, height: int = HEIGHT) -> Text:
    """Return curves over epochs as text of a width: a title, an axis of values on the left, one of epochs below."""
    drawn = [line for line in lines if line.finite]
    if not drawn:
        return Text(f"{title}: nothing was measured")
    axes = _axes(title, drawn, 2 * width, 4 * height)
    labels = _labels(axes, height)
    gutter = max(map(len, labels.values()))
    columns = max(4, width - gutter - 2)
    axes = _axes(title, drawn, 2 * columns, 4 * height)
    canvas = _Canvas(columns, height)
    for line in drawn:
        canvas.draw(line, axes)
    if len(lines) > 1:
        for place, line in enumerate(drawn):
            canvas.name(line, axes, place, len(drawn))
    text = Text()
    text.append(f"{title}{' (logarithmic)' if axes.is_log else ''}", "bold")
    text.append("\n")
    for row in range(height):
        text.append(f"{labels.get(row, ''):>{gutter}} {'┤' if row in labels else '│'}")
        text.append_text(canvas.line(row))
        text.append("\n")
    first, last = str(axes.first), str(axes.last)
    below = f"{first}{'epoch':^{max(0, columns - len(first) - len(last))}}{last}" if axes.last > axes.first else first
    text.append(" " * (gutter + 2) + below)
    return text


class _Canvas:
    """Characters that are being drawn on: which dots of each are set, by whom, and the letters on top."""

    def __init__(self, columns: int, rows: int) -> None:
        self._columns = columns
        self._dots = [[0] * columns for _ in range(rows)]
        self._colours: list[list[str]] = [[""] * columns for _ in range(rows)]
        self._letters: dict[tuple[int, int], str] = {}

    def draw(self, line: Line, axes: _Axes) -> None:
        """Join the points of a curve."""
        places = [(axes.column(epoch), axes.row(value)) for epoch, value in line.finite]
        self._set(*places[0], line.colour)
        for (x, y), (to_x, to_y) in pairwise(places):
            steps = max(1, math.ceil(max(abs(to_x - x), abs(to_y - y))))
            for step in range(1, steps + 1):
                self._set(x + (to_x - x) * step / steps, y + (to_y - y) * step / steps, line.colour)

    def name(self, line: Line, axes: _Axes, place: int, of: int) -> None:
        """Put a curve's letter on it every so often, where no other stands; each curve has places of its own."""
        points = line.finite
        start, stop = (int(axes.column(epoch)) // 2 for epoch in (points[0][0], points[-1][0]))
        span = stop - start + 1
        for number in range(count := max(1, span // _BETWEEN_LETTERS)):
            wanted = start + int(span * (number + (place + 0.5) / of) / count)
            for column in sorted(range(start, stop + 1), key=lambda one: abs(one - wanted)):
                row = round(axes.row(_value_at(points, axes, column))) // 4
                if (row, column) not in self._letters:
                    self._letters[row, column] = line.letter
                    self._colours[row][column] = line.colour
                    break

    def line(self, row: int) -> Text:
        """Return a row of characters, without blanks at its end."""
        text = Text()
        for column in range(self._columns):
            letter = self._letters.get((row, column))
            colour = self._colours[row][column]
            if letter is not None:
                text.append(letter, Style(color=colour, bold=True))
            else:
                dots = self._dots[row][column]
                text.append(chr(_BRAILLE + dots) if dots else " ", Style(color=colour or None))
        text.rstrip()
        return text

    def _set(self, x: float, y: float, colour: str) -> None:
        column, row = round(x), round(y)
        self._dots[row // 4][column // 2] |= _DOTS[row % 4][column % 2]
        self._colours[row // 4][column // 2] = colour


def _axes(title: str, lines: Sequence[Line], columns: int, rows: int) -> _Axes:
    points = [point for line in lines for point in line.finite]
    epochs, values = [epoch for epoch, _ in points], [value for _, value in points]
    low, high = min(values), max(values)
    is_log = title.endswith("loss") and low > 0 and math.log10(high / low) > _DECADES
    if is_log:
        low, high = math.log10(low), math.log10(high)
    is_flat = high - low <= abs(high) * 1e-9
    if is_flat:
        # A flat line lies in the middle.
        low, high = low - (abs(low) or 1.0) / 2, high + (abs(high) or 1.0) / 2
    return _Axes(min(epochs), max(epochs), low, high, is_log, is_flat, columns, rows)


def _value_at(points: Sequence[tuple[int, float]], axes: _Axes, column: int) -> float:
    """Return the value of a curve in the middle of a character, on the straight line between two points."""
    x = 2 * column + 0.5
    for (epoch, value), (later, after) in pairwise(points):
        left, right = axes.column(epoch), axes.column(later)
        if x <= right:
            share = min(1.0, max(0.0, (x - left) / max(1e-12, right - left)))
            between = axes.scaled(value) + share * (axes.scaled(after) - axes.scaled(value))
            return 10**between if axes.is_log else between
    return points[-1][1]


def _labels(axes: _Axes, height: int) -> dict[int, str]:
    """Return the values at the top, in the middle and at the bottom, by line; of a flat curve its own."""
    if axes.is_flat:
        middle = (axes.rows - 1) / 2
        return {round(middle) // 4: f"{axes.value(middle):.4g}"}
    lines = {0: 0.0, height // 2: 4 * (height // 2) + 1.5, height - 1: axes.rows - 1.0}
    return {line: f"{axes.value(row):.4g}" for line, row in lines.items()}
