"""What is written to a file, a bucket or a table is there whole or not at all, and replaces nothing unasked."""

import datetime
import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest

from flows.data.sources import open_source
from flows.errors import DestinationError
from flows.scoring.destinations import open_destination

TABLE = pa.table(
    {
        "id": pa.array([1, 2, 3], pa.int64()),
        "name": pa.array(["a", None, 'c"c,'], pa.string()),
        "day": pa.array([datetime.date(2026, 1, 2), None, datetime.date(2026, 3, 4)], pa.date32()),
        "seen": pa.array([datetime.datetime(2026, 1, 2, 3, 4, 5, 6), None, None], pa.timestamp("us")),
        "old": pa.array([True, None, False], pa.bool_()),
        "probability_yes": pa.array([0.25, 0.5, None], pa.float32()),
        "version": pa.array([7, 7, 7], pa.int64()),
    }
)
FILES = ["scores.parquet", "scores.csv", "scores.csv.gz", "below/scores.parquet"]


def write(to: str, table: pa.Table = TABLE, *, overwrite: bool = False) -> None:
    """Write a table in two pieces."""
    with open_destination(to).writing(table.schema, overwrite=overwrite) as append:
        append(table.slice(0, 2))
        append(table.slice(2))


def fail_while_writing(to: str, error: BaseException | None = None, *, overwrite: bool = False) -> None:
    with open_destination(to).writing(TABLE.schema, overwrite=overwrite) as append:
        append(TABLE)
        raise error or KeyboardInterrupt


def read(to: str) -> pa.Table:
    return pa.Table.from_batches(open_source(to).batches())


@pytest.fixture
def addresses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    monkeypatch.chdir(tmp_path)
    return {**{name: name for name in FILES}, "sqlite": f"sql:sqlite:///{tmp_path}/scores.db?table=scores"}


KINDS = [*FILES, "sqlite"]


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_written_is_read_as_a_source(addresses: dict[str, str], kind: str) -> None:
    write(addresses[kind])
    found = read(addresses[kind])

    assert found.column_names == TABLE.column_names
    assert found["id"].to_pylist() == [1, 2, 3]
    assert found["name"].to_pylist() == ["a", None, 'c"c,']
    assert found["probability_yes"].to_pylist() == [0.25, 0.5, None]


@pytest.mark.parametrize("kind", ["scores.parquet", "sqlite"])
def test_dates_and_truth_values_keep_what_they_say(addresses: dict[str, str], kind: str) -> None:
    write(addresses[kind])
    found = read(addresses[kind]).to_pandas()

    assert str(found["day"][2]).startswith("2026-03-04")
    assert pd.Timestamp(found["seen"][0]) == pd.Timestamp("2026-01-02 03:04:05.000006")
    assert found["old"].tolist()[::2] in ([True, False], [1, 0])


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_there_is_replaced_only_if_that_is_asked_for(addresses: dict[str, str], kind: str) -> None:
    to = addresses[kind]
    open_destination(to).require_free()
    write(to)
    with pytest.raises(DestinationError, match="there is one already"):
        open_destination(to).require_free()
    other = TABLE.set_column(0, "id", pa.array([7, 8, 9], pa.int64()))
    with pytest.raises(DestinationError, match="there is one already"):
        write(to, other)
    assert read(to)["id"].to_pylist() == [1, 2, 3]

    write(to, other, overwrite=True)
    assert read(to)["id"].to_pylist() == [7, 8, 9]


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_that_breaks_off_leaves_what_was_there(addresses: dict[str, str], kind: str, tmp_path: Path) -> None:
    to = addresses[kind]
    with pytest.raises(KeyboardInterrupt):
        fail_while_writing(to)
    open_destination(to).require_free()
    write(to)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(KeyboardInterrupt):
        fail_while_writing(to, overwrite=True)

    assert read(to)["id"].to_pylist() == [1, 2, 3]
    assert sorted(tmp_path.rglob("*")) == before


KILLED = """
import os, signal, sys
from flows.scoring.destinations import open_destination
from tests.flows.scoring.test_destinations import TABLE
with open_destination(sys.argv[1]).writing(TABLE.schema, overwrite=True) as append:
    append(TABLE)
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("kind", ["scores.parquet", "sqlite"])
def test_a_process_that_is_killed_leaves_nothing_that_is_read(addresses: dict[str, str], kind: str) -> None:
    to = addresses[kind]
    write(to)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    ran = subprocess.run([sys.executable, "-c", KILLED, to], env=environment, capture_output=True, check=False)

    assert ran.returncode == -signal.SIGKILL, ran.stderr
    assert read(to)["id"].to_pylist() == [1, 2, 3]
    if kind != "sqlite":
        assert len(list(open_source(".").batches())) == 1


def test_scores_go_to_the_database_that_the_rows_are_read_from(tmp_path: Path) -> None:
    address = f"sql:sqlite:///{tmp_path}/shop.db"
    with sqlite3.connect(tmp_path / "shop.db") as connection:
        connection.execute("create table customers as select 1 as id union select 2")
    connection.close()
    batches = open_source(f"{address}?table=customers").batches()
    with open_destination(f"{address}?table=scores").writing(TABLE.schema, overwrite=False) as append:
        next(batches)
        append(TABLE)
        assert list(batches) == []

    assert read(f"{address}?table=scores").num_rows == 3


def test_a_bucket_has_the_file_when_it_is_whole(s3_bucket: str) -> None:
    to = f"s3://{s3_bucket}/below/scores.parquet"
    with pytest.raises(KeyboardInterrupt):
        fail_while_writing(to)
    open_destination(to).require_free()
    write(to)

    assert read(to).equals(TABLE)
    with pytest.raises(DestinationError, match="there is one already"):
        write(to)


@pytest.mark.parametrize(
    ("to", "reason"),
    [
        ("scores.txt", "cannot tell what to write by its name; possible are FILE.parquet"),
        ("sql:sqlite:///scores.db", r"which table\? Add \?table=NAME"),
        ("sql:sqlite:///scores.db?query=select 1", "scores go to a table"),
        ("sql:nosuch://host/db?table=t", "no such kind of database"),
        ("sql:mssql+pyodbc://me:secret@host/db?table=t", "is not installed|outside of transactions"),
        ("ftp7://host/scores.csv", "nothing is installed that reaches ftp7://"),
    ],
)
def test_a_place_that_cannot_be_written_to_is_refused_before_anything_is_scored(to: str, reason: str) -> None:
    with pytest.raises(DestinationError, match=reason) as raised:
        open_destination(to)

    assert "secret" not in str(raised.value)


def test_a_directory_that_may_not_be_written_to_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(DestinationError, match="cannot be written"):
        write(str(tmp_path / "file" / "scores.csv"))


@pytest.mark.parametrize("kind", ["scores.parquet", "sqlite"])
def test_a_fault_of_the_rows_is_not_told_as_one_of_the_place(addresses: dict[str, str], kind: str) -> None:
    with pytest.raises(ConnectionResetError, match="of a worker"):
        fail_while_writing(addresses[kind], ConnectionResetError("of a worker"))
