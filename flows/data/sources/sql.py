"""Tables in databases and what a query returns, through SQLAlchemy, fetched in pieces."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time
from decimal import Decimal
from difflib import get_close_matches
from itertools import islice
from pathlib import Path
from typing import Any, cast

import pyarrow as pa
import sqlalchemy as sa

from flows.data.sources.columns import as_logical, check_names, listed, logical_schema, widest
from flows.data.sources.files import first_line, is_there
from flows.data.sources.source import ColumnWidened, Source
from flows.data.sources.sql_address import SqlAddress, read_address
from flows.errors import InputError, SourceError, TableError

USAGE = "sql:URL?table=NAME, sql:URL?query=SELECT .."
PREFIX = "sql:"
BATCH_ROWS = 5_000
# A server that is not there need not answer at all.
CONNECT_SECONDS = 10
MIN_INT64, MAX_INT64 = -(2**63), 2**63 - 1
TYPES = {
    type(None): pa.null(),
    bool: pa.bool_(),
    int: pa.int64(),
    float: pa.float64(),
    Decimal: pa.float64(),
    str: pa.string(),
    date: pa.date32(),
    datetime: pa.timestamp("us"),
}


def claims(data: str) -> bool:
    """Tell whether ``data`` names a table or a query of a database."""
    return data.startswith(PREFIX)


def open_source(data: str) -> Source:
    """Return a table or the rows of a query; its first rows are fetched, which show the types of the columns.

    Raises
    ------
    SourceError
        If the database cannot be reached, or there is no such table, or it refuses the query, or there are no rows.
    TableError
        If a column has no name, shares it, or holds what a table cannot have.
    """
    address = read_address(data.removeprefix(PREFIX))
    with explained(address):
        engine = create_engine(address)
        statement = selection(address, engine)
        with rows_of(address, engine, statement) as (names, rows):
            check_names(address.uri, names)
            columns = columns_of(names, list(islice(rows, BATCH_ROWS)))
    if not columns[0]:
        raise SourceError(f"{address.uri}: there are columns and no rows; choose another table or query")
    storage = pa.schema([(name, type_of(address, name, values)) for name, values in zip(names, columns, strict=True)])
    return SqlTable(address, engine, statement, storage).source()


@dataclass(frozen=True)
class SqlTable:
    """What a statement returns, with types wide enough for all that is known of its columns."""

    address: SqlAddress
    engine: sa.Engine
    statement: str
    storage: pa.Schema

    def source(self) -> Source:
        """Return the rows as a source."""
        return Source(self.address.name, self.address.uri, logical_schema(self.address.uri, self.storage), self.batches)

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Run the statement and yield its rows in pieces.

        Raises
        ------
        ColumnWidened
            If a value does not fit the type that its column showed so far.
        SourceError
            If the database fails meanwhile.
        """
        schema = logical_schema(self.address.uri, self.storage)
        with explained(self.address), rows_of(self.address, self.engine, self.statement) as (names, rows):
            while fetched := list(islice(rows, BATCH_ROWS)):
                yield as_logical(self.batch(columns_of(names, fetched)), schema)

    def batch(self, columns: list[tuple[object, ...]]) -> pa.RecordBatch:
        """Return the fetched columns in the types of the table."""
        named = zip(self.storage.names, columns, strict=True)
        found = [type_of(self.address, name, values) for name, values in named]
        needed = [widest(field.type, kind) for field, kind in zip(self.storage, found, strict=True)]
        if needed != self.storage.types:
            wider = pa.schema(list(zip(self.storage.names, needed, strict=True)))
            raise ColumnWidened(replace(self, storage=wider).source())
        arrays = [array_of(values, kind) for values, kind in zip(columns, needed, strict=True)]
        return pa.RecordBatch.from_arrays(arrays, schema=self.storage)


def create_engine(address: SqlAddress) -> sa.Engine:
    """Return how to reach the database; a SourceError where that would make a new one."""
    if address.url.get_backend_name() == "sqlite":
        file = address.url.database
        if not file or not is_there(Path(file)):
            raise SourceError(f"{address.uri}: no such file: {file}; check the path (working directory {Path.cwd()})")
    waits = address.url.get_backend_name() == "postgresql" and "connect_timeout" not in address.url.query
    # No pool: a connection that waits for its next use would keep the database from being changed.
    return sa.create_engine(
        address.url, poolclass=sa.NullPool, connect_args={"connect_timeout": CONNECT_SECONDS} if waits else {}
    )


