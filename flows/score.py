"""The `score` flow: a source of any size through a registered model, to a file or a table."""

import time
from collections import Counter
from contextlib import closing
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc
from distributed import Client
from prefect import flow
from prefect.artifacts import create_table_artifact
from prefect.logging import get_run_logger
from pydantic import BaseModel, ConfigDict

from flows.compute.clusters import connect, dask_runner
from flows.data.preparation import Preparation, UnfitRowsError
from flows.data.sources import ColumnWidened, Source, open_source
from flows.errors import TableError
from flows.parameters import ClusterParameters, ScoreParameters
from flows.scoring.columns import check_names, identity, kept_columns, score_schema
from flows.scoring.destinations import Destination, open_destination
from flows.scoring.dispatch import answers
from flows.scoring.kinds import require_kinds
from flows.scoring.pieces import Unfit, in_pieces, rows_per_piece
from flows.scoring.progress import rows_listener
from flows.tracking.opened_model import OpenedModel, open_model

MOST_LABELS = 50
"""Labels whose counts are on the run's page."""


class ScoreReport(BaseModel):
    """What a run of `score` wrote.

    Attributes
    ----------
    predicted : dict of str to int
        How many rows were given each label; of labels that do not exclude each other, each one's rows. Of quantities
        it is empty.
    """

    model_config = ConfigDict(frozen=True)

    model: str
    version: int
    data: str
    to: str
    rows: int
    predicted: dict[str, int]
    seconds: float


@flow(name="score", flow_run_name="score {data} with {model}", persist_result=False)
def score(
    model: str = "digits@champion",
    data: str = "digits",
    to: str = "scores.parquet",
    keep: tuple[str, ...] | None = None,
    overwrite: bool = False,
    compute: ClusterParameters = ClusterParameters(),  # noqa: B008 - immutable
) -> ScoreReport:
    """Predict every row of a source with a registered model, and write the predictions in the order of the rows.

    Memory does not grow with the rows. What is written is there whole or not at all.

    Args:
        model: A registered model: NAME@ALIAS, or NAME/VERSION
        data: A built-in data set, a file, a directory, or what docs/sources lists
        to: A .parquet, .csv or .csv.gz file, here or at a URL such as s3://bucket/scores.parquet, or sql:URL?table=NAME
        keep: Columns of the source that go with the predictions; all if empty, none with an empty list
        overwrite: Replace what is at the destination; without it, a run that finds something there is refused
        compute: The Dask cluster that predicts

    Raises
    ------
    InputError
        The model, the source or the destination cannot be used, or a row cannot be predicted; nothing was written.
    """
    started = time.monotonic()
    parameters = ScoreParameters(model=model, data=data, to=to, keep=keep, overwrite=overwrite, compute=compute)
    opened = open_model(parameters.model)
    source = open_source(parameters.data)
    destination = open_destination(parameters.to)
    if not parameters.overwrite:
        destination.require_free()
    with dask_runner(parameters.compute) as runner:
        scored = score_source(connect(runner, parameters.compute, _warn), opened, source, destination, parameters)
    report = ScoreReport(
        model=opened.name,
        version=opened.version,
        data=source.uri,
        to=destination.uri,
        rows=scored.rows,
        predicted=dict(scored.predicted.most_common()),
        seconds=time.monotonic() - started,
    )
    publish(report, opened.predictor.preparation)
    return report


def _warn(text: str) -> None:
    get_run_logger().warning("%s", text)


@dataclass
class Scored:
    """What was scored so far: how many rows, and how many were given each label."""

    rows: int = 0
    predicted: Counter[str] = field(default_factory=Counter)

    def add(self, preparation: Preparation, answer: pa.Table) -> None:
        """Count the answer for a piece."""
        self.rows += answer.num_rows
        if preparation.task == "classification":
            for entry in pc.value_counts(answer.column(0)).to_pylist():
                self.predicted[str(entry["values"])] += entry["counts"]
        if preparation.task == "multilabel":
            for place, label in enumerate(preparation.targets):
                self.predicted[label] += pc.sum(answer.column(place)).as_py()


def score_source(
    client: Client, opened: OpenedModel, source: Source, destination: Destination, parameters: ScoreParameters
) -> Scored:
    """Score a source from its first row to its last; again from the first if a column turns out to be wider."""
    while True:
        try:
            return score_pass(client, opened, source, destination, parameters)
        except ColumnWidened as widened:
            # Nothing was written: the column has another type from the first row on.
            source = widened.source


def score_pass(
    client: Client, opened: OpenedModel, source: Source, destination: Destination, parameters: ScoreParameters
) -> Scored:
    """Score a source with the types that its columns are known to have.

    Raises
    ------
    ColumnWidened
        A later row does not fit them.
    TableError
        Columns are missing or of another kind, or a row cannot be predicted: column and place are named.
    """
    predictor = opened.predictor
    preparation = predictor.preparation
    scores = score_schema(preparation)
    kept = kept_columns(source, parameters.keep)
    check_names(source, kept, scores)
    require_kinds(source, preparation)
    schema = pa.schema([*(source.schema.field(name) for name in kept), *scores])
    pieces = in_pieces(source.batches(), rows_per_piece(len(preparation.columns)))
    scored, told = Scored(), rows_listener()
    with (
        destination.writing(schema, overwrite=parameters.overwrite) as write,
        closing(answers(client, predictor, pieces)) as pairs,
    ):
        for piece, answer in pairs:
            if isinstance(answer, Unfit):
                raise TableError(f"{source.uri}: {UnfitRowsError(answer.after(scored.rows), source.locate)}")
            columns = [*(piece.column(name) for name in kept), *answer.columns, *identity(opened, answer.num_rows)]
            write(pa.Table.from_arrays(columns, schema=schema))
            scored.add(preparation, answer)
            told(scored.rows)
    return scored


def publish(report: ScoreReport, preparation: Preparation) -> None:
    """Put on the run's page how many rows were given each label, and say in its log what was written."""
    get_run_logger().info(
        "%s rows of %s scored with %s version %d: %s",
        f"{report.rows:,}",
        report.data,
        report.model,
        report.version,
        report.to,
    )
    if preparation.task != "regression":
        share = [
            {"label": label, "rows": count, "share": f"{count / report.rows:.1%}"}
            for label, count in list(report.predicted.items())[:MOST_LABELS]
        ]
        create_table_artifact(
            key="scores",
            table=share,
            description=f"What **{report.model}** version {report.version} predicts of the {report.rows:,} rows of "
            f"**{report.data}**, written to `{report.to}`.",
        )
