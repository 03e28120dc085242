"""The charts of a search: its curves, its trials beside each other, what mattered, and what it cost."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from flows.ranking import Candidate
from flows.report.charts import (
    DASHES,
    GREEN,
    GREY,
    ORANGE,
    PALE,
    SECOND,
    SERIES,
    SKY,
    WINNER,
    Chart,
    Trace,
    chart,
    diagonal,
    epoch_axis,
    joined,
    label,
    line,
    numbers,
    points,
    rounded,
    spread,
)
from flows.report.costs import StackCost
from flows.report.curves import QUANTILES, Curve, Curves, bands
from flows.report.hyperparameters import NAMES, Importances, ValueScores, shown, value_of, varying
from flows.report.leads import Leads
from flows.report.searched import Searched

MOST_POINTS = 1000
"""Trials of a chart that has one mark or line for each; of more, the best and a sample."""
MOST_BEST = 200
MOST_TICKS = 30
LOG_RANGE = 20.0
"""From where on the largest of positive numbers is so many times the least, their axis is logarithmic."""


def drawn(candidates: Sequence[Candidate]) -> list[Candidate]:
    """Return the configurations that get a mark of their own: all, or the best and a sample of the others."""
    if len(candidates) <= MOST_POINTS:
        return list(candidates)
    others = candidates[MOST_BEST:]
    places = np.random.default_rng(0).choice(len(others), MOST_POINTS - MOST_BEST, replace=False)
    return [*candidates[:MOST_BEST], *(others[place] for place in sorted(places))]


def lead_chart(leads: Leads) -> Chart:
    """Draw by how much the winner leads the configurations behind it, with intervals."""
    names = [f"{lead.place}. {label(lead.name)}" for lead in leads.validation]
    values = [lead.value for lead in leads.validation]
    ends = [lead.low for lead in leads.validation], [lead.high for lead in leads.validation]
    traces = [
        points(numbers(values), names, "validation rows", SECOND, size=9, error_x=spread(values, *ends)),
    ]
    if leads.test is not None:
        lead = leads.test
        traces.append(
            points(
                numbers([lead.value]),
                names[:1],
                "test rows",
                WINNER,
                size=10,
                symbol="diamond",
                error_x=spread([lead.value], [lead.low], [lead.high]),
            )
        )
    return chart(
        traces,
        "By how much the winner leads, with 95% intervals",
        f"lead in {leads.metric.title} (above 0: the winner is better)",
        "rank and configuration",
        height=150 + 38 * len(names),
        yaxis={"autorange": "reversed", "type": "category"},
        shapes=[{"type": "line", "x0": 0, "x1": 0, "yref": "paper", "y0": 0, "y1": 1, "line": _thin()}],
    )


def curves_chart(curves: Curves, name: str) -> Chart:
    """Draw the curves of a loss: the winner on top, pruned and diverged ones faded, bands where not all are drawn."""
    traces: list[Trace] = []
    pruned = [curve for curve in (*curves.top, *curves.sample) if curve.trial.pruned_at is not None]
    lost = [curve for curve in (*curves.top, *curves.sample) if curve.trial.diverged_at is not None]
    gone = {id(curve) for curve in (*pruned, *lost)}
    others = [curve for curve in curves.sample if id(curve) not in gone]
    top = [curve for curve in curves.top if id(curve) not in gone]
    if curves.are_sampled:
        traces += _bands(curves, name)
    for group, said, colour, opacity, width in (
        (pruned, "pruned", GREY, 0.3, 1),
        (lost, "diverged", ORANGE, 0.5, 1),
        (others, "others", SKY, 0.45 if not curves.are_sampled else 0.25, 1),
        (top, "next best", SECOND, 0.8, 1.3),
    ):
        if group:
            x, y = joined((curve.epochs, curve.values[name]) for curve in group)
            traces.append(line(x, y, f"{said} ({len(group)})", colour, width=width, opacity=opacity, hoverinfo="skip"))
    traces.append(line(curves.winner.epochs, numbers(curves.winner.values[name]), "winner", WINNER, width=3.5))
    last = max(curve.epochs[-1] for curve in (curves.winner, *curves.top, *curves.sample) if curve.epochs)
    return chart(
        traces,
        f"{_sentence(name)} of the trials",
        "epoch",
        name,
        xaxis=epoch_axis(last),
        yaxis=_axis([value for trace in traces for value in trace["y"] if value is not None]),
    )


def gap_chart(searched: Searched) -> Chart:
    """Draw the last validation loss of every trial over its training loss."""
    traces = []
    rest = [one for one in drawn(searched.ranked[1:]) if "train/loss" in one.metrics]
    for pruned, said, colour in ((True, "pruned", GREY), (False, "trained to the end", SECOND)):
        here = [one for one in rest if (one.pruned_at is not None) == pruned]
        if here:
            traces.append(
                points(
                    numbers(one.metrics["train/loss"] for one in here),
                    numbers(one.metrics["val/loss"] for one in here),
                    said,
                    colour,
                    opacity=0.5,
                    text=[label(one.name) for one in here],
                    hovertemplate="%{text}<br>train %{x}, validation %{y}<extra></extra>",
                )
            )
    best = searched.best.metrics
    if "train/loss" in best:
        traces.append(
            points([rounded(best["train/loss"])], [rounded(best["val/loss"])], "winner", WINNER, size=14, symbol="star")
        )
    x, y = ([value for trace in traces for value in trace[axis] if value is not None] for axis in "xy")
    if x and y:
        traces.insert(0, diagonal(max(min(x), min(y)), min(max(x), max(y)), "no gap"))
    return chart(
        traces,
        "Training against validation: the higher above the line, the more it has overfitted",
        "train/loss of the last epoch",
        "val/loss of the last epoch",
        # One scale for both, on which the line of no gap is one.
        xaxis=_axis([*x, *y]),
        yaxis=_axis([*x, *y]),
    )


def own_gap_chart(winner: Curve) -> Chart:
    """Draw the winner's training and validation loss over the epochs."""
    return chart(
        [
            line(winner.epochs, numbers(winner.values["train/loss"]), "train/loss", SECOND, dash="dash"),
            line(winner.epochs, numbers(winner.values["val/loss"]), "val/loss", WINNER),
        ],
        "The winner's losses",
        "epoch",
        "loss",
        xaxis=epoch_axis(winner.epochs[-1]),
    )


