"""`backprop up` in a copy of the checkout, and what a person sees of it."""

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil
from playwright.sync_api import Page

from tests.flows.commands import BACKPROP
from tests.programs import PATIENCE, eventually

SCREENSHOTS = os.environ.get("BACKPROP_SCREENSHOTS")
"""A directory that gets the pictures for the docs, if set."""


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
        return self._answer("GET", path)

    def post(self, path: str, body: object) -> Any:
        return self._answer("POST", path, body)

    def _answer(self, method: str, path: str, body: object = None) -> Any:
        """Return what Prefect answers; it refuses with 503 while its database is busy."""

        def asked() -> httpx.Response | None:
            response = httpx.request(method, f"{self.prefect}/api/{path}", json=body, timeout=60)
            return None if response.status_code == httpx.codes.SERVICE_UNAVAILABLE else response

        response = eventually(asked, f"{path}: the server is busy").raise_for_status()
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


def save(page: Page, name: str) -> None:
    """Keep a picture of a page, if somebody wants one."""
    if SCREENSHOTS:
        page.wait_for_timeout(1500)
        page.screenshot(path=Path(SCREENSHOTS) / f"{name}.png")
