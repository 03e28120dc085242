"""`backprop up` as a person has it: one terminal, both pages, a run from the form, and an end that leaves nothing."""

import json
import os
import re
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from uuid import uuid4

import httpx
import pytest
from mlflow import MlflowClient
from playwright.sync_api import Locator, Page, expect
from playwright.sync_api import TimeoutError as PlaywrightTimeoutError

from tests.deployments.conftest import copy_checkout
from tests.deployments.services import Checkout, Up, save
from tests.flows.commands import error_of
from tests.programs import PATIENCE, eventually

pytestmark = pytest.mark.slow

PRESSES = 5
"""How often a button is pressed until the server takes what it sends."""

SPACE = """
grid:
  hidden: [[8]]
  learning_rate: [0.1, 0.3]
  epochs: [3]
"""


@pytest.fixture(scope="module")
def calls() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """The address of a webhook of this machine, and what it was sent."""
    received: list[dict[str, Any]] = []

    class Webhook(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            received.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Webhook)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/hook", received
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    directory = tmp_path_factory.mktemp("up")
    copy_checkout(directory)
    (directory / "tiny.yaml").write_text(SPACE)
    return Checkout(directory)


@pytest.fixture(scope="module")
def up(checkout: Checkout, calls: tuple[str, list[dict[str, Any]]]) -> Iterator[Up]:
    with checkout.up("--webhook", calls[0]) as running:
        yield running


def test_it_says_where_everything_is_and_there_it_is(up: Up) -> None:
    said = up.terminal()

    assert up.prefect in said
    assert up.mlflow in said
    assert f"export PREFECT_API_URL={up.prefect}/api" in said
    assert httpx.get(up.prefect).is_success
    assert httpx.get(up.mlflow).is_success
    for deployment in ("ingest/default", "train/default", "retrain/default", "evaluate/default", "score/default"):
        assert deployment in said
        assert up.get(f"deployments/name/{deployment}")["status"] == "READY"


def test_a_second_start_says_what_runs_already_and_where(up: Up, checkout: Checkout) -> None:
    second = checkout.backprop("up")

    assert second.returncode == 2
    assert up.prefect in error_of(second.stderr)
    assert f"process {up.process.pid}" in error_of(second.stderr)
    assert up.process.poll() is None


def test_the_form_of_train_is_filled_in_and_its_run_is_seen_to_finish(up: Up, checkout: Checkout, page: Page) -> None:
    deployment = up.get("deployments/name/train/default")
    page.goto(f"{up.prefect}/deployments/deployment/{deployment['id']}/run")
    page.set_viewport_size({"width": 1200, "height": 3200})

    form_field(page, "data").locator("textarea").fill("wine")
    space = form_field(page, "space")
    space.get_by_text("file", exact=True).click()
    space.locator("textarea").fill("tiny.yaml")
    workers = form_field(page, "workers")
    workers.get_by_text("int", exact=True).click()
    workers.locator("input").last.fill("1")
    save(page, "prefect-form")
    submit(page)

    of_deployment = {"deployments": {"id": {"any_": [deployment["id"]]}}}
    [flow_run] = eventually(lambda: up.post("flow_runs/filter", of_deployment), "the form started nothing")
    up.wait_for(flow_run["id"], "COMPLETED", "FAILED", "CRASHED")
    page.goto(f"{up.prefect}/runs/flow-run/{flow_run['id']}")
    page.set_viewport_size({"width": 1400, "height": 900})
    expect(page.get_by_text("train wine on tiny.yaml").first).to_be_visible(timeout=60_000)
    expect(page.get_by_text("Completed", exact=True).first).to_be_visible(timeout=60_000)
    save(page, "prefect-run")
    runs = MlflowClient(tracking_uri=up.mlflow)
    [experiment] = runs.search_experiments(filter_string="name = 'wine'")
    assert {run.info.status for run in runs.search_runs([experiment.experiment_id])} == {"FINISHED"}
    assert runs.get_model_version_by_alias("wine", "challenger").version == "1"
    # All that is kept is in one place.
    assert list((checkout.directory / ".backprop" / "datasets").glob("*/schema.json"))
    assert not (checkout.directory / "datasets").exists()
    assert not (checkout.directory / "mlflow.db").exists()


