"""The charts of the winner: where it fails on the test rows, how sure it may be, and what its first layer looks at."""

import numpy as np
import numpy.typing as npt

from flows.data.preparation import Preparation
from flows.report.charts import (
    DASHES,
    GREEN,
    GREY,
    ORANGE,
    SECOND,
    SERIES,
    WINNER,
    Chart,
    chart,
    diagonal,
    label,
    line,
    numbers,
    points,
    rounded,
    spread,
)
from flows.report.tested import Answered, CalibrationBin, ClassScore, Threshold, confusion

MOST_CLASSES = 25
"""Of a confusion matrix; of more, those with the most mistakes."""
MOST_COUNTED = 15
"""Classes up to which the cells of a confusion matrix show their counts."""
MOST_CURVES = 8
MOST_SCORES = 40
MOST_TARGETS = 4
MOST_RESIDUALS = 1500
MOST_INPUTS = 40
MOST_UNITS = 64


def confusion_chart(tested: Answered) -> Chart:
    """Draw which classes are said to be which, as shares of the true class, with the counts."""
    counts = confusion(tested)
    shown = np.arange(len(counts))
    if len(counts) > MOST_CLASSES:
        wrong = counts.sum(axis=0) + counts.sum(axis=1) - 2 * counts.diagonal()
        shown = np.sort(np.argsort(-wrong, kind="stable")[:MOST_CLASSES])
    rows = counts.sum(axis=1)[shown]
    counts = counts[np.ix_(shown, shown)]
    shares = counts / np.maximum(rows, 1)[:, None]
    names = [label(tested.names[place]) for place in shown]
    trace = {
        "type": "heatmap",
        "x": names,
        "y": names,
        # A cell of no rows is left empty, so that the mistakes stand out.
        "z": [[rounded(share) if share else None for share in row] for row in shares.tolist()],
        "zmin": 0,
        "zmax": 1,
        "text": [[str(count) if count else "" for count in row] for row in counts.tolist()],
        "hoverongaps": False,
        "colorscale": "Cividis",
        "colorbar": {"title": {"text": "share of<br>true class"}, "tickformat": ".0%", "thickness": 12},
        "hovertemplate": "%{y} said to be %{x}: %{text} rows, %{z:.1%}<extra></extra>",
        **({"texttemplate": "%{text}"} if len(shown) <= MOST_COUNTED else {}),
    }
    return chart(
        [trace],
        "Confusion matrix of the test rows (numbers are rows)",
        "said to be",
        "is",
        height=min(760, 240 + 32 * len(shown)),
        xaxis={"type": "category", "constrain": "domain"},
        yaxis={"type": "category", "autorange": "reversed"},
    )


def scores_chart(scores: list[ClassScore], kind: str) -> Chart:
    """Draw precision and recall of each class or label with their intervals, those with the lowest recall first."""
    shown = sorted(scores, key=lambda one: one.recall if np.isfinite(one.recall) else 2.0)[:MOST_SCORES]
    names = [f"{label(one.name)} ({one.rows})" for one in shown]
    traces = []
    for name, colour, symbol, values in (
        ("recall", SECOND, "circle", [(one.recall, one.recall_low, one.recall_high) for one in shown]),
        ("precision", WINNER, "diamond", [(one.precision, one.precision_low, one.precision_high) for one in shown]),
    ):
        middle, low, high = (list(each) for each in zip(*values, strict=True))
        traces.append(
            points(names, numbers(middle), name, colour, symbol=symbol, size=9, error_y=spread(middle, low, high))
        )
    return chart(
        traces,
        f"Recall and precision of each {kind}, with 95% intervals",
        f"{kind} (test rows of it), the lowest recall first",
        "share of rows",
        xaxis={"type": "category"},
        yaxis={"tickformat": ".0%"},
        scattermode="group",
        scattergap=0.6,
    )


def roc_chart(curves: list[Threshold]) -> Chart:
    """Draw true over false positives, of the classes or labels with the smallest areas where there are many."""
    traces = [diagonal(0, 1, "a guess")]
    for place, one in enumerate(sorted(curves, key=lambda one: one.area)[:MOST_CURVES]):
        name = f"{label(one.name)} (AUC {one.area:.3f})"
        traces.append(line(numbers(one.false_positive), numbers(one.true_positive), name, **_style(place)))
    return chart(
        traces,
        "ROC: each against all others",
        "false positive rate",
        "true positive rate",
        xaxis={"range": [-0.02, 1.02]},
        yaxis={"range": [-0.02, 1.02]},
    )


def precision_recall_chart(curves: list[Threshold]) -> Chart:
    """Draw precision over recall, of the classes or labels with the smallest areas where there are many."""
    traces = [
        line(
            numbers(one.recall),
            numbers(one.precision),
            f"{label(one.name)} (AP {one.average_precision:.3f}, a guess {one.share:.3f})",
            **_style(place),
        )
        for place, one in enumerate(sorted(curves, key=lambda one: one.average_precision)[:MOST_CURVES])
    ]
    return chart(
        traces,
        "Precision and recall: each against all others",
        "recall",
        "precision",
        xaxis={"range": [-0.02, 1.02]},
        yaxis={"range": [-0.02, 1.02]},
    )


