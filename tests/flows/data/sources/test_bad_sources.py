"""Every way in which a source can be wrong ends in one line that names the source, the place and the remedy.

Each case writes what a person might have and says what they are told. What a sound source's values may be wrong
with is in tests/flows/data/test_bad_input.py.
"""

import gzip
import json
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from flows.errors import InputError, SourceError, TableError
from tests.flows.data.sources.reading import read

GOOD = "a,b,y\n" + "".join(f"{i},{i / 2},{i % 2}\n" for i in range(12))


@dataclass(frozen=True)
class Case:
    """What is written where, which source is asked for (the file, if not another), and what must be said."""

    write: Callable[[Path], object]
    name: str
    kind: type[InputError]
    parts: tuple[str, ...]
    data: str | None = None


def text(content: str | bytes) -> Callable[[Path], object]:
    raw = content.encode() if isinstance(content, str) else content
    return lambda path: path.write_bytes(raw)


def nothing(path: Path) -> None:
    """Leave the place empty."""


def parquet(**columns: object) -> Callable[[Path], object]:
    return lambda path: pq.write_table(pa.table(columns), path)


def cut(write: Callable[[Path], object], share: float = 0.7) -> Callable[[Path], object]:
    """Write a file and cut it short."""

    def written(path: Path) -> None:
        write(path)
        whole = path.read_bytes()
        path.write_bytes(whole[: int(len(whole) * share)])

    return written


def files(**contents: str) -> Callable[[Path], object]:
    """Write a directory of CSV files."""

    def written(path: Path) -> None:
        path.mkdir()
        for name, content in contents.items():
            (path / f"{name}.csv").write_text(content)

    return written


