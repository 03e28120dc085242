"""A table of what a person can get wrong, and what the one line that answers it must say.

A case is a name, what to put into the directory where the command runs, the options of the command, and the parts
that its message must have: the source, the column and the row where there is one, and a remedy.
"""

import gzip
import io
import pickle
import sqlite3
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.feather as feather
import pyarrow.parquet as pq

GOOD = "a,b,y\n" + "".join(f"{i * 7 % 41},{i / 2},{i % 2}\n" for i in range(40))
"""A table that is fine: forty rows, its last on line 41."""

TARGET = ("--target", "y")
REGRESSION = (*TARGET, "--task", "regression")


@dataclass(frozen=True)
class BadInput:
    """One thing that is wrong.

    Attributes
    ----------
    options
        Of ``backprop train``, in place of ``--target y``.
    before
        What to put there first, and to ingest with success.
    """

    name: str
    data: str
    says: tuple[str, ...]
    write: Callable[[Path], object] | None = None
    options: tuple[str, ...] = TARGET
    before: Callable[[Path], object] | None = None


def csv(name: str, content: str | bytes, *says: str, options: tuple[str, ...] = TARGET) -> BadInput:
    """Return a case of one CSV file."""
    raw = content.encode() if isinstance(content, str) else content
    return BadInput(name, "plants.csv", ("plants.csv", *says), lambda at: (at / "plants.csv").write_bytes(raw), options)


def file(name: str, path: str, content: bytes, *says: str, options: tuple[str, ...] = TARGET) -> BadInput:
    """Return a case of one file of another kind."""

    def write(at: Path) -> None:
        (at / path).parent.mkdir(parents=True, exist_ok=True)
        (at / path).write_bytes(content)

    return BadInput(name, path, (path, *says), write, options)


def frame(rows: int = 40, **columns: object) -> pd.DataFrame:
    """Return a table that is fine, with other columns beside or in place of its own."""
    place = np.arange(rows)
    good = pd.DataFrame({"a": place * 7.0 % 41, "b": place / 2, "y": place % 2})
    return good.assign(**columns)


def rows_of(column: str, values: list[object]) -> str:
    """Return a CSV file with a column of these values beside a good one and a target."""
    return f"a,{column},y\n" + "".join(f"{i * 7 % 41},{value},{i % 2}\n" for i, value in enumerate(values))