def calibration_chart(bins: list[CalibrationBin]) -> Chart:
    """Draw how often predictions of a probability come true, with intervals and how many there are."""
    right = [one.right for one in bins]
    ends = [one.low for one in bins], [one.high for one in bins]
    return chart(
        [
            diagonal(0, 1, "well calibrated"),
            points(
                numbers(one.likely for one in bins),
                numbers(right),
                "predictions, in bins",
                SECOND,
                size=9,
                error_y=spread(right, *ends),
                text=[f"{one.count} predictions" for one in bins],
                hovertemplate="said %{x:.1%}, came true %{y:.1%}<br>%{text}<extra></extra>",
            ),
        ],
        "Calibration: how often it is right, by how sure it is, with 95% intervals",
        "probability that it gave",
        "share that came true",
        xaxis={"range": [-0.02, 1.02], "tickformat": ".0%"},
        yaxis={"range": [-0.02, 1.02], "tickformat": ".0%"},
    )


def residual_charts(tested: Answered, place: int) -> list[Chart]:
    """Draw one target of a regression: predicted over true, residual over predicted, and how residuals spread."""
    name = label(tested.names[place])
    true, said = tested.true_values[:, place], tested.said_values[:, place]
    rows = np.arange(len(true))
    if len(rows) > MOST_RESIDUALS:
        rows = np.sort(np.random.default_rng(0).choice(rows, MOST_RESIDUALS, replace=False))
    of = "" if len(rows) == len(true) else f" ({len(rows):,} of {len(true):,} rows, drawn at random)"
    residuals = said - true
    counts, edges = np.histogram(residuals, bins=min(40, max(8, round(len(true) ** 0.5))))
    low, high = float(min(true.min(), said.min())), float(max(true.max(), said.max()))
    bars = {
        "type": "bar",
        "x": numbers((edges[:-1] + edges[1:]) / 2),
        "y": counts.tolist(),
        "width": numbers(np.diff(edges)),
        "marker": {"color": SECOND, "line": {"color": GREY, "width": 0.5}},
        "name": "rows",
        "showlegend": False,
    }
    zero = {
        "type": "line",
        "xref": "paper",
        "x0": 0,
        "x1": 1,
        "y0": 0,
        "y1": 0,
        "line": {"color": GREY, "dash": "dash"},
    }
    return [
        chart(
            [
                diagonal(low, high, "right"),
                points(numbers(true[rows]), numbers(said[rows]), "test rows", SECOND, opacity=0.55, size=6),
            ],
            f"{name}: predicted against true{of}",
            f"true {name}",
            f"predicted {name}",
        ),
        chart(
            [points(numbers(said[rows]), numbers(residuals[rows]), "test rows", SECOND, opacity=0.55, size=6)],
            f"{name}: residuals{of}",
            f"predicted {name}",
            f"predicted - true, in units of {name}",
            shapes=[zero],
            showlegend=False,
        ),
        chart(
            [bars],
            f"{name}: how the residuals spread (all {len(true):,} rows)",
            f"predicted - true, in units of {name}",
            "rows",
            height=320,
            bargap=0,
        ),
    ]


def first_layer_chart(preparation: Preparation, weights: npt.NDArray[np.float64]) -> Chart:
    """Draw the weights of the first layer, inputs by units, of the inputs and units with the largest norms if many."""
    inputs = _largest(np.linalg.norm(weights, axis=1), MOST_INPUTS)
    units = _largest(np.linalg.norm(weights, axis=0), MOST_UNITS)
    most = float(np.abs(weights).max())
    trace = {
        "type": "heatmap",
        "x": [f"unit {unit + 1}" for unit in units],
        "y": [label(preparation.input_names[place]) for place in inputs],
        "z": [numbers(row) for row in weights[np.ix_(inputs, units)]],
        "zmin": -most,
        "zmax": most,
        "colorscale": [[0, SECOND], [0.5, "#F7F7F7"], [1, WINNER]],
        "colorbar": {"title": {"text": "weight"}, "thickness": 12},
    }
    return chart(
        [trace],
        f"Weights of the first layer: {len(inputs)} of {len(weights)} inputs, {len(units)} of {weights.shape[1]} units",
        "unit",
        "input",
        height=200 + 20 * len(inputs),
        xaxis={"type": "category", "showticklabels": len(units) <= MOST_INPUTS},
        yaxis={"type": "category", "autorange": "reversed"},
    )


def class_rows_chart(names: list[str], rows: dict[str, list[int]]) -> Chart:
    """Draw how many rows of each class each part has, as shares of the part."""
    traces = [
        {
            "type": "bar",
            "x": [label(name) for name in names],
            "y": numbers(np.array(counts) / max(1, sum(counts))),
            "name": part,
            "marker": {"color": colour, "pattern": {"shape": pattern}},
            "text": [f"{count:,} rows" for count in counts],
            "textposition": "none",
            "hovertemplate": "%{x}: %{y:.1%} (%{text})<extra></extra>",
        }
        for (part, counts), colour, pattern in zip(rows.items(), (SECOND, ORANGE, GREEN), ("", "/", "."), strict=True)
    ]
    return chart(
        traces,
        "Classes in each part",
        "class",
        "share of the part's rows",
        height=340,
        xaxis={"type": "category"},
        yaxis={"tickformat": ".0%"},
        barmode="group",
    )


def _largest(norms: npt.NDArray[np.float64], most: int) -> npt.NDArray[np.int64]:
    return np.sort(np.argsort(-norms, kind="stable")[:most])


def _style(place: int) -> dict[str, str]:
    return {"colour": SERIES[place % len(SERIES)], "dash": DASHES[place // len(SERIES) % len(DASHES)]}