def parallel_chart(searched: Searched) -> Chart | None:
    """Draw a line a configuration through its hyperparameters to its score; None where none varies."""
    names = varying([*searched.ranked, *searched.diverged])
    goal = searched.goal
    if not names:
        return None
    # The last are drawn on top.
    shown_ones = drawn(searched.ranked)[::-1]
    scores = [one.metrics[goal.metric] for one in shown_ones]
    middle = np.quantile(scores, [0.05, 1.0] if goal.maximise else [0.0, 0.95])
    dimensions = [_dimension([value_of(one, name) for one in shown_ones], name) for name in names]
    dimensions.append({"label": goal.metric, "values": numbers(scores)})
    trace = {
        "type": "parcoords",
        "dimensions": dimensions,
        "labelangle": -12 if len(dimensions) > 7 else 0,
        "line": {
            "color": numbers(scores),
            "colorscale": [[0, PALE], [0.6, SKY], [1, WINNER]],
            "reversescale": not goal.maximise,
            "cmin": rounded(float(middle[0])),
            "cmax": rounded(float(middle[1])),
            "showscale": True,
            "colorbar": {"title": {"text": goal.metric}, "thickness": 12},
        },
        "unselected": {"line": {"color": GREY, "opacity": 0.08}},
    }
    layout = {
        "title": {"text": "Every line is a configuration: drag along an axis to pick some"},
        "height": 470,
        "margin": {"l": 80, "r": 30, "t": 110, "b": 30},
    }
    return {"data": [trace], "layout": layout, "webgl": True}


