"""Datasets: named by their content, written whole or not at all, opened memory-mapped.

::

    ROOT/DIGEST/
        schema.json          name, uri, task, columns with their types, split, rows of each part
        plan.yaml            how the columns were to be prepared
        preparation.json     how they become inputs, and predictions the original labels or units: what was fitted
        train/ validation/ test/
            features.npy     float32 (N, D), prepared; pixels of images uint8 (N, D) as they were
            target.npy       int64 (N,) class codes, or float32 (N, C) standardised quantities or labels of 0 and 1
        test/rows.parquet    the test rows as they were read, targets included
        train/sample.parquet 10,000 of the training rows as they were read, against which drift is measured

The raw test rows are there so that a model with another preparation can be measured on the same rows. A fold of a
cross-validation is a dataset too, prepared by its own training rows; its test part is empty.
A file or directory whose name begins with a dot was left by a process that was killed, and may be deleted.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict

from flows.data.digest import dataset_digest, fold_digest
from flows.data.fitting import fit_preparation
from flows.data.folds import Fold, fold_blocks, fold_parts
from flows.data.plan import PreparationPlan, dump_plan
from flows.data.preparation import Preparation, Task
from flows.data.root import SCHEMA, Root, root_of
from flows.data.splitting import PARTS, TEST, TRAIN, SplitParameters, feature_hashes, split_rows
from flows.data.staging import Staged, as_frame
from flows.errors import DatasetError, TableError

MOST_SAMPLE_ROWS = 10_000


class DatasetReference(BaseModel):
    """What travels to workers in place of the data: its name, its digest and where its directory is.

    ``path`` is absolute, or a URL; a worker that cannot see the former needs the latter.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    digest: str
    path: str


class Schema(BaseModel):
    """What ``schema.json`` records of a dataset; ``fold`` is None unless it is a fold of another."""

    model_config = ConfigDict(frozen=True)

    name: str
    uri: str
    task: Task
    columns: dict[str, str]
    targets: tuple[str, ...]
    inputs: int
    outputs: int
    features: Literal["float32", "uint8"]
    split: SplitParameters
    rows: dict[str, int]
    fold: Fold | None = None


@dataclass(frozen=True)
class SplitArrays:
    """One part of a dataset, memory-mapped and read-only.

    Attributes
    ----------
    features
        float32 (N, D); or pixels, uint8 (N, D). A network sees ``(features - shift) / scale``.
    target
        int64 (N,) class codes; or float32 (N, C): C standardised quantities, or C labels of 0 and 1.
    shift, scale
        0 and 1 where the features are standardised already.
    """

    features: np.ndarray
    target: np.ndarray
    shift: float = 0.0
    scale: float = 1.0


@dataclass(frozen=True)
class Dataset:
    """A dataset that was opened: how it was prepared, where it came from, and its three parts."""

    reference: DatasetReference
    directory: Path
    preparation: Preparation
    schema: Schema
    train: SplitArrays
    validation: SplitArrays
    test: SplitArrays

    @property
    def uri(self) -> str:
        """Where the rows came from."""
        return self.schema.uri

    @property
    def rows(self) -> dict[str, int]:
        """The number of rows of each part."""
        return self.schema.rows

    @property
    def fold(self) -> Fold | None:
        """Which fold of which dataset this is; None unless it is one."""
        return self.schema.fold

    @property
    def task(self) -> Task:
        """``classification``, ``regression`` or ``multilabel``."""
        return self.preparation.task

    @property
    def inputs(self) -> int:
        """The number of a network's inputs, D."""
        return self.preparation.inputs

    @property
    def outputs(self) -> int:
        """The number of classes, or of target columns, C."""
        return self.preparation.outputs


def write_datasets(
    root: Root, staged: Staged, plan: PreparationPlan, split: SplitParameters, folds: int = 0
) -> tuple[DatasetReference, ...]:
    """Split, prepare and write a table that was checked; return its dataset, and then so many folds of it in order.

    What is there already is left as it is. All are split and fitted before the first is written, so that a table with
    a fault leaves nothing.

    Raises
    ------
    TableError
        If the table or a fold of it cannot be split or prepared.
    DatasetError
        If the files cannot be written: no space, no permission.
    """
    whole = dataset_digest(staged, plan, split)
    wanted: dict[str, Fold | None] = {whole: None}
    for number in range(1, folds + 1):
        wanted[fold_digest(whole, number, folds)] = Fold(number=number, of=folds, dataset=whole)
    missing = {digest: fold for digest, fold in wanted.items() if not root.has(digest)}
    if missing:
        hashes = feature_hashes(staged, plan, split.seed)
        parts = split_rows(staged, plan, split, hashes)
        blocks = fold_blocks(staged, plan, split, hashes, parts == TEST, folds) if folds else parts

        def parts_of(fold: Fold | None) -> np.ndarray:
            return parts if fold is None else fold_parts(blocks, split, fold.number)

        fitted = {digest: fit_rows(staged, plan, parts_of(fold), fold) for digest, fold in missing.items()}
        for digest, fold in missing.items():
            with root.building(digest) as directory:
                sampled = sample_rows(hashes, parts_of(fold))
                write_parts(directory, staged, fitted[digest], parts_of(fold), sampled)
                write_facts(directory, staged, plan, fitted[digest], split, parts_of(fold), fold)
    return tuple(DatasetReference(name=staged.source.name, digest=digest, path=root.place(digest)) for digest in wanted)