def database(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE trees AS SELECT 1 AS a, x'00' AS photo")
    connection.commit()
    connection.close()


NOISE = np.random.default_rng(0).bytes(20_000).hex()

CASES = {
    "a field too many": Case(text(GOOD + "1,2,3,4\n"), "p.csv", SourceError, ("line 14 has 4 fields", "extra comma")),
    "a field too many in the first row": Case(
        text(GOOD.replace("0,0.0,0", "0,0.0,0,9")), "p.csv", SourceError, ("line 2 has 4 fields and the header 3",)
    ),
    "a comma at every line's end": Case(
        text("a,b,y\n" + "1,2,3,\n" * 12), "p.csv", SourceError, ("line 2", "extra comma")
    ),
    "a field too few": Case(text(GOOD + "1\n"), "p.csv", SourceError, ("line 14 has 1 field ", "missing commas")),
    "a field too few below a line break in quotes": Case(
        text(GOOD.replace("0,0.0,0", '"0\n",0.0,0') + "1\n"), "p.csv", SourceError, ("line 15 has 1 field ",)
    ),
    "a semicolon too many": Case(text("a;y\n1;2\n1;2;3\n"), "p.csv", SourceError, ("line 3", "extra semicolon")),
    "a quote left open": Case(
        text(GOOD + '"1,2,3\n'), "p.csv", SourceError, ("quote that opens in line 14 is not closed",)
    ),
    "a quote left open in the last field": Case(
        text(GOOD + '1,2,"oak\n4,5,6\n'), "p.csv", SourceError, ("quote that opens in line 14 is not closed",)
    ),
    "a quote left open in a large file": Case(
        text(GOOD + '"1,2,3\n' + "4,5,6\n" * 2_000_000),
        "p.csv",
        SourceError,
        ("quote that opens in line 14", "128 KiB"),
    ),
    "a header only": Case(text("a,b,y\n"), "p.csv", SourceError, ("no rows", "write the rows below")),
    "no byte at all": Case(text(""), "p.csv", SourceError, ("empty (0 bytes)", "write it again")),
    "blank lines only": Case(text("\n \n\n"), "p.csv", SourceError, ("only blank lines", "write a header")),
    "a column twice": Case(
        text("a,a,y\n1,2,0\n"), "p.csv", TableError, ("column 'a' appears more than once", "rename")
    ),
    "a column without a name": Case(text(",a,y\n1,2,0\n"), "p.csv", TableError, ("column 1 has no name", "remove it")),
    "Latin-1": Case(
        text("a,y\n1,é\n".encode("latin-1")), "p.csv", SourceError, ("line 2 is not UTF-8 text", "as UTF-8")
    ),
    "a header in Latin-1": Case(text("é,y\n1,2\n".encode("latin-1")), "p.csv", SourceError, ("line 1 is not UTF-8",)),
    "UTF-16": Case(text(GOOD.encode("utf-16")), "p.csv", SourceError, ("line 1 is not UTF-8 text",)),
    "UTF-16 without a mark": Case(
        text(GOOD.encode("utf-16-le")), "p.csv", SourceError, ("line 1 has zero bytes", "UTF-16")
    ),
    "one byte far down": Case(
        text(GOOD.encode() + b"1,2,3\n" * 90_000 + b"1,2,\xff\n"), "p.csv", SourceError, ("line 90014 is not UTF-8",)
    ),
    "gzip cut short": Case(
        text(gzip.compress((GOOD + NOISE).encode())[:-2000]), "p.csv.gz", SourceError, ("cannot be read: ", "again")
    ),
    "gzip that is none": Case(text(GOOD), "p.csv.gz", SourceError, ("cannot be read: ", "again")),
    "zstd that is none": Case(text(GOOD), "p.csv.zst", SourceError, ("cannot be read: ", "again")),
    "Parquet cut short": Case(
        cut(parquet(a=[1.0], y=[0])), "p.parquet", SourceError, ("cannot be read as Parquet", "again")
    ),
    "Parquet that is CSV": Case(text(GOOD), "p.parquet", SourceError, ("cannot be read as Parquet: ", "again")),
    "Parquet without rows": Case(parquet(a=pa.array([], "f8")), "p.parquet", SourceError, ("no rows",)),
    "lists in Parquet": Case(parquet(a=[[1]], y=[0]), "p.parquet", TableError, ("column 'a' holds list", "remove it")),
    "bytes in Parquet": Case(parquet(a=[b"x"], y=[0]), "p.parquet", TableError, ("column 'a' holds binary", "write")),
    "Parquet with a column twice": Case(
        lambda path: pq.write_table(pa.Table.from_arrays([pa.array([1]), pa.array([2])], ["a", "a"]), path),
        *("p.parquet", TableError, ("column 'a' appears more than once",)),
    ),
    "Feather cut short": Case(
        cut(lambda path: pd.DataFrame({"a": [1.0]}).to_feather(path)), "p.feather", SourceError, ("as Arrow", "again")
    ),
    "JSON cut short": Case(text('{"a": 1}\n{"a": \n'), "p.jsonl", SourceError, ("line 2 is not valid JSON", "correct")),
    "JSON that is one array": Case(
        text(json.dumps([{"a": 1}], indent=1)),
        "p.jsonl",
        SourceError,
        ("line 1 is not valid JSON", "one object a line"),
    ),
    "JSON of two kinds": Case(
        text('{"a": 1}\n{"a": "oak"}\n'), "p.jsonl", SourceError, ("column 'a' holds a text at line 2", "one kind")
    ),
    "JSON within JSON": Case(
        text('{"a": {"b": 1}}\n'), "p.jsonl", TableError, ("column 'a' holds struct", "remove it")
    ),
    "pickled objects in npy": Case(
        lambda path: np.save(path, np.array([[{}]])), "p.npy", TableError, ("'p' holds pickled", "never unpickled")
    ),
    "pickled objects in npz": Case(
        lambda path: np.savez(path, x=np.zeros((1, 2)), y=np.array([{}])), "p.npz", TableError, ("'y' holds pickled",)
    ),
    "npy cut short": Case(cut(lambda path: np.save(path, np.zeros((9, 9)))), "p.npy", SourceError, ("truncated",)),
    "npz cut short": Case(
        cut(lambda path: np.savez(path, x=np.eye(9), y=np.ones(9))), "p.npz", SourceError, ("truncated",)
    ),
    "an image stack": Case(
        lambda path: np.save(path, np.zeros((2, 3, 4))), "p.npy", TableError, ("3 dimensions", "reshape")
    ),
    "a directory of nothing": Case(lambda path: path.mkdir(), "p", SourceError, ("no file of a known kind",)),
    "a directory under the name of a file": Case(files(), "p.csv", SourceError, ("no file of a known kind",)),
    "files that differ in a column": Case(
        files(one="a,y\n1,2\n", two="a,z\n1,2\n"), "p", SourceError, ("two.csv", "no column 'y'", "one.csv")
    ),
    "a faulty line in the second file": Case(
        files(one="a,y\n1,2\n", two="a,y\n1,2\n3\n"), "p", SourceError, ("two.csv: line 3 has 1 field",)
    ),
    "a pattern that matches nothing": Case(
        nothing, "p*.csv", SourceError, ("no file matches this pattern", "check it")
    ),
    "a file that is not there": Case(nothing, "p.csv", SourceError, ("no such file", "working directory")),
    "a file of another kind": Case(text("PK"), "p.xlsx", SourceError, ("cannot tell what kind", "PATH.parquet")),
    "Parquet under gzip": Case(text("PK"), "p.parquet.gz", SourceError, ("cannot tell what kind",)),
    "ten million characters without a line break": Case(
        text("a" * 10**7), "p.csv", SourceError, ("header in line 1 has a field of more than 128 KiB", "line breaks")
    ),
    "a quote left open in the header": Case(
        text('a,"b,y\n' + "1,2,3\n" * 90_000), "p.csv", SourceError, ("quote that opens in line 1 is not closed",)
    ),
    "a name misspelt": Case(nothing, "p", SourceError, ("did you mean digits?", "PATH.csv"), data="digts"),
    "no name": Case(nothing, "p", SourceError, ("''", "PATH.csv"), data=""),
    "a name of five thousand letters": Case(nothing, "p", SourceError, ("neither",), data="x" * 5000),
    "a name that no file can have": Case(nothing, "p", SourceError, ("neither",), data="no\0name"),
    "a protocol that there is not": Case(nothing, "p", SourceError, ("not known: nowhere",), data="nowhere://p.csv"),
    "an IDX directory that is not there": Case(nothing, "p", SourceError, ("no such directory",), data="idx:p"),
    "an IDX directory without files": Case(
        lambda path: path.mkdir(), "p", SourceError, ("missing", "beside"), data="idx:p"
    ),
    "no number of OpenML": Case(nothing, "p", SourceError, ("no number of a data set",), data="openml:trees"),
    "a database that is not there": Case(
        nothing, "p", SourceError, ("no such file: p.db",), data="sql:sqlite:///p.db?table=t"
    ),
    "a table that is not there": Case(
        database, "p.db", SourceError, ("mean trees?",), data="sql:sqlite:///p.db?table=tree"
    ),
    "a query that is wrong": Case(
        database, "p.db", SourceError, ("syntax error", "correct the query"), data="sql:sqlite:///p.db?query=SELEC 1"
    ),
    "a query that changes the database": Case(
        database,
        "p.db",
        SourceError,
        ("refuses", "correct the query"),
        data="sql:sqlite:///p.db?query=DELETE FROM trees",
    ),
    "bytes in a database": Case(
        database, "p.db", TableError, ("column 'photo' holds bytes", "cast"), data="sql:sqlite:///p.db?table=trees"
    ),
    "a database without a table named": Case(
        database, "p.db", SourceError, ("which table?",), data="sql:sqlite:///p.db"
    ),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_faulty_source_is_refused_in_one_line(case, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    data = case.name if case.data is None else case.data
    case.write(tmp_path / case.name)
    with pytest.raises(InputError) as raised:
        read(data)
    message = str(raised.value)
    assert raised.type is case.kind
    assert "\n" not in message
    assert repr(data)[1:-1] in message
    for part in case.parts:
        assert part in message, message
