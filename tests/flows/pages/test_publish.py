from typing import Any

import pytest
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId, FlowFilter, FlowFilterName
from prefect.client.schemas.sorting import FlowRunSort

from flows.compute.stack_training import StackOutcome
from flows.data.store import Dataset
from flows.pages.links import MLFLOW_PAGES
from flows.pages.publish import publish_decision, publish_search
from flows.pages.trial_charts import TAG, view_key
from flows.ranking import Candidate
from flows.report.searched import Searched, SearchFacts, members_of
from flows.search import SearchOutcome
from flows.tracking import tags
from flows.tracking.decision_files import log_kept
from flows.tracking.registry import RegisteredVersion
from flows.tracking.search_runs import SearchRun, find_run
from flows.tracking.store import Tracking
from tests.flows.conftest import winner_on

TEST = {"test/accuracy": 0.9}


def publish(searched: Searched, has_report: bool = False) -> None:
    @flow(name="publishing", flow_run_name="publishing")
    def publishing() -> None:
        outcome = SearchOutcome(trials=1, trained=1, stacks=searched.facts.stacks)
        publish_search(searched, outcome, TEST, has_report=has_report)

    publishing()


@pytest.fixture
def searched(wine: Dataset, tracking: Tracking) -> Searched:
    """A search of one trial, which won."""
    winner = winner_on(wine, tracking)
    run = SearchRun(tracking=tracking, run_id=tracking.client().get_run(winner.run_id).data.tags[tags.PARENT])
    ranked = (Candidate(winner.name, "key", (winner,)),)
    facts = SearchFacts(
        space="space.yaml",
        dataset=wine.reference,
        ranked=members_of(ranked),
        winner=winner.key,
        registered=RegisteredVersion(name="wine", version=1),
        stacks=(StackOutcome(name="s", worker="w", trials=1, seconds=1.0, training_seconds=0.5, peak_bytes=1),),
        seconds={"search": 1.0},
    )
    return Searched(run, facts, wine, (), ranked, (), winner)


def described(run: SearchRun) -> str:
    return run.tracking.client().get_run(run.run_id).data.tags[tags.DESCRIPTION]


def artifacts() -> dict[str, Any]:
    """Return what the newest run of the flow has put on its page, by key."""
    flow = FlowFilter(name=FlowFilterName(any_=["publishing"]))
    with get_client(sync_client=True) as client:
        [newest] = client.read_flow_runs(flow_filter=flow, sort=FlowRunSort.EXPECTED_START_TIME_DESC, limit=1)
        of_it = ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[newest.id]))
        return {found.key: found.data for found in client.read_artifacts(artifact_filter=of_it)}


@pytest.mark.usefixtures("prefect_server")
def test_both_pages_of_a_search_lead_to_each_other(searched: Searched, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(MLFLOW_PAGES, "http://mlflow:5000")
    run, experiment_id = searched.run, searched.run.tracking.experiment_id

    publish(searched)

    said = described(run)
    assert "**Winner**: [" in said
    assert f"](#/experiments/{experiment_id}/runs/{searched.winner.run_id})" in said
    assert "/runs/flow-run/" in said
    experiment = run.tracking.client().get_experiment(experiment_id)
    assert f"{TAG}{view_key(run)}" in experiment.tags
    assert experiment.tags["mlflow.experimentKind"] == "custom_model_development"
    shown = artifacts()
    assert shown.keys() == {"summary", "mlflow-run", "mlflow-charts", "winner", "model-version"}
    assert f"http://mlflow:5000/#/experiments/{experiment_id}/runs/{run.run_id}" in shown["mlflow-run"]


@pytest.mark.usefixtures("prefect_server")
def test_a_report_is_linked_from_both(searched: Searched, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(MLFLOW_PAGES, "http://mlflow:5000")
    run = searched.run

    publish(searched, has_report=True)

    page = f"#/experiments/{run.tracking.experiment_id}/runs/{run.run_id}/artifacts/report/report.html"
    assert f"[Report]({page})" in described(run)
    assert f"/runs/{run.run_id}/artifacts/report/report.html)" in artifacts()["summary"]


@pytest.mark.usefixtures("prefect_server")
def test_a_description_that_a_person_wrote_stays_and_a_store_in_a_file_has_no_links(searched: Searched) -> None:
    run = searched.run
    run.tracking.client().set_tag(run.run_id, tags.DESCRIPTION, "Ours: the one for the paper")

    publish(searched)
    log_kept(run, "kept: the champion stands")
    publish_decision(run)

    assert described(run) == "Ours: the one for the paper"
    shown = artifacts()
    assert shown.keys() == {"summary"}
    assert "](" not in shown["summary"]
    assert find_run(run.tracking, tags.OUTCOME, "trained") == searched.winner.run_id


@pytest.mark.usefixtures("prefect_server")
def test_what_a_retraining_decided_is_in_the_description_and_stays_when_the_search_is_run_again(
    searched: Searched,
) -> None:
    run = searched.run
    publish(searched)
    log_kept(run, "kept: the champion stands")

    publish_decision(run)

    assert "\n\n**The retraining** kept: the champion stands.\n\n**Winner**" in described(run)
    publish(searched, has_report=True)
    assert described(run).count("**The retraining** kept") == 1
    assert described(run).startswith("[Report](")
