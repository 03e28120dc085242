"""Tables and queries of SQLite: types that a column only shows late, what a database refuses, nothing changed."""

import sqlite3
from datetime import date, datetime
from decimal import Decimal

import pytest

from flows.data.sources import open_source, sql
from flows.errors import SourceError, TableError
from tests.flows.data.sources.reading import read, types


@pytest.fixture
def garden(tmp_path, monkeypatch):
    """A database of 25,000 trees, the last of them with a height that nobody measured."""
    monkeypatch.chdir(tmp_path)
    connection = sqlite3.connect("garden.db")
    connection.execute("CREATE TABLE trees (number INTEGER, height REAL, kind TEXT, planted TEXT)")
    rows = [(i, i / 2, "oak" if i % 2 else "100% elm", "2026-11-01") for i in range(24_999)]
    connection.executemany("INSERT INTO trees VALUES (?, ?, ?, ?)", [*rows, (None, "tall", None, None)])
    connection.execute('CREATE VIEW "tall trees" AS SELECT * FROM trees WHERE height > 5')
    connection.execute("CREATE TABLE empty (a)")
    connection.execute("CREATE TABLE pictures AS SELECT 1 AS a, x'00ff' AS photo")
    connection.commit()
    connection.close()
    return tmp_path / "garden.db"


@pytest.mark.usefixtures("garden")
def test_a_table_is_read_with_columns_as_wide_as_their_widest_value():
    source, table = read("sql:sqlite:///garden.db?table=trees")
    assert (source.name, source.uri, source.targets) == ("trees", "sql:sqlite:///garden.db?table=trees", None)
    assert types(table) == {"number": "int64", "height": "string", "kind": "string", "planted": "string"}
    assert table.num_rows == 25_000
    assert table["height"].to_pylist()[-2:] == ["12499.0", "tall"]
    assert [table[name].null_count for name in ("number", "height", "kind")] == [1, 0, 1]
    assert source.locate(5) == "row 6"


@pytest.mark.usefixtures("garden")
@pytest.mark.parametrize(
    "query",
    [
        "SELECT height, kind FROM trees WHERE kind LIKE '100% e%' AND number >= 10 AND ':x' <> '?y&z'",
        "SELECT+height%2C+kind+FROM+trees+WHERE+kind+LIKE+'100%25+e%25'+AND+number+>=+10",
        "SELECT height, kind\nFROM trees\nWHERE kind LIKE '100%' AND number >= 10",
    ],
    ids=["as it is", "escaped", "over several lines"],
)
def test_a_query_is_run_as_it_is_written(query):
    source, table = read(f"sql:sqlite:///garden.db?query={query}")
    assert source.name == "garden"
    assert "\n" not in source.uri
    assert types(table) == {"height": "double", "kind": "string"}
    assert table.num_rows == 12_495


@pytest.mark.usefixtures("garden")
def test_views_and_tables_of_a_schema_are_tables_too():
    assert read("sql:sqlite:///garden.db?table=tall trees")[1].num_rows == 24_989
    assert read("sql:sqlite:///garden.db?table=main.trees")[0].name == "trees"


@pytest.mark.parametrize(
    ("data", "kind", "parts"),
    [
        ("garden.db?table=tree", SourceError, ("no table 'tree'", "did you mean trees?")),
        ("garden.db?table=xyz", SourceError, ("no table 'xyz'", "there are 'empty', 'pictures', 'trees'")),
        ("garden.db?table=empty", SourceError, ("no rows",)),
        ("garden.db?table=pictures", TableError, ("column 'photo' holds bytes values", "cast it")),
        ("garden.db?query=SELEC 1", SourceError, ('near "SELEC": syntax error', "correct the query")),
        ("garden.db?query=SELECT wide FROM trees", SourceError, ("no such column: wide", "correct the query")),
        ("garden.db?query=SELECT 1 AS a, 2 AS a", TableError, ("column 'a' appears more than once",)),
        ("garden.db?query=DELETE FROM trees", SourceError, ("readonly", "correct the query")),
        ("garden.db?query=DROP TABLE trees", SourceError, ("readonly", "correct the query")),
        ("garden.db", SourceError, ("which table?", "?table=NAME or ?query=")),
        ("garden.db?query=", SourceError, ("which table?",)),
        ("other.db?table=trees", SourceError, ("no such file: other.db",)),
        ("notes.txt?table=trees", SourceError, ("file is not a database",)),
    ],
)
def test_what_a_database_refuses_is_said_in_one_line_and_changes_nothing(data, kind, parts, garden):
    (garden.parent / "notes.txt").write_text("no database, " * 100)
    before = {path.name: path.read_bytes() for path in garden.parent.iterdir()}
    with pytest.raises(kind) as raised:
        read(f"sql:sqlite:///{data}")
    message = str(raised.value)
    assert message.startswith(f"sql:sqlite:///{data.partition('?')[0]}")
    assert all(part in message for part in parts), message
    assert "\n" not in message
    assert {path.name: path.read_bytes() for path in garden.parent.iterdir()} == before


@pytest.mark.parametrize(
    ("data", "part"),
    [
        ("sql:trees", "no address of a database"),
        ("sql:", "no address of a database"),
        ("sql:oracl://u:secret@h/d?table=t", "no such kind of database"),
        ("sql:mysql://u:secret@h/d?table=t", "the driver is not installed"),
        ("sql:postgresql://u:secret@h:port/d?table=t", "no address of a database"),
        ("sql:postgresql://u:secret@127.0.0.1:1/d?sslmode=disable&table=t", "cannot be reached"),
        ("sql:postgresql://u@127.0.0.1:1/d?password=secret&table=t", "cannot be reached"),
    ],
)
def test_a_database_that_is_not_there_is_said_in_one_line_without_its_password(data, part):
    with pytest.raises(SourceError) as raised:
        open_source(data)
    assert part in str(raised.value)
    assert "secret" not in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("values", "kind", "read_as"),
    [
        ((1, None), "int64", [1, None]),
        ((True, False), "bool", [True, False]),
        ((1, Decimal("2.5")), "double", [1.0, 2.5]),
        ((2**70, 1), "double", [2.0**70, 1.0]),
        ((date(2026, 11, 1), None), "date32[day]", [date(2026, 11, 1), None]),
        (
            (date(2026, 11, 1), datetime.fromisoformat("2026-11-01T12:00:00+02:00")),
            "timestamp[us]",
            [datetime(2026, 11, 1), datetime(2026, 11, 1, 10)],
        ),
        ((1, "oak", None), "string", ["1", "oak", None]),
    ],
)
def test_the_values_of_drivers_become_columns(values, kind, read_as):
    found = sql.type_of(sql.read_address("sqlite:///x?table=t"), "a", values)
    assert str(found) == kind
    assert sql.array_of(values, found).to_pylist() == read_as
