"""Reads a source to its end, as staging does."""

import pyarrow as pa

from flows.data.sources import ColumnWidened, Source, open_source


def read(data: str) -> tuple[Source, pa.Table]:
    """Return a source, as wide as it turned out to be, and all of its rows."""
    return read_source(open_source(data))


def read_source(source: Source) -> tuple[Source, pa.Table]:
    while True:
        try:
            # Refuses a batch that has not exactly the schema.
            return source, pa.Table.from_batches(source.batches(), source.schema)
        except ColumnWidened as widened:
            source = widened.source


def types(table: pa.Table) -> dict[str, str]:
    return {field.name: str(field.type) for field in table.schema}
