"""What was found in the data, as artifacts of MLflow runs."""

from mlflow.entities import Metric, RunTag

from flows.data.drift import DriftReport
from flows.data.store import Dataset
from flows.data.validation import ValidationReport
from flows.drift_plot import drift_page
from flows.tracking import tags
from flows.tracking.inputs import dataset_inputs
from flows.tracking.search_runs import SearchRun, find_run
from flows.tracking.store import Tracking

VALIDATION_FILE = "data/validation.json"
DRIFT_FILE = "data/drift.json"
DRIFT_PAGE = "data/drift.html"


def log_validation(run: SearchRun, report: ValidationReport) -> None:
    """Log what was found when the data was ingested; also that nothing was."""
    run.tracking.client().log_dict(run.run_id, report.model_dump(mode="json"), VALIDATION_FILE)


def log_drift(tracking: Tracking, run_id: str, report: DriftReport) -> None:
    """Log the drift of every column as JSON and as a page with a plot, and the largest index as a metric."""
    client = tracking.client()
    client.log_dict(run_id, report.model_dump(mode="json"), DRIFT_FILE)
    client.log_text(run_id, drift_page(report), DRIFT_PAGE)
    largest = max((column.psi for column in report.columns), default=0.0)
    client.log_batch(
        run_id,
        metrics=[
            Metric("drift/psi_max", largest, 0, 0),
            Metric("drift/columns", float(len(report.drifted)), 0, 0),
        ],
        tags=[RunTag(tags.DRIFT, report.summary[:500])],
    )


def record_stop(tracking: Tracking, dataset: Dataset, report: DriftReport) -> str:
    """Log drift that stopped a retraining on a run of its own, as there is no search; return its id.

    The same data against the same reference is the same run, however often a schedule comes by.
    """
    client = tracking.client()
    key = f"{report.reference_digest} {dataset.reference.digest}"
    run_id = find_run(tracking, tags.DRIFT_KEY, key)
    if run_id is None:
        marks = {
            tags.DRIFT_KEY: key,
            tags.DATASET: dataset.reference.name,
            tags.DATASET_DIGEST: dataset.reference.digest,
        }
        run = client.create_run(tracking.experiment_id, run_name="retraining stopped · drift", tags=marks)
        run_id = str(run.info.run_id)
        client.log_inputs(run_id, dataset_inputs(dataset, ("training",)))
    log_drift(tracking, run_id, report)
    client.set_terminated(run_id, status="FINISHED")
    return run_id
