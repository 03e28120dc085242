"""What a person sees of a search on Prefect's pages, in a real browser."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.flows.searched_pages import TRIALS, SearchPages, nothing_goes_wrong, picture

pytestmark = pytest.mark.slow

PATIENCE = 60_000
"""Milliseconds that a page may take on a busy machine."""


@pytest.fixture
def prefect_page(page: Page) -> Iterator[Page]:
    """A page on which nothing may go wrong."""
    with nothing_goes_wrong(page):
        yield page


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
