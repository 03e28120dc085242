"""Curves as a person sees them, in colour and without."""

import math

import pytest
from rich.text import Text

from flows.inspection.plots import COLOURS, Line, plot

RISING = [(epoch, epoch / 20) for epoch in range(1, 21)]
FALLING = [(epoch, 1 - epoch / 20) for epoch in range(1, 21)]


def drawn(text: Text) -> list[str]:
    """Return what is right of the axis of values, a string a line."""
    return [line[max(line.find("┤"), line.find("│")) + 1 :] for line in text.plain.splitlines()[1:-1]]


def test_a_curve_that_rises_goes_from_the_lower_left_to_the_upper_right() -> None:
    rows = drawn(plot("val/accuracy", [Line("A", RISING, COLOURS[0])], 40))

    assert rows[0].strip()
    assert rows[-1][0] != " "
    # Each line begins left of the line above it.
    begins = [len(row) - len(row.lstrip()) for row in rows]
    assert begins == sorted(begins, reverse=True)


@pytest.mark.parametrize("width", [30, 80, 100])
def test_no_line_is_wider_than_asked_for(width: int) -> None:
    lines = [Line("A", RISING, COLOURS[0]), Line("B", [(1, 1e-7), (900, 1e6)], COLOURS[1])]

    text = plot("val/loss", lines, width)

    assert max(map(len, text.plain.splitlines())) <= width
    assert text.plain.splitlines()[-1].split() == ["1", "epoch", "900"]


def test_several_curves_have_their_letters_on_them_and_one_has_none() -> None:
    alone = plot("val/accuracy", [Line("A", RISING, COLOURS[0])], 60)
    both = plot("val/accuracy", [Line("A", RISING, COLOURS[0]), Line("B", FALLING, COLOURS[1])], 60)

    assert "A" not in "".join(drawn(alone))
    first, *_, last = drawn(both)
    assert first.index("B" if "B" in first else "⠉") < len(first)
    above = "".join(drawn(both)[:4])
    assert {"A", "B"} <= set(above)
    assert last


def test_curves_that_are_the_same_still_have_both_letters() -> None:
    text = plot("val/accuracy", [Line(letter, RISING, COLOURS[0]) for letter in "AB"], 60)

    assert {"A", "B"} <= set("".join(drawn(text)))


def test_what_is_no_number_is_left_out() -> None:
    points = [(1, 1.0), (2, math.inf), (3, 0.5), (4, math.nan)]

    text = plot("val/accuracy", [Line("A", points, COLOURS[0])], 40)

    assert text.plain.splitlines()[-1].split() == ["1", "epoch", "3"]
    assert plot("val/loss", [Line("A", points[3:], COLOURS[0])], 40).plain == "val/loss: nothing was measured"


def test_a_loss_that_falls_by_decades_has_a_logarithmic_axis_and_says_so() -> None:
    far = plot("train/loss", [Line("A", [(1, 1.0), (2, 0.01), (3, 0.0001)], COLOURS[0])], 40).plain.splitlines()
    near = plot("train/loss", [Line("A", [(1, 1.0), (2, 0.5)], COLOURS[0])], 40).plain.splitlines()

    assert (far[0], near[0]) == ("train/loss (logarithmic)", "train/loss")
    assert [line.split()[0] for line in far[1:-1] if "┤" in line][::2] == ["1", "0.0001"]


def test_a_flat_curve_lies_in_the_middle_with_its_letter_on_it_and_its_value_beside_it() -> None:
    flat = [(epoch, 1.0) for epoch in range(1, 21)]

    text = plot("val/accuracy", [Line("A", flat, COLOURS[0]), Line("B", flat, COLOURS[1])], 60)

    [row] = [line for line in text.plain.splitlines()[1:-1] if line.split("│")[-1].strip()]
    assert row.startswith("1 ┤")
    assert {"A", "B"} <= set(row)


def test_a_curve_of_one_epoch_or_one_value_is_drawn_too() -> None:
    for points in ([(1, 0.5)], [(1, 0.5), (2, 0.5)], [(7, 0.0)]):
        assert "".join(drawn(plot("val/loss", [Line("A", points, COLOURS[0])], 40))).strip()