CSV = [
    csv("Latin-1 in the header", "a,é,y\n1,2,0\n".encode("latin-1"), "line 1", "not UTF-8", "save the file as UTF-8"),
    csv("Latin-1 in a row", b"a,b,y\n1,\xe9,0\n", "line 2", "not UTF-8", "save the file as UTF-8"),
    csv("one wrong byte far down", GOOD.encode() + b"1,2,1\n" * 90_000 + b"1,\xff,1\n", "line 90042", "not UTF-8"),
    csv("UTF-16", GOOD.encode("utf-16"), "line 1", "save the file as UTF-8"),
    csv("zero bytes in the middle", GOOD.encode() + b"1,\0\0,1\n", "column 'b'", "line 42", "no number"),
    csv("a field too many", GOOD + "1,2,1,4\n", "line 42 has 4 fields and the header 3", "remove the extra comma"),
    csv("a field too many in the first row", "a,b,y\n1,2,0,9\n" + GOOD[6:], "line 2 has 4 fields", "extra comma"),
    csv("a comma at every line's end", "a,b,y\n" + "1,2,1,\n" * 12, "line 2 has 4 fields", "extra comma"),
    csv("a field too few", GOOD + "1\n", "line 42 has 1 field and the header 3", "add the missing commas"),
    csv("a quote left open", GOOD + '"1,2,1\n', "the quote that opens in line 42 is not closed", "correct that line"),
    csv("a header and no rows", "a,b,y\n", "no rows", "write the rows below it"),
    csv("no byte at all", "", "empty (0 bytes)", "write it again"),
    csv("blank lines only", "\n \n\n", "only blank lines", "write a header"),
    csv("a column twice", "a,a,y\n" + "1,2,0\n" * 12, "column 'a' appears more than once", "rename"),
    csv("a column without a name", ",a,y\n" + "1,2,0\n" * 12, "column 1 has no name", "name or remove it"),
    csv("another separator than the known ones", GOOD.replace(",", "#"), "no column 'y'", "'a#b#y'"),
    csv("a target misspelt", GOOD, "no column 'yy'", "did you mean --target y?", options=("--target", "yy")),
    csv("a target that is not there", GOOD, "no column 'price'", "'a', 'b', 'y'", options=("--target", "price")),
    csv("no target", GOOD, "which column is the target?", "--target COLUMN", "'a', 'b', 'y'", options=()),
    csv("nothing but the target", "y\n" + "0\n1\n" * 20, "no feature columns beside the target y", "add some"),
    csv("too few rows", "a,y\n" + "1,0\n2,1\n" * 4, "8 rows", "at least 10"),
    csv("text among numbers", rows_of("b", [*range(40), "oak"]), "column 'b'", "'oak'", "line 42", "correct it"),
    csv("text below a blank line", rows_of("b", [*range(40)]) + "\n\n1,oak,1\n", "'b'", "'oak'", "line 44"),
    csv("text below a line break", rows_of("b", ['"oak\n"', *range(40)]), "'b'", "line 3"),
    csv("an infinite value", rows_of("b", [*range(40), "inf"]), "column 'b' has an infinite value in line 42", "drop"),
    csv("a value that overflows", rows_of("b", [*range(40), "1e400"]), "column 'b'", "infinite", "line 42"),
    csv("values too large", rows_of("b", [*range(40), "1e300"]), "column 'b' has values too large", "drop"),
    csv(
        "prose",
        rows_of("b", [f"the {i}th plant grew well this summer" for i in range(40)]),
        "'b'",
        "free text",
        "drop: [b]",
    ),
    csv(
        "ten thousand levels",
        "a,b,y\n" + "".join(f"{i},town {i % 10_000:05},{i % 2}\n" for i in range(30_000)),
        "'b'",
        "10,000 different values, too many",
        "drop: [b]",
    ),
    csv("a label missing", GOOD + "1,2,\n", "target 'y' has 1 missing value, the first at line 42", "fill it in"),
    csv("no label at all", "a,y\n" + "1,\n2,\n" * 10, "'y'", "20 missing values", "line 2"),
    csv("one class only", "a,y\n" + "1,0\n2,0\n" * 10, "'y' has one class only, 0", "two or more"),
    csv("a class of two rows", GOOD + "1,2,7\n2,3,7\n", "class 7 of target 'y' has 2 rows", "at least 3"),
    csv(
        "a date to predict",
        rows_of("when", [f"2026-01-{1 + i % 28:02}" for i in range(40)]),
        "'when' is a date",
        "the days until then",
        options=("--target", "when"),
    ),
    csv("text as a quantity", GOOD + "1,2,low\n", "'y' has 'low' at line 42", "classification", options=REGRESSION),
    csv("a constant quantity", "a,y\n" + "1,5\n2,5\n" * 10, "'y' is constant (5)", options=REGRESSION),
    csv("true and false as a quantity", "a,y\n" + "1,true\n2,false\n" * 10, "'y' is true or false", options=REGRESSION),
    csv("an infinite quantity", GOOD + "1,2,-inf\n", "'y' has 1 infinite value", "line 42", options=REGRESSION),
    csv(
        "two classes to predict at once",
        GOOD,
        "a classification has one target",
        "multilabel",
        options=("--target", "y", "--target", "b", "--task", "classification"),
    ),
    csv(
        "labels that are neither 0 nor 1",
        GOOD,
        "'b'",
        "line 3",
        "neither true nor false",
        options=("--target", "y", "--target", "b", "--task", "multilabel"),
    ),
    BadInput(
        "a task that does not exist",
        "wine",
        ("task", "'clustering'", "'classification'"),
        options=("--task", "clustering"),
    ),
]


