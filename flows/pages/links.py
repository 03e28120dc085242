"""The addresses of MLflow's and Prefect's pages."""

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from urllib.parse import quote, urlsplit

from prefect.context import FlowRunContext
from prefect.utilities.urls import url_for

from flows.tracking import tags
from flows.tracking.registry import RegisteredVersion
from flows.tracking.search_runs import SearchRun
from flows.tracking.store import Tracking

MLFLOW_PAGES = "BACKPROP_MLFLOW_PAGES"
"""Names where a browser finds MLflow if MLFLOW_TRACKING_URI does not: behind a proxy, or where it is a container's."""

_passing: ContextVar[bool] = ContextVar("passing", default=False)


@dataclass(frozen=True)
class MlflowPages:
    """Addresses of MLflow's pages of an experiment.

    Attributes
    ----------
    base : str
        What stands before the ``#``: nothing on MLflow's own pages, elsewhere the server's address.
    """

    base: str
    experiment_id: str

    def run(self, run_id: str) -> str:
        """Return the page of a run."""
        return f"{self.base}#/experiments/{self.experiment_id}/runs/{run_id}"

    def artifact(self, run_id: str, path: str) -> str:
        """Return the page that shows a file of a run."""
        return f"{self.run(run_id)}/artifacts/{quote(path)}"

    def version(self, version: RegisteredVersion) -> str:
        """Return the page of a version of a registered model."""
        return f"{self.base}#/models/{quote(version.name, safe='')}/versions/{version.version}"

    def trials(self, search: str, metric: str, *, ascending: bool) -> str:
        """Return the list of a search's trials, the best first."""
        asked = {
            "searchFilter": trials_of(search),
            "orderByKey": f"metrics.`{metric}`",
            "orderByAsc": str(ascending).lower(),
        }
        return f"{self.base}#/experiments/{self.experiment_id}/runs?{_query(asked)}"

    def view(self, key: str) -> str:
        """Return the charts of a view that was saved on the experiment."""
        asked = {"viewStateShareKey": key, "compareRunsMode": "CHART"}
        return f"{self.base}#/experiments/{self.experiment_id}/runs?{_query(asked)}"

    def compared(self, run_ids: Sequence[str]) -> str:
        """Return the page that compares some runs."""
        asked = {"runs": json.dumps(list(run_ids)), "experiments": json.dumps([self.experiment_id])}
        return f"{self.base}#/compare-runs?{_query(asked)}"


def trials_of(search: str) -> str:
    """Return the filter that finds the trials below the run of a search."""
    return f"tags.`{tags.PARENT}` = '{search}'"


def within_mlflow(run: SearchRun) -> MlflowPages:
    """Return addresses for text that MLflow itself shows, wherever it is served."""
    return MlflowPages("", run.tracking.experiment_id)


def from_elsewhere(run: SearchRun) -> MlflowPages | None:
    """Return addresses for other pages; None if the store is a file, of which no server is known."""
    address = _address(run.tracking)
    return None if address is None else MlflowPages(f"{address}/", run.tracking.experiment_id)


@contextmanager
def passing_server() -> Iterator[None]:
    """Let nothing lead to Prefect's pages meanwhile: the server ends with the command."""
    token = _passing.set(True)
    try:
        yield
    finally:
        _passing.reset(token)


def prefect_page() -> str | None:
    """Return the page of the flow run that this is part of; None if nobody will find it."""
    context = FlowRunContext.get()
    if context is None or context.flow_run is None or _passing.get():
        return None
    return url_for("flow-run", obj_id=context.flow_run.id)


def _address(tracking: Tracking) -> str | None:
    """Return where a browser finds MLflow, without a password."""
    told = os.environ.get(MLFLOW_PAGES, tracking.uri)
    parts = urlsplit(told)
    if parts.scheme not in ("http", "https"):
        return None
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="").geturl().rstrip("/")


def _query(asked: dict[str, str]) -> str:
    return "&".join(f"{name}={quote(value, safe='')}" for name, value in asked.items())
