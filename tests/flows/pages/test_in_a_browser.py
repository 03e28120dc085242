"""What a person sees of a search on MLflow's and on Prefect's pages, in a real browser."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from flows.tracking import tags
from tests.flows.searched_pages import TRIALS, SearchPages, nothing_goes_wrong, picture

pytestmark = pytest.mark.slow

PATIENCE = 60_000
"""Milliseconds that a page may take on a busy machine."""


@pytest.fixture
def mlflow_page(page: Page) -> Iterator[Page]:
    """A page on which nothing may go wrong, without the assistant that MLflow opens beside the first one."""
    opened = "localStorage.setItem('mlflow.assistant.fab.autoOpenedOnFirstLoad_v1', 'true')"
    # Not in the frame of a report, which has no storage.
    page.add_init_script(f"if (window === window.top) {opened}")
    with nothing_goes_wrong(page):
        yield page


@pytest.fixture
def prefect_page(page: Page) -> Iterator[Page]:
    """A page on which nothing may go wrong."""
    with nothing_goes_wrong(page):
        yield page


def open_search(page: Page, pages: SearchPages, tab: str = "") -> None:
    """Open MLflow's page of the search."""
    run = pages.report.run
    page.goto(f"{pages.mlflow}/#/experiments/{run.tracking.experiment_id}/runs/{run.run_id}{tab}")


def follow(page: Page, pages: SearchPages, link: str) -> None:
    """Go where a link of a description leads; MLflow would open it in another tab."""
    found = page.get_by_role("link", name=link, exact=True)
    expect(found).to_be_visible(timeout=PATIENCE)
    found.click(trial=True)
    page.goto(f"{pages.mlflow}/{found.get_attribute('href')}")


def test_the_page_of_a_search_says_who_won_and_leads_on(
    search_pages: SearchPages, mlflow_page: Page, tmp_path: Path
) -> None:
    selection = search_pages.report.selection

    open_search(mlflow_page, search_pages)

    expect(mlflow_page.get_by_text("Winner", exact=True)).to_be_visible(timeout=PATIENCE)
    expect(mlflow_page.get_by_text(f"test/accuracy {selection.test['test/accuracy']:.4g}").first).to_be_visible()
    winner = mlflow_page.get_by_role("link", name=selection.winner.name, exact=True).first
    assert str(winner.get_attribute("href")).endswith(f"/runs/{selection.winner.run_id}")
    version = mlflow_page.get_by_role("link", name="digits version 1", exact=True)
    assert str(version.get_attribute("href")).endswith("#/models/digits/versions/1")
    flow_run = search_pages.flow_run("train digits on space.yaml")
    prefect = mlflow_page.get_by_role("link", name="Prefect's page of the run")
    assert prefect.get_attribute("href") == f"{search_pages.prefect}/runs/flow-run/{flow_run.id}"
    picture(mlflow_page, tmp_path, "mlflow-search")

    follow(mlflow_page, search_pages, "Trials, the best first")
    expect(mlflow_page.get_by_text(f"{TRIALS} matching runs")).to_be_visible(timeout=PATIENCE)

    open_search(mlflow_page, search_pages, "/system-metrics")
    expect(mlflow_page.get_by_text("worker-0").first).to_be_visible(timeout=PATIENCE)
    expect(mlflow_page.get_by_text("system/worker-1/memory_megabytes").first).to_be_attached(timeout=PATIENCE)