def parquet(table: pa.Table | pd.DataFrame) -> bytes:
    """Return a table as a Parquet file."""
    buffer = io.BytesIO()
    pq.write_table(table if isinstance(table, pa.Table) else pa.Table.from_pandas(table, preserve_index=False), buffer)
    return buffer.getvalue()


def twice() -> pa.Table:
    """Return a table with a column twice."""
    return pa.Table.from_arrays([pa.array([1.0] * 20), pa.array([2.0] * 20), pa.array([0, 1] * 10)], ["a", "a", "y"])


def not_utf8() -> pa.Table:
    """Return a table whose text column holds other bytes."""
    return pa.table(
        {"a": np.arange(20.0), "s": pa.array([b"oak", b"\xff\xfe"] * 10).view(pa.string()), "y": [0, 1] * 10}
    )


def arrow_file() -> bytes:
    """Return a good table as a Feather file."""
    buffer = io.BytesIO()
    feather.write_feather(frame(), buffer, compression="uncompressed")
    return buffer.getvalue()


WHOLE = parquet(frame())
SAVED = pa.compress(GOOD.encode(), codec="zstd", asbytes=True)

COLUMNAR = [
    file("Parquet, cut", "t.parquet", WHOLE[:-300], "cannot be read as Parquet", "write the file again"),
    file(
        "Parquet, its data damaged",
        "t.parquet",
        WHOLE[:8] + bytes(80) + WHOLE[88:],
        "cannot be read as Parquet",
        "write",
    ),
    file(
        "no Parquet at all",
        "t.parquet",
        b"PK\x03\x04" + bytes(500),
        "cannot be read as Parquet",
        "write the file again",
    ),
    file("lists in a column", "t.parquet", parquet(frame(s=[[1, 2]] * 40)), "column 's' holds list", "or remove it"),
    file("a Parquet column twice", "t.parquet", parquet(twice()), "column 'a' appears more than once", "rename"),
    file("Parquet text that is not UTF-8", "t.parquet", parquet(not_utf8()), "Parquet", "write the file again"),
    file("Parquet without rows", "t.parquet", parquet(frame()[:0]), "no rows", "write"),
    file(
        "infinite in Parquet", "t.parquet", parquet(frame(b=[np.inf, *range(39)])), "'b' has an infinite value in row 1"
    ),
    file("Feather, cut", "t.feather", arrow_file()[:-200], "cannot be read as Arrow", "write the file again"),
    file("gzip, cut", "t.csv.gz", gzip.compress(GOOD.encode())[:-20], "cannot be read", "Write it again"),
    file("no gzip at all", "t.csv.gz", GOOD.encode(), "cannot be read", "Write it again"),
    file("Zstandard, cut", "t.csv.zst", SAVED[:-20], "cannot be read", "Write it again"),
    file("JSON that stops", "t.jsonl", b'{"a": 1, "y": 0}\n{"a": 2, "y"\n', "line 2 is not valid JSON", "correct"),
    file(
        "JSON within JSON",
        "t.jsonl",
        b'{"a": 1, "y": 0}\n{"a": {"b": 2}, "y": 1}\n',
        "column 'a'",
        "line 2",
        "remove it",
    ),
    file("JSON without names", "t.jsonl", b"[1, 2, 0]\n[2, 3, 1]\n", "line 1 is no object", "one object a line"),
]


class Bomb:
    """What would tell, if it were ever unpickled."""

    def __reduce__(self) -> tuple[object, tuple[str, str]]:
        return open, ("unpickled", "w")


def npy(array: np.ndarray) -> bytes:
    """Return an array as a ``.npy`` file."""
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=True)
    return buffer.getvalue()


def npz(**arrays: np.ndarray) -> bytes:
    """Return arrays as a ``.npz`` file."""
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


OBJECTS = npy(np.array([Bomb(), None], dtype=object))
TABLE = npy(np.arange(60.0).reshape(20, 3))
COLUMN_2 = ("--target", "column_2")

