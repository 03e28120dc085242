"""The `ingest` flow: from a source to a dataset that workers can open."""

from pathlib import Path

from prefect import flow
from prefect.logging import get_run_logger

from flows.data.preparation import infer_task
from flows.data.sources import read_source
from flows.data.splitting import SplitParameters
from flows.data.store import DatasetReference, open_dataset, write_dataset
from flows.parameters import TaskChoice


@flow(name="ingest", flow_run_name="ingest {data}", persist_result=False)
def ingest(
    data: str,
    target: str | None = None,
    task: TaskChoice = "auto",
    split: SplitParameters = SplitParameters(),  # noqa: B008 - immutable
    datasets: str = "datasets",
) -> DatasetReference:
    """Read a source, check it, split it, prepare it, and write it under the digest of its content.

    Raises
    ------
    InputError
        The source cannot be read or trained on; nothing was written.
    """
    table = read_source(data, target)
    reference = write_dataset(Path(datasets), table, infer_task(table.target, task), split)
    dataset = open_dataset(reference)
    rows = ", ".join(f"{count} {part}" for part, count in dataset.rows.items())
    get_run_logger().info(
        "Dataset %s (%s): %s, %d inputs, rows: %s",
        dataset.reference.name,
        reference.digest[:12],
        dataset.task,
        dataset.inputs,
        rows,
    )
    return reference
