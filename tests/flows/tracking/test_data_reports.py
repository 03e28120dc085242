"""What was found in the data, as artifacts of a run."""

import json
import re
from pathlib import Path

from flows.data.drift import DriftReport, measure_drift
from flows.data.store import Dataset
from flows.data.validation import ValidationReport
from flows.data.violations import Violation
from flows.parameters import Space
from flows.tracking import tags
from flows.tracking.data_reports import log_drift, log_validation, record_stop
from flows.tracking.search_runs import search_run
from flows.tracking.store import Tracking
from tests.flows.data.test_drift import PLAN, houses

SPACE = Space.model_validate({"grid": {"hidden": [[8]], "learning_rate": [0.1]}})


def moved() -> DriftReport:
    report = measure_drift(houses(1), houses(2, size=lambda frame: frame["size"] * 2), PLAN)
    return report.model_copy(update={"reference_digest": "d" * 64})


def artifact(tracking: Tracking, run_id: str, name: str) -> str:
    return Path(tracking.client().download_artifacts(run_id, name)).read_text()


def test_a_search_has_what_was_found_when_its_data_was_ingested(wine: Dataset, tracking: Tracking) -> None:
    warning = Violation(column="hue", rule="levels", allowed="a, b", count=3, severity="warning")
    report = ValidationReport(violations=(warning,), notes=("column 'x' gives the target away",))
    with search_run(tracking, wine, "quick", SPACE) as run:
        log_validation(run, report)
    assert ValidationReport.model_validate_json(artifact(tracking, run.run_id, "data/validation.json")) == report


def test_drift_is_a_table_a_page_and_a_metric(wine: Dataset, tracking: Tracking) -> None:
    report = moved()
    with search_run(tracking, wine, "quick", SPACE) as run:
        log_drift(tracking, run.run_id, report)
    found = tracking.client().get_run(run.run_id)
    assert DriftReport.model_validate(json.loads(artifact(tracking, run.run_id, "data/drift.json"))) == report
    assert found.data.metrics["drift/psi_max"] == report.columns[0].psi
    assert found.data.metrics["drift/columns"] == 1
    assert found.data.tags[tags.DRIFT] == report.summary
    page = artifact(tracking, run.run_id, "data/drift.html")
    assert "1 of 5 columns drifted: &#x27;size&#x27;" in page
    # It is looked at where there is no network.
    assert re.findall(r'<(?:script|link|img)[^>]*(?:src|href)="http', page) == []


def test_a_stop_is_one_run_however_often_it_happens(wine: Dataset, diabetes: Dataset, tracking: Tracking) -> None:
    first = record_stop(tracking, wine, moved())
    assert record_stop(tracking, wine, moved()) == first
    assert record_stop(tracking, diabetes, moved()) != first
    found = tracking.client().get_run(first)
    assert (found.info.run_name, found.info.status) == ("retraining stopped · drift", "FINISHED")
    assert [data.dataset.name for data in found.inputs.dataset_inputs] == ["wine"]
    assert "drifted" in artifact(tracking, first, "data/drift.html")