def importance_chart(found: Importances) -> Chart:
    """Draw how much of the score's variance each hyperparameter explains, with its spread."""
    values = [one.value for one in found.each]
    ends = [one.low for one in found.each], [one.high for one in found.each]
    trace = {
        "type": "bar",
        "orientation": "h",
        "x": numbers(values),
        "y": [one.name for one in found.each],
        "marker": {"color": SECOND},
        "error_x": {**spread(values, *ends), "color": WINNER},
        "name": "importance",
        "showlegend": False,
    }
    return chart(
        [trace],
        "What the score depends on",
        "fall of R² when the hyperparameter is shuffled (bars: median; whiskers: middle 90%)",
        "hyperparameter",
        height=150 + 40 * len(values),
        yaxis={"autorange": "reversed", "type": "category"},
    )


def value_charts(scores: dict[str, list[ValueScores]], metric: str) -> Chart:
    """Draw the median score of each value of each hyperparameter, with quartiles, on one scale."""
    traces, layout = [], {}
    columns = 3
    rows = -(-len(scores) // columns)
    gap = 0.09
    width, tall = (1 - gap * (columns - 1)) / columns, (1 - 0.36 * (rows - 1) / max(1, rows)) / rows
    for place, (name, values) in enumerate(scores.items()):
        number = str(place + 1) if place else ""
        row, column = divmod(place, columns)
        left, top = column * (width + gap), 1 - row * (tall + 0.36 / rows)
        there = [one for one in values if one.count]
        medians = [one.median for one in there]
        traces.append(
            points(
                [label(one.value) for one in there],
                numbers(medians),
                name,
                SECOND,
                size=9,
                error_y=spread(medians, [one.low for one in there], [one.high for one in there]),
                text=[f"{one.count} configurations, {one.diverged} diverged" for one in there],
                hovertemplate="%{x}: median %{y}<br>%{text}<extra></extra>",
                xaxis=f"x{number}",
                yaxis=f"y{number}",
                showlegend=False,
            )
        )
        matched = {"matches": "y"} if place else {}
        layout[f"xaxis{number}"] = {
            "title": {"text": name},
            "type": "category",
            "domain": [round(left, 4), round(left + width, 4)],
            "anchor": f"y{number}",
            "categoryorder": "array",
            "categoryarray": [label(one.value) for one in there],
        }
        layout[f"yaxis{number}"] = {
            "title": {"text": metric if column == 0 else ""},
            "domain": [round(max(0.0, top - tall), 4), round(top, 4)],
            "anchor": f"x{number}",
            **matched,
        }
    title = {"text": f"{metric} by value: median and quartiles of all configurations that share it"}
    return {"data": traces, "layout": {"title": title, "height": 120 + 300 * rows, **layout}}


def stack_chart(stacks: Sequence[StackCost]) -> Chart:
    """Draw how fast each stack trained, and for how long."""
    traces = []
    for place, worker in enumerate(sorted({one.worker for one in stacks})):
        here = [one for one in stacks if one.worker == worker]
        traces.append(
            points(
                numbers(one.training_seconds for one in here),
                numbers(one.samples_per_second for one in here),
                f"worker {place + 1}",
                SERIES[place % len(SERIES)],
                size=11,
                symbol=("circle", "diamond", "square", "cross")[place % 4],
                text=[f"{label(one.name)}: {one.trials} trials, {one.epochs} epochs" for one in here],
                hovertemplate="%{text}<br>%{x} s, %{y} samples/s<extra></extra>",
            )
        )
    return chart(
        traces,
        "Time and throughput of every stack",
        "training time (s)",
        "samples trained a second",
        height=380,
        yaxis={"rangemode": "tozero"},
        xaxis={"rangemode": "tozero"},
    )


def watched_charts(watched: Curve) -> list[Chart]:
    """Draw what was watched of the winner's layers, a chart a quantity."""
    charts = []
    titles = {
        "weight_norm": ("Norm of the weights of each layer", "L2 norm"),
        "dead_share": ("Share of the units of each layer that are 0 for every row", "share of units"),
        "gradient_norm": ("Norm of the gradient of each layer", "L2 norm"),
    }
    for quantity in sorted({name.rpartition("/")[2] for name in watched.values}):
        title, unit = titles.get(quantity, (quantity, quantity))
        layers = [name for name in sorted(watched.values) if name.endswith(f"/{quantity}")]
        traces = [
            line(
                watched.epochs,
                numbers(watched.values[name]),
                f"layer {name.split('/')[1]}",
                SERIES[place % len(SERIES)],
                dash=DASHES[place % len(DASHES)],
            )
            for place, name in enumerate(layers)
        ]
        shares: dict[str, Any] = {}
        if quantity == "dead_share":
            # None at all would be drawn between -1 and 1.
            some = any(np.any(watched.values[name]) for name in layers)
            shares = {"rangemode": "tozero"} if some else {"range": [0, 1]}
        epochs = epoch_axis(watched.epochs[-1])
        charts.append(chart(traces, title, "epoch", unit, height=340, xaxis=epochs, yaxis=shares, showlegend=True))
    return charts


def _bands(curves: Curves, name: str) -> list[Trace]:
    epochs, found = bands(curves.sample, name, curves.every)
    traces = []
    for outer, said in ((0, "middle 80%"), (1, "middle 50%")):
        low, high = numbers(found[outer]), numbers(found[-1 - outer])
        colour = "rgba(0,158,115,0.14)" if outer == 0 else "rgba(0,158,115,0.22)"
        traces.append(
            {
                "type": "scatter",
                "mode": "lines",
                "x": [*epochs, *epochs[::-1]],
                "y": [*high, *low[::-1]],
                "fill": "toself",
                "fillcolor": colour,
                "line": {"width": 0},
                "name": f"{said} of the sample",
                "hoverinfo": "skip",
            }
        )
    middle = QUANTILES.index(0.5)
    traces.append(line(epochs, numbers(found[middle]), "median of the sample", GREEN, width=2, dash="dot"))
    return traces


def _dimension(values: Sequence[str | float], name: str) -> dict[str, Any]:
    """Return an axis of parallel coordinates: names, and numbers of few values or many magnitudes, by their ticks."""
    distinct: list[Any] = sorted(set(values))
    if name == "hidden":
        distinct.sort(key=lambda text: [] if text == "linear" else [int(width) for width in text.split("-")])
    spans = name not in NAMES and distinct[0] > 0 and distinct[-1] / distinct[0] >= LOG_RANGE
    if name in NAMES or (len(distinct) <= 8 and not spans):
        places = {value: place for place, value in enumerate(distinct)}
        ticks = list(range(0, len(distinct), -(-len(distinct) // MOST_TICKS)))
        return {
            "label": name,
            "values": [places[value] for value in values],
            "tickvals": ticks,
            "ticktext": [label(shown(distinct[tick])) for tick in ticks],
        }
    if not spans:
        return {"label": name, "values": numbers(float(value) for value in values)}
    at = np.log10(distinct) if len(distinct) <= 8 else np.linspace(np.log10(distinct[0]), np.log10(distinct[-1]), 5)
    return {
        "label": f"{name} (log)",
        "values": numbers(np.log10([float(value) for value in values])),
        "tickvals": numbers(at),
        "ticktext": [f"{10**power:.3g}" for power in at],
    }


def _axis(values: Sequence[float]) -> dict[str, Any]:
    """Return an axis of losses: logarithmic where they span magnitudes."""
    if values and min(values) > 0 and max(values) / min(values) > LOG_RANGE:
        return {"type": "log", "dtick": "D2", "tickformat": "~g"}
    return {"type": "linear"}


def _sentence(name: str) -> str:
    return {"train/loss": "Training loss", "val/loss": "Validation loss"}.get(name, name)


def _thin() -> dict[str, Any]:
    return {"color": GREY, "width": 1, "dash": "dash"}
