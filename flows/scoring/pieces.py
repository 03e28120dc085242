"""A source in pieces of one size, and what a worker makes of a piece."""

from collections.abc import Iterator
from dataclasses import dataclass

import pandas as pd
import pyarrow as pa

from flows.data.preparation import UnfitRowsError
from flows.data.staging import as_frame, staged_type
from flows.data.values import ColumnFault
from flows.prediction import Predictor
from flows.scoring.columns import score_table

PIECE_BYTES = 4 * 2**20
"""What the features of a piece take, counted as float64: a cluster holds several pieces for each of its threads."""

MOST_ROWS = 2**16


@dataclass(frozen=True)
class Unfit:
    """What is wrong with a piece: of each column at fault its name, the fault, and the row within the piece."""

    faults: tuple[tuple[str, str, int | None], ...]

    def after(self, rows: int) -> list[ColumnFault]:
        """Return the faults as they are told of a source in which so many rows come before the piece."""
        return [ColumnFault(*fault).after(rows) for fault in self.faults]


def rows_per_piece(columns: int) -> int:
    """Return how many rows of so many features are scored together."""
    return max(1, min(MOST_ROWS, PIECE_BYTES // (8 * max(1, columns))))


def in_pieces(batches: Iterator[pa.RecordBatch], rows: int) -> Iterator[pa.Table]:
    """Yield tables of exactly so many rows, then one of what is left."""
    held: list[pa.RecordBatch] = []
    count = 0
    for batch in batches:
        rest = batch
        while count + rest.num_rows >= rows:
            taken = rows - count
            yield pa.Table.from_batches([*held, rest.slice(0, taken)])
            held, count, rest = [], 0, rest.slice(taken)
        if rest.num_rows:
            held.append(rest)
            count += rest.num_rows
    if held:
        yield pa.Table.from_batches(held)


def frame_of(piece: pa.Table) -> pd.DataFrame:
    """Return a piece of a source as pandas has it, in the types that an ingestion would have."""
    schema = pa.schema([(field.name, staged_type(field.type)) for field in piece.schema])
    return as_frame(piece.cast(schema), {name for name in piece.column_names if piece[name].null_count})


def score_piece(predictor: Predictor, features: pa.Table) -> pa.Table | Unfit:
    """Return what a model says of rows, or why it says nothing; runs on a worker."""
    try:
        outputs = predictor.outputs(frame_of(features))
    except UnfitRowsError as error:
        return Unfit(tuple((str(fault.column), fault.fault, fault.row) for fault in error.faults))
    return score_table(predictor.preparation, outputs)
