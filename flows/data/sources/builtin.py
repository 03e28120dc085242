"""The small data sets that ship with scikit-learn: no download, no file."""

import pandas as pd

from flows.data.sources.table import Table
from flows.errors import SourceError

NAMES = ("breast_cancer", "diabetes", "digits", "wine")
USAGE = ", ".join(NAMES)


def claims(data: str) -> bool:
    """Tell whether ``data`` is the name of a built-in data set."""
    return data in NAMES


def check(data: str, target: str | None) -> None:
    """Raise a SourceError if a target is asked for: the data set brings its own."""
    if target is not None:
        raise SourceError(f"sklearn:{data} brings its own target: leave out --target {target}")


def read(data: str, target: str | None) -> Table:
    """Read a built-in data set, its classes under their original names.

    Raises
    ------
    SourceError
        If a target is asked for.
    """
    check(data, target)
    # Here and not above: it takes a second, which `backprop --help` and a served model should not.
    import sklearn.datasets

    bunch = getattr(sklearn.datasets, f"load_{data}")(as_frame=True)
    return Table(
        name=data,
        uri=f"sklearn:{data}",
        features=bunch.data,
        target=named_classes(bunch.target, bunch.get("target_names")),
        shared_scale=data == "digits",
    )


def named_classes(codes: pd.Series, names: object) -> pd.Series:
    """Replace codes 0, 1, .. by the classes they stand for; None leaves a regression target as it is."""
    if names is None:
        return codes
    labels = pd.Series(names).to_numpy()
    return pd.Series(labels[codes.to_numpy()], name=codes.name)
