"""The whole report: what stands in it, of every kind of search, and how large it may become."""

import json
import re
from dataclasses import replace
from typing import Any

import pandas as pd
import pytest
from mlflow import MlflowClient
from plotly.graph_objects import Figure
from sklearn.datasets import make_multilabel_classification

from flows.data.store import Dataset, open_dataset
from flows.errors import RunError
from flows.report.curves import MOST_CURVES
from flows.report.made import make_report
from flows.report.search_charts import MOST_POINTS
from flows.report.searched import FACTS_FILE, Searched, read_search
from flows.tracking.search_runs import SearchRun
from flows.tracking.store import Tracking
from tests.flows.conftest import written
from tests.flows.data.tables import source_of
from tests.flows.data.writing import write_with_folds
from tests.flows.report.searches import again, many, searched

MOST_BYTES = 5_000_000
LABELS = ("sport", "art", "money")


def charts_of(html: str) -> list[dict[str, Any]]:
    """Return the charts of a report, each of which plotly itself takes as valid."""
    found = re.search(r'<script type="application/json" id="charts">(.*?)</script>', html, re.DOTALL)
    assert found is not None
    charts: list[dict[str, Any]] = json.loads(found[1])
    for chart in charts:
        Figure({"data": chart["data"], "layout": chart["layout"]})
        assert chart["layout"]["title"]["text"]
    return charts


def titles_of(html: str) -> list[str]:
    return [chart["layout"]["title"]["text"] for chart in charts_of(html)]


