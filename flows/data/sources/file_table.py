"""One table from one file or from many of a kind: the part of reading files that is the same for every kind."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from urllib.parse import unquote

import numpy as np
import pyarrow as pa

from flows.data.sources.columns import as_logical, logical_schema, widest
from flows.data.sources.files import DataFile, explained
from flows.data.sources.source import ColumnWidened, Source, ValueTooWide, row_number
from flows.errors import SourceError

HIVE_NULL = "__HIVE_DEFAULT_PARTITION__"


def row_of_file(file: DataFile, row: int) -> str:  # noqa: ARG001 - text files look the line up in it
    """Name a row of a file that has no lines."""
    return row_number(row)


@dataclass(frozen=True)
class Roles:
    """What a file says of its columns and rows beyond their names; see Source."""

    targets: tuple[str, ...] | None = None
    test_rows: np.ndarray | None = None
    pixels: bool = False


def no_roles(file: DataFile) -> Roles:  # noqa: ARG001 - a file that says nothing of them
    """Leave it to the person to name the target."""
    return Roles()


@dataclass(frozen=True)
class Format:
    """A kind of file: how its names end, and how one file is read.

    ``read_schema`` returns the columns with the types they are stored in, or are taken for by the first rows;
    ``read_batches`` yields one file's rows with the columns of a schema, and raises ValueTooWide where a value does not
    fit it. Both raise SourceError for a damaged file. A text may be compressed. ``locate`` names the place of a row in
    a file. ``read_roles`` tells what a file that is a table of its own says of its target and its test rows.
    """

    suffixes: tuple[str, ...]
    usage: str
    read_schema: Callable[[DataFile], pa.Schema]
    read_batches: Callable[[DataFile, pa.Schema], Iterator[pa.RecordBatch]]
    is_text: bool = False
    locate: Callable[[DataFile, int], str] = row_of_file
    read_roles: Callable[[DataFile], Roles] = no_roles


@dataclass(frozen=True)
class Part:
    """One file of a table: its state when it was found, and what its directories say of every row in it."""

    file: DataFile
    state: tuple[object, ...]
    partition: dict[str, str | None]


def file_source(name: str, uri: str, kind: Format, files: tuple[DataFile, ...]) -> Source:
    """Return the table that files of one kind make together, in their order.

    Raises
    ------
    SourceError
        If a file cannot be read, or its columns are not those of the first one.
    TableError
        If a column has no name, or shares it, or holds what a table cannot have.
    """
    return FileTable.of(name, uri, kind, files).source()


@dataclass(frozen=True)
class FileTable:
    """Files of one kind, read one after the other.

    ``storage`` has the columns that the files hold, with types wide enough for all that is known of them;
    ``partitions`` those that their directories hold.
    """

    name: str
    uri: str
    kind: Format
    parts: tuple[Part, ...]
    storage: pa.Schema
    partitions: pa.Schema

    @classmethod
    def of(cls, name: str, uri: str, kind: Format, files: tuple[DataFile, ...]) -> "FileTable":
        """Look at every file's columns, and at the time before: what changes from here on is noticed."""
        parts, storage = [], None
        for file in files:
            with explained(file.uri):
                part = Part(file, file.state(), partition_of(uri, file))
                found = kind.read_schema(file)
            storage = found if storage is None else united(storage, found, files[0], file)
            parts.append(part)
        if storage is None:
            raise SourceError(f"{uri}: there is no file to read; write one there")
        return cls(name, uri, kind, tuple(parts), storage, partition_schema(uri, storage, parts))

    @property
    def schema(self) -> pa.Schema:
        """The columns of the source: those of the files, then those of the directories."""
        return logical_schema(self.uri, pa.schema([*self.storage, *self.partitions]))

    def source(self) -> Source:
        """Return the table as a source."""
        reading = Reading(self)
        roles = self.kind.read_roles(self.parts[0].file) if len(self.parts) == 1 else Roles()
        return Source(
            name=self.name,
            uri=self.uri,
            schema=self.schema,
            batches=reading.batches,
            targets=roles.targets,
            test_rows=roles.test_rows,
            pixels=roles.pixels,
            locate=reading.locate,
        )

    def widened(self, needed: pa.Schema) -> "FileTable":
        """Return the table with the columns that need it read wider, and with those that are new."""
        storage = self.storage
        for field in needed:
            index = storage.get_field_index(field.name)
            if index < 0:
                storage = storage.append(field)
            else:
                storage = storage.set(index, pa.field(field.name, widest(storage.field(index).type, field.type)))
        # What does not fit though its type does is read as text: a year that nanoseconds do not reach.
        if storage == self.storage:
            storage = pa.schema([pa.field(f.name, pa.string()) if f.name in needed.names else f for f in self.storage])
        return replace(self, storage=storage)


