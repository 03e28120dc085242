"""Charts of a search's trials, made up for MLflow's chart view so that nobody has to click them together.

MLflow chooses charts and columns itself where it is told none: test metrics, which one trial has, come first, a scatter
plot has them on both axes, and the list has no column of a hyperparameter or metric. What a person shares with others
it keeps as a tag of the experiment: the state of its page as JSON. The same is written here, of the search's trials.
"""

import base64
import json
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from flows.pages.links import trials_of
from flows.ranking import Objective
from flows.tracking.search_runs import SearchRun

TAG = "mlflow.sharedViewState."
"""What the names of MLflow's shared views begin with, among the tags of an experiment."""

ALL_SHOWN = 100
"""Trials of a search that are drawn all. MLflow loads as many at first; of larger searches it draws the best 20."""

CURVES = ("val/loss", "train/loss")

_ALL, _BEST = "SHOWALL", "FIRST_20_RUNS"


@dataclass(frozen=True)
class Axes:
    """What the charts of a search show.

    Attributes
    ----------
    varying : tuple of str
        Params that differ among the trials.
    numbers : tuple of str
        Those of them whose values are all numbers.
    mixed : tuple of str
        Those of which some values are numbers and others are not, as `32` and `64-32`: MLflow takes such a param for a
        number and leaves out the rest.
    """

    goal: Objective
    varying: tuple[str, ...]
    numbers: tuple[str, ...]
    trials: int
    mixed: tuple[str, ...] = ()

    @property
    def drawn(self) -> list[str]:
        """What is drawn: the architecture as text, or, if that is mixed, as its number of parameters."""
        instead = "parameters" if "hidden" not in self.mixed else None
        return [name for name in self.varying if name not in (*self.mixed, instead)]


# In the order in which people ask for them. `hidden` is the architecture as text, and `parameters` as a number.
_ASKED = (
    "learning_rate",
    "hidden",
    "parameters",
    "activation",
    "optimizer",
    "momentum",
    "weight_decay",
    "batch_size",
    "l2",
    "dropout",
    "epochs",
    "seed",
    "fold",
)


def axes(goal: Objective, params: Sequence[Mapping[str, str]]) -> Axes:
    """Return what is worth to be drawn of trials with some params."""
    varying = tuple(name for name in _ASKED if len({trial.get(name) for trial in params}) > 1)
    numbers = tuple(name for name in varying if all(_is_number(trial.get(name)) for trial in params))
    some = {name for name in varying if any(_is_number(trial.get(name)) for trial in params)}
    mixed = tuple(name for name in varying if name in some and name not in numbers)
    return Axes(goal, varying, numbers, len(params), mixed)


def view_key(run: SearchRun) -> str:
    """Return what the view of a search is found by."""
    return f"trials-{run.run_id}"


def save_view(run: SearchRun, of: Axes) -> None:
    """Write the view of a search on its experiment."""
    text = json.dumps(state(run, of), separators=(",", ":"))
    packed = "deflate;" + base64.b64encode(zlib.compress(text.encode(), 9)).decode()
    run.tracking.client().set_experiment_tag(run.tracking.experiment_id, f"{TAG}{view_key(run)}", packed)


def state(run: SearchRun, of: Axes) -> dict[str, Any]:
    """Return the view as MLflow has it; what is left out is as MLflow begins with it."""
    metric = of.goal.metric
    columns = [f"params.`{name}`" for name in of.varying if name != "parameters"]
    names = dict.fromkeys([metric, *CURVES])
    charts = [
        {"metricSectionId": section, "uuid": f"{section}-{place}", "deleted": False, "isGenerated": False, **chart}
        for section, drawn in (("hyperparameters", _hyperparameters(of)), ("curves", _curves(names)))
        for place, chart in enumerate(drawn)
    ]
    return {
        "searchFilter": trials_of(run.run_id),
        "orderByKey": f"metrics.`{metric}`",
        "orderByAsc": not of.goal.maximise,
        "selectedColumns": [*columns, *(f"metrics.`{name}`" for name in names), "attributes.`Models`"],
        "runsHiddenMode": _ALL if of.trials <= ALL_SHOWN else _BEST,
        "compareRunCharts": charts,
        "compareRunSections": [
            {"uuid": uuid, "name": name, "display": True, "isReordered": True, "deleted": False, "isGenerated": False}
            for uuid, name in (("hyperparameters", f"Hyperparameters and {metric}"), ("curves", "Curves, by epoch"))
        ],
        "isAccordionReordered": True,
    }


def _hyperparameters(of: Axes) -> Iterator[dict[str, Any]]:
    metric = of.goal.metric
    if of.varying:
        yield {
            "type": "PARALLEL",
            "runsCountToCompare": ALL_SHOWN,
            "selectedParams": of.drawn,
            "selectedMetrics": [metric],
            "showAllRuns": of.trials <= ALL_SHOWN,
        }
    for name in of.drawn[:3]:
        yield {
            "type": "SCATTER",
            "runsCountToCompare": ALL_SHOWN,
            "xaxis": {"key": name, "type": "PARAM"},
            "yaxis": {"key": metric, "type": "METRIC"},
        }
    if len(of.numbers) > 1:
        yield {
            "type": "CONTOUR",
            "runsCountToCompare": ALL_SHOWN,
            "xaxis": {"key": of.numbers[0], "type": "PARAM"},
            "yaxis": {"key": of.numbers[1], "type": "PARAM"},
            "zaxis": {"key": metric, "type": "METRIC"},
        }


def _curves(names: Sequence[str] | dict[str, None]) -> Iterator[dict[str, Any]]:
    for name in names:
        yield {
            "type": "LINE",
            "runsCountToCompare": ALL_SHOWN,
            "metricKey": name,
            "selectedMetricKeys": [name],
            "displayName": f"{name} by epoch",
            "lineSmoothness": 0,
            "scaleType": "log" if name.endswith("loss") else "linear",
            "xAxisScaleType": "linear",
            "xAxisKey": "step",
            "selectedXAxisMetricKey": "",
            "yAxisKey": "metric",
            "yAxisExpressions": [],
            "range": {},
            "ignoreOutliers": False,
            "useGlobalXaxisKey": True,
            "useGlobalLineSmoothing": True,
        }


def _is_number(text: str | None) -> bool:
    try:
        float(text or "")
    except ValueError:
        return False
    return True
