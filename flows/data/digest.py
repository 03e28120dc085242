"""The name of a dataset: a digest of its content, so that the same data is the same dataset everywhere."""

import hashlib
import json
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

import numpy as np
import pyarrow as pa

from flows.data.content import content_kind, number_words, text_parts
from flows.data.plan import PreparationPlan
from flows.data.splitting import SplitParameters
from flows.data.staging import Staged

# Raised whenever the same content would be split, prepared or written in another way.
STORE_FORMAT = 2


def dataset_digest(staged: Staged, plan: PreparationPlan, split: SplitParameters) -> str:
    """Return the SHA-256, in hexadecimal, of all that decides what a dataset holds.

    That is the names and values of the columns that are used, the types of labels, the plan, the split, the
    source's own test rows and the format of the store; not the name or the path of the source, the columns that are
    dropped, or the type that values are stored in.
    """
    features = plan.features(staged.names)
    facts = {
        "format": STORE_FORMAT,
        "rows": staged.rows,
        "columns": column_digests(staged, used_columns(staged, plan, split)),
        "features": [] if plan.pixels else [(name, column.model_dump()) for name, column in features.items()],
        "pixels": plan.pixels,
        "target": plan.target,
        "labels": [label_type(staged.schema.field(name).type) for name in plan.target],
        "target_scale": plan.target_scale,
        "task": plan.task,
        "split": split.decisive(),
        "test_rows": rows_digest(staged.source.test_rows),
    }
    return hashlib.sha256(json.dumps(facts, sort_keys=True, allow_nan=False).encode()).hexdigest()


def fold_digest(dataset: str, number: int, of: int) -> str:
    """Return the digest of a fold: what decides the dataset that is cut into folds, and which fold it is."""
    facts = {"dataset": dataset, "fold": number, "of": of}
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def used_columns(staged: Staged, plan: PreparationPlan, split: SplitParameters) -> list[str]:
    """Return the columns that something is made of, in the order of the source: features, targets, the split's."""
    used = {*plan.features(staged.names), *plan.target, *([split.column] if split.column is not None else [])}
    return [name for name in staged.names if name in used]


def label_type(kind: pa.DataType) -> str:
    """Return which Python type a target's values have: 0, 0.0 and False are three different labels."""
    if pa.types.is_boolean(kind):
        return "bool"
    if pa.types.is_integer(kind):
        return "int"
    return {"number": "float", "text": "str", "moment": "datetime"}[content_kind(kind)]


def rows_digest(rows: np.ndarray | None) -> str | None:
    """Return the digest of a mask of rows."""
    return None if rows is None else hashlib.sha256(np.packbits(rows).data).hexdigest()


def column_digests(staged: Staged, names: list[str]) -> list[tuple[str, str, str]]:
    """Return name, kind and digest of each column, in one pass over the file."""
    kinds = [content_kind(staged.schema.field(name).type) for name in names]
    hashers = [TextHasher() if kind == "text" else NumberHasher() for kind in kinds]
    # Hashing a column lets go of Python's lock: two columns are hashed at a time.
    with ThreadPoolExecutor(max_workers=2) as threads:
        for table in staged.tables(names):
            columns = [column.combine_chunks() for column in table.columns]
            list(threads.map(lambda pair: pair[0].update(pair[1]), zip(hashers, columns, strict=True)))
    return [(name, kind, hasher.hexdigest()) for name, kind, hasher in zip(names, kinds, hashers, strict=True)]


class ColumnHasher(Protocol):
    """Digests a column that comes in pieces; where a piece ends makes no difference."""

    def update(self, column: pa.Array) -> None:
        """Add the next values."""

    def hexdigest(self) -> str:
        """Return the digest of all values."""


class NumberHasher:
    """Of numbers, booleans and moments."""

    def __init__(self) -> None:
        self._words = hashlib.sha256()

    def update(self, column: pa.Array) -> None:
        """Add the next values."""
        self._words.update(number_words(column).astype("<u8", copy=False).data)

    def hexdigest(self) -> str:
        """Return the digest of all values."""
        return self._words.hexdigest()


class TextHasher:
    """Of texts: of their lengths and of their letters, each end to end."""

    def __init__(self) -> None:
        self._lengths, self._text = hashlib.sha256(), hashlib.sha256()

    def update(self, column: pa.Array) -> None:
        """Add the next texts."""
        lengths, text = text_parts(column)
        self._lengths.update(lengths.astype("<i8", copy=False).data)
        self._text.update(text.data)

    def hexdigest(self) -> str:
        """Return the digest of all texts."""
        return hashlib.sha256(self._lengths.digest() + self._text.digest()).hexdigest()
