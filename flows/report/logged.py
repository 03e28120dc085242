"""The report on the run of its search, with a link to it on the page of the Prefect run."""

import time
import traceback
from pathlib import Path
from urllib.parse import quote as quoted

from prefect import task
from prefect.artifacts import create_link_artifact
from prefect.logging import get_run_logger
from prefect.utilities.annotations import quote
from pydantic import BaseModel, ConfigDict

from flows.report.made import make_report
from flows.report.searched import FACTS_FILE, Searched, with_earlier_stacks
from flows.tracking.artifacts import local_directory
from flows.tracking.search_runs import SearchRun

REPORT_FILE = "report/report.html"
"""Of the artifacts of a search's run."""


class ReportOutcome(BaseModel):
    """What became of the report of a search.

    Attributes
    ----------
    link : str or None
        Where it is: a page of MLflow's server, or the file where there is no server. None if it could not be made.
    failure : str or None
        Why it could not be made.
    """

    model_config = ConfigDict(frozen=True)

    link: str | None
    failure: str | None = None
    seconds: float


def report_on(searched: Searched) -> ReportOutcome:
    """Make the report of a search and log it; what goes wrong with it is told, and costs the search nothing.

    The task run fails and stays so on the page of the flow run, and the log has the traceback; the winner is
    registered by then, and `backprop report` makes the report another time.
    """
    started = time.monotonic()
    # Quoted: Prefect would look through thousands of trials for what other tasks returned.
    state = log_report(quote(searched), return_state=True)
    seconds = time.monotonic() - started
    found = state.result(raise_on_failure=False)
    if isinstance(found, Exception):
        get_run_logger().warning(
            "The report could not be made; the winner is registered all the same, and `backprop report %s` tries "
            "again.\n%s",
            searched.run.run_id,
            "".join(traceback.format_exception(found)),
        )
        return ReportOutcome(link=None, failure=f"{type(found).__name__}: {found}", seconds=seconds)
    return ReportOutcome(link=found, seconds=seconds)


@task(name="report", task_run_name="report", persist_result=False)
def log_report(searched: Searched) -> str:
    """Make the report of a search, log it with a link on the page of the Prefect run, and return where it is."""
    log_onto(with_earlier_stacks(searched))
    link = report_link(searched.run)
    described = f"Which of {len(searched.trials):,} trials on {searched.dataset.schema.name} won, by how much, and why."
    create_link_artifact(link, "The report of the search", key="report", description=described)
    return link


def log_onto(searched: Searched) -> None:
    """Make the report of a search and log it on the run of the search."""
    client, run_id = searched.run.tracking.client(), searched.run.run_id
    # First, so that the report can be made another time if it cannot be now.
    client.log_text(run_id, searched.kept(), FACTS_FILE)
    client.log_text(run_id, make_report(searched), REPORT_FILE)


def report_link(run: SearchRun) -> str:
    """Return where a person opens the report of a search: MLflow's page of it, or the file if there is no server."""
    if run.tracking.uri.startswith("http"):
        place = f"experiments/{run.tracking.experiment_id}/runs/{run.run_id}/artifacts/{quoted(REPORT_FILE)}"
        return f"{run.tracking.uri.rstrip('/')}/#/{place}"
    root = run.tracking.client().get_run(run.run_id).info.artifact_uri
    directory = local_directory(root)
    return f"{root}/{REPORT_FILE}" if directory is None else Path(directory, REPORT_FILE).as_uri()
