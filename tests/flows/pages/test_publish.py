from typing import Any

import pytest
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId, FlowFilter, FlowFilterName
from prefect.client.schemas.sorting import FlowRunSort

from flows.compute.stack_training import StackOutcome
from flows.data.store import Dataset
from flows.pages.links import MLFLOW_PAGES
from flows.pages.publish import publish_search
from flows.pages.trial_charts import TAG, view_key
from flows.ranking import Candidate, Selection
from flows.search import SearchOutcome
from flows.tracking import tags
from flows.tracking.registry import RegisteredVersion
from flows.tracking.search_runs import SearchRun, find_run
from flows.tracking.store import Tracking
from tests.flows.conftest import winner_on


@flow(name="publishing", flow_run_name="publishing")
def publishing(run: SearchRun, dataset: Dataset, selection: Selection, has_report: bool = False) -> None:
    stack = StackOutcome(name="s", worker="w", trials=1, seconds=1.0, training_seconds=0.5, peak_bytes=1)
    publish_search(
        run,
        dataset,
        "space.yaml",
        SearchOutcome(trials=1, trained=1, stacks=(stack,)),
        selection,
        RegisteredVersion(name="wine", version=1),
        {"search": 1.0},
        has_report=has_report,
    )


@pytest.fixture
def searched(wine: Dataset, tracking: Tracking) -> tuple[SearchRun, Selection]:
    """A search of one trial, and that it won."""
    winner = winner_on(wine, tracking)
    parent = tracking.client().get_run(winner.run_id).data.tags[tags.PARENT]
    selection = Selection(
        metric="val/accuracy",
        ranked=(Candidate(winner.name, "key", (winner,)),),
        diverged=(),
        winner=winner,
        test={"test/accuracy": 0.9},
    )
    return SearchRun(tracking=tracking, run_id=parent), selection


def artifacts() -> dict[str, Any]:
    """Return what the newest run of the flow has put on its page, by key."""
    flow = FlowFilter(name=FlowFilterName(any_=["publishing"]))
    with get_client(sync_client=True) as client:
        [newest] = client.read_flow_runs(flow_filter=flow, sort=FlowRunSort.EXPECTED_START_TIME_DESC, limit=1)
        of_it = ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[newest.id]))
        return {found.key: found.data for found in client.read_artifacts(artifact_filter=of_it)}


@pytest.mark.usefixtures("prefect_server")
def test_both_pages_of_a_search_lead_to_each_other(
    wine: Dataset, searched: tuple[SearchRun, Selection], monkeypatch: pytest.MonkeyPatch
) -> None:
    run, selection = searched
    monkeypatch.setenv(MLFLOW_PAGES, "http://mlflow:5000")

    publishing(run, wine, selection)

    found = run.tracking.client().get_run(run.run_id)
    said = found.data.tags[tags.DESCRIPTION]
    assert "**Winner**: [" in said
    assert f"](#/experiments/{run.tracking.experiment_id}/runs/{selection.winner.run_id})" in said
    assert "/runs/flow-run/" in said
    experiment = run.tracking.client().get_experiment(run.tracking.experiment_id)
    assert f"{TAG}{view_key(run)}" in experiment.tags
    assert experiment.tags["mlflow.experimentKind"] == "custom_model_development"
    shown = artifacts()
    assert shown.keys() == {"summary", "mlflow-run", "mlflow-charts", "winner", "model-version"}
    assert f"http://mlflow:5000/#/experiments/{run.tracking.experiment_id}/runs/{run.run_id}" in shown["mlflow-run"]


@pytest.mark.usefixtures("prefect_server")
def test_a_report_is_linked_from_both(
    wine: Dataset, searched: tuple[SearchRun, Selection], monkeypatch: pytest.MonkeyPatch
) -> None:
    run, selection = searched
    monkeypatch.setenv(MLFLOW_PAGES, "http://mlflow:5000")

    publishing(run, wine, selection, has_report=True)

    said = run.tracking.client().get_run(run.run_id).data.tags[tags.DESCRIPTION]
    assert (
        f"[Report](#/experiments/{run.tracking.experiment_id}/runs/{run.run_id}/artifacts/report/report.html)" in said
    )
    assert f"/runs/{run.run_id}/artifacts/report/report.html)" in artifacts()["summary"]


@pytest.mark.usefixtures("prefect_server")
def test_a_description_that_a_person_wrote_stays_and_a_store_in_a_file_has_no_links(
    wine: Dataset, searched: tuple[SearchRun, Selection]
) -> None:
    run, selection = searched
    run.tracking.client().set_tag(run.run_id, tags.DESCRIPTION, "Ours: the one for the paper")

    publishing(run, wine, selection)

    assert run.tracking.client().get_run(run.run_id).data.tags[tags.DESCRIPTION] == "Ours: the one for the paper"
    shown = artifacts()
    assert shown.keys() == {"summary"}
    assert "](" not in shown["summary"]
    assert find_run(run.tracking, tags.OUTCOME, "trained") == selection.winner.run_id
