"""Parquet files: columns with types, read through Arrow."""

import pandas as pd
import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.parquet as pq  # type: ignore[import-untyped]

from flows.data.sources.files import check_columns, existing_file, first_line
from flows.data.sources.table import Table
from flows.errors import SourceError

USAGE = "PATH.parquet"


def claims(data: str) -> bool:
    """Tell whether ``data`` is the path of a Parquet file."""
    return data.lower().endswith(".parquet")


def read(data: str, target: str | None) -> Table:
    """Read a Parquet file; an index that pandas stored in it is no column.

    Raises
    ------
    SourceError
        If the file cannot be read as Parquet.
    TableError
        If a column is there twice, or the target is not among them.
    """
    path = existing_file(data)
    try:
        # Not pq.read_table: it would look for a partitioned data set around the file.
        with pq.ParquetFile(path) as file:
            target = check_columns(data, file.schema_arrow.names, target)
            frame = file.read().to_pandas(split_blocks=True)
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise SourceError(f"{data}: cannot be read as Parquet: {first_line(error)}; write the file again") from error
    return table_of(data, path.stem, frame.rename(columns=str), target)


def table_of(data: str, name: str, frame: pd.DataFrame, target: str) -> Table:
    """Part the target from the features."""
    if target not in frame.columns:
        raise SourceError(f"{data}: {target!r} is stored as the index; write it as a column (reset_index)")
    if frame.empty:
        raise SourceError(f"{data}: there are columns and no rows; write the file again")
    frame = frame.reset_index(drop=True)
    return Table(name=name, uri=data, features=frame.drop(columns=target), target=frame[target])
