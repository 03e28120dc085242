"""The result as a picture: how far ahead of the best peer every row is, and what it is to reach."""

from collections.abc import Sequence
from pathlib import Path

from benchmarks.entrants import LABELS
from benchmarks.report import described
from benchmarks.verdicts import Line

AHEAD, BEHIND, TARGET = "#0072B2", "#E69F00", "#000000"
"""Okabe and Ito's colours, told apart with any colour vision."""


def plot(lines: Sequence[Line], path: Path) -> None:
    """Write a bar for every line that has a ratio, with its targets against peers as marks."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt
    from matplotlib.ticker import ScalarFormatter

    drawn = [line for line in lines if line.ratio is not None]
    figure, axes = plt.subplots(figsize=(10, 1.5 + 0.45 * max(len(drawn), 1)), layout="constrained")
    for place, line in enumerate(drawn):
        ratio = line.ratio or 0
        # From 1, where we are as fast: a scale of logarithms has no 0 to start from.
        axes.barh(place, ratio - 1, left=1, color=AHEAD if ratio >= 1 else BEHIND)
        label = f" {ratio:.2f} x {LABELS[line.best]}" if line.best else f" {ratio:.2f}"
        axes.annotate(label, (max(ratio, 1), place), va="center", fontsize=8)
        for reached in line.reached:
            # A target against one peer stands where the bar would end were it just met.
            if reached.share:
                axes.plot(ratio / reached.share, place, marker="|", markersize=16, markeredgewidth=2, color=TARGET)
                axes.annotate(
                    described(reached), (ratio / reached.share, place - 0.42), ha="center", fontsize=6, color=TARGET
                )
    axes.axvline(1, color="grey", linewidth=0.8)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(ScalarFormatter())
    axes.margins(x=0.3)
    axes.set_yticks(range(len(drawn)), [line.name for line in drawn])
    axes.invert_yaxis()
    axes.set_xlabel("ratio to the best peer, more is better; marks: targets")
    axes.set_title("backprop against its peers on two cores")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150)
    plt.close(figure)
