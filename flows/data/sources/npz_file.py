"""NumPy's .npz files: arrays x and y (or X and y), with a test split of their own if they have one, or named columns.

::

    x, y                                (N, ..) and (N,) or (N, C): y is the target
    x_train, y_train, x_test, y_test    likewise, with a test split
    anything else                       every array (N,) is a column under its name
"""

import shutil
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import IO

import numpy as np
import pyarrow as pa

from flows.data.sources.arrays import rows_per_batch
from flows.data.sources.columns import listed
from flows.data.sources.file_table import Format, Roles
from flows.data.sources.files import DataFile
from flows.data.sources.stored_arrays import StoredArray, read_header, undamaged
from flows.errors import SourceError, TableError

PAIRS = (("x", "y"), ("X", "y"), ("X", "Y"))
SPLIT = (("x_train", "y_train"), ("x_test", "y_test"))


@dataclass(frozen=True)
class Layout:
    """How the arrays of a file make a table: those of a group stand side by side, the groups below one another."""

    groups: tuple[tuple[StoredArray, ...], ...]
    has_features_in_one: bool

    @property
    def schema(self) -> pa.Schema:
        """The columns."""
        return pa.schema([field for array in self.groups[0] for field in array.fields(self.names(array))])

    def names(self, array: StoredArray) -> list[str]:
        """Name the columns that one array fills: x its features, y the target or targets, any other itself."""
        if not self.has_features_in_one:
            return [array.name]
        if array is self.groups[0][0]:
            return [f"{'pixel' if self.has_pixels else 'column'}_{i}" for i in range(array.width)]
        return ["y"] if array.width == 1 else [f"y_{i}" for i in range(array.width)]

    @property
    def has_pixels(self) -> bool:
        """Tell whether the features are images: more than one axis beside the rows."""
        return self.has_features_in_one and len(self.groups[0][0].shape) > 2


def read_schema(file: DataFile) -> pa.Schema:
    """Return the columns; an error if the arrays do not make a table."""
    with undamaged(file), file.open_seekable() as stream, zipfile.ZipFile(stream) as archive:
        return read_layout(file, archive).schema


def read_batches(file: DataFile, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    """Yield the rows in pieces."""
    with undamaged(file), file.open_seekable() as stream, zipfile.ZipFile(stream) as archive:
        layout = read_layout(file, archive)
        for group in layout.groups:
            for columns in group_columns(file, archive, group):
                yield pa.RecordBatch.from_arrays(columns, schema=layout.schema).select(schema.names)


def read_roles(file: DataFile) -> Roles:
    """Return the target, the test rows and whether the features are pixels, where the arrays' names tell."""
    with undamaged(file), file.open_seekable() as stream, zipfile.ZipFile(stream) as archive:
        layout = read_layout(file, archive)
    if not layout.has_features_in_one:
        return Roles()
    counts = [group[0].shape[0] for group in layout.groups]
    test_rows = np.arange(sum(counts)) >= counts[0] if len(counts) > 1 else None
    return Roles(tuple(layout.names(layout.groups[0][1])), test_rows, layout.has_pixels)


def group_columns(file: DataFile, archive: zipfile.ZipFile, group: tuple[StoredArray, ...]) -> Iterator[list[pa.Array]]:
    """Yield the columns of all arrays of a group for so many rows at a time."""
    rows = rows_per_batch(sum(array.row_bytes for array in group))
    with ExitStack() as opened:
        pieces = []
        for array in group:
            stream = opened.enter_context(open_member(archive, array))
            read_header(file, array.name, stream)
            pieces.append(array.columns(stream, rows))
        for side_by_side in zip(*pieces, strict=True):
            yield [column for columns in side_by_side for column in columns]


def open_member(archive: zipfile.ZipFile, array: StoredArray) -> IO[bytes]:
    """Open one array; a copy of it where it has to be read back and forth, which compression does not allow."""
    member = archive.open(f"{array.name}.npy")
    if not array.is_fortran:
        return member
    copy = tempfile.TemporaryFile()  # noqa: SIM115 - closed, and so removed, by the caller
    with member:
        shutil.copyfileobj(member, copy)
    copy.seek(0)
    return copy


def read_layout(file: DataFile, archive: zipfile.ZipFile) -> Layout:
    """Read the headers of all arrays and find out how they make a table.

    Raises
    ------
    SourceError
        If there are no arrays, or they have not as many rows as one another.
    TableError
        If an array holds what is no column.
    """
    arrays = {}
    for member in archive.namelist():
        with archive.open(member) as stream:
            name = member.removesuffix(".npy")
            arrays[name] = read_header(file, name, stream)
    if not arrays:
        raise SourceError(f"{file.uri}: there is no array in the file; save one for each column, or x and y")
    for pair in PAIRS:
        if set(arrays) == set(pair):
            return paired(file, [[arrays[name] for name in pair]])
    if set(arrays) == {name for pair in SPLIT for name in pair}:
        return paired(file, [[arrays[name] for name in pair] for pair in SPLIT])
    return side_by_side(file, list(arrays.values()))


def paired(file: DataFile, groups: list[list[StoredArray]]) -> Layout:
    """Return the layout of features and targets after checking that they go together."""
    for features, target in groups:
        check_rows(file, [features, target])
        if len(features.shape) < 2 or len(target.shape) > 2:
            raise TableError(
                f"{file.uri}: {features.name} is {features.shape} and {target.name} {target.shape}; "
                "save features (rows, columns) and targets (rows,) or (rows, targets)"
            )
    for first, other in zip(groups[0], groups[-1], strict=True):
        if (first.dtype, first.shape[1:]) != (other.dtype, other.shape[1:]):
            raise SourceError(
                f"{file.uri}: {first.name} is {first.dtype} {first.shape} and {other.name} {other.dtype} "
                f"{other.shape}; save both alike"
            )
    return Layout(tuple(map(tuple, groups)), has_features_in_one=True)


def side_by_side(file: DataFile, arrays: list[StoredArray]) -> Layout:
    """Return the layout of named columns after checking that each is one."""
    for array in arrays:
        if len(array.shape) != 1 or array.dtype.names:
            raise TableError(
                f"{file.uri}: array {array.name!r} is {array.shape} and no column; save x and y alone, or one array "
                f"(rows,) for each column (there are {listed([other.name for other in arrays])})"
            )
    check_rows(file, arrays)
    return Layout((tuple(arrays),), has_features_in_one=False)


def check_rows(file: DataFile, arrays: Sequence[StoredArray]) -> None:
    """Raise a SourceError unless all arrays have as many rows."""
    first = arrays[0]
    for array in arrays:
        if array.shape[0] != first.shape[0]:
            raise SourceError(
                f"{file.uri}: {first.name} has {first.shape[0]} rows and {array.name} {array.shape[0]}; "
                "save arrays of one length"
            )


NPZ = Format((".npz",), "PATH.npz", read_schema, read_batches, read_roles=read_roles)
