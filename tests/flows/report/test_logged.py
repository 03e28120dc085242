"""The report at the end of a real search: on its run, linked from Prefect, and never the end of the search."""

import io
from pathlib import Path

import pytest
from mlflow import MlflowClient
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey, TaskRunFilter, TaskRunFilterName
from rich.console import Console

from flows.parameters import ComputeParameters
from flows.report.logged import REPORT_FILE, ReportOutcome, report_on
from flows.report.searched import Searched, read_facts
from flows.terminal.train import summary
from flows.tracking import tags
from flows.train import TrainReport
from flows.train import train as train_flow
from tests.flows.commands import Forked

pytestmark = pytest.mark.slow

SPACE = "grid: {hidden: [[6]], learning_rate: [0.1, 0.3], epochs: [3]}"


@pytest.fixture
def trained(
    cluster: str, prefect_server: str, tracking_store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[TrainReport, TrainReport]:
    """A search that ran twice: the second time all trials are found finished."""
    monkeypatch.setenv("PREFECT_API_URL", prefect_server)
    assert tracking_store
    (tmp_path / "space.yaml").write_text(SPACE)
    compute = ComputeParameters(scheduler=cluster)
    first, second = (train_flow(data="wine", space="space.yaml", compute=compute) for _ in range(2))
    return first, second


def test_a_search_ends_with_a_report_that_its_run_holds_and_prefect_links(
    trained: tuple[TrainReport, TrainReport], forked: Forked, tmp_path: Path
) -> None:
    first, second = trained

    assert first.report.failure is None
    assert first.report.link is not None
    path = Path(first.report.link.removeprefix("file://"))
    assert path.name == "report.html"
    html = path.read_text("utf-8")
    assert f"{first.selection.winner.name} won among 2 configurations" in html
    assert REPORT_FILE in {file.path for file in first.run.tracking.client().list_artifacts(first.run.run_id, "report")}
    # Nothing was trained again, and what it cost the first time is still told.
    assert second.outcome.trained == 0
    assert [stack.name for stack in read_facts(second.run).stacks] == [one.name for one in first.outcome.stacks]
    assert read_facts(second.run).seconds["search"] > first.seconds["search"]
    with get_client(sync_client=True) as client:
        links = client.read_artifacts(artifact_filter=ArtifactFilter(key=ArtifactFilterKey(any_=["report"])))
    assert [link for link in links if f"({first.report.link})" in str(link.data)]
    console = Console(file=io.StringIO(), width=400)
    for line in summary(first, 1.0):
        console.print(line)
    assert f"Report: {first.report.link}" in console.file.getvalue()  # type: ignore[attr-defined]

    made = forked(tmp_path, "report", first.selection.winner.run_id, "--to", "again.html")
    assert (made.returncode, made.stdout.strip()) == (0, "again.html"), made.stderr
    assert "won among 2 configurations" in (tmp_path / "again.html").read_text("utf-8")
    refused = forked(tmp_path, "report", "f" * 32)
    assert refused.returncode == 2
    assert "no run and no trial key begins with" in refused.stderr


@pytest.mark.usefixtures("prefect_server")
def test_a_report_that_cannot_be_made_fails_in_sight_and_leaves_the_search_as_it_is(
    diabetes_search: Searched, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(*_: object) -> list[object]:
        raise OSError("the disk is gone")

    monkeypatch.setattr(MlflowClient, "get_metric_history", gone)

    @flow(name="reporting")
    def reporting() -> ReportOutcome:
        return report_on(diabetes_search)

    outcome = reporting()

    assert outcome.link is None
    assert outcome.failure == "OSError: the disk is gone"
    with get_client(sync_client=True) as client:
        runs = client.read_task_runs(task_run_filter=TaskRunFilter(name=TaskRunFilterName(like_="report")))
    assert "FAILED" in {run.state.type.value for run in runs if run.state is not None}
    # What is needed to make it another time is there, and so is the model.
    assert read_facts(diabetes_search.run).winner == diabetes_search.winner.key
    registered = diabetes_search.facts.registered
    client = diabetes_search.run.tracking.client()
    version = client.get_model_version(registered.name, str(registered.version))
    assert version.tags[tags.DATASET_DIGEST] == diabetes_search.dataset.reference.digest
