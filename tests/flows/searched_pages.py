"""A real search whose pages are served by real servers, and what a browser must not say of them."""

import contextlib
import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import httpx
import pytest
from mlflow.entities import Run
from playwright.sync_api import ConsoleMessage, Page
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import FlowRun
from prefect.settings import PREFECT_API_URL, temporary_settings

from benchmarks.chaos.services import MlflowServer, PrefectServer
from flows.pages.links import MLFLOW_PAGES
from flows.tracking import tags
from flows.train import TrainReport, train
from tests.flows.commands import Store

SPACE = """
grid:
  hidden: [[32], [64, 32]]
  activation: [relu, tanh]
  optimizer: [sgd, momentum]
  learning_rate: [0.01, 0.1, 1.0, 1.0e+30]
  l2: [0.0, 0.001]
  epochs: [5]
"""
TRIALS = 64

SCREENSHOTS = os.environ.get("BACKPROP_SCREENSHOTS")
"""A directory that gets the pictures for the docs, if set."""

_NOT_OURS = (
    # MLflow asks who is logged in, of a server that has no accounts.
    "/mlflow/users/current",
    # Chromium says so of MLflow's charts while they are laid out.
    "ResizeObserver loop",
    # What MLflow's and Prefect's own scripts say of themselves, and the pictures that Prefect does not have.
    "/static-files/",
    "/assets/index-",
    "/favicon.ico",
    "/ico/undefined.svg",
)


@dataclass(frozen=True)
class SearchPages:
    """Where the pages of a search are.

    Attributes
    ----------
    mlflow, prefect : str
        The servers' addresses, without a slash at the end.
    """

    mlflow: str
    prefect: str
    store: Store
    report: TrainReport

    @property
    def run(self) -> Run:
        """The search's run in MLflow, as it is now."""
        return self.store.client.get_run(self.report.run.run_id)

    @property
    def trials(self) -> list[Run]:
        return [run for run in self.store.children() if run.data.tags[tags.PARENT] == self.report.run.run_id]

    def flow_run(self, name: str) -> FlowRun:
        """Return the one flow run of a name."""
        with temporary_settings({PREFECT_API_URL: f"{self.prefect}/api"}), get_client(sync_client=True) as client:
            [found] = [run for run in client.read_flow_runs() if run.name == name]
        return found

    def artifact(self, key: str) -> str:
        """Return the address of the page of an artifact, the latest of its key."""
        asked = {"artifacts": {"key": {"any_": [key]}}, "sort": "CREATED_DESC"}
        found = httpx.post(f"{self.prefect}/api/artifacts/filter", json=asked).raise_for_status().json()
        return f"{self.prefect}/artifacts/artifact/{found[0]['id']}"


@contextmanager
def searched_pages(directory: Path) -> Iterator[SearchPages]:
    """Search with two workers beside both servers, and let them run meanwhile."""
    prefect, mlflow_server = PrefectServer(directory), MlflowServer(directory)
    with pytest.MonkeyPatch.context() as environment, contextlib.ExitStack() as started:
        # Where the pages look for the server; by themselves they would look on the port that is usual.
        environment.setenv("PREFECT_UI_API_URL", prefect.address)
        environment.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{directory}/mlflow.db")
        environment.setenv(MLFLOW_PAGES, mlflow_server.address)
        for server in (prefect, mlflow_server):
            started.callback(server.stop)
            server.start()
        environment.setenv("PREFECT_API_URL", prefect.address)
        (directory / "space.yaml").write_text(SPACE)
        # In a process of its own: in this one events go on to the server that Prefect spoke to first.
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as apart:
            report = apart.submit(_trained, directory).result()
        environment.undo()
        yield SearchPages(mlflow_server.address, prefect.address.removesuffix("/api"), Store(directory), report)


def _trained(directory: Path) -> TrainReport:
    with contextlib.chdir(directory):
        return train("digits", space="space.yaml", compute={"workers": 2})


@contextmanager
def nothing_goes_wrong(page: Page) -> Iterator[None]:
    """Fail if the browser reports an error on a page meanwhile, but for those that MLflow has without us."""
    said: list[str] = []

    def hear(message: ConsoleMessage) -> None:
        text = f"{message.text} ({message.location.get('url', '')})"
        if message.type == "error" and not any(known in text for known in _NOT_OURS):
            said.append(text)

    page.on("console", hear)
    page.on("pageerror", lambda error: said.append(str(error)))
    yield
    assert not said, "\n".join(said)


def picture(page: Page, directory: Path, name: str) -> None:
    """Keep what a person sees."""
    path = Path(SCREENSHOTS or directory) / f"{name}.png"
    page.screenshot(path=path)
    assert path.stat().st_size > 10_000
