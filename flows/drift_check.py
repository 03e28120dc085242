"""Whether the data has moved too far from what a model was last retrained on to train again without being asked."""

from prefect import task
from prefect.logging import get_run_logger

from flows.data.drift import DriftParameters, DriftReport, measure_drift
from flows.data.plan import load_plan
from flows.data.root import root_of
from flows.data.store import DatasetReference, open_dataset, raw_train_sample
from flows.data_artifacts import publish_drift


@task(name="measure-drift", task_run_name="measure the drift of {dataset.name}", persist_result=False)
def drift_since(digest: str | None, dataset: DatasetReference, parameters: DriftParameters) -> DriftReport | None:
    """Compare the training rows of a dataset with those of the one of that digest, and put the result on the run page.

    None, and a line in the log that says why, where there is nothing to compare with: no earlier training, or a
    dataset that was removed from the store.
    """
    reference = earlier_dataset(digest, dataset)
    if digest is None or reference is None:
        reason = "no earlier training" if digest is None else f"the dataset {digest[:12]} is not in the store any more"
        get_run_logger().info("Drift is not measured: %s", reason)
        return None
    opened = open_dataset(dataset)
    report = measure_drift(
        raw_train_sample(open_dataset(reference)),
        raw_train_sample(opened),
        load_plan(opened.directory / "plan.yaml"),
        parameters,
    ).model_copy(update={"reference_digest": digest})
    get_run_logger().info("Drift: %s", report.summary)
    if report.columns:
        publish_drift(report, opened.uri)
    return report


def earlier_dataset(digest: str | None, dataset: DatasetReference) -> DatasetReference | None:
    """Return the dataset of a digest in the store of another, if it is there."""
    root, _ = root_of(dataset.path)
    if digest is None or not root.has(digest):
        return None
    return DatasetReference(name=dataset.name, digest=digest, path=root.place(digest))
