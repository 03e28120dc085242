"""A real Prefect server and worker on a copy of the checkout, driven as the documentation teaches.

All of it lives in a temporary directory: the deployments run there, so their datasets and their MLflow store do too.
"""

import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest
from mlflow import MlflowClient
from prefect.client.orchestration import SyncPrefectClient

from tests.programs import PATIENCE, end, free_port, program

CHECKOUT = Path(__file__).parents[2]
DEPLOYED = ("prefect.yaml", "flows", "backprop", "deployments")


@dataclass
class House:
    """The directory that the deployments run in, and the server that runs them."""

    directory: Path
    api: str
    environment: dict[str, str]
    _started: list[subprocess.Popen[bytes]] = field(default_factory=list)
    _http: httpx.Client = field(default_factory=httpx.Client)

    def prefect(self, *arguments: str) -> str:
        """Run a `prefect` command with nobody at the keyboard and return what it prints."""
        result = subprocess.run(
            [program("prefect"), *arguments],
            cwd=self.directory,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        assert result.returncode == 0, f"prefect {' '.join(arguments)}\n{result.stdout}\n{result.stderr}"
        return result.stdout

    def start(self, log: str, *arguments: str) -> None:
        """Start a `prefect` command that stays; its output goes to a file."""
        with (self.directory / log).open("wb") as output:
            process = subprocess.Popen(
                [program("prefect"), *arguments],
                cwd=self.directory,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._started.append(process)

    def stop(self) -> None:
        """End what was started, the last first, with all that it started itself."""
        for process in reversed(self._started):
            end(process)
        self._http.close()

    def wait_for_server(self) -> None:
        """Return when the server answers."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            try:
                if self._http.get(f"{self.api}/health").is_success:
                    return
            except httpx.TransportError:
                time.sleep(0.3)
        raise TimeoutError((self.directory / "server.log").read_text())

    def run(self, deployment: str, **parameters: object) -> dict[str, Any]:
        """Run a deployment, asked for as a page of the server does, and return its flow run when it has ended."""
        # Prefect's client asks again where the server is busy.
        with SyncPrefectClient(self.api) as client:
            asked = client.create_flow_run_from_deployment(
                UUID(self.deployment(deployment)["id"]), parameters=parameters
            )
        return self.ended(str(asked.id))

    def submit(self, deployment: str, **parameters: str) -> str:
        """Run a deployment through the command line, and return the id of its flow run at once."""
        options = [option for name, value in parameters.items() for option in ("-p", f"{name}={value}")]
        printed = self.prefect("deployment", "run", deployment, *options)
        found = re.search(r"UUID: (\S+)", printed)
        assert found, printed
        return found[1]

    def ended(self, flow_run: str) -> dict[str, Any]:
        """Return a flow run when it has ended."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            found = self.get(f"flow_runs/{flow_run}")
            if found["state_type"] in ("COMPLETED", "FAILED", "CRASHED", "CANCELLED"):
                return found
            time.sleep(0.3)
        raise TimeoutError(f"{flow_run} is {found['state_type']}\n{(self.directory / 'worker.log').read_text()}")

    def get(self, path: str) -> dict[str, Any]:
        """Return what the server answers."""
        return self._http.get(f"{self.api}/{path}").raise_for_status().json()

    def deployment(self, name: str) -> dict[str, Any]:
        """Return what the server holds of a deployment."""
        return self.get(f"deployments/name/{name}")

    def write_space(self, name: str, text: str) -> str:
        """Write a search space beside prefect.yaml and return its path there."""
        (self.directory / name).write_text(text)
        return name

    @property
    def mlflow(self) -> MlflowClient:
        """The store that the deployments write to, in their working directory."""
        return MlflowClient(tracking_uri=f"sqlite:///{self.directory}/mlflow.db")


@pytest.fixture(scope="session")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """A server, a work pool, every deployment of prefect.yaml, and a worker."""
    directory = tmp_path_factory.mktemp("house")
    copy_checkout(directory)
    port = free_port()
    api = f"http://127.0.0.1:{port}/api"
    house = House(directory, api, _environment(api, tmp_path_factory.mktemp("prefect")))
    try:
        house.start("server.log", "server", "start", "--host", "127.0.0.1", "--port", str(port))
        house.wait_for_server()
        house.prefect("work-pool", "create", "backprop", "--type", "process")
        house.prefect("deploy", "--all")
        house.start("worker.log", "worker", "start", "--pool", "backprop")
        yield house
    finally:
        house.stop()


def copy_checkout(directory: Path) -> None:
    """Copy what is deployed from."""
    for name in DEPLOYED:
        source = CHECKOUT / name
        if source.is_dir():
            # With what was compiled of it, which a worker would compile again: the loops take half a minute.
            shutil.copytree(source, directory / name)
        else:
            shutil.copyfile(source, directory / name)


def _environment(api: str, home: Path) -> dict[str, str]:
    # A test that ran before may have left MLflow pointing to its own store.
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_TRACKING")}
    return {
        **kept,
        "PREFECT_API_URL": api,
        "PREFECT_HOME": str(home),
        # The worker asks for work every second, not every ten.
        "PREFECT_WORKER_QUERY_SECONDS": "1",
        # Prefect's tables are cut at 80 columns.
        "COLUMNS": "200",
    }
