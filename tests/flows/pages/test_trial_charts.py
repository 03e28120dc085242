import base64
import json
import zlib
from typing import Any

from flows.data.store import Dataset
from flows.pages.trial_charts import TAG, Axes, axes, save_view, state, view_key
from flows.ranking import objective
from flows.tracking.search_runs import search_run
from flows.tracking.store import Tracking
from tests.flows.conftest import SPACE

ACCURACY = objective("classification")
ONE = {"learning_rate": "0.1", "hidden": "64-32", "parameters": "6570", "activation": "relu", "l2": "0.0"}


def drawn(view: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    return [chart for chart in view["compareRunCharts"] if chart["type"] == kind]


def test_what_does_not_differ_is_not_drawn_and_text_is_no_number() -> None:
    other = {**ONE, "learning_rate": "1e+30", "hidden": "32", "parameters": "2410"}

    found = axes(ACCURACY, [ONE, other])

    numbers = ("learning_rate", "parameters")
    assert found == Axes(ACCURACY, ("learning_rate", "hidden", "parameters"), numbers, 2, ("hidden",))
    assert found.drawn == ["learning_rate", "parameters"]
    assert axes(ACCURACY, [ONE, {**other, "hidden": "32-16"}]).drawn == ["learning_rate", "hidden"]


def test_the_view_of_a_search_is_written_as_mlflow_shares_one(wine: Dataset, tracking: Tracking) -> None:
    with search_run(tracking, wine, "space", SPACE) as run:
        of = axes(ACCURACY, [ONE, {**ONE, "learning_rate": "0.3", "parameters": "1", "hidden": "8-8"}])
        save_view(run, of)

    told = tracking.client().get_experiment(tracking.experiment_id).tags[f"{TAG}{view_key(run)}"]
    kind, _, packed = told.partition(";")
    assert kind == "deflate"
    view = json.loads(zlib.decompress(base64.b64decode(packed)))
    assert view == state(run, of)
    assert run.run_id in view["searchFilter"]
    assert (view["orderByKey"], view["orderByAsc"]) == ("metrics.`val/accuracy`", False)
    [parallel], [contour] = drawn(view, "PARALLEL"), drawn(view, "CONTOUR")
    assert parallel["selectedParams"] == ["learning_rate", "hidden"]
    assert [contour[axis]["key"] for axis in ("xaxis", "yaxis", "zaxis")] == [
        "learning_rate",
        "parameters",
        "val/accuracy",
    ]
    assert [chart["metricKey"] for chart in drawn(view, "LINE")] == ["val/accuracy", "val/loss", "train/loss"]
    assert len({chart["uuid"] for chart in view["compareRunCharts"]}) == len(view["compareRunCharts"])


def test_of_a_large_search_the_best_are_drawn(wine: Dataset, tracking: Tracking) -> None:
    with search_run(tracking, wine, "space", SPACE) as run:
        large = state(run, Axes(objective("regression"), ("seed",), ("seed",), 5000))

    assert large["runsHiddenMode"] == "FIRST_20_RUNS"
    assert large["orderByAsc"]
    assert not drawn(large, "PARALLEL")[0]["showAllRuns"]


def test_a_search_of_one_trial_has_its_curves_alone(wine: Dataset, tracking: Tracking) -> None:
    with search_run(tracking, wine, "space", SPACE) as run:
        view = state(run, axes(objective("multilabel"), [ONE]))

    assert [chart["metricKey"] for chart in view["compareRunCharts"]] == ["val/loss", "train/loss"]