class Reading:
    """The passes over a table of files; remembers at which row each file began, to name the place of a row."""

    def __init__(self, table: FileTable):
        self.table = table
        self.starts: list[int] = []

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Yield the rows of every file in turn.

        Raises
        ------
        ColumnWidened
            If a value needs a wider type than its column was read with.
        SourceError
            If a file cannot be read, or changes meanwhile, or none of them has a row.
        """
        schema, rows = self.table.schema, 0
        self.starts = []
        for part in self.table.parts:
            self.starts.append(rows)
            for batch in self.part_batches(part):
                rows += batch.num_rows
                yield as_logical(with_partition(batch, part, self.table.partitions), schema)
        if rows == 0:
            raise SourceError(f"{self.table.uri}: there are columns and no rows; write the rows below them")

    def part_batches(self, part: Part) -> Iterator[pa.RecordBatch]:
        """Yield the rows of one file; that it changed is said before what came of the change."""
        try:
            with explained(part.file.uri):
                yield from self.kind_batches(part)
        except SourceError:
            check_unchanged(part)
            raise
        except ValueTooWide as found:
            check_unchanged(part)
            raise ColumnWidened(self.table.widened(found.needed).source()) from None
        check_unchanged(part)

    def kind_batches(self, part: Part) -> Iterator[pa.RecordBatch]:
        """Yield the rows of one file that are not none."""
        return (batch for batch in self.table.kind.read_batches(part.file, self.table.storage) if batch.num_rows)

    def locate(self, row: int) -> str:
        """Name the place of a row: in one file its line or number, in one of many the file too."""
        if len(self.table.parts) == 1:
            return self.table.kind.locate(self.table.parts[0].file, row)
        index = max((i for i, start in enumerate(self.starts) if start <= row), default=0)
        file = self.table.parts[index].file
        below = file.uri.removeprefix(self.table.uri.rstrip("/") + "/")
        return f"{below} {self.table.kind.locate(file, row - (self.starts[index] if self.starts else 0))}"


def check_unchanged(part: Part) -> None:
    """Raise a SourceError if a file is not the one that was found."""
    with explained(part.file.uri):
        if part.file.state() != part.state:
            raise SourceError(
                f"{part.file.uri}: the file changed while it was read; begin again when whoever writes it is done"
            )


def united(storage: pa.Schema, found: pa.Schema, first: DataFile, file: DataFile) -> pa.Schema:
    """Return the columns with types for one more file; a SourceError if it has others."""
    for name in storage.names:
        if name not in found.names:
            raise SourceError(
                f"{file.uri}: there is no column {name!r}, which {first.name} has; all must have the same"
            )
    for name in found.names:
        if name not in storage.names:
            raise SourceError(f"{file.uri}: column {name!r} is not in {first.name}; all must have the same columns")
    return pa.schema([(field.name, widest(field.type, found.field(field.name).type)) for field in storage])


def partition_of(uri: str, file: DataFile) -> dict[str, str | None]:
    """Return what the directories below the table's own say: ``year=2026/month=11`` of its every row."""
    below = PurePosixPath(file.uri.removeprefix(uri.rstrip("/") + "/")).parts[:-1]
    pairs = (part.partition("=") for part in below if "=" in part)
    return {name: None if value == HIVE_NULL else unquote(value) for name, _, value in pairs}


def partition_schema(uri: str, storage: pa.Schema, parts: list[Part]) -> pa.Schema:
    """Return the columns that the directories hold: integers where all are, else texts."""
    names = [name for name in parts[0].partition if name not in storage.names]
    for part in parts:
        if [name for name in part.partition if name not in storage.names] != names:
            raise SourceError(
                f"{uri}: {part.file.name} lies in other partitions ({', '.join(part.partition) or 'none'}) than "
                f"{parts[0].file.name} ({', '.join(names) or 'none'}); use the same in every directory"
            )
    values = {name: [part.partition[name] for part in parts] for name in names}
    return pa.schema(
        [(name, pa.int64() if all(map(is_integer, found)) else pa.string()) for name, found in values.items()]
    )


def is_integer(text: str | None) -> bool:
    """Tell whether a partition's value is missing or an integer as a program writes it, of at most 18 digits."""
    return text is None or re.fullmatch(r"0|-?[1-9][0-9]{0,17}", text) is not None


def with_partition(batch: pa.RecordBatch, part: Part, partitions: pa.Schema) -> pa.RecordBatch:
    """Append the columns that the directories hold."""
    for field in partitions:
        text = part.partition[field.name]
        value = text if text is None or pa.types.is_string(field.type) else int(text)
        batch = batch.append_column(field, pa.repeat(pa.scalar(value, field.type), batch.num_rows))
    return batch