ARRAYS = [
    file(
        "an array of pickled objects", "t.npy", OBJECTS, "pickled Python objects", "never unpickled", options=COLUMN_2
    ),
    file(
        "pickled objects in an archive",
        "t.npz",
        npz(x=np.zeros((20, 2)), y=np.array([Bomb()] * 20, object)),
        "'y'",
        "never unpickled",
        options=("--target", "y"),
    ),
    file("a pickle named npy", "t.npy", pickle.dumps([1, 2, 3]), "t.npy", "save", options=COLUMN_2),
    file("an array, cut", "t.npy", TABLE[:-40], "truncated", "save the file again", options=COLUMN_2),
    file(
        "an archive, cut", "t.npz", npz(x=np.zeros((20, 2)), y=np.arange(20) % 2)[:-60], "t.npz", "save the file again"
    ),
    file(
        "an array of three dimensions", "t.npy", npy(np.zeros((9, 2, 2))), "3 dimensions", "reshape", options=COLUMN_2
    ),
    file("arrays that disagree", "t.npz", npz(x=np.zeros((20, 2)), y=np.arange(19) % 2), "20", "19"),
    file("an empty archive", "t.npz", npz(), "no array", "save one for each column"),
]


def idx(at: Path, **replaced: bytes | None) -> None:
    """Write the four files of a small IDX data set, with some of them replaced or left out."""
    directory = at / "shapes"
    directory.mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, size=(36, 2, 3), dtype=np.uint8)
    labels = np.arange(36, dtype=np.uint8) % 3
    for part, rows in (("train", slice(0, 30)), ("t10k", slice(30, 36))):
        count = len(pixels[rows])
        files = {
            f"{part}-images-idx3-ubyte": struct.pack(">4I", 0x803, count, 2, 3) + pixels[rows].tobytes(),
            f"{part}-labels-idx1-ubyte": struct.pack(">2I", 0x801, count) + labels[rows].tobytes(),
        }
        for name, content in files.items():
            changed = replaced.get(name.partition("-idx")[0].replace("-", "_"), content)
            if changed is not None:
                zipped = ".gz" if changed[:2] == b"\x1f\x8b" else ""
                (directory / f"{name}{zipped}").write_bytes(changed)


def shapes(name: str, *says: str, options: tuple[str, ...] = (), **replaced: bytes | None) -> BadInput:
    """Return a case of an IDX directory."""
    return BadInput(name, "idx:shapes", ("shapes", *says), lambda at: idx(at, **replaced), options)


IMAGES = struct.pack(">4I", 0x803, 30, 2, 3) + bytes(180)
IDX = [
    shapes("an IDX file missing", "t10k-labels-idx1-ubyte is missing", "put it beside", t10k_labels=None),
    shapes("an IDX file, cut", "announces 180 values and 179 follow", "fetch", train_images=IMAGES[:-1]),
    shapes(
        "a gzipped IDX file, cut",
        "train-images-idx3-ubyte.gz",
        "Write it again",
        train_images=gzip.compress(IMAGES)[:-20],
    ),
    shapes("labels for images", "magic number 0x0801 where 0x0803", "fetch", train_images=struct.pack(">2I", 0x801, 1)),
    shapes("no whole header", "7 bytes are less than a header", "fetch", train_images=IMAGES[:7]),
    shapes("counts that differ", "6 images and", "5 labels", t10k_labels=struct.pack(">2I", 0x801, 5) + bytes(5)),
    shapes("images of another size", "2 x 3", "3 x 2", train_images=struct.pack(">4I", 0x803, 30, 3, 2) + bytes(180)),
    shapes("a target for what has one", "brings its own target: leave out --target hue", options=("--target", "hue")),
    shapes(
        "a class that is not tested",
        "class 2 of target 'label' has 0 test rows",
        t10k_labels=struct.pack(">2I", 0x801, 6) + bytes([0, 1] * 3),
    ),
]


def database(at: Path) -> None:
    """Write a SQLite database with a good table, and one with a column of bytes."""
    with sqlite3.connect(at / "plants.db") as connection:
        frame().to_sql("plants", connection, index=False)
        connection.execute("create table photos (a real, photo blob, y integer)")
        connection.executemany("insert into photos values (?, ?, ?)", [(i, b"\0\1", i % 2) for i in range(40)])
    connection.close()