def fit_rows(staged: Staged, plan: PreparationPlan, parts: np.ndarray, fold: Fold | None) -> Preparation:
    """Fit a preparation on the rows that train; a TableError says in which fold it was raised."""
    try:
        return fit_preparation(staged, plan, parts == TRAIN)
    except TableError as error:
        if fold is None:
            raise
        raise TableError(f"{fold}: {error}") from error


def sample_rows(hashes: np.ndarray, parts: np.ndarray) -> np.ndarray:
    """Return which training rows are kept raw, bool (N,): the first by their hashes, so mostly the same next time."""
    rows = np.flatnonzero(parts == TRAIN)
    if len(rows) > MOST_SAMPLE_ROWS:
        rows = rows[np.argpartition(hashes[rows], MOST_SAMPLE_ROWS)[:MOST_SAMPLE_ROWS]]
    sampled = np.zeros(len(parts), dtype=bool)
    sampled[rows] = True
    return sampled


def write_parts(
    directory: Path, staged: Staged, preparation: Preparation, parts: np.ndarray, sampled: np.ndarray
) -> None:
    """Write features, targets and raw rows of every part, in one pass over the rows."""
    raw = raw_pixels(staged, preparation)
    columns = [name for name in staged.names if name in {*preparation.columns, *preparation.targets}]
    with ExitStack() as files:
        writers = [
            files.enter_context(part_writer(directory / name, int((parts == place).sum()), preparation, raw))
            for place, name in enumerate(PARTS)
        ]
        test_rows = files.enter_context(rows_writer(directory / "test" / "rows.parquet"))
        sample = files.enter_context(rows_writer(directory / "train" / "sample.parquet"))
        start = 0
        for table in staged.tables(columns):
            here = slice(start, start + table.num_rows)
            frame = staged.frame(table, start)
            features = pixels(frame, preparation) if raw else preparation.transform_features(frame)
            target = preparation.transform_target(frame)
            for place, writer in enumerate(writers):
                writer.append(features, target, parts[here] == place)
            test_rows.append(table, parts[here] == TEST)
            sample.append(table, sampled[here])
            start += table.num_rows


def raw_pixels(staged: Staged, preparation: Preparation) -> bool:
    """Tell whether the features are pixels of one byte each, which are kept as they are."""
    return preparation.pixels is not None and all(
        staged.schema.field(name).type == pa.uint8() for name in preparation.columns
    )


def pixels(frame: pd.DataFrame, preparation: Preparation) -> np.ndarray:
    """Return pixels as uint8 (n, D), in the order of the network's inputs."""
    return np.ascontiguousarray(frame[list(preparation.columns)].to_numpy(np.uint8))


class PartWriter:
    """Appends rows to the two arrays of a part.

    Not through a writable memory map: on a full disk that is a bus error, and this is an OSError.
    """

    def __init__(self, features: IO[bytes], target: IO[bytes]) -> None:
        self._features, self._target = features, target

    def append(self, features: np.ndarray, target: np.ndarray, rows: np.ndarray) -> None:
        """Append the rows that a mask picks."""
        self._features.write(np.ascontiguousarray(features[rows]).data)
        self._target.write(np.ascontiguousarray(target[rows]).data)


@contextmanager
def part_writer(directory: Path, rows: int, preparation: Preparation, raw: bool) -> Iterator[PartWriter]:
    """Open the arrays of a part of so many rows for writing."""
    directory.mkdir()
    target_type, target_shape = target_layout(preparation.task, rows, preparation.outputs)
    with (directory / "features.npy").open("wb") as features, (directory / "target.npy").open("wb") as target:
        write_header(features, "|u1" if raw else "<f4", (rows, preparation.inputs))
        write_header(target, target_type, target_shape)
        yield PartWriter(features, target)


def target_layout(task: Task, rows: int, outputs: int) -> tuple[str, tuple[int, ...]]:
    """Return type and shape of the target of a part."""
    return ("<i8", (rows,)) if task == "classification" else ("<f4", (rows, outputs))


def write_header(file: IO[bytes], dtype: str, shape: tuple[int, ...]) -> None:
    """Begin a ``.npy`` file."""
    np.lib.format.write_array_header_1_0(file, {"descr": dtype, "fortran_order": False, "shape": shape})