def test_the_charts_of_a_search_are_there_with_nothing_to_click(
    search_pages: SearchPages, mlflow_page: Page, tmp_path: Path
) -> None:
    open_search(mlflow_page, search_pages)
    follow(mlflow_page, search_pages, "Charts of the trials")

    expect(mlflow_page.get_by_text(f"{TRIALS} matching runs")).to_be_visible(timeout=PATIENCE)
    expect(mlflow_page.get_by_text("Hyperparameters and val/accuracy")).to_be_visible(timeout=PATIENCE)
    # The axes of the parallel coordinates are the hyperparameters that differ, by name.
    for name in ("learning_rate", "parameters", "activation", "optimizer", "momentum", "l2", "val/accuracy"):
        expect(mlflow_page.locator("svg").get_by_text(name, exact=True).first).to_be_attached(timeout=PATIENCE)
    expect(mlflow_page.get_by_text("learning_rate vs. val/accuracy")).to_be_attached(timeout=PATIENCE)
    mlflow_page.wait_for_timeout(1500)
    picture(mlflow_page, tmp_path, "mlflow-charts")

    curves = mlflow_page.get_by_text("Curves, by epoch")
    curves.scroll_into_view_if_needed()
    expect(mlflow_page.get_by_role("heading", name="val/loss", exact=True)).to_be_visible(timeout=PATIENCE)
    mlflow_page.wait_for_timeout(1500)
    picture(mlflow_page, tmp_path, "mlflow-curves")

    # The list beside the charts has the columns that are asked for.
    mlflow_page.goto(mlflow_page.url.replace("compareRunsMode=CHART", "compareRunsMode=TABLE"))
    for name in ("learning_rate", "hidden", "val/accuracy"):
        expect(mlflow_page.get_by_role("columnheader", name=name).first).to_be_visible(timeout=PATIENCE)
    picture(mlflow_page, tmp_path, "mlflow-trials")


def test_the_trials_of_a_search_stand_side_by_side_on_the_compare_page(
    search_pages: SearchPages, mlflow_page: Page, tmp_path: Path
) -> None:
    trials, experiment = search_pages.trials, search_pages.report.run.tracking.experiment_id
    runs, experiments = (json.dumps(ids) for ids in ([t.info.run_id for t in trials], [experiment]))

    mlflow_page.goto(f"{search_pages.mlflow}/#/compare-runs?runs={runs}&experiments={experiments}")

    expect(mlflow_page.get_by_text(f"Comparing {TRIALS} Runs from 1 Experiment")).to_be_visible(timeout=PATIENCE)
    # The plot starts with what differs first, with nothing to repair by hand.
    for name in ("activation", "hidden", "l2"):
        axis = mlflow_page.locator(".parcoords, svg").get_by_text(name, exact=True).first
        expect(axis).to_be_visible(timeout=PATIENCE)
    for trial in trials:
        expect(mlflow_page.get_by_text(trial.info.run_name, exact=True).first).to_be_attached()
    mlflow_page.wait_for_timeout(1500)
    picture(mlflow_page, tmp_path, "mlflow-compare")


def test_the_report_of_a_search_is_shown_inside_mlflows_page(
    search_pages: SearchPages, mlflow_page: Page, tmp_path: Path
) -> None:
    open_search(mlflow_page, search_pages)
    follow(mlflow_page, search_pages, "Report")

    report = mlflow_page.frame_locator("iframe")
    expect(report.get_by_role("heading").first).to_be_visible(timeout=PATIENCE)
    expect(report.get_by_text(search_pages.report.selection.winner.name).first).to_be_attached(timeout=PATIENCE)
    picture(mlflow_page, tmp_path, "mlflow-report")
    report.locator(".chart").first.scroll_into_view_if_needed()
    expect(report.locator(".chart.js-plotly-plot .main-svg").first).to_be_attached(timeout=PATIENCE)
    picture(mlflow_page, tmp_path, "mlflow-report-chart")


def test_the_page_of_the_registered_version_leads_to_its_trial(
    search_pages: SearchPages, mlflow_page: Page, tmp_path: Path
) -> None:
    mlflow_page.goto(f"{search_pages.mlflow}/#/models/digits/versions/1")

    expect(mlflow_page.get_by_text("challenger").first).to_be_visible(timeout=PATIENCE)
    source = mlflow_page.get_by_role("link", name=search_pages.report.selection.winner.name).first
    expect(source).to_be_visible(timeout=PATIENCE)
    assert search_pages.report.selection.winner.run_id in str(source.get_attribute("href"))
    expect(mlflow_page.get_by_text("Inputs (64)")).to_be_visible(timeout=PATIENCE)
    picture(mlflow_page, tmp_path, "mlflow-model")


def test_every_trial_has_every_param_and_an_outcome_to_filter_by(search_pages: SearchPages) -> None:
    trials = search_pages.trials
    assert len(trials) == TRIALS
    params = trials[0].data.params.keys()
    assert {"hidden", "n_layers", "width", "width_first", "width_last", "parameters", "momentum"} <= params
    for trial in trials:
        assert trial.data.params.keys() == params
        assert all(trial.data.params[name] == trial.data.params[name].strip() != "" for name in params)

    def found(where: str) -> int:
        [experiment] = {trial.info.experiment_id for trial in trials}
        return len(search_pages.store.client.search_runs([experiment], where))

    diverged = len(search_pages.report.selection.diverged)
    assert diverged > 0
    assert found("tags.outcome = 'diverged'") == diverged
    assert found("tags.outcome = 'trained' and tags.dataset = 'digits'") == TRIALS - diverged
    assert found("tags.winner = 'true'") == 1
    stacks = {trial.data.tags[tags.STACK] for trial in trials}
    assert sum(found(f"tags.stack = '{stack}'") for stack in stacks) == TRIALS