def sql(name: str, query: str, *says: str) -> BadInput:
    """Return a case of a query to a database."""
    return BadInput(name, f"sql:sqlite:///plants.db{query}", ("plants.db", *says), database)


SQL = [
    sql("SQL with a mistake", "?query=select a, b, y form plants", "the database refuses", "correct the query"),
    sql("SQL of an unknown column", "?query=select hue, y from plants", "hue", "correct the query"),
    sql("a table that is missing", "?table=plant", "there is no table 'plant'", "plants"),
    sql(
        "SQL that changes the database",
        "?query=drop table plants",
        "the database refuses",
        "readonly",
        "correct the query",
    ),
    sql("no table and no query", "", "which table?", "?table=NAME"),
    sql("bytes in a column", "?table=photos", "column 'photo'", "bytes"),
    sql("no row", "?query=select * from plants where a > 1000", "no rows", "choose another"),
    BadInput("a database that is missing", "sql:sqlite:///nowhere.db?table=plants", ("nowhere.db", "no such file")),
    BadInput("a database of no kind", "sql:oracul://host/db?table=t", ("oracul", "no such kind of database")),
]


def parts(at: Path, **files: str) -> None:
    """Write a directory of files."""
    (at / "parts").mkdir()
    for name, content in files.items():
        (at / "parts" / name.replace("_", ".")).write_text(content)


PLACES = [
    BadInput("a file that is not there", "nowhere.csv", ("nowhere.csv", "no such file", "check")),
    BadInput("a Parquet file that is not there", "nowhere.parquet", ("nowhere.parquet", "no such file", "check")),
    BadInput(
        "an IDX directory that is not there",
        "idx:nowhere",
        ("nowhere", "no such directory", "four IDX files"),
        options=(),
    ),
    BadInput("a built-in data set misspelt", "digts", ("'digts'", "did you mean digits?", "breast_cancer")),
    BadInput("nothing", "", ("data", "at least 1 character")),
    BadInput("a name that no system has", "no\0name.csv", ("zero byte", "check the path")),
    BadInput(
        "a kind that is not known",
        "t.xlsx",
        ("t.xlsx", "cannot tell what kind"),
        lambda at: (at / "t.xlsx").write_bytes(b"PK"),
    ),
    BadInput("an empty directory", "parts", ("parts", "no file of a known kind"), lambda at: (at / "parts").mkdir()),
    BadInput(
        "a directory where a file should be",
        "t.npy/",
        ("t.npy", "no file of a known kind"),
        lambda at: (at / "t.npy").mkdir(),
    ),
    BadInput("a pattern without a match", "*.parquet", ("*.parquet", "no file matches", "check")),
    BadInput(
        "parts of different kinds",
        "parts",
        ("parts", "different kinds"),
        lambda at: parts(at, a_csv=GOOD, b_tsv=GOOD, c_jsonl="{}"),
    ),
    BadInput(
        "parts with different columns",
        "parts",
        ("parts", "b.csv", "column 'b'", "must have"),
        lambda at: parts(at, a_csv=GOOD, b_csv="a,y\n1,0\n"),
    ),
    BadInput(
        "a mistake in the second part",
        "parts",
        ("b.csv", "line 3 has 2 fields"),
        lambda at: parts(at, a_csv=GOOD, b_csv="a,b,y\n1,2,0\n1,2\n"),
    ),
    BadInput(
        "an infinite value in the second part",
        "parts",
        ("'b'", "infinite", "b.csv line 3"),
        lambda at: parts(at, a_csv=GOOD, b_csv="a,b,y\n1,2,0\n1,inf,1\n"),
    ),
    BadInput("no number of OpenML", "openml:iris", ("openml:iris", "'iris' is no number of a data set"), options=()),
    BadInput("a page that is not there", "http://127.0.0.1:9/t.csv", ("127.0.0.1:9", "cannot")),
]