class RowsWriter:
    """Appends raw rows to a Parquet file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._writer: pq.ParquetWriter | None = None

    def append(self, table: pa.Table, rows: np.ndarray) -> None:
        """Append the rows that a mask picks; also none, so that the file is there."""
        if self._writer is None:
            self._writer = pq.ParquetWriter(self._path, table.schema)
        self._writer.write_table(table.filter(pa.array(rows)))

    def close(self) -> None:
        """End the file."""
        if self._writer is not None:
            self._writer.close()


@contextmanager
def rows_writer(path: Path) -> Iterator[RowsWriter]:
    """Open a Parquet file for raw rows."""
    writer = RowsWriter(path)
    try:
        yield writer
    finally:
        writer.close()


def write_facts(
    directory: Path,
    staged: Staged,
    plan: PreparationPlan,
    preparation: Preparation,
    split: SplitParameters,
    parts: np.ndarray,
    fold: Fold | None,
) -> None:
    """Write what there is to know about a dataset beside its rows."""
    used = {*preparation.columns, *preparation.targets}
    # A fold may leave rows out, which count as a part beyond the last.
    counts = np.bincount(parts, minlength=len(PARTS))[: len(PARTS)].tolist()
    schema = Schema(
        name=staged.source.name,
        uri=staged.source.uri,
        task=preparation.task,
        columns={column.name: str(column.type) for column in staged.source.schema if column.name in used},
        targets=preparation.targets,
        inputs=preparation.inputs,
        outputs=preparation.outputs,
        features="uint8" if raw_pixels(staged, preparation) else "float32",
        split=split,
        rows=dict(zip(PARTS, counts, strict=True)),
        fold=fold,
    )
    (directory / "plan.yaml").write_text(dump_plan(plan), encoding="utf-8")
    (directory / "preparation.json").write_text(preparation.model_dump_json(indent=2), encoding="utf-8")
    (directory / SCHEMA).write_text(schema.model_dump_json(indent=2), encoding="utf-8")


def open_dataset(reference: DatasetReference) -> Dataset:
    """Open a dataset without reading its arrays; one that lies elsewhere is fetched first, once.

    Raises
    ------
    DatasetError
        If a file of it is missing or damaged.
    """
    root, digest = root_of(reference.path)
    directory = root.local(digest)
    try:
        schema = Schema.model_validate_json((directory / SCHEMA).read_bytes())
        preparation = Preparation.model_validate_json((directory / "preparation.json").read_bytes())
        return Dataset(
            reference,
            directory,
            preparation,
            schema,
            *(open_part(directory, part, schema, preparation) for part in PARTS),
        )
    except (OSError, ValueError, EOFError, KeyError) as error:
        raise damaged(directory, error) from error


def open_part(directory: Path, part: str, schema: Schema, preparation: Preparation) -> SplitArrays:
    """Map the two arrays of one part."""
    count = schema.rows[part]
    raw = preparation.pixels if schema.features == "uint8" else None
    return SplitArrays(
        features=mapped(directory / part / "features.npy", schema.features, (count, preparation.inputs)),
        target=mapped(directory / part / "target.npy", *target_layout(schema.task, count, preparation.outputs)),
        shift=0.0 if raw is None else raw.shift,
        scale=1.0 if raw is None else raw.scale,
    )


def mapped(path: Path, dtype: str, shape: tuple[int, ...]) -> np.ndarray:
    """Map an array read-only; a ValueError if it has not the type and the shape it should have."""
    array = np.lib.format.open_memmap(path, mode="r")
    if array.dtype != dtype or array.shape != shape:
        raise ValueError(f"{path.name} is {array.dtype} {array.shape} and should be {dtype} {shape}")
    return array


def raw_test_rows(dataset: Dataset) -> pd.DataFrame:
    """Return the test rows as they were read, targets included, for a model with another preparation.

    Raises
    ------
    DatasetError
        If their file is missing or damaged.
    """
    return read_rows(dataset, "test/rows.parquet")


def raw_train_sample(dataset: Dataset) -> pd.DataFrame:
    """Return at most 10,000 of the training rows as they were read, targets included: what later data is held against.

    Raises
    ------
    DatasetError
        If their file is missing or damaged.
    """
    return read_rows(dataset, "train/sample.parquet")


def read_rows(dataset: Dataset, name: str) -> pd.DataFrame:
    """Read raw rows."""
    try:
        # Not pq.read_table: it would look for a partitioned data set around the file.
        with pq.ParquetFile(dataset.directory / name) as file:
            table = file.read()
        return as_frame(table, {column for column in table.column_names if table[column].null_count})
    except (OSError, ValueError, KeyError, TypeError, pa.ArrowException) as error:
        raise damaged(dataset.directory, error) from error


def damaged(directory: Path, error: Exception) -> DatasetError:
    """Say which dataset is of no use any more, and what to do."""
    reason = (str(error).splitlines() or [type(error).__name__])[0]
    return DatasetError(f"{directory}: the dataset is missing or damaged ({reason}); delete it and ingest again")