def submit(page: Page) -> None:
    """Send the form, as often as a person would: Prefect's server refuses while its SQLite is busy, and says so."""
    for _ in range(PRESSES):
        with suppress(PlaywrightTimeoutError):
            with page.expect_response(re.compile(r"/create_flow_run$"), timeout=60_000) as answered:
                page.get_by_role("button", name="Submit").click()
            if answered.value.ok:
                return
    raise AssertionError(f"the form was not taken: {page.locator('body').inner_text()}")


def form_field(page: Page, name: str) -> Locator:
    """Return the part of the form that is one parameter's, or one field's of a parameter: its title, help and input."""
    title = page.locator(".schema-form-property__label", has_text=re.compile(rf"^{name}( \(|$)"))
    # The innermost: those around it hold its title too.
    return page.locator(".schema-form-property").filter(has=title).last


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"data": ""}, "'data'. Failure reason: '' should be non-empty"),
        ({"split": {"test": 1.5}}, "'split.test'. Failure reason: 1.5 is greater than or equal to the maximum of 1"),
        ({"compute": {"device": "tpu"}}, "'compute.device'. Failure reason: 'tpu' is not one of"),
    ],
)
def test_what_cannot_be_right_is_refused_before_anything_runs(up: Up, parameters: object, message: str) -> None:
    deployment = up.get("deployments/name/train/default")

    refused = httpx.post(
        f"{up.prefect}/api/deployments/{deployment['id']}/create_flow_run", json={"parameters": parameters}
    )

    assert refused.status_code == 409
    assert message in refused.json()["detail"]


def test_a_retraining_that_fails_calls_the_webhook(up: Up, calls: tuple[str, list[dict[str, Any]]]) -> None:
    flow_run = up.run("retrain/default", space="nowhere.yaml")

    up.wait_for(flow_run["id"], "FAILED")
    [call] = eventually(lambda: [call for call in calls[1] if call["event"].startswith("prefect.")], "no call")
    assert call["event"] == "prefect.flow-run.Failed"
    assert "no such file or bundled space" in call["reason"]
    assert call["url"].endswith(flow_run["id"])


def test_a_model_that_is_promoted_calls_the_webhook(up: Up, calls: tuple[str, list[dict[str, Any]]]) -> None:
    event = {
        "event": "backprop.model.promoted",
        "id": str(uuid4()),
        "occurred": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "resource": {
            "prefect.resource.id": "backprop.model.churn",
            "prefect.resource.name": "churn",
            "backprop.version": "7",
        },
        "payload": {"reason": 'better by 0.02, "beyond chance"'},
    }

    up.post("events", [event, {**event, "id": str(uuid4()), "event": "backprop.model.refused"}])

    eventually(lambda: [call for call in calls[1] if call["event"].startswith("backprop.")], "no call")
    [call] = [call for call in calls[1] if call["event"].startswith("backprop.")]
    assert (call["model"], call["version"]) == ("churn", "7")
    assert call["text"] == 'Model churn version 7 is the champion: better by 0.02, "beyond chance"'


def test_a_worker_that_dies_is_reported_and_started_again(up: Up) -> None:
    died = up.record()["services"]["worker"]["pid"]

    os.kill(died, signal.SIGKILL)

    eventually(lambda: up.record()["services"]["worker"]["pid"] != died, up.terminal())
    assert "worker was ended by signal 9" in up.terminal()
    assert "starting worker again" in up.terminal()


def test_killed_it_leaves_what_down_ends_and_a_new_start_settles(up: Up, checkout: Checkout) -> None:
    # No process runs it: as after a failure of the machine.
    abandoned = up.run("retrain/default", state="RUNNING")
    os.kill(up.process.pid, signal.SIGKILL)
    up.process.wait()
    assert checkout.processes()

    refused = checkout.backprop("up")
    ended = checkout.backprop("down", "--json")

    assert refused.returncode == 2
    assert "backprop down" in error_of(refused.stderr)
    assert json.loads(ended.stdout)["processes"] >= 3
    assert checkout.processes() == []
    assert json.loads(checkout.backprop("down", "--json").stdout)["processes"] == 0
    with checkout.up() as again:
        assert again.get(f"flow_runs/{abandoned['id']}")["state_type"] == "CRASHED"
        os.killpg(again.process.pid, signal.SIGINT)
        assert again.process.wait(PATIENCE) == 0
        assert "everything is kept in .backprop" in again.terminal()
        assert checkout.processes() == []
        assert not (checkout.directory / ".backprop" / "up.json").exists()
