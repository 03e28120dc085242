"""Tables of a test, as sources that stream them."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from flows.data.sources import Source
from flows.data.staging import Staged, stage

TEXT = {pa.large_string(): pa.string()}


def arrow(columns: pa.Table | pd.DataFrame | Mapping[str, Any]) -> pa.Table:
    """Return columns as Arrow has them, in the types that a source may have."""
    if isinstance(columns, pa.Table):
        return columns
    table = pa.Table.from_pandas(pd.DataFrame(columns), preserve_index=False).replace_schema_metadata()
    fields = [column.with_type(TEXT.get(column.type, column.type)) for column in table.schema]
    return table.cast(pa.schema(fields))


def source_of(
    columns: pa.Table | pd.DataFrame | Mapping[str, Any],
    *,
    name: str = "t",
    uri: str = "t.csv",
    batch_rows: int = 1000,
    test_rows: np.ndarray | None = None,
    pixels: bool = False,
) -> Source:
    """Return a source that streams a table in batches of so many rows."""
    table = arrow(columns)
    return Source(
        name=name,
        uri=uri,
        schema=table.schema,
        batches=lambda: iter(table.to_batches(max_chunksize=batch_rows)),
        test_rows=test_rows,
        pixels=pixels,
    )


@contextmanager
def staged_table(columns: pa.Table | pd.DataFrame | Mapping[str, Any], scratch: Path, **facts: Any) -> Iterator[Staged]:
    """Stage a table for the block."""
    with stage(source_of(columns, **facts), scratch) as staged:
        yield staged
