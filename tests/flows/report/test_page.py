"""The report as a person opens it: in a browser, with no network, in the light and in the dark."""

import re
from pathlib import Path

import pytest
from playwright.sync_api import ConsoleMessage, Page, expect

from flows.report.made import make_report
from flows.report.searched import Searched
from tests.flows.report.searches import many

pytestmark = pytest.mark.slow

PATIENCE = 120_000
"""Milliseconds until charts that are not drawn fail a test, on a busy machine."""


@pytest.fixture
def faults(page: Page) -> list[str]:
    """What the page complains of, and what it asks a network for."""
    found: list[str] = []

    def told(message: ConsoleMessage) -> None:
        if message.type == "error":
            found.append(message.text)

    page.on("console", told)
    page.on("pageerror", lambda error: found.append(str(error)))
    page.on("request", lambda asked: None if asked.url.startswith(("file:", "data:")) else found.append(asked.url))
    return found


def opened(page: Page, found: Searched, directory: Path) -> None:
    """Open the report of a search, and read down to its end: charts are drawn when one comes near."""
    path = directory / "report.html"
    path.write_text(make_report(found), encoding="utf-8")
    page.goto(path.as_uri())
    page.wait_for_function("document.documentElement.dataset.drawn", timeout=PATIENCE)
    charts = page.locator(".chart")
    for place in range(charts.count()):
        charts.nth(place).scroll_into_view_if_needed()
        expect(charts.nth(place)).to_have_class(re.compile("js-plotly-plot"), timeout=PATIENCE)
    page.evaluate("scrollTo(0, 0)")


def test_of_a_search_on_images_every_chart_is_drawn_and_the_answers_lead_to_their_sections(
    digits_search: Searched, page: Page, faults: list[str], tmp_path: Path
) -> None:
    opened(page, digits_search, tmp_path)

    assert faults == []
    assert page.locator(".chart").count() > 12
    assert page.locator(".chart.js-plotly-plot .main-svg").first.is_visible()
    assert page.locator(".chart:not(.js-plotly-plot)").count() == 0
    # Axes are labelled, and the numbers of the confusion matrix stand in its cells.
    expect(page.get_by_text("false positive rate", exact=True)).to_be_attached()
    confusion = page.locator("#confuses .chart").first
    expect(confusion.get_by_text("said to be", exact=True)).to_be_attached()
    rows = [int(text) for text in confusion.locator(".heatmap-label").all_text_contents()]
    assert sum(rows) == digits_search.dataset.rows["test"]
    for question in ("Which won?", "By how much, and is it real?", "What does it confuse?", "What did it cost?"):
        expect(page.get_by_role("cell", name=question)).to_be_visible()
    page.get_by_role("link", name="What it cost").first.click()
    expect(page.locator("#cost h2")).to_be_in_viewport()
    # Mistakes and weights are pictures that the browser can show.
    assert page.locator("figure img").count() > 16
    assert page.evaluate("[...document.images].every((image) => image.naturalWidth === 8)")


def test_of_a_regression_it_is_readable_in_the_dark_too(
    diabetes_search: Searched, page: Page, faults: list[str], tmp_path: Path
) -> None:
    page.emulate_media(color_scheme="dark")
    opened(page, diabetes_search, tmp_path)

    def colours() -> list[str]:
        return [
            page.evaluate("getComputedStyle(document.body).backgroundColor"),
            page.evaluate("getComputedStyle(document.querySelector('.chart .gtitle')).fill"),
        ]

    dark = colours()
    page.emulate_media(color_scheme="light")
    page.wait_for_function("getComputedStyle(document.querySelector('.chart .gtitle')).fill === 'rgb(27, 39, 51)'")
    assert dark == ["rgb(20, 24, 29)", "rgb(230, 234, 238)"]
    assert colours() == ["rgb(255, 255, 255)", "rgb(27, 39, 51)"]
    expect(page.get_by_text("predicted - true", exact=False).first).to_be_attached()
    assert faults == []


def test_of_five_thousand_trials_the_first_screen_is_drawn_and_the_rest_waits(
    digits_search: Searched, page: Page, faults: list[str], tmp_path: Path
) -> None:
    path = tmp_path / "report.html"
    path.write_text(make_report(many(digits_search, 5000)), encoding="utf-8")

    page.goto(path.as_uri())
    page.wait_for_function("document.documentElement.dataset.drawn", timeout=PATIENCE)

    expect(page.get_by_role("cell", name="Which won?")).to_be_in_viewport()
    # Ten rows of the leaderboard, and the others at a click.
    leaderboard = page.locator("#leaderboard")
    assert leaderboard.get_by_role("row").filter(visible=True).count() == 11
    leaderboard.get_by_text("40 more").click()
    assert leaderboard.get_by_role("row").filter(visible=True).count() == 11 + 41
    drawn, charts = page.locator(".chart.js-plotly-plot").count(), page.locator(".chart").count()
    assert 0 <= drawn < charts / 2
    assert faults == []
