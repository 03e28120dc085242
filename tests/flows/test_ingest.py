"""The `ingest` flow under a Prefect server: what it shows on the run's page, and what it passes on."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId
from prefect.client.schemas.objects import Artifact, State

from flows.data.violations import SchemaViolationError
from flows.ingest import Ingested, ingest
from flows.progress import LoggedProgress, listening

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("prefect_server")]

ROWS = 60


class Listener(LoggedProgress):
    """Remembers what it was warned of."""

    def __init__(self) -> None:
        self.warnings: list[str] = []

    def warned(self, text: str) -> None:
        self.warnings.append(text)


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def write_plants(**changes: object) -> None:
    place = np.arange(ROWS)
    frame = pd.DataFrame({"size": place * 7 % 41, "hue": np.array(["red", "blue"])[place * 3 % 7 % 2], "y": place % 2})
    frame.assign(**changes).to_csv("plants.csv", index=False)


def run() -> tuple[State[Any], list[Artifact]]:
    """Ingest, and return the state it ended in and the artifacts on its page."""
    state = ingest("plants.csv", "y", return_state=True)
    assert state.state_details.flow_run_id is not None
    wanted = ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[state.state_details.flow_run_id]))
    with get_client(sync_client=True) as prefect:
        # What has no key is Prefect's own note of a result.
        return state, [found for found in prefect.read_artifacts(artifact_filter=wanted) if found.key]


def test_a_good_table_is_passed_on_with_nothing_on_the_page() -> None:
    write_plants()
    state, artifacts = run()
    found: Ingested = state.result()
    assert (found.report.violations, found.report.notes) == ((), ())
    assert artifacts == []


def test_violations_are_a_table_on_the_page_of_the_run_that_failed() -> None:
    write_plants()
    run()
    write_plants(size=np.arange(ROWS) * 100, hue="green")
    state, [table] = run()
    with pytest.raises(SchemaViolationError) as raised:
        state.result()
    assert state.is_failed()
    assert (table.key, table.type) == ("schema-violations", "table")
    assert "2 in all, 1 of them stopped the ingestion" in (table.description or "")
    size, hue = json.loads(str(table.data))
    assert size == {
        "column": "size",
        "rule": "range",
        "allowed": "-40 to 80",
        "count": 59,
        "examples": "100 at line 3, 200 at line 4, 300 at line 5, 400 at line 6, 500 at line 7",
        "severity": "error",
    }
    assert (hue["rule"], hue["severity"]) == ("levels", "warning")
    assert len(raised.value.violations) == 2


def test_warnings_are_on_the_page_passed_on_and_told_to_who_watches() -> None:
    write_plants()
    run()
    write_plants(
        hue=np.where(np.arange(ROWS) == 7, "green", "red"), outcome=np.where(np.arange(ROWS) % 2, "ill", "well")
    )
    schema = next(Path("datasets/sources").glob("*/schema.yaml"))
    schema.write_text(schema.read_text().replace("other_columns: refuse", "other_columns: accept"))
    with listening(listener := Listener()):
        state, artifacts = run()
    found: Ingested = state.result()
    [violation], [note] = found.report.violations, found.report.notes
    assert (violation.column, violation.rule, violation.examples[0].where) == ("hue", "levels", "line 9")
    assert "column 'outcome' gives the target 'y' away" in note
    assert {artifact.key for artifact in artifacts} == {"schema-violations", "data-notes"}
    assert listener.warnings == [
        "plants.csv: column 'hue': 1 value of levels not seen before, the first 'green' at line 9",
        note,
    ]
