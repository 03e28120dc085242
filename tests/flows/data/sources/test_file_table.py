"""Directories and patterns of files as one table, partitions, and files that change while they are read."""

import gzip
import os
from datetime import date

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from flows.data.sources import open_source
from flows.errors import SourceError
from tests.flows.data.sources.reading import read, types


@pytest.fixture
def days(tmp_path, monkeypatch):
    """Three days of rows, a file each, and what else lies in such a directory."""
    monkeypatch.chdir(tmp_path)
    directory = tmp_path / "days"
    directory.mkdir()
    for day in (2, 3, 1):
        (directory / f"2026-11-0{day}.csv").write_text(
            f"day,y\n{day},0\n{day}.5,1\n" if day == 3 else f"day,y\n{day},0\n"
        )
    (directory / "_SUCCESS").touch()
    (directory / ".2026-11-04.csv.part").write_text("half a li")
    (directory / "readme.txt").write_text("Days.")
    return directory


@pytest.mark.usefixtures("days")
@pytest.mark.parametrize("data", ["days", "days/", "days/*.csv", "days/2026-*.csv", "./days"])
def test_files_of_a_directory_or_pattern_are_one_table_in_the_order_of_their_names(data):
    source, table = read(data)
    assert (source.name, source.uri) == ("days", data)
    assert table["day"].to_pylist() == [1, 2, 3, 3.5]
    # A later part is wider than the first: all are read so.
    assert types(table) == {"day": "double", "y": "int64"}


def test_a_new_file_is_there_at_the_next_reading(days):
    assert read("days")[1].num_rows == 4
    (days / "2026-11-04.csv").write_text("y,day\n1,4\n")
    source, table = read("days")
    assert table.to_pydict() == {"day": [1, 2, 3, 3.5, 4], "y": [0, 0, 0, 1, 1]}
    assert source.locate(4) == "2026-11-04.csv line 2"


@pytest.mark.usefixtures("days")
def test_rows_are_located_in_their_file():
    source, _ = read("days/*.csv")
    assert [source.locate(row) for row in range(4)] == [
        "days/2026-11-01.csv line 2",
        "days/2026-11-02.csv line 2",
        "days/2026-11-03.csv line 2",
        "days/2026-11-03.csv line 3",
    ]


def test_a_file_without_a_column_of_the_first_is_named(days):
    (days / "2026-11-04.csv").write_text("day,z\n1,4\n")
    with pytest.raises(SourceError, match=r"^days/2026-11-04.csv: there is no column 'y', which 2026-11-01.csv has"):
        open_source("days")
    (days / "2026-11-04.csv").write_text("day,y,z\n1,4,5\n")
    with pytest.raises(SourceError, match=r"^days/2026-11-04.csv: column 'z' is not in 2026-11-01.csv"):
        open_source("days")


def test_files_of_two_kinds_are_no_table(days):
    (days / "2026-11-04.csv.gz").write_bytes(gzip.compress(b"day,y\n4,0\n"))
    assert read("days")[1].num_rows == 5
    (days / "2026-11-05.jsonl").write_text("{}\n")
    with pytest.raises(SourceError, match=r"^days: 2026-11-01.csv and 2026-11-05.jsonl are of different kinds"):
        open_source("days")


@pytest.mark.usefixtures("days")
@pytest.mark.parametrize(("data", "reason"), [("none", "no file of a known kind"), ("days/*.tsv", "no file matches")])
def test_a_directory_or_pattern_without_files_is_refused(data, reason, tmp_path):
    (tmp_path / "none").mkdir()
    with pytest.raises(SourceError, match=reason):
        open_source(data)


@pytest.fixture
def sales(tmp_path, monkeypatch) -> str:
    """Parquet files in Hive partitions: by year, by city (one of them not known)."""
    monkeypatch.chdir(tmp_path)
    for year in (2025, 2026):
        for city in ("Bern", "Z%C3%BCrich", "__HIVE_DEFAULT_PARTITION__"):
            directory = tmp_path / "sales" / f"year={year}" / f"city={city}"
            directory.mkdir(parents=True)
            pq.write_table(
                pa.table({"price": [1.0 * year, 2.0], "on": [date(year, 1, 1), None]}), directory / "part-0.parquet"
            )
    return "sales"


def test_hive_partitions_become_columns(sales):
    source, table = read(sales)
    assert types(table) == {"price": "double", "on": "date32[day]", "year": "int64", "city": "string"}
    assert table["year"].to_pylist() == [2025] * 6 + [2026] * 6
    assert table["city"].to_pylist()[:6] == ["Bern", "Bern", "Zürich", "Zürich", None, None]
    assert source.locate(7) == "year=2026/city=Bern/part-0.parquet row 2"


def test_what_arrow_writes_in_partitions_is_read_as_it_was(tmp_path):
    whole = pa.table({"a": range(60), "kind": ["oak", "elm", "ash/oak"] * 20, "code": ["01", "02"] * 30})
    pq.write_to_dataset(whole, str(tmp_path / "trees"), partition_cols=["kind", "code"])
    table = read(str(tmp_path / "trees"))[1]
    assert table.sort_by("a").select(whole.column_names).equals(whole)


def test_a_file_beside_the_partitions_is_refused(sales, tmp_path):
    pq.write_table(pa.table({"price": [1.0], "on": [date(2026, 1, 1)]}), tmp_path / "sales" / "extra.parquet")
    with pytest.raises(SourceError, match=r"^sales: .* lies in other partitions"):
        open_source(sales)


def grow(path):
    with path.open("a") as file:
        file.write("5,6\n")


def replace_keeping_size_and_time(path):
    before = path.stat()
    other = path.with_name("other")
    other.write_bytes(path.read_bytes().replace(b"1", b"9"))
    os.utime(other, ns=(before.st_atime_ns, before.st_mtime_ns))
    other.replace(path)


def shorten(path):
    os.truncate(path, 100)


def break_it(path):
    path.write_text("a,y\n1,2,3\n" * 100_000)


@pytest.mark.parametrize("change", [grow, replace_keeping_size_and_time, shorten, break_it, os.remove])
@pytest.mark.parametrize("moment", ["before the pass", "during the pass"])
def test_a_file_that_changes_while_it_is_read_is_refused(change, moment, tmp_path):
    path = tmp_path / "plants.csv"
    path.write_text("a,y\n" + "1,2\n" * 3_000_000)
    batches = open_source(str(path)).batches()
    if moment == "during the pass":
        next(batches)
    change(path)
    with pytest.raises(SourceError, match=r"plants.csv: (the file changed while it was read|no such file)") as raised:
        list(batches)
    assert "\n" not in str(raised.value)


@pytest.mark.usefixtures("days")
def test_a_file_that_stays_as_it_is_may_be_read_twice():
    source, first = read("days")
    assert pa.Table.from_batches(source.batches(), source.schema).equals(first)
