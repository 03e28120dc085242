"""Where scores are written: a file wherever it lies, or a table of a database; whole or not at all."""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import fsspec
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import sqlalchemy as sa
from fsspec.core import split_protocol, url_to_fs
from fsspec.implementations.local import LocalFileSystem

from flows.data.root import from_a_store
from flows.data.sources import sql
from flows.data.sources.addresses import without_secrets
from flows.data.sources.files import EXTRAS, first_line
from flows.data.sources.sql_address import SqlAddress, read_address
from flows.data.whole import file_appearing_whole
from flows.errors import DestinationError, InputError, SourceError

USAGE = "FILE.parquet, FILE.csv, FILE.csv.gz, a URL of one such as s3://bucket/scores.parquet, sql:URL?table=NAME"
ROWS_AT_ONCE = 10_000
"""Rows of an INSERT."""

Write: TypeAlias = Callable[[pa.Table], None]
Writer: TypeAlias = Callable[[Path, pa.Schema], AbstractContextManager[Write]]


class Destination(Protocol):
    """A place for a table, which appears there whole when all of it was written."""

    @property
    def uri(self) -> str:
        """What to call it in a message: as it was given, without passwords."""

    def require_free(self) -> None:
        """Raise a DestinationError if there is something at the place."""

    def writing(self, schema: pa.Schema, *, overwrite: bool) -> AbstractContextManager[Write]:
        """Yield what writes a piece; the table is there when the block ends without an error, and else nothing is."""


def open_destination(to: str) -> Destination:
    """Return the place that a person named.

    Raises
    ------
    DestinationError
        It is of no known kind, or cannot be written to.
    """
    if to.startswith(sql.PREFIX):
        return SqlDestination.of(to)
    name = to.partition("?")[0].lower()
    writer = next((writer for endings, writer in WRITERS.items() if name.endswith(endings)), None)
    if writer is None:
        raise DestinationError(f"{without_secrets(to)!r}: cannot tell what to write by its name; possible are {USAGE}")
    with explained(without_secrets(to)):
        filesystem, path = url_to_fs(to)
    return FileDestination(without_secrets(to), filesystem, path, writer)


@contextmanager
def parquet_writer(path: Path, schema: pa.Schema) -> Iterator[Write]:
    """Yield what appends a row group to a Parquet file."""
    with pyarrow.parquet.ParquetWriter(path, schema) as writer:
        yield writer.write_table


@contextmanager
def csv_writer(path: Path, schema: pa.Schema) -> Iterator[Write]:
    """Yield what appends rows to a CSV file, which is compressed if its name ends so."""
    compression = "gzip" if path.name.lower().endswith(".gz") else None
    with (
        pa.output_stream(str(path), compression=compression) as stream,
        pyarrow.csv.CSVWriter(stream, schema) as writer,
    ):
        yield writer.write_table


@contextmanager
def arrow_writer(path: Path, schema: pa.Schema) -> Iterator[Write]:
    """Yield what appends batches to an Arrow file."""
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, schema) as writer:
        yield writer.write_table


WRITERS: dict[tuple[str, ...], Writer] = {(".parquet", ".pq"): parquet_writer, (".csv", ".csv.gz"): csv_writer}


@dataclass(frozen=True)
class FileDestination:
    """One file on any file system that fsspec knows."""

    uri: str
    filesystem: fsspec.AbstractFileSystem
    path: str
    writer: Writer

    def require_free(self) -> None:
        """Raise a DestinationError if the file exists, or a directory has its name."""
        with explained(self.uri):
            self.filesystem.invalidate_cache()
            if self.filesystem.exists(self.path):
                raise taken(self.uri)

    @contextmanager
    def writing(self, schema: pa.Schema, *, overwrite: bool) -> Iterator[Write]:
        """Write beside the file and rename; for a store elsewhere write here and upload, which shows it whole.

        Two uploads at the same moment do not see each other: the later one stays.
        """
        if isinstance(self.filesystem, LocalFileSystem):
            whole = file_appearing_whole(Path(self.path), overwrite=overwrite)
            with filling(self.uri, whole, self.writer, schema) as write:
                yield write
            return
        with tempfile.TemporaryDirectory() as directory:
            local = Path(directory) / Path(self.path).name
            with filling(self.uri, nullcontext(local), self.writer, schema) as write:
                yield write
            if not overwrite:
                self.require_free()
            with explained(self.uri):
                self.filesystem.put_file(str(local), self.path)


@contextmanager
def filling(uri: str, place: AbstractContextManager[Path], writer: Writer, schema: pa.Schema) -> Iterator[Write]:
    """Yield what writes to a file; what fails in the block itself is not told as a fault of the file."""
    with ExitStack() as stack:
        with explained(uri):
            write = stack.enter_context(writer(stack.enter_context(place), schema))

        def append(table: pa.Table) -> None:
            with explained(uri):
                write(table)

        yield append
        with explained(uri):
            stack.close()


