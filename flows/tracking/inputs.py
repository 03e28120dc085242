"""A prepared dataset as MLflow records it on a run: what the UI's dataset filter finds runs by."""

import json
from collections.abc import Iterable
from typing import Literal
from urllib.parse import urlsplit

from mlflow.entities import Dataset as DatasetEntity
from mlflow.entities import DatasetInput, InputTag

from flows.data.store import Dataset

Context = Literal["training", "validation", "test"]

DIGEST_LENGTH = 32
"""MLflow keeps 36 characters of a digest; the whole one is the tag `dataset.digest`."""

MOST_COLUMNS = 20
"""Of a table whose columns MLflow is told. It sends them anew with every run that it lists: of 64 columns twice they
were two thirds of a page of runs, and of the 784 pixels of an image they would be 19 MB for each 200 runs."""

_PARTS: dict[Context, str] = {"training": "train", "validation": "validation", "test": "test"}
# MLflow keeps one context for a dataset on a run, so the parts must differ in what names them: their digests do.
_SUFFIXES: dict[Context, str] = {"training": "", "validation": "-val", "test": "-tst"}

_COLUMN_TYPES = {
    "bool": "boolean",
    "float": "float",
    "double": "double",
    "int64": "long",
    "uint32": "long",
    "uint64": "long",
    "string": "string",
    "null": "string",
}
"""What MLflow calls the types of raw columns that are neither shorter integers nor dates."""


def dataset_inputs(dataset: Dataset, contexts: Iterable[Context]) -> list[DatasetInput]:
    """Return parts of a dataset as inputs of a run, for one call of ``log_inputs``.

    The training rows go by the dataset's own digest, so that one filter finds a search and all of its trials; of
    a cross-validation the search and the refit, or the trials on one fold. They alone have the columns, of a table that
    has no more than ``MOST_COLUMNS``.
    """
    source = json.dumps({_source_key(dataset.uri): dataset.uri})
    return [
        DatasetInput(
            dataset=DatasetEntity(
                name=_name(dataset),
                digest=dataset.reference.digest[:DIGEST_LENGTH] + _SUFFIXES[context],
                source_type=_source_type(dataset.uri),
                source=source,
                schema=_schema(dataset) if context == "training" else None,
                profile=json.dumps({"num_rows": dataset.rows[_PARTS[context]], "split": _PARTS[context]}),
            ),
            tags=[InputTag("mlflow.data.context", context)],
        )
        for context in contexts
    ]


def _schema(dataset: Dataset) -> str | None:
    """Return the raw columns as MLflow has them, or None if they are too many."""
    if len(dataset.schema.columns) > MOST_COLUMNS:
        return None
    columns = [
        {"type": _column_type(kind), "name": name, "required": True} for name, kind in dataset.schema.columns.items()
    ]
    return json.dumps({"mlflow_colspec": columns})


def _name(dataset: Dataset) -> str:
    """Return what MLflow shows of a dataset: its name, and of a fold which it is."""
    return dataset.reference.name if dataset.fold is None else f"{dataset.reference.name}, {dataset.fold}"


def _column_type(kind: str) -> str:
    """Return MLflow's name for the Arrow type of a raw column."""
    if kind.startswith(("date", "timestamp")):
        return "datetime"
    return _COLUMN_TYPES.get(kind, "integer")


def _source_type(uri: str) -> str:
    """Return the kind of place that rows came from, in MLflow's words where it has one: s3, http, local."""
    scheme = urlsplit(uri).scheme if "://" in uri else uri.partition(":")[0] if ":" in uri else ""
    return {"": "local", "file": "local", "https": "http"}.get(scheme, scheme)[:36]


def _source_key(uri: str) -> str:
    """Return the name under which MLflow looks for the place in what it stores of a source."""
    return "url" if _source_type(uri) == "http" else "uri"
