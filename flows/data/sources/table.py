"""What every source delivers: named numeric columns, a target, and where they came from."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd


def row_number(row: int) -> str:
    """Name a row as a person counts the rows of a table: position 0 is ``row 1``."""
    return f"row {row + 1}"


@dataclass(frozen=True)
class Table:
    """A table as it was read, not yet checked, split or scaled.

    Attributes
    ----------
    name
        Short name of the data set: ``digits``, a file's stem, the name of an IDX directory.
    uri
        Where it came from: ``sklearn:digits``, the file's path as given, ``idx:DIRECTORY``.
    features
        N rows by D columns; the columns' names are strings.
    target
        N values; its name is the target's name.
    is_test
        bool (N,): the rows of the source's own test split; None where it brings none.
    shared_scale
        True where every column is a pixel, so that all of them share one mean and one scale.
    locate
        How a person finds the row at a position: ``row 6``, or ``line 7`` of a text file.
    """

    name: str
    uri: str
    features: pd.DataFrame
    target: pd.Series
    is_test: np.ndarray | None = None
    shared_scale: bool = False
    locate: Callable[[int], str] = row_number