def planned(name: str, plan: str, *says: str, content: str = GOOD) -> BadInput:
    """Return a case of a good table with a plan that is not."""

    def write(at: Path) -> None:
        (at / "plants.csv").write_text(content)
        (at / "plan.yaml").write_text(plan)

    return BadInput(name, "plants.csv", says, write, (*TARGET, "--preparation", "plan.yaml"))


MISSING = rows_of("b", [*range(40), ""])
PLANS = [
    planned("a plan that is no YAML", "columns: {a: [\n", "plan.yaml", "line 2", "not valid YAML", "correct it"),
    planned("a plan that is a list", "- a\n", "plan.yaml", "line 1", "mapping"),
    planned("a plan for a column that is not there", "columns:\n  hue: {kind: numeric}\n", "plants.csv", "['hue']"),
    planned(
        "a kind that does not exist", "columns:\n  a: {kind: ordinal}\n", "plan.yaml: line 2", "numeric, categorical"
    ),
    planned("a field misspelt", "columns:\n  a: {kind: numeric, scael: none}\n", "line 2", "did you mean 'scale'?"),
    planned(
        "a value that does not exist", "columns:\n  a: {kind: numeric, scale: log}\n", "line 2", "'standard'", "'log'"
    ),
    planned(
        "a column twice in a plan",
        "columns:\n  a: {kind: numeric}\n  a: {kind: numeric}\n",
        "line 3",
        "'a' is there twice",
    ),
    planned(
        "the target as a feature",
        "target: y\ncolumns:\n  y: {kind: numeric}\n",
        "plan.yaml",
        "'y' is a target",
        "remove",
    ),
    planned("a column dropped and used", "drop: [a]\ncolumns:\n  a: {kind: numeric}\n", "plan.yaml", "'a'", "remove"),
    planned(
        "text planned as numbers",
        "columns:\n  b: {kind: numeric}\n",
        "'b'",
        "'oak'",
        "line 42",
        content=rows_of("b", [*[1, 2] * 20, "oak"]),
    ),
    planned("numbers planned as truth", "columns:\n  b: {kind: boolean}\n", "'b'", "line 3", "neither true nor false"),
    planned("numbers planned as dates", "columns:\n  b: {kind: date}\n", "'b'", "line 2", "no date"),
    planned(
        "a gap where none may be",
        "columns:\n  b: {kind: numeric, missing: refuse}\n",
        "'b' has a missing value in line 42",
        "drop",
        content=MISSING,
    ),
    planned(
        "a column without any value",
        "columns:\n  b: {kind: numeric}\n",
        "'b'",
        "no value",
        "drop",
        content=rows_of("b", [""] * 40),
    ),
    BadInput(
        "a plan that is a directory",
        "plants.csv",
        ("plan", "preparation cannot be read"),
        lambda at: ((at / "plan").mkdir(), (at / "plants.csv").write_text(GOOD)),
        (*TARGET, "--preparation", "plan"),
    ),
]


def split(name: str, *options: str, says: tuple[str, ...], content: str = GOOD) -> BadInput:
    """Return a case of a good table that cannot be split as is asked."""
    return BadInput(name, "plants.csv", says, lambda at: (at / "plants.csv").write_text(content), (*TARGET, *options))


def in_parts(words: list[str]) -> str:
    """Return a table whose column ``part`` repeats these words."""
    return rows_of("part", [words[i % len(words)] for i in range(40)])


