"""What a person sees of a search on Prefect's pages, in a real browser."""

import os
from collections.abc import Iterator
from pathlib import Path

import mlflow
import pytest
from playwright.sync_api import Page, expect
from prefect.client.orchestration import get_client
from prefect.settings import PREFECT_API_URL, temporary_settings

from benchmarks.chaos.services import PrefectServer
from flows.train import train

pytestmark = pytest.mark.slow

SCREENSHOTS = os.environ.get("BACKPROP_SCREENSHOTS")
"""A directory that gets the pictures for the docs, if set."""

SPACE = "grid: {hidden: [[8]], learning_rate: [0.1, 0.2, 1.0e+30], epochs: [3]}\n"


@pytest.fixture
def prefect_pages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of a Prefect server that serves its pages, to which flows called here report."""
    server = PrefectServer(tmp_path)
    # Where the pages look for the server; by themselves they would look on the port that is usual.
    monkeypatch.setenv("PREFECT_UI_API_URL", server.address)
    server.start()
    try:
        with temporary_settings({PREFECT_API_URL: server.address}):
            yield server.address.removesuffix("/api")
    finally:
        server.stop()


@pytest.mark.usefixtures("tracking_store")
def test_the_page_of_a_search_shows_its_stacks_and_how_it_went(
    prefect_pages: str, cluster: str, page: Page, tmp_path: Path
) -> None:
    (tmp_path / "space.yaml").write_text(SPACE)
    try:
        report = train("wine", space="space.yaml", compute={"scheduler": cluster})
    finally:
        # The registry sets the process's store, which would outlive the test.
        mlflow.set_tracking_uri(None)
    with get_client(sync_client=True) as client:
        [run] = [found for found in client.read_flow_runs() if found.name == "search wine"]
    score = report.selection.ranked[0].metrics["val/accuracy"]

    page.goto(f"{prefect_pages}/runs/flow-run/{run.id}")
    for stack in report.outcome.stacks:
        expect(page.get_by_text(stack.name).first).to_be_visible(timeout=60_000)
    expect(page.get_by_text("3 trials, 0 of them finished before")).to_be_visible()
    page.screenshot(path=Path(SCREENSHOTS or tmp_path) / "prefect-search.png")
    page.get_by_text("Artifacts", exact=True).click()
    expect(page.get_by_text("search-progress").first).to_be_visible(timeout=30_000)

    page.goto(f"{prefect_pages}/artifacts/key/search-progress")
    said = page.get_by_text(f"3 of 3 trials finished · 1 diverged · best val/accuracy {score:.4g}")
    expect(said.first).to_be_visible(timeout=30_000)
    page.screenshot(path=Path(SCREENSHOTS or tmp_path) / "prefect-progress.png")
