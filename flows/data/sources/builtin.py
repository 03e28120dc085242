"""The small data sets that ship with scikit-learn: no download, no file."""

from functools import partial

import pandas as pd
import pyarrow as pa

from flows.data.sources.columns import as_logical, logical_schema
from flows.data.sources.source import Source

NAMES = ("breast_cancer", "diabetes", "digits", "linnerud", "wine")
USAGE = ", ".join(NAMES)


def claims(data: str) -> bool:
    """Tell whether ``data`` is the name of a built-in data set."""
    return data in NAMES


def open_source(data: str) -> Source:
    """Return a built-in data set, its classes under their original names."""
    # Here and not above: it takes a second, which `backprop --help` and a served model should not.
    import sklearn.datasets

    bunch = getattr(sklearn.datasets, f"load_{data}")(as_frame=True)
    target = named_classes(bunch.target, bunch.get("target_names"))
    return frame_source(data, f"sklearn:{data}", bunch.data, target, pixels=data == "digits")


def named_classes(target: pd.Series | pd.DataFrame, names: object) -> pd.DataFrame:
    """Replace codes 0, 1, .. by the classes they stand for; quantities, which have no names, stay."""
    if isinstance(target, pd.DataFrame):
        return target
    if names is None:
        return target.to_frame()
    return pd.Series(names).iloc[target].set_axis(target.index).to_frame(target.name)


def frame_source(name: str, uri: str, features: pd.DataFrame, targets: pd.DataFrame, pixels: bool = False) -> Source:
    """Return a table that is in memory as a source that brings its targets."""
    table = pa.Table.from_pandas(pd.concat([features, targets], axis=1), preserve_index=False)
    schema = logical_schema(uri, table.schema)
    return Source(
        name=name,
        uri=uri,
        schema=schema,
        batches=lambda: map(partial(as_logical, schema=schema), table.to_batches()),
        targets=tuple(targets.columns) or None,
        pixels=pixels,
    )
