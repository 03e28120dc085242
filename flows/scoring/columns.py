"""The columns of a table of scores: those of the source that are kept, what the model says, and which model it was."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from flows.data.outputs import answer
from flows.data.preparation import Preparation
from flows.data.sources import Source
from flows.data.sources.columns import listed
from flows.errors import TableError
from flows.tracking.opened_model import OpenedModel

MODEL, VERSION = "model", "version"
"""The columns that say by which model a row was scored."""


def kept_columns(source: Source, keep: Sequence[str] | None) -> list[str]:
    """Return the columns of the source that go with the scores, in its order: those named, by default all.

    Raises
    ------
    TableError
        The source has no such column.
    """
    names = source.schema.names
    for name in keep or ():
        if name not in names:
            raise TableError(f"{source.uri}: there is no column {name!r} to keep; choose from {listed(names)}")
    return [name for name in names if keep is None or name in keep]


def score_schema(preparation: Preparation) -> pa.Schema:
    """Return the types of what a model says of a row, without the columns that are kept."""
    nothing = np.zeros((1, preparation.outputs), "float32")
    said = pa.Schema.from_pandas(answer(preparation, nothing), preserve_index=False).remove_metadata()
    fields = [pa.field(field.name, pa.string() if is_text(field.type) else field.type) for field in said]
    return pa.schema([*fields, pa.field(MODEL, pa.string()), pa.field(VERSION, pa.int64())])


def is_text(kind: pa.DataType) -> bool:
    """Tell whether a type holds text, in any of the ways that Arrow has."""
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def check_names(source: Source, kept: Sequence[str], schema: pa.Schema) -> None:
    """Raise a TableError where a column that is kept is called like one of the scores."""
    taken = [name for name in kept if name in schema.names]
    if taken:
        raise TableError(
            f"{source.uri}: its column {taken[0]!r} is called like one of the scores; "
            "leave it out by naming the columns to keep, or rename it"
        )


def score_table(preparation: Preparation, outputs: np.ndarray) -> pa.Table:
    """Return what a model says of rows, with the columns of `score_schema` but for those that name the model."""
    wanted = score_schema(preparation)
    said = pa.Table.from_pandas(answer(preparation, outputs), preserve_index=False)
    return said.cast(pa.schema([wanted.field(name) for name in said.column_names]))


def identity(model: OpenedModel, rows: int) -> list[pa.Array]:
    """Return the columns that name the model of so many rows."""
    return [pa.repeat(pa.scalar(model.name), rows), pa.repeat(pa.scalar(model.version, pa.int64()), rows)]
