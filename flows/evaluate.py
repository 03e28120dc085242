"""The `evaluate` flow: measure a registered model on labelled rows."""

import math
from collections.abc import Sequence
from dataclasses import replace

from prefect import flow
from prefect.artifacts import create_table_artifact
from prefect.logging import get_run_logger
from pydantic import BaseModel, ConfigDict

from flows.data.preparation import Preparation, UnfitRowsError
from flows.data.root import open_root
from flows.data.sources import ColumnWidened, Source, open_source
from flows.data.sources.columns import listed
from flows.data.values import ColumnFault
from flows.errors import ModelError, TableError
from flows.evaluation.measures import Measure, PartMeasures, Tally, tally_for
from flows.parameters import EvaluateParameters
from flows.prediction import Predictor
from flows.scoring.kinds import require_kinds
from flows.scoring.pieces import frame_of, in_pieces, rows_per_piece
from flows.tracking.evaluation_runs import record_evaluation
from flows.tracking.opened_model import OpenedModel, open_model

TEST_ROWS = "test/rows.parquet"


class EvaluationReport(BaseModel):
    """How good a model is on some rows.

    Attributes
    ----------
    parts : tuple of PartMeasures
        Of each class, label or target.
    run_id : str
        The MLflow run that holds the same.
    """

    model_config = ConfigDict(frozen=True)

    model: str
    version: int
    data: str
    task: str
    rows: int
    confidence: float
    measures: tuple[Measure, ...]
    parts: tuple[PartMeasures, ...]
    run_id: str


@flow(name="evaluate", flow_run_name="evaluate {model}", persist_result=False)
def evaluate(
    model: str = "digits@champion",
    data: str | None = None,
    target: str | tuple[str, ...] | None = None,
    confidence: float = 0.95,
    experiment: str | None = None,
    datasets: str = "datasets",
) -> EvaluationReport:
    """Measure a registered model on labelled rows, beside what a constant answer reaches.

    The measures go to an MLflow run that belongs to the model, and to the page of this run.

    Args:
        model: A registered model: NAME@ALIAS, or NAME/VERSION
        data: What docs/sources lists; the test rows of the dataset that the model was trained on if empty
        target: What the data calls the target, or a list for several; as the model does if empty
        confidence: Of the intervals of the measures, two-sided
        experiment: MLflow experiment; the one that the model was trained in if empty
        datasets: Where the prepared datasets are, for the test rows: a directory, or a URL

    Raises
    ------
    InputError
        The model or the data cannot be used, or a row cannot be predicted or has no label that the model knows.
    """
    parameters = EvaluateParameters(
        model=model, data=data, target=target, confidence=confidence, experiment=experiment, datasets=datasets
    )
    opened = open_model(parameters.model)
    preparation = opened.predictor.preparation
    source = open_source(parameters.data) if parameters.data else test_rows_of(opened, parameters.datasets)
    tally = tally_of(opened.predictor, source, parameters.targets or preparation.targets)
    measures, parts = tally.measures(parameters.confidence), tally.parts(parameters.confidence)
    run_id = record_evaluation(opened, source.uri, tally.sums.rows, measures, parts, parameters.experiment)
    report = EvaluationReport(
        model=opened.name,
        version=opened.version,
        data=source.uri,
        task=preparation.task,
        rows=tally.sums.rows,
        confidence=parameters.confidence,
        measures=tuple(measures),
        parts=tuple(parts),
        run_id=run_id,
    )
    publish(report)
    return report


def test_rows_of(model: OpenedModel, datasets: str) -> Source:
    """Return the test rows of the dataset that a model was trained on, which it has not seen.

    Raises
    ------
    ModelError
        The dataset is not there any more.
    """
    root = open_root(datasets)
    if not root.has(model.dataset_digest):
        raise ModelError(
            f"{model.title}: its dataset {model.dataset_digest[:12]} is not in {datasets}; name labelled rows with "
            "--data, or say where it is with --datasets"
        )
    source = open_source(str(root.local(model.dataset_digest) / TEST_ROWS))
    return replace(source, uri="the test rows of its dataset")


def tally_of(predictor: Predictor, source: Source, targets: Sequence[str]) -> Tally:
    """Predict every row and add up how well; again from the first row if a column turns out to be wider."""
    while True:
        try:
            return tally_pass(predictor, source, targets)
        except ColumnWidened as widened:
            source = replace(widened.source, uri=source.uri)


def tally_pass(predictor: Predictor, source: Source, targets: Sequence[str]) -> Tally:
    """Predict the rows of a source with the types that its columns are known to have."""
    preparation = predictor.preparation
    check_targets(source, preparation, targets)
    require_kinds(source, preparation)
    names = list(dict.fromkeys([*preparation.columns, *targets]))
    renamed = dict(zip(targets, preparation.targets, strict=True))
    tally = tally_for(preparation)
    for piece in in_pieces(source.batches(), rows_per_piece(len(names))):
        frame = frame_of(piece.select(names))
        try:
            tally.add(frame[list(targets)].rename(columns=renamed), predictor.outputs(frame))
        except ColumnFault as fault:
            raise at(source, [fault], tally.sums.rows) from fault
        except UnfitRowsError as error:
            raise at(source, error.faults, tally.sums.rows) from error
    return tally


def check_targets(source: Source, preparation: Preparation, targets: Sequence[str]) -> None:
    """Raise a TableError unless each target of the model has a column."""
    if len(targets) != len(preparation.targets):
        raise TableError(
            f"{source.uri}: the model predicts {listed(preparation.targets)}; name as many columns with --target, in "
            "this order"
        )
    for name in targets:
        if name not in source.schema.names:
            raise TableError(
                f"{source.uri}: there is no column {name!r} to compare with; name it with --target "
                f"({listed(source.schema.names)})"
            )


def at(source: Source, faults: list[ColumnFault], rows: int) -> TableError:
    """Say what is wrong in rows that come after so many others."""
    return TableError(f"{source.uri}: {UnfitRowsError([fault.after(rows) for fault in faults], source.locate)}")


def publish(report: EvaluationReport) -> None:
    """Put the measures on the run's page, and say the first of them in its log."""
    first = report.measures[0]
    get_run_logger().info(
        "%s version %d on %s: %s %.4g, a constant reaches %s",
        report.model,
        report.version,
        report.data,
        first.name,
        first.value,
        "less" if first.baseline is None else f"{first.baseline:.4g}",
    )
    on = f"**{report.model}** version {report.version} on {report.rows:,} rows, **{report.data}**"
    create_table_artifact(
        key="evaluation",
        table=[
            {
                "measure": measure.name,
                "value": rounded(measure.value),
                "from": rounded(measure.low),
                "to": rounded(measure.high),
                "constant answer": rounded(measure.baseline),
            }
            for measure in report.measures
        ],
        description=f"{on}; intervals of {report.confidence:.0%} confidence.",
    )
    if report.parts:
        create_table_artifact(
            key="evaluation-parts",
            table=[
                {
                    "name": part.name,
                    "rows": part.rows,
                    **{name: rounded(value) for name, value in part.measures.items()},
                    "from": rounded(part.low),
                    "to": rounded(part.high),
                }
                for part in report.parts
            ],
            description=f"{on}, one by one; the interval is that of the {next(iter(report.parts[0].measures))}.",
        )


def rounded(value: float | None) -> float | str:
    """Return a number as a table shows it."""
    return "" if value is None or not math.isfinite(value) else float(f"{value:.4g}")
