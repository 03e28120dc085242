"""`backprop up` as a person has it: one terminal, both pages, a run from the form, and an end that leaves nothing."""

import json
import os
import re
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import psutil
import pytest
from mlflow import MlflowClient
from playwright.sync_api import Locator, Page, expect

from tests.deployments.conftest import copy_checkout
from tests.flows.commands import BACKPROP, error_of
from tests.programs import PATIENCE, eventually

pytestmark = pytest.mark.slow

SCREENSHOTS = os.environ.get("BACKPROP_SCREENSHOTS")
"""A directory that gets the pictures for the docs, if set."""

SPACE = """
grid:
  hidden: [[8]]
  learning_rate: [0.1, 0.3]
  epochs: [3]
"""


@dataclass
class Checkout:
    """A directory with prefect.yaml, in which `backprop up` is run."""

    directory: Path
    environment: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        kept = {
            name: value for name, value in os.environ.items() if not name.startswith(("MLFLOW_TRACKING", "PREFECT"))
        }
        # A page waits for the worker to ask for work.
        self.environment = {**kept, "PREFECT_SERVER_ANALYTICS_ENABLED": "false", "PREFECT_WORKER_QUERY_SECONDS": "1"}

    def backprop(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [BACKPROP, *arguments],
            cwd=self.directory,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE,
        )

    def processes(self) -> list[psutil.Process]:
        """Return what runs for this directory's state, whoever started it and whatever group it is in."""
        found = []
        for process in psutil.process_iter():
            try:
                if process.environ().get("BACKPROP_HOME") == str(self.directory / ".backprop"):
                    found.append(process)
            except (psutil.Error, OSError):
                continue
        return found

    @contextmanager
    def up(self, *options: str) -> "Iterator[Up]":
        """Run `backprop up` until it says that it is ready; afterwards end what is left of it."""
        log = self.directory / "terminal.txt"
        with log.open("wb") as terminal:
            process = subprocess.Popen(
                [BACKPROP, "up", "--prefect-port", "0", "--mlflow-port", "0", *options],
                cwd=self.directory,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=terminal,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        up = Up(self, process, log)
        try:
            eventually(lambda: "Ctrl-C stops" in up.terminal() or process.poll() is not None, up.terminal())
            assert process.poll() is None, up.terminal()
            yield up
        finally:
            self.backprop("down")
            process.wait(PATIENCE)


@dataclass
class Up:
    """A `backprop up` that is ready."""

    checkout: Checkout
    process: subprocess.Popen[bytes]
    log: Path

    def terminal(self) -> str:
        return self.log.read_text()

    def record(self) -> dict[str, Any]:
        return json.loads((self.checkout.directory / ".backprop" / "up.json").read_text())

    @property
    def prefect(self) -> str:
        return f"http://127.0.0.1:{self.record()['prefect_port']}"

    @property
    def mlflow(self) -> str:
        return f"http://127.0.0.1:{self.record()['mlflow_port']}"

    def get(self, path: str) -> Any:
        return httpx.get(f"{self.prefect}/api/{path}").raise_for_status().json()

    def post(self, path: str, body: object) -> Any:
        response = httpx.post(f"{self.prefect}/api/{path}", json=body).raise_for_status()
        return response.json() if response.content else None

    def run(self, deployment: str, state: str = "SCHEDULED", **parameters: object) -> dict[str, Any]:
        found = self.get(f"deployments/name/{deployment}")
        body = {"parameters": parameters, "state": {"type": state}}
        return self.post(f"deployments/{found['id']}/create_flow_run", body)

    def wait_for(self, flow_run: str, *states: str) -> dict[str, Any]:
        def there() -> Any:
            found = self.get(f"flow_runs/{flow_run}")
            return found if found["state_type"] in states else None

        return eventually(there, f"{flow_run} is not {states}")


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
    page.get_by_role("button", name="Submit").click()

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


def form_field(page: Page, name: str) -> Locator:
    """Return the part of the form that is one parameter's, or one field's of a parameter: its title, help and input."""
    title = page.locator(".schema-form-property__label", has_text=re.compile(rf"^{name}( \(|$)"))
    # The innermost: those around it hold its title too.
    return page.locator(".schema-form-property").filter(has=title).last


def save(page: Page, name: str) -> None:
    if SCREENSHOTS:
        page.wait_for_timeout(1500)
        page.screenshot(path=Path(SCREENSHOTS) / f"{name}.png")


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