SPLITS = [
    split(
        "a split by an unknown column",
        "--split-by",
        "time",
        "--split-column",
        "whne",
        says=("plants.csv", "no column 'whne'"),
    ),
    split("a split by time without a column", "--split-by", "time", says=("split", "time needs a column")),
    split("a split by nothing there is", "--split-by", "luck", says=("split.by", "'luck'", "'random'")),
    split("fractions that leave nothing", "--validation", "0.6", "--test", "0.5", says=("split", "less than 1")),
    split("a fraction of more than one", "--test", "1.5", says=("split.test", "less than 1", "1.5")),
    split(
        "a split by the target", "--split-by", "group", "--split-column", "y", says=("plants.csv", "'y' is the target")
    ),
    split(
        "a random split with a column",
        "--split-column",
        "a",
        says=("random split has no column", "group, time or column"),
    ),
    split(
        "a part that does not exist",
        "--split-by",
        "column",
        "--split-column",
        "part",
        says=("'part' has 'exam' at line 4", "train, validation or test"),
        content=in_parts(["train", "test", "exam"]),
    ),
    split(
        "no row to test on",
        "--split-by",
        "column",
        "--split-column",
        "part",
        says=("'part'", "test", "mark some"),
        content=in_parts(["train"]),
    ),
    split(
        "groups with gaps",
        "--split-by",
        "group",
        "--split-column",
        "b",
        says=("'b' has 1 missing value", "line 42"),
        content=MISSING,
    ),
    split(
        "two groups for three parts",
        "--split-by",
        "group",
        "--split-column",
        "part",
        says=("'part' has 2 groups", "too few"),
        content=in_parts(["north", "south"]),
    ),
    split(
        "a time that is none",
        "--split-by",
        "time",
        "--split-column",
        "part",
        says=("'part' has 'soon'", "line 3", "no date", "correct it"),
        content=in_parts(["2026-01-01", "soon"]),
    ),
]


def first_good(at: Path) -> None:
    """Write the table that a schema is inferred of."""
    frame(kind=["oak", "oak", "elm", "elm"] * 10, day="2026-01-05").to_csv(at / "plants.csv", index=False)


def later(name: str, change: Callable[[pd.DataFrame], pd.DataFrame], *says: str) -> BadInput:
    """Return a case of a table that was fine when it was first ingested."""

    def write(at: Path) -> None:
        change(pd.read_csv(at / "plants.csv")).to_csv(at / "plants.csv", index=False)

    return BadInput(name, "plants.csv", ("plants.csv", *says, "schema.yaml"), write, before=first_good)


def with_row(table: pd.DataFrame, row: int, **values: object) -> pd.DataFrame:
    """Return a table with other values in one row."""
    changed = table.astype(dict.fromkeys(values, object))
    changed.loc[row, list(values)] = list(values.values())
    return changed


def broken_schema(at: Path) -> None:
    """Make a mistake in the schema of the source, as a person might."""
    [schema] = (at / "store" / "sources").glob("plants-*/schema.yaml")
    schema.write_text(schema.read_text().replace("minimum: ", "minimum: about "))


SCHEMAS = [
    later(
        "another unit",
        lambda table: table.assign(b=table["b"] * 1000),
        "column 'b'",
        "outside -19.5 to 39",
        "the first 500 at line 3",
    ),
    later(
        "a value out of any range",
        lambda table: with_row(table, 7, a=999),
        "column 'a'",
        "1 value outside",
        "999 at line 9",
    ),
    later("a column gone", lambda table: table.drop(columns="b"), "column 'b'", "missing"),
    later("a column come", lambda table: table.assign(c=1), "column 'c'", "does not know it"),
    later(
        "a class never seen",
        lambda table: with_row(table, 5, y=2),
        "column 'y'",
        "classes not seen before",
        "2 at line 7",
    ),
    later(
        "text in a column of numbers",
        lambda table: with_row(table, 3, b="oak"),
        "column 'b'",
        "a number is expected",
        "'oak' at line 5",
    ),
    later(
        "no day in a column of days",
        lambda table: with_row(table, 3, day="soon"),
        "column 'day'",
        "a date is expected",
        "'soon' at line 5",
    ),
    later(
        "several at once",
        lambda table: with_row(table, 3, a=-999, y=5).drop(columns="b"),
        "column 'b'",
        "and 2 more violations",
    ),
    BadInput(
        "a mistake in a schema",
        "plants.csv",
        ("schema.yaml", "line", "minimum", "'about"),
        broken_schema,
        before=first_good,
    ),
]

BAD_INPUTS = [*CSV, *COLUMNAR, *ARRAYS, *IDX, *SQL, *PLACES, *PLANS, *SPLITS]