def selection(address: SqlAddress, engine: sa.Engine) -> str:
    """Return the statement to run; a SourceError naming the nearest table if there is none of that name."""
    if address.query is not None:
        return address.query
    inspector = sa.inspect(engine)
    schema, dot, name = str(address.table).rpartition(".")
    candidates = [(None, str(address.table)), *([(schema, name)] if dot else [])]
    for place, table in candidates:
        if inspector.has_table(table, place):
            found = sa.table(table, schema=place)
            return str(sa.select(sa.text("*")).select_from(found).compile(engine))
    names = inspector.get_table_names() + inspector.get_view_names()
    close = get_close_matches(str(address.table), names, n=1)
    meant = f"did you mean {close[0]}?" if close else f"there are {listed(names) or 'none'}"
    raise SourceError(f"{address.uri}: there is no table {address.table!r}; {meant}")


@contextmanager
def rows_of(
    address: SqlAddress, engine: sa.Engine, statement: str
) -> Iterator[tuple[list[str], Iterator[sa.Row[Any]]]]:
    """Run a statement and yield the names of its columns and its rows, which stay at the server until asked for."""
    with engine.connect() as connection:
        forbid_changes(connection)
        # The statement goes to the driver as it is: neither : nor % stands for a parameter.
        options = {"stream_results": True, "yield_per": BATCH_ROWS, "no_parameters": True}
        result = connection.exec_driver_sql(statement, execution_options=options)
        if not result.returns_rows:
            raise SourceError(f"{address.uri}: the query returns no table; write a SELECT")
        yield list(result.keys()), iter(result)


def forbid_changes(connection: sa.Connection) -> None:
    """Let the database refuse a statement that would change it."""
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql("PRAGMA query_only = ON")
    if connection.dialect.name == "postgresql":
        connection.execution_options(postgresql_readonly=True)


def columns_of(names: list[str], rows: list[sa.Row[Any]]) -> list[tuple[object, ...]]:
    """Turn rows into columns."""
    return list(zip(*rows, strict=True)) if rows else [()] * len(names)


def type_of(address: SqlAddress, name: str, values: tuple[object, ...]) -> pa.DataType:
    """Return the type that holds values as the driver delivers them.

    Raises
    ------
    TableError
        If they are neither numbers nor truth values, texts or dates.
    """
    found = pa.null()
    for kind in set(map(type, values)):
        if kind not in TYPES:
            raise TableError(
                f"{address.uri}: column {name!r} holds {kind.__name__} values; cast it to a number or a text in the "
                "query, or leave it out"
            )
        found = widest(found, TYPES[kind])
    if found == pa.int64() and any(isinstance(value, int) and not MIN_INT64 <= value <= MAX_INT64 for value in values):
        return pa.float64()
    return found


def array_of(values: tuple[object, ...], kind: pa.DataType) -> pa.Array:
    """Return values in a type that holds them; a number among texts as a database would write it."""
    if pa.types.is_string(kind):
        return pa.array([value if value is None or isinstance(value, str) else str(value) for value in values], kind)
    if pa.types.is_floating(kind):
        return pa.array([None if value is None else float(cast("float", value)) for value in values], kind)
    if pa.types.is_timestamp(kind):
        return pa.array([instant_of(value) for value in values], kind)
    return pa.array(values, kind)


def instant_of(value: object) -> object:
    """Return midnight of a date, an instant with a zone in UTC, and anything else as it is."""
    if isinstance(value, datetime):
        return value if value.tzinfo is None else value.astimezone(UTC).replace(tzinfo=None)
    return datetime.combine(value, time()) if isinstance(value, date) else value


@contextmanager
def explained(
    address: SqlAddress, fault: type[InputError] = SourceError, remedy: str = "correct the query"
) -> Iterator[None]:
    """Turn what SQLAlchemy and a driver raise into an InputError of one line without the password.

    Parameters
    ----------
    fault : type of InputError
        What is raised.
    remedy : str
        What to do when the database refuses a statement.
    """
    try:
        yield
    except sa.exc.NoSuchModuleError as error:
        raise fault(f"{address.uri}: no such kind of database; write sqlite:// or postgresql://") from error
    except ImportError as error:
        install = "pip install 'backprop[sql]'" if "postgresql" in address.url.drivername else "install it with pip"
        raise fault(f"{address.uri}: the driver is not installed: {first_line(error)}; {install}") from error
    except sa.exc.DBAPIError as error:
        reason = address.without_password(first_line(cast("Exception", error.orig)))
        if error.statement is None:
            raise fault(f"{address.uri}: cannot be reached: {reason}; check the address and the login") from error
        raise fault(f"{address.uri}: the database refuses: {reason}; {remedy}") from error
    except sa.exc.SQLAlchemyError as error:
        raise fault(f"{address.uri}: {address.without_password(first_line(error))}; check the address") from error
