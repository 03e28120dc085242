"""Tables of a real PostgreSQL server, started by the test on a free port of this machine."""

from datetime import date, datetime

import pyarrow as pa
import pytest
import sqlalchemy as sa

from flows.data.sources import open_source
from flows.errors import DestinationError, SourceError, TableError
from flows.scoring.destinations import open_destination
from tests.flows.data.processes import growth_in_reading, needs_proc
from tests.flows.data.sources.reading import read, types
from tests.postgresql import PASSWORD


@pytest.fixture(scope="module")
def server(postgresql: sa.URL) -> sa.URL:
    """The address of a server, as its superuser."""
    return postgresql


@pytest.fixture(scope="module")
def address(server: sa.URL) -> str:
    """How a person writes it, after a table of every type was made."""
    engine = sa.create_engine(server, poolclass=sa.NullPool)
    with engine.begin() as connection:
        connection.exec_driver_sql(
            """CREATE TABLE trees AS SELECT
                 i AS number, i / 2.0::float8 AS height, (i * 1.25)::numeric(12, 2) AS price, mod(i, 2) = 0 AS wild,
                 (ARRAY['oak', 'elm', NULL])[1 + mod(i, 3)] AS kind, DATE '2026-11-01' + mod(i, 30) AS planted,
                 TIMESTAMPTZ '2026-11-01 12:00+02' AS seen
               FROM generate_series(1, 30000) AS i"""
        )
        connection.exec_driver_sql("INSERT INTO trees (number) VALUES (NULL)")
        connection.exec_driver_sql("CREATE SCHEMA park")
        connection.exec_driver_sql("CREATE TABLE park.shrubs AS SELECT 1 AS a, 'x' AS kind")
        connection.exec_driver_sql(
            "CREATE TABLE odd AS SELECT '{\"a\": 1}'::jsonb AS document, ARRAY[1] AS list, gen_random_uuid() AS id"
        )
        connection.exec_driver_sql("CREATE ROLE visitor LOGIN PASSWORD 'visitor'")
    return "sql:" + server.set(drivername="postgresql").render_as_string(hide_password=False)


def test_a_table_comes_with_its_types_and_gaps(address):
    source, table = read(f"{address}?table=trees")
    assert source.name == "trees"
    assert types(table) == {
        "number": "int64",
        "height": "double",
        "price": "double",
        "wild": "bool",
        "kind": "string",
        "planted": "date32[day]",
        "seen": "timestamp[us]",
    }
    assert table.num_rows == 30_001
    ordered = table.sort_by("number").slice(0, 3).to_pylist()
    assert ordered[0] == {
        "number": 1,
        "height": 0.5,
        "price": 1.25,
        "wild": False,
        "kind": "elm",
        "planted": date(2026, 11, 2),
        "seen": datetime(2026, 11, 1, 10),
    }
    assert ordered[1]["kind"] is None


def test_the_password_is_shown_nowhere(address):
    source = open_source(f"{address}?table=trees")
    assert source.uri == f"sql:postgresql://gardener@{address.rpartition('@')[2]}?table=trees"
    assert PASSWORD not in repr(source)


def test_a_query_with_signs_that_drivers_know_is_run_as_it_is_written(address):
    query = "SELECT height::text AS h, kind FROM trees WHERE kind LIKE '%a%' AND kind <> ':kind %s' LIMIT 7"
    assert read(f"{address}?query={query}")[1].num_rows == 7


def test_a_table_of_a_schema_is_found(address):
    assert read(f"{address}?table=park.shrubs")[1].to_pydict() == {"a": [1], "kind": ["x"]}


def test_parameters_of_the_connection_may_stand_beside_the_table(address):
    assert read(f"{address}?application_name=tests&table=park.shrubs")[1].num_rows == 1


@needs_proc
def test_rows_stay_at_the_server_until_they_are_asked_for(address):
    query = "SELECT i, repeat('x', 1000) AS text FROM generate_series(1, 100000) AS i"
    rows, growth = growth_in_reading(f"{address}?query={query}")
    assert rows == 100_000
    # All of it is 100 MB.
    assert growth < 70 * 1024