@dataclass(frozen=True)
class SqlDestination:
    """A table of a database, made and filled in one transaction: a broken-off one leaves what was there before."""

    uri: str
    address: SqlAddress
    engine: sa.Engine
    schema: str | None
    table: str

    @classmethod
    def of(cls, to: str) -> "SqlDestination":
        """Take an address apart and see whether the database can be asked."""
        try:
            address = read_address(to.removeprefix(sql.PREFIX))
        except SourceError as error:
            raise DestinationError(str(error)) from error
        if address.table is None:
            raise DestinationError(f"{address.uri}: scores go to a table; write sql:URL?table=NAME")
        schema, _, table = address.table.rpartition(".")
        with explained_database(address):
            engine = sa.create_engine(address.url, poolclass=sa.NullPool)
        if engine.dialect.name not in TRANSACTIONAL:
            raise DestinationError(
                f"{address.uri}: {engine.dialect.name} changes tables outside of transactions, so half of the scores "
                f"might be seen; write to {' or '.join(TRANSACTIONAL)}, or to a file"
            )
        return cls(address.uri, address, engine, schema or None, table)

    def require_free(self) -> None:
        """Raise a DestinationError if the table, or a view of that name, exists."""
        with explained_database(self.address), self.engine.connect() as connection:
            if self._exists(connection):
                raise taken(self.uri)

    def _exists(self, connection: sa.Connection) -> bool:
        inspector = sa.inspect(connection)
        return inspector.has_table(self.table, self.schema)

    @contextmanager
    def writing(self, schema: pa.Schema, *, overwrite: bool) -> Iterator[Write]:
        """Keep the rows here until all are there: the source may be a table of the same database, which locks it."""
        with tempfile.TemporaryDirectory() as directory:
            path = Path(directory) / "scores.arrow"
            with filling(self.uri, nullcontext(path), arrow_writer, schema) as write:
                yield write
            with explained_database(self.address):
                self._load(path, overwrite)

    def _load(self, path: Path, overwrite: bool) -> None:
        with self.engine.connect() as connection:
            if connection.dialect.name == "sqlite":
                # Python's driver begins a transaction only before the first INSERT, after the table was dropped.
                connection.exec_driver_sql("BEGIN IMMEDIATE")
            if self._exists(connection):
                if not overwrite:
                    raise taken(self.uri)
                sa.Table(self.table, sa.MetaData(), schema=self.schema).drop(connection)
            with pa.OSFile(str(path)) as file, pa.ipc.open_file(file) as reader:
                table = sa.Table(self.table, sa.MetaData(), *columns_of(reader.schema), schema=self.schema)
                table.create(connection)
                for place in range(reader.num_record_batches):
                    batch = reader.get_batch(place)
                    for start in range(0, batch.num_rows, ROWS_AT_ONCE):
                        connection.execute(table.insert(), batch.slice(start, ROWS_AT_ONCE).to_pylist())
            connection.commit()


TRANSACTIONAL = ("sqlite", "postgresql")
"""Databases that make and drop tables within a transaction."""


def columns_of(schema: pa.Schema) -> list[sa.Column[Any]]:
    """Return columns of a database that hold what Arrow's types hold."""
    return [sa.Column(field.name, column_type(field.type)) for field in schema]


def column_type(kind: pa.DataType) -> sa.types.TypeEngine[Any]:
    """Return the type of a database's column for one of a source or of scores."""
    types = pa.types
    if types.is_boolean(kind):
        return sa.Boolean()
    if types.is_integer(kind):
        return sa.Numeric(20, 0) if kind == pa.uint64() else sa.BigInteger()
    if types.is_floating(kind):
        return sa.Double()
    if types.is_date(kind):
        return sa.Date()
    return sa.DateTime() if types.is_timestamp(kind) else sa.Text()


def taken(uri: str) -> DestinationError:
    """Say that there is something where the scores should go."""
    return DestinationError(f"{uri}: there is one already; name another, or allow it to be replaced with --overwrite")


@contextmanager
def explained(uri: str) -> Iterator[None]:
    """Turn what a file system raises into a DestinationError of one line."""
    try:
        yield
    except FileExistsError as error:
        raise taken(uri) from error
    except OSError as error:
        raise DestinationError(
            f"{uri}: cannot be written: {error.strerror or first_line(error)}; free space, or choose another place"
        ) from error
    except NotImplementedError as error:
        raise DestinationError(f"{uri}: nothing can be written there; use a file, or a store such as s3://") from error
    except (ImportError, ValueError) as error:
        protocol = split_protocol(uri)[0]
        if protocol is None or isinstance(error, InputError):
            raise
        extra = EXTRAS.get(protocol)
        remedy = f"pip install 'backprop[{extra}]'" if extra else first_line(error)
        raise DestinationError(f"{uri}: nothing is installed that reaches {protocol}://; {remedy}") from error
    except Exception as error:
        if not from_a_store(error):
            raise
        raise DestinationError(
            f"{uri}: the store cannot be reached: {first_line(error)}; check the address and the credentials"
        ) from error


def explained_database(address: SqlAddress) -> AbstractContextManager[None]:
    """Turn what SQLAlchemy and a driver raise into a DestinationError of one line without the password."""
    return sql.explained(address, DestinationError, "check the address and the right to make a table")
