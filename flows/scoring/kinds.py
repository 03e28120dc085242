"""Whether the columns of a source are of the kinds that a model learnt, as far as the source's types tell."""

from collections.abc import Iterator

import numpy as np
import pandas as pd
import pyarrow as pa

from flows.data.encodings import CategoricalEncoding, NumericEncoding
from flows.data.preparation import Preparation, UnfitRowsError
from flows.data.sources import Source
from flows.data.values import ColumnFault, shown
from flows.errors import TableError


def require_kinds(source: Source, preparation: Preparation) -> None:
    """Find the value that makes a column of numbers one of text.

    A file's column is read as text from its first row on if one value somewhere below is no number. Row by row, the
    first would be told to be a number stored as text; what a person looks for is the other one.

    Raises
    ------
    TableError
        A column that the model learnt numbers of is text.
    """
    preparation.check_columns(source.schema.names)
    text = [name for name in number_columns(preparation) if pa.types.is_string(source.schema.field(name).type)]
    faults = [fault for name in text if (fault := first_that_is_no_number(source, name)) is not None]
    if faults:
        raise TableError(f"{source.uri}: {UnfitRowsError(faults, source.locate)}")


def number_columns(preparation: Preparation) -> Iterator[str]:
    """Yield the columns whose values are numbers: quantities, and categories that are numbers."""
    if preparation.pixels is not None:
        yield from preparation.pixels.columns
    for encoding in preparation.features:
        is_number = isinstance(encoding, NumericEncoding)
        if is_number or (isinstance(encoding, CategoricalEncoding) and encoding.of_text is False):
            yield encoding.column


def first_that_is_no_number(source: Source, name: str) -> ColumnFault | None:
    """Return the first text that cannot be read as a number; if all can, the first; None if all values are missing."""
    start, first = 0, None
    for batch in source.batches():
        texts = batch.column(name).to_pandas()
        present = texts.notna().to_numpy()
        wrong = present & pd.to_numeric(texts, errors="coerce").isna().to_numpy()
        if wrong.any():
            row = int(np.argmax(wrong))
            return ColumnFault(name, f"{shown(texts[row])}, which is no number,", start + row)
        if first is None and present.any():
            row = int(np.argmax(present))
            first = ColumnFault(name, f"{shown(texts[row])}, a number stored as text,", start + row)
        start += batch.num_rows
    return first
