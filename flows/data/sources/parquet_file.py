"""Parquet files: columns with types, read through Arrow."""

import pyarrow as pa
import pyarrow.parquet as pq

from flows.data.sources.files import check_columns, existing_file, first_line
from flows.data.sources.table import Table
from flows.errors import SourceError

USAGE = "PATH.parquet"
INDEX_PREFIX = "__index_level_"


def claims(data: str) -> bool:
    """Tell whether ``data`` is the path of a Parquet file."""
    return data.lower().endswith(".parquet")


def check(data: str, target: str | None) -> None:  # noqa: ARG001 - one signature for all kinds
    """Raise a SourceError if there is no such file; its columns are known once it is read."""
    existing_file(data)


def read(data: str, target: str | None) -> Table:
    """Read a Parquet file; an index without a name, which pandas keeps when rows were filtered, is left out.

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
            columns = [name for name in file.schema_arrow.names if not name.startswith(INDEX_PREFIX)]
            target = check_columns(data, columns, target)
            # Without what pandas noted beside the data: it adds nothing here, and pandas trusts it blindly.
            content = file.read(columns).replace_schema_metadata()
        content.validate(full=True)
        frame = content.to_pandas()
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise SourceError(f"{data}: cannot be read as Parquet: {first_line(error)}; write the file again") from error
    if frame.empty:
        raise SourceError(f"{data}: there are columns and no rows; write the file again")
    return Table(name=path.stem, uri=data, features=frame.drop(columns=target), target=frame[target])
