"""A table whole in memory, for the code that does not stream yet."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa

from flows.data.sources.registry import open_source, require_targets
from flows.data.sources.source import ColumnWidened, row_number


@dataclass(frozen=True)
class Table:
    """A table as it was read, not yet checked, split or scaled: N rows by D features, and N values of a target."""

    name: str
    uri: str
    features: pd.DataFrame
    target: pd.Series
    is_test: np.ndarray | None = None
    shared_scale: bool = False
    locate: Callable[[int], str] = row_number


def read_source(data: str, target: str | None) -> Table:
    """Read the table that ``data`` names; ``target`` is its target column, None where the source brings its own."""
    source = open_source(data)
    (target,) = require_targets(source, () if target is None else (target,))
    while True:
        try:
            frame = pa.Table.from_batches(source.batches(), source.schema).to_pandas()
            break
        except ColumnWidened as widened:
            source = widened.source
    return Table(
        name=source.name,
        uri=source.uri,
        features=frame.drop(columns=target),
        target=frame[target],
        is_test=source.test_rows,
        shared_scale=source.pixels,
        locate=source.locate,
    )
