"""What a person sees in MLflow's pages after a search, in a real browser."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Page, expect

from flows.tracking import tags
from tests.flows.commands import Store

pytestmark = pytest.mark.slow

SCREENSHOTS = os.environ.get("BACKPROP_SCREENSHOTS")
"""A directory that gets the pictures for the docs, if set."""


@pytest.fixture(scope="module")
def mlflow_ui(demo: tuple[Store, str]) -> Iterator[str]:
    """The address of MLflow's own UI on the demo's store, started with the command that the demo printed."""
    store, printed = demo
    assert "ui --backend-store-uri sqlite:///mlflow.db" in printed
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "ui", "--backend-store-uri", "sqlite:///mlflow.db"]
    server = subprocess.Popen(
        [*command, "--host", "127.0.0.1", "--port", str(port), "--workers", "1"],
        cwd=store.directory,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    address = f"http://127.0.0.1:{port}"
    try:
        wait_until_it_answers(f"{address}/health", server)
        yield address
    finally:
        # MLflow's own workers are its children: the session that was made for them is ended as a whole.
        os.killpg(server.pid, 15)
        server.wait(timeout=60)


def wait_until_it_answers(address: str, server: subprocess.Popen[bytes], seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and server.poll() is None:
        try:
            if httpx.get(address, timeout=5).is_success:
                return
        except httpx.TransportError:
            time.sleep(0.5)
    raise TimeoutError(f"{address} does not answer")


def test_the_trials_of_a_search_stand_side_by_side_on_the_compare_page(
    demo: tuple[Store, str], mlflow_ui: str, page: Page, tmp_path: Path
) -> None:
    store, _ = demo
    [parent] = [run for run in store.parents() if run.info.run_name == "search · quick"]
    trials = [run for run in store.children() if run.data.tags[tags.PARENT] == parent.info.run_id]
    runs, experiments = (json.dumps(ids) for ids in ([t.info.run_id for t in trials], [parent.info.experiment_id]))

    page.goto(f"{mlflow_ui}/#/compare-runs?runs={runs}&experiments={experiments}")

    expect(page.get_by_text(f"Comparing {len(trials)} Runs from 1 Experiment")).to_be_visible(timeout=60_000)
    # The plot starts with what differs first, with nothing to repair by hand.
    for name in ("activation", "hidden", "learning_rate"):
        expect(page.locator(".parcoords, svg").get_by_text(name, exact=True).first).to_be_visible(timeout=30_000)
    for trial in trials:
        expect(page.get_by_text(trial.info.run_name, exact=True).first).to_be_attached()
    save_picture(page, Path(SCREENSHOTS or tmp_path) / "mlflow-compare.png")


def save_picture(page: Page, path: Path) -> None:
    """Close the assistant that MLflow opens beside the page, rank by accuracy, and keep the picture."""
    close = page.get_by_role("button", name="Close", exact=True)
    if close.count():
        close.first.click()
    metrics = page.locator("input[type=search]").nth(1)
    metrics.click()
    metrics.press("Backspace")
    metrics.type("val/accuracy")
    metrics.press("Enter")
    page.keyboard.press("Escape")
    expect(page.locator("svg").get_by_text("val/accuracy", exact=True).first).to_be_visible(timeout=30_000)
    page.wait_for_timeout(1500)
    page.screenshot(path=path)
    assert path.stat().st_size > 10_000
