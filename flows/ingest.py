"""The `ingest` flow: from a source to a dataset that workers can open."""

from prefect import flow
from prefect.logging import get_run_logger
from pydantic import BaseModel, ConfigDict

from flows.data.conformance import enforce_schema
from flows.data.declarations import Declarations, read_declarations, read_own_plan, without_split_column
from flows.data.folds import FoldCount
from flows.data.inference import infer_plan
from flows.data.root import open_root
from flows.data.schema import infer_schema
from flows.data.sources import open_source, require_targets
from flows.data.splitting import SplitParameters, require_split_column
from flows.data.staging import Staged, stage
from flows.data.store import Dataset, DatasetReference, open_dataset, write_datasets
from flows.data.validation import ValidationReport, check_trainable
from flows.data.violations import SchemaViolationError, Violation
from flows.data_artifacts import publish_notes, publish_violations
from flows.form import DataAddress, TargetColumns
from flows.parameters import IngestParameters, TaskChoice


class Ingested(BaseModel):
    """What came of an ingestion: the dataset, its folds in order, and what was found that the run should tell."""

    model_config = ConfigDict(frozen=True)

    dataset: DatasetReference
    folds: tuple[DatasetReference, ...] = ()
    report: ValidationReport


@flow(name="ingest", flow_run_name="ingest {data}", persist_result=False)
def ingest(
    data: DataAddress,
    target: TargetColumns = None,
    task: TaskChoice = "auto",
    preparation: str | None = None,
    split: SplitParameters = SplitParameters(),  # noqa: B008 - immutable
    datasets: str = "datasets",
    folds: FoldCount | None = None,
) -> Ingested:
    """Read a source once, check it, split it, prepare it, and write it under the digest of its content.

    Args:
        data: A built-in data set, a file, a directory, or what docs/sources lists
        target: Target column, or a list of them; none where the source brings its own
        task: What to predict; auto decides by the target's values
        preparation: YAML file of the preparation; written if there is none, and followed if there is
        split: How rows are split into training, validation and test
        datasets: Where the prepared datasets are: a directory, or a URL such as s3://bucket/datasets
        folds: How many folds to write beside the dataset, each prepared by its own training rows; none if empty

    Raises
    ------
    InputError
        The source cannot be read or trained on; nothing was written.
    """
    parameters = IngestParameters(
        data=data, target=target, task=task, preparation=preparation, split=split, datasets=datasets
    )
    source = open_source(data)
    own_plan = read_own_plan(preparation)
    targets = require_targets(source, parameters.targets or (own_plan.target if own_plan else ()))
    require_split_column(source, targets, split)
    root = open_root(datasets)
    declared = read_declarations(root, source, targets, task, preparation)
    with root.scratch() as scratch, stage(source, scratch) as staged:
        violations = _enforce(declared, staged)
        plan = infer_plan(staged, targets, task, without_split_column(declared.plan, split))
        notes = check_trainable(staged, plan, split)
        reference, *fold_references = write_datasets(root, staged, plan, split, folds or 0)
        declared.keep(plan, declared.schema or infer_schema(staged, plan), source.uri)
    publish_notes(source.uri, notes)
    _tell(open_dataset(reference), declared.plan_file)
    if folds:
        get_run_logger().info("%d folds beside it, each prepared by its own training rows", folds)
    return Ingested(
        dataset=reference, folds=tuple(fold_references), report=ValidationReport(violations=violations, notes=notes)
    )


def _enforce(declared: Declarations, staged: Staged) -> tuple[Violation, ...]:
    """Hold the table against the schema of its source, before anything is decided about it; publish what is found."""
    try:
        violations = enforce_schema(declared.schema, staged, declared.plan, declared.schema_file)
    except SchemaViolationError as error:
        publish_violations(staged.source.uri, error.violations, declared.schema_file)
        raise
    if violations:
        publish_violations(staged.source.uri, violations, declared.schema_file)
    return violations


def _tell(dataset: Dataset, plan_file: str) -> None:
    rows = ", ".join(f"{count} {part}" for part, count in dataset.rows.items())
    get_run_logger().info(
        "Dataset %s (%s): %s, %d inputs, rows: %s; prepared as %s says",
        dataset.reference.name,
        dataset.reference.digest[:12],
        dataset.task,
        dataset.inputs,
        rows,
        plan_file,
    )
