"""Datasets on disk: named by their content, written whole or not at all, opened memory-mapped.

::

    ROOT/DIGEST/
        schema.json          name, uri, task, columns with their types, rows of each part
        preparation.json     how raw columns become inputs and back
        train/ validation/ test/
            features.npy     float32 (N, D), standardised
            target.npy       int64 (N,) class codes, or float32 (N, 1) standardised
        test/rows.parquet    the test rows as they were read, target included

The raw test rows are there so that a model with another preparation can be measured on the same rows.
A directory whose name begins with a dot was left by a process that was killed, and may be deleted.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
from pydantic import BaseModel, ConfigDict

from flows.data.content import row_chunks
from flows.data.digest import dataset_digest
from flows.data.fitting import fit_preparation
from flows.data.preparation import Preparation, Task
from flows.data.sources.table import Table
from flows.data.splitting import SplitParameters, split_rows
from flows.data.validation import check_table
from flows.data.whole import appearing_whole
from flows.errors import InputError

__all__ = [
    "Dataset",
    "DatasetError",
    "DatasetReference",
    "SplitArrays",
    "dataset_digest",
    "open_dataset",
    "raw_test_rows",
    "write_dataset",
]


class DatasetError(InputError):
    """A dataset that cannot be written, or one on disk that is missing or damaged."""


class DatasetReference(BaseModel):
    """What travels to workers in place of the data: its name, its digest and the absolute path of its directory."""

    model_config = ConfigDict(frozen=True)

    name: str
    digest: str
    path: str


class Schema(BaseModel):
    """What ``schema.json`` records of a dataset."""

    model_config = ConfigDict(frozen=True)

    name: str
    uri: str
    task: Task
    columns: dict[str, str]
    target: str
    rows: dict[str, int]


@dataclass(frozen=True)
class SplitArrays:
    """One part of a dataset, memory-mapped and read-only.

    ``features`` is float32 (N, D); ``target`` is int64 (N,) class codes, or float32 (N, 1) of a regression.
    """

    features: np.ndarray
    target: np.ndarray


@dataclass(frozen=True)
class Dataset:
    """A dataset that was opened: how it was prepared, where it came from, and its three parts."""

    reference: DatasetReference
    preparation: Preparation
    uri: str
    rows: dict[str, int]
    train: SplitArrays
    validation: SplitArrays
    test: SplitArrays

    @property
    def task(self) -> Task:
        """``classification`` or ``regression``."""
        return self.preparation.task

    @property
    def inputs(self) -> int:
        """The number of features, D."""
        return len(self.preparation.features)

    @property
    def outputs(self) -> int:
        """The number of classes, C; 1 of a regression."""
        return 1 if self.preparation.classes is None else len(self.preparation.classes)


def write_dataset(root: Path, table: Table, task: Task, split: SplitParameters) -> DatasetReference:
    """Check, split, scale and write a table below ``root``; a dataset that is already there is left as it is.

    Raises
    ------
    TableError
        If the table cannot be trained on.
    DatasetError
        If the files cannot be written: no space, no permission.
    """
    check_table(table, task)
    digest = dataset_digest(table, task, split)
    destination = root.absolute() / digest
    if not destination.is_dir():
        rows = split_rows(table, task, split)._asdict()
        preparation = fit_preparation(table, task, rows["train"])
        try:
            with appearing_whole(destination) as directory:
                write_parts(directory, table, preparation, rows)
        except OSError as error:
            raise DatasetError(
                f"{root}: the dataset cannot be written: {error}; free space or choose another"
            ) from error
    return DatasetReference(name=table.name, digest=digest, path=str(destination))


def write_parts(directory: Path, table: Table, preparation: Preparation, rows: dict[str, np.ndarray]) -> None:
    """Write every file of a dataset into an empty directory."""
    for part, positions in rows.items():
        (directory / part).mkdir()
        write_features(directory / part / "features.npy", table, preparation, positions)
        np.save(directory / part / "target.npy", target_array(preparation, table.target.iloc[positions]))
    raw = table.features.iloc[rows["test"]]
    raw = raw.assign(**{preparation.target: table.target.iloc[rows["test"]]})
    raw.to_parquet(directory / "test" / "rows.parquet", index=False)
    schema = Schema(
        name=table.name,
        uri=table.uri,
        task=preparation.task,
        columns={str(name): str(dtype) for name, dtype in table.features.dtypes.items()},
        target=preparation.target,
        rows={part: len(positions) for part, positions in rows.items()},
    )
    (directory / "schema.json").write_text(schema.model_dump_json(indent=2), encoding="utf-8")
    (directory / "preparation.json").write_text(preparation.model_dump_json(indent=2), encoding="utf-8")


def write_features(path: Path, table: Table, preparation: Preparation, rows: np.ndarray) -> None:
    """Write the standardised features of some rows piece by piece, so that they are never in memory as a whole.

    Not through a writable memory map: on a full disk that is a bus error, and this is an OSError.
    """
    header = {"descr": "<f4", "fortran_order": False, "shape": (len(rows), len(preparation.features))}
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        for piece in row_chunks(table.features, rows):
            file.write(np.ascontiguousarray(preparation.transform_features(piece, "<f4")).data)


def target_array(preparation: Preparation, target: pd.Series) -> np.ndarray:
    """Return the target as it is stored: int64 (N,) codes, or float32 (N, 1)."""
    values = preparation.transform_target(target)
    return values if preparation.classes is not None else values.astype(np.float32)[:, None]


def open_dataset(reference: DatasetReference) -> Dataset:
    """Open a dataset without reading its arrays.

    Raises
    ------
    DatasetError
        If a file of it is missing or damaged.
    """
    directory = Path(reference.path)
    try:
        schema = Schema.model_validate_json((directory / "schema.json").read_bytes())
        preparation = Preparation.model_validate_json((directory / "preparation.json").read_bytes())
        return Dataset(
            reference=reference,
            preparation=preparation,
            uri=schema.uri,
            rows=schema.rows,
            train=open_part(directory, "train", schema),
            validation=open_part(directory, "validation", schema),
            test=open_part(directory, "test", schema),
        )
    except (OSError, ValueError, EOFError, KeyError) as error:
        raise damaged(directory, error) from error


def open_part(directory: Path, part: str, schema: Schema) -> SplitArrays:
    """Map the two arrays of one part."""
    count = schema.rows[part]
    is_codes = schema.task == "classification"
    return SplitArrays(
        features=mapped(directory / part / "features.npy", "float32", (count, len(schema.columns))),
        target=mapped(
            directory / part / "target.npy",
            "int64" if is_codes else "float32",
            (count,) if is_codes else (count, 1),
        ),
    )


def mapped(path: Path, dtype: str, shape: tuple[int, ...]) -> np.ndarray:
    """Map an array read-only; a ValueError if it has not the type and the shape it should have."""
    array = np.lib.format.open_memmap(path, mode="r")
    if array.dtype != dtype or array.shape != shape:
        raise ValueError(f"{path.name} is {array.dtype} {array.shape} and should be {dtype} {shape}")
    return array


def raw_test_rows(dataset: Dataset) -> pd.DataFrame:
    """Return the test rows as they were read, target included, for a model with another preparation.

    Raises
    ------
    DatasetError
        If their file is missing or damaged.
    """
    directory = Path(dataset.reference.path)
    try:
        return pd.read_parquet(directory / "test" / "rows.parquet")
    except (OSError, ValueError, KeyError, TypeError, pa.ArrowException) as error:
        raise damaged(directory, error) from error


def damaged(directory: Path, error: Exception) -> DatasetError:
    """Say which dataset is of no use any more, and what to do."""
    reason = (str(error).splitlines() or [type(error).__name__])[0]
    return DatasetError(f"{directory}: the dataset is missing or damaged ({reason}); delete it and ingest again")