def text_of(html: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<script.*?</script>|<style.*?</style>|<[^>]+>", " ", html, flags=re.DOTALL))


def accuracy_of(said: str) -> float:
    """Return the accuracy on the test rows that a report names."""
    found = re.search(r"Accuracy (0\.\d+) \(95% interval 0\.\d+ to [01]\.?\d*\) on \d+ test rows", said)
    assert found is not None
    return float(found[1])


def points_of(chart: dict[str, Any]) -> int:
    """Return how many numbers a chart draws."""
    lines = [*chart["data"], *(axis for trace in chart["data"] for axis in trace.get("dimensions", ()))]
    return sum(len(one[name]) for one in lines for name in ("x", "y", "values") if isinstance(one.get(name), list))


def test_the_answers_stand_at_the_top_and_are_those_of_the_search(digits_search: Searched) -> None:
    html = make_report(digits_search)

    said = text_of(html)
    best, second = digits_search.ranked[:2]
    assert f"{best.name} won among 12 configurations, with val/accuracy {best.metrics['val/accuracy']:.4f}." in said
    assert f"Over the second, {second.name}" in said
    assert "95% interval" in said
    assert "learning_rate" in said
    assert re.search(r"12 trials, 72 epochs; .* of training on 1 worker, [\d,]+ samples a second", said)
    assert digits_search.dataset.reference.digest in said
    # Every unit of the first layer is a picture, and so is every mistake up to 24 of them.
    wrong = round((1 - accuracy_of(said)) * digits_search.dataset.rows["test"])
    assert html.count("<figure>") == 16 + min(24, wrong)
    assert len(html) < MOST_BYTES
    titles = titles_of(html)
    for expected in ("Confusion matrix", "ROC", "Precision and recall", "Calibration", "Classes in each part"):
        assert any(title.startswith(expected) for title in titles), titles


def test_of_a_regression_it_has_residuals_and_says_what_was_pruned(diabetes_search: Searched) -> None:
    html = make_report(diabetes_search)

    said = text_of(html)
    assert re.search(r"6 trials \(\d pruned\), \d+ of 30 epochs", said)
    assert "pruned" in said
    titles = titles_of(html)
    assert any("predicted against true" in title for title in titles)
    assert any("residuals" in title for title in titles)
    assert not any(title.startswith(("Confusion", "ROC", "Calibration")) for title in titles)


def test_of_folds_and_seeds_all_rows_that_validated_are_compared_and_the_refit_is_tested(
    tmp_path_factory: pytest.TempPathFactory, shared_tracking: Tracking
) -> None:
    references = write_with_folds(tmp_path_factory.mktemp("datasets"), "wine", folds=2)
    dataset, *folds = (open_dataset(reference) for reference in references)
    space = {"grid": {"hidden": [[6]], "learning_rate": [0.01, 0.1], "epochs": [4]}, "folds": 2, "seeds": 2}

    found = searched(dataset, shared_tracking, space, tuple(folds))

    said = text_of(make_report(found))
    assert "(mean and deviation of 4 trials), trained once more on all training rows" in said
    assert "9 trials, 36 epochs" in said
    rows = sum(fold.rows["validation"] for fold in folds)
    assert f"on the {rows} validation rows" in said
    assert "which had no say in the ranking" not in said
    assert "val/accuracy deviation" in said


def test_of_several_labels_it_says_which_is_wrong_most(
    tmp_path_factory: pytest.TempPathFactory, shared_tracking: Tracking
) -> None:
    x, y = make_multilabel_classification(400, n_features=6, n_classes=3, random_state=0)
    columns = {f"word{place}": x[:, place] for place in range(6)}
    labels = {name: y[:, place] for place, name in enumerate(LABELS)}
    source = source_of(pd.DataFrame({**columns, **labels}))
    dataset = written(source, tmp_path_factory.mktemp("datasets"), LABELS)
    space = {"grid": {"hidden": [[6]], "learning_rate": [0.03, 0.3], "epochs": [5]}}

    html = make_report(searched(dataset, shared_tracking, space))

    said = text_of(html)
    assert "val/loss" in said
    assert re.search(r"(sport|art|money): \d+ of \d+ rows are wrong in it", said)
    assert any(title.startswith("Recall and precision of each label") for title in titles_of(html))
    # An input of no image is a row of a heatmap, and a mistake a row of a table.
    assert any(title.startswith("Weights of the first layer: 6 of 6 inputs") for title in titles_of(html))
    assert "<th class=number>word0</th>" in html or "<th>word0</th>" in html


def test_read_back_from_its_run_a_search_gives_the_same_report(digits_search: Searched) -> None:
    client = digits_search.run.tracking.client()
    client.log_text(digits_search.run.run_id, digits_search.kept(), FACTS_FILE)
    assert text_of(make_report(read_search(digits_search.run))) == text_of(make_report(digits_search))


def test_a_run_without_facts_is_one_line(diabetes_search: Searched) -> None:
    with pytest.raises(RunError, match="is not a search that ended"):
        # A trial's run, which never has any.
        read_search(SearchRun(tracking=diabetes_search.run.tracking, run_id=diabetes_search.winner.run_id))


def test_of_five_thousand_trials_it_draws_and_reads_a_part_and_says_so(
    digits_search: Searched, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    history = MlflowClient.get_metric_history

    def counted(client: MlflowClient, run_id: str, key: str) -> Any:
        asked.append(run_id)
        return history(client, run_id, key)

    monkeypatch.setattr(MlflowClient, "get_metric_history", counted)

    html = make_report(many(digits_search, 5000))

    assert len(html) < MOST_BYTES
    # Two losses of each that is drawn, and what was watched of the winner's layers.
    watched = sum(name.startswith("layer/") for name in digits_search.winner.metrics)
    assert len(asked) <= 2 * MOST_CURVES + watched
    charts = charts_of(html)
    assert max(map(points_of, charts)) < 30_000
    assert sum(map(points_of, charts)) < 100_000
    [parallel] = [chart for chart in charts if chart["data"][0]["type"] == "parcoords"]
    assert {len(axis["values"]) for axis in parallel["data"][0]["dimensions"]} == {MOST_POINTS}
    said = text_of(html)
    assert "Of 5,000 trials these are drawn: the winner, the next 19 and 100 of the others at random" in said
    assert "Drawn are 1,000 of 5,000 configurations: the best 200 and others at random" in said
    assert "The best 50 of 5,000 configurations" in said
    assert "It rests on 1,000 configurations, drawn at random" in said
    assert "middle 50% of the sample" in html


def test_what_the_data_calls_its_columns_and_classes_is_text(digits_search: Searched) -> None:
    name = "<img src=x onerror=alert(1)></script>"
    best = replace(digits_search.ranked[0], name=name)
    html = make_report(replace(digits_search, ranked=(best, *digits_search.ranked[1:])))
    assert "<img src=x" not in html
    assert html.count("</script>") == 3


def test_what_was_watched_of_the_layers_is_drawn_if_it_was(digits_search: Searched) -> None:
    winner = digits_search.winner
    unwatched = {name: value for name, value in winner.metrics.items() if not name.startswith("layer/")}
    nothing = replace(digits_search, winner=replace(winner, metrics=unwatched))
    assert "The winner&#x27;s layers" not in make_report(nothing)

    charts = charts_of(make_report(digits_search))

    [norms] = [chart for chart in charts if chart["layout"]["title"]["text"].startswith("Norm of the weights")]
    history = digits_search.run.tracking.client().get_metric_history(winner.run_id, "layer/1/weight_norm")
    assert len(history) > 1
    assert norms["data"][0]["name"] == "layer 1"
    assert norms["data"][0]["y"] == pytest.approx([point.value for point in history], rel=1e-3)


def test_a_search_of_one_configuration_has_a_report_without_what_takes_two(
    diabetes: Dataset, shared_tracking: Tracking
) -> None:
    alone = searched(diabetes, shared_tracking, {"grid": {"hidden": [[4]], "learning_rate": [0.01], "epochs": [2]}})
    html = make_report(alone)
    said = text_of(html)
    assert "There is no second: the search has one configuration with a rank." in said
    assert "No hyperparameter varies." in said
    assert not any("importance" in title or "leads" in title for title in titles_of(html))


def test_a_search_that_trained_nothing_itself_says_that_its_time_was_not_measured(digits_search: Searched) -> None:
    said = text_of(make_report(again(digits_search, stacks=())))
    assert "all were trained before, and their time was not measured here" in said


def test_the_leaderboard_tells_a_trial_that_went_on_from_a_champion_from_the_others(diabetes_search: Searched) -> None:
    assert "began with" not in text_of(make_report(diabetes_search))
    first, *others = diabetes_search.ranked
    warm = replace(first, members=(replace(first.members[0], start="diabetes version 3"),))

    said = text_of(make_report(replace(diabetes_search, ranked=(warm, *others))))

    assert "began with" in said
    assert said.count("diabetes version 3") == 1