@pytest.mark.parametrize(
    ("asked", "kind", "parts"),
    [
        ("table=tree", SourceError, ("no table 'tree'", "did you mean trees?")),
        ("query=SELEC 1", SourceError, ("the database refuses", "syntax error", "correct the query")),
        ("query=SELECT wide FROM trees", SourceError, ('column "wide" does not exist',)),
        ("query=SELECT 1 / (number - 20000) AS a FROM trees", SourceError, ("division by zero",)),
        ("query=DELETE FROM trees RETURNING number", SourceError, ("the database refuses",)),
        ("query=SELECT document FROM odd", TableError, ("column 'document' holds dict values", "cast it")),
        ("query=SELECT list FROM odd", TableError, ("column 'list' holds list values",)),
        ("query=SELECT id FROM odd", TableError, ("column 'id' holds UUID values",)),
        ("query=SELECT number FROM trees WHERE false", SourceError, ("no rows",)),
    ],
)
def test_what_the_server_refuses_is_said_in_one_line(asked, kind, parts, address):
    with pytest.raises(kind) as raised:
        read(f"{address}?{asked}")
    message = str(raised.value)
    assert all(part in message for part in parts), message
    assert PASSWORD not in message
    assert "\n" not in message


@pytest.mark.parametrize(
    ("change", "part"),
    [
        ({"password": "wrong"}, "password authentication failed"),
        ({"username": "nobody"}, "password authentication failed"),
        ({"database": "forest"}, 'database "forest" does not exist'),
        ({"port": 1}, "Connection refused"),
    ],
)
def test_a_server_that_does_not_let_one_in_is_said_in_one_line(change, part, server, address):
    assert address
    wrong = server.set(**change).render_as_string(hide_password=False)
    with pytest.raises(SourceError, match=r"cannot be reached: .*; check the address and the login") as raised:
        open_source(f"sql:{wrong}?table=trees")
    assert part in str(raised.value)
    assert PASSWORD not in str(raised.value)
    assert "wrong" not in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_table_that_one_may_not_read_is_said_in_one_line(server, address):
    assert address
    visitor = server.set(username="visitor", password="visitor").render_as_string(hide_password=False)  # noqa: S106
    with pytest.raises(SourceError, match="permission denied for table trees"):
        open_source(f"sql:{visitor}?table=trees")


# As the place for scores


def write_scores(to: str, values: list[int], *, overwrite: bool = False, error: BaseException | None = None) -> None:
    table = pa.table({"number": values, "seen": pa.array([datetime(2026, 1, 2, 3, 4, 5)] * len(values))})
    with open_destination(to).writing(table.schema, overwrite=overwrite) as append:
        append(table)
        if error is not None:
            raise error


def numbers_of(to: str) -> list[int]:
    return [number for batch in open_source(to).batches() for number in batch["number"].to_pylist()]


def test_scores_are_a_table_that_is_replaced_whole_and_only_if_that_is_asked_for(address: str) -> None:
    to = f"{address}?table=park.scores"
    write_scores(to, [1, 2])
    with pytest.raises(DestinationError, match="there is one already"):
        write_scores(to, [3])
    with pytest.raises(KeyboardInterrupt):
        write_scores(to, [3], overwrite=True, error=KeyboardInterrupt())
    assert numbers_of(to) == [1, 2]

    write_scores(to, [3], overwrite=True)
    assert numbers_of(to) == [3]


def test_somebody_who_may_not_make_a_table_is_told_so_without_the_password(server: sa.URL, address: str) -> None:
    assert address
    visitor = server.set(drivername="postgresql", username="visitor", password="visitor")  # noqa: S106 - its own
    to = f"sql:{visitor.render_as_string(hide_password=False)}?table=park.scored"

    with pytest.raises(DestinationError, match="the database refuses: permission denied for schema park") as raised:
        write_scores(to, [1])
    assert ":visitor@" not in str(raised.value)