def test_the_page_of_a_search_shows_its_stacks_their_logs_and_how_it_went(
    search_pages: SearchPages, prefect_page: Page, tmp_path: Path
) -> None:
    report, run = search_pages.report, search_pages.flow_run("search digits")
    score = report.selection.ranked[0].metrics["val/accuracy"]

    prefect_page.goto(f"{search_pages.prefect}/runs/flow-run/{run.id}")
    for stack in report.outcome.stacks:
        named = prefect_page.get_by_text(f" · {stack.name}").first
        expect(named).to_be_visible(timeout=PATIENCE)
    expect(prefect_page.get_by_text(re.compile(r"\d+ trials of 64-32 · tanh · momentum")).first).to_be_visible()
    expect(prefect_page.get_by_text(f"{TRIALS} trials, 0 of them finished before")).to_be_visible()
    # What its workers said, each in a process of its own.
    expect(prefect_page.get_by_text("begins on tcp://127.0.0.1").first).to_be_attached(timeout=PATIENCE)
    expect(prefect_page.get_by_text("diverged in epoch 1: lr=1e+30").first).to_be_attached(timeout=PATIENCE)
    expect(prefect_page.get_by_text(re.compile(r"finished: \d+ trials in")).first).to_be_attached(timeout=PATIENCE)
    picture(prefect_page, tmp_path, "prefect-search")

    prefect_page.get_by_text("Artifacts", exact=True).click()
    expect(prefect_page.get_by_text("search-progress").first).to_be_visible(timeout=PATIENCE)
    prefect_page.goto(f"{search_pages.prefect}/artifacts/key/search-progress")
    lost = len(report.selection.diverged)
    said = prefect_page.get_by_text(
        f"{TRIALS} of {TRIALS} trials finished · {lost} diverged · best val/accuracy {score:.4g}"
    )
    expect(said.first).to_be_visible(timeout=PATIENCE)
    picture(prefect_page, tmp_path, "prefect-progress")


def test_the_page_of_a_training_has_a_summary_that_leads_to_mlflow(
    search_pages: SearchPages, prefect_page: Page, tmp_path: Path
) -> None:
    report, run = search_pages.report, search_pages.flow_run("train digits on space.yaml")

    prefect_page.goto(f"{search_pages.prefect}/runs/flow-run/{run.id}")
    prefect_page.get_by_text("Artifacts", exact=True).click(timeout=PATIENCE)
    for key in ("summary", "mlflow-run", "mlflow-charts", "winner", "model-version"):
        expect(prefect_page.get_by_text(key, exact=True).first).to_be_visible(timeout=PATIENCE)
    picture(prefect_page, tmp_path, "prefect-artifacts")

    prefect_page.goto(search_pages.artifact("summary"))
    winner = prefect_page.get_by_role("link", name=report.selection.winner.name).first
    expect(winner).to_be_visible(timeout=PATIENCE)
    assert str(winner.get_attribute("href")).startswith(f"{search_pages.mlflow}/#/experiments/")
    expect(prefect_page.get_by_text(f"{TRIALS} trials, {TRIALS} of them trained by this run").first).to_be_attached()
    picture(prefect_page, tmp_path, "prefect-summary")


def test_the_leaderboard_is_a_table_with_the_winner_first(
    search_pages: SearchPages, prefect_page: Page, tmp_path: Path
) -> None:
    ranked = search_pages.report.selection.ranked

    prefect_page.goto(search_pages.artifact("leaderboard"))

    expect(prefect_page.get_by_text("by val/accuracy; the first is the winner").first).to_be_visible(timeout=PATIENCE)
    for one in ranked[:5]:
        expect(prefect_page.get_by_text(one.name, exact=True).first).to_be_attached(timeout=PATIENCE)
    picture(prefect_page, tmp_path, "prefect-leaderboard")
