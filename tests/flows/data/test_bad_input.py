"""Every way a person's data can be wrong ends in one line that names the file, the place and the remedy."""

import gzip
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from flows.errors import InputError, SourceError, TableError

GOOD = "a,b,y\n" + "".join(f"{i},{i / 2},{i % 2}\n" for i in range(12))


def contents(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


@pytest.fixture
def refused(ingest: Callable[..., object], store: Path) -> Callable[..., str]:
    """Ingest what must be refused; return the message after checking its form and that the store is untouched."""

    def refused(kind: type[InputError], data: str, target: str | None = None, task: str = "auto") -> str:
        before = contents(store)
        with pytest.raises(kind) as raised:
            ingest(data, target, task)
        assert raised.type is kind
        assert "\n" not in str(raised.value)
        assert contents(store) == before
        assert len(list(store.iterdir())) == 1
        return str(raised.value)

    return refused


CSV_CASES = {
    "a field too many": (SourceError, GOOD + "1,2,3,4\n", "line 14", "correct that line"),
    "a field too many in the first row": (SourceError, GOOD.replace("0,0.0,0", "0,0.0,0,9"), "line 2", "extra comma"),
    "a comma at every line's end": (SourceError, "a,b,y\n" + "1,2,3,\n" * 12, "line 2", "extra comma"),
    "a field too few": (TableError, GOOD + "1\n", "'b'", "1 missing value", "line 14", "fill them in"),
    "a quote left open": (SourceError, GOOD + '"1,2,3\n', "line 14", "not closed"),
    "a header only": (SourceError, "a,b,y\n", "no rows", "write the rows"),
    "no byte at all": (SourceError, "", "empty (0 bytes)", "write it again"),
    "blank lines only": (SourceError, "\n \n\n", "only blank lines"),
    "a column twice": (TableError, "a,a,y\n" + "1,2,0\n" * 12, "'a'", "more than once", "rename"),
    "a column without a name": (TableError, ",a,y\n" + "1,2,0\n" * 12, "column 1", "no name", "remove"),
    "another separator": (TableError, GOOD.replace(",", ";"), "no column 'y'", "'a;b;y'"),
    "no features": (TableError, "y\n" + "0\n1\n" * 6, "no feature columns", "add some"),
    "too few rows": (TableError, "a,y\n" + "1,0\n2,1\n" * 4, "8 rows", "at least 10"),
    "text in a numeric column": (TableError, GOOD + "oak,2,1\n", "'a'", "'oak'", "line 14", "encode"),
    "text below a blank line": (TableError, GOOD + "\n\noak,2,1\n", "'oak'", "line 16"),
    "text below a line break in quotes": (TableError, GOOD.replace("0,0.0,0", '"0 oaks\n",0.0,0'), "'a'", "line 3"),
    "dates": (TableError, GOOD.replace(".0", "-01-02"), "'b'", "not numeric", "line 2", "remove"),
    "numbers beyond 64 bits": (TableError, GOOD + "99999999999999999999999,2,1\n", "'a'", "64 bits"),
    "missing values": (TableError, GOOD + ",2,1\nNA,3,0\n", "'a'", "2 missing values", "line 14"),
    "an infinite value": (TableError, GOOD + "inf,2,1\n", "'a'", "1 infinite value", "line 14"),
    "a value that overflows": (TableError, GOOD + "1e400,2,1\n", "'a'", "1 infinite value", "line 14"),
    "values with no variance in float64": (TableError, GOOD + "1e300,2,1\n", "'a'", "too large", "rescale"),
    "a label missing": (TableError, GOOD + "1,2,\n", "'y'", "1 missing value", "line 14"),
    "one class only": (TableError, "a,y\n" + "1,0\n2,0\n" * 6, "'y'", "one class only, 0", "two or more"),
    "a class of two": (TableError, GOOD + "1,2,7\n2,3,7\n", "class 7 ", "2 rows", "at least 3"),
}


@pytest.mark.parametrize(("kind", "text", "parts"), [(c[0], c[1], c[2:]) for c in CSV_CASES.values()], ids=CSV_CASES)
def test_a_faulty_csv_file_is_refused_in_one_line(kind, text, parts, refused, tmp_path):
    path = tmp_path / "plants.csv"
    path.write_text(text, newline="")
    message = refused(kind, str(path), "y", "classification")
    for part in (str(path), *parts):
        assert part in message


QUANTITY_CASES = {
    "text as a quantity": (GOOD + "1,2,low\n", "'y'", "'low'", "line 14", "classification"),
    "a constant target": ("a,y\n" + "1,5\n2,5\n" * 6, "'y'", "constant (5)"),
    "true and false": ("a,y\n" + "1,True\n2,False\n" * 6, "'y'", "true or false", "classification"),
    "an infinite target": (GOOD + "1,2,-inf\n", "'y'", "1 infinite value", "line 14"),
}


@pytest.mark.parametrize(("text", "parts"), [(c[0], c[1:]) for c in QUANTITY_CASES.values()], ids=QUANTITY_CASES)
def test_a_target_that_is_no_quantity_is_refused_for_a_regression(text, parts, refused, tmp_path):
    path = tmp_path / "plants.csv"
    path.write_text(text)
    message = refused(TableError, str(path), "y", "regression")
    for part in (str(path), *parts):
        assert part in message


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ("a,y\n1,é\n".encode("latin-1"), "line 2"),
        (GOOD.encode("utf-16"), "line 1"),
        (GOOD.encode() + b"1,2,3\n" * 90_000 + b"1,2,\xff\n", "line 90014"),
    ],
    ids=["Latin-1", "UTF-16", "one byte far down"],
)
def test_a_csv_file_that_is_not_utf8_is_refused_with_the_line(content, line, refused, tmp_path):
    path = tmp_path / "plants.csv"
    path.write_bytes(content)
    message = refused(SourceError, str(path), "y")
    assert f"{path}: {line} is not UTF-8 text; save the file as UTF-8" == message


@pytest.mark.parametrize(
    ("target", "parts"),
    [
        (None, ["--target COLUMN", "'a', 'b', 'y'"]),
        ("yy", ["no column 'yy'", "did you mean --target y?"]),
        ("price", ["no column 'price'", "'a', 'b', 'y'"]),
    ],
)
def test_a_target_that_is_not_given_or_not_there_is_asked_for(target, parts, refused, tmp_path):
    path = tmp_path / "plants.csv"
    path.write_text(GOOD)
    message = refused(TableError, str(path), target)
    for part in (str(path), *parts):
        assert part in message


@pytest.mark.parametrize(
    ("data", "parts"),
    [
        ("digts", ["'digts'", "did you mean digits?", "breast_cancer, diabetes, digits, wine", "PATH.csv"]),
        ("housing", ["'housing'", "PATH.parquet", "idx:DIRECTORY"]),
        ("", ["''", "PATH.csv"]),
        ("x" * 5000, ["neither a built-in data set nor a file"]),
        ("no\0name", ["neither a built-in data set nor a file"]),
        ("nowhere.csv", ["nowhere.csv: no such file", "check the path"]),
        ("nowhere.parquet", ["nowhere.parquet: no such file", "check the path"]),
        ("idx:nowhere", ["idx:nowhere: no such directory", "four IDX files"]),
    ],
)
def test_a_source_that_is_not_there_is_answered_with_what_is_possible(data, parts, refused):
    message = refused(SourceError, data)
    for part in parts:
        assert part in message


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_a_directory_is_no_file(suffix, refused, tmp_path):
    (tmp_path / f"plants{suffix}").mkdir()
    assert "is a directory; give the path of one file" in refused(SourceError, str(tmp_path / f"plants{suffix}"), "y")


def test_a_file_of_another_kind_is_answered_with_the_kinds_there_are(refused, tmp_path):
    (tmp_path / "plants.xlsx").write_bytes(b"PK")
    message = refused(SourceError, str(tmp_path / "plants.xlsx"), "y")
    assert "cannot tell what kind" in message
    assert "PATH.csv, PATH.parquet" in message


@pytest.mark.parametrize("data", ["digits", "idx:shapes"])
def test_a_source_with_a_target_of_its_own_takes_no_other(data, refused):
    message = refused(SourceError, data, "colour")
    assert "brings its own target: leave out --target colour" in message


def parquet_bytes(frame: pd.DataFrame, tmp_path: Path) -> bytes:
    frame.to_parquet(tmp_path / "whole.parquet")
    return (tmp_path / "whole.parquet").read_bytes()


def test_a_parquet_file_cut_anywhere_is_refused(refused, tmp_path):
    whole = parquet_bytes(pd.DataFrame({"a": np.arange(40.0), "y": [0, 1] * 20}), tmp_path)
    path = tmp_path / "cut.parquet"
    for length in range(1, len(whole), 97):
        path.write_bytes(whole[:length])
        message = refused(SourceError, str(path), "y")
        assert message.startswith(f"{path}: cannot be read as Parquet: ")
        assert message.endswith("; write the file again")


def test_a_parquet_file_with_a_byte_changed_never_fails_otherwise_than_by_an_input_error(ingest, tmp_path):
    whole = parquet_bytes(pd.DataFrame({"a": np.arange(40.0), "s": ["u", "v"] * 20, "y": [0, 1] * 20}), tmp_path)
    path = tmp_path / "changed.parquet"
    rng = np.random.default_rng(0)
    for position in rng.integers(0, len(whole), 300):
        changed = bytearray(whole)
        changed[position] ^= int(rng.integers(1, 256))
        path.write_bytes(changed)
        with pytest.raises(InputError):  # column s is text, so that no variant is accepted
            ingest(str(path), "y")


PARQUET_CASES = {
    "text": ({"a": ["oak"] * 12}, "'a'", "not numeric", "'oak' at row 1", "encode"),
    "dates": ({"a": pd.date_range("2026-01-01", periods=12)}, "'a'", "not numeric", "'2026-01-01"),
    "lists": ({"a": [[1]] * 12}, "'a'", "not numeric", "row 1"),
    "an integer missing": ({"a": pd.array([*range(5), None, *range(6)], dtype="Int64")}, "1 missing value", "row 6"),
    "an infinite value": ({"a": [*np.arange(11.0), np.inf]}, "'a'", "1 infinite value", "row 12"),
    "several columns of text": ({"a": ["x"] * 12, "b": ["y"] * 12}, "'a'", "(and 1 more columns)"),
    "no rows": ({"a": np.array([], dtype=float)}, "no rows"),
}


@pytest.mark.parametrize(("columns", "parts"), [(c[0], c[1:]) for c in PARQUET_CASES.values()], ids=PARQUET_CASES)
def test_a_faulty_parquet_column_is_refused_with_its_row(columns, parts, refused, tmp_path):
    path = tmp_path / "plants.parquet"
    frame = pd.DataFrame(columns)
    frame.assign(y=np.arange(len(frame)) % 2).to_parquet(path)
    message = refused(SourceError if "no rows" in parts else TableError, str(path), "y")
    for part in (str(path), *parts):
        assert part in message


def test_a_parquet_column_there_twice_is_refused(refused, tmp_path):
    path = tmp_path / "plants.parquet"
    pq.write_table(pa.Table.from_arrays([pa.array([1.0]), pa.array([2.0]), pa.array([0])], ["a", "a", "y"]), path)
    assert "column 'a' appears more than once; rename" in refused(TableError, str(path), "y")


def test_parquet_text_that_is_not_utf8_is_refused(refused, tmp_path):
    path = tmp_path / "plants.parquet"
    labels = pa.array([b"oak", b"\xff\xfe"] * 6, pa.binary()).view(pa.string())
    pq.write_table(pa.table({"a": np.arange(12.0), "y": labels}), path)
    assert f"{path}: cannot be read as Parquet: " in refused(SourceError, str(path), "y")


def damage(directory: Path, how: str) -> str:
    """Damage one of four IDX files and return its name."""
    images, labels = directory / "train-images-idx3-ubyte", directory / "t10k-labels-idx1-ubyte"
    whole = images.read_bytes()
    if how == "missing":
        labels.unlink()
        return labels.name
    if how == "truncated gzip":
        images.unlink()
        images.with_name(f"{images.name}.gz").write_bytes(gzip.compress(whole)[:-20])
        return f"{images.name}.gz"
    if how == "not gzip":
        images.unlink()
        images.with_name(f"{images.name}.gz").write_bytes(whole)
        return f"{images.name}.gz"
    if how == "counts differ":
        labels.write_bytes(struct.pack(">2I", 0x801, 5) + bytes(5))
        return labels.name
    images.write_bytes(
        {
            "truncated": whole[:-1],
            "too long": whole + b"\0",
            "no whole header": whole[:7],
            "labels in place of images": struct.pack(">2I", 0x801, 1) + b"\0",
            "a header that claims terabytes": struct.pack(">4I", 0x803, 2**32 - 1, 2**32 - 1, 2**32 - 1) + b"\0",
            "no images": struct.pack(">4I", 0x803, 0, 2, 3),
            "images of another size": struct.pack(">4I", 0x803, 30, 3, 2) + whole[16:],
        }[how]
    )
    return images.name


@pytest.mark.parametrize(
    ("how", "part"),
    [
        ("missing", "is missing"),
        ("truncated gzip", "cannot be read"),
        ("not gzip", "cannot be read"),
        ("counts differ", "6 images and t10k-labels-idx1-ubyte 5 labels"),
        ("truncated", "announces 180 values and 179 follow"),
        ("too long", "announces 180 values and 181 follow"),
        ("no whole header", "7 bytes are less than a header"),
        ("labels in place of images", "magic number 0x0801 where 0x0803 belongs"),
        ("a header that claims terabytes", "and 1 follow"),
        ("no images", "announces 0 values"),
        ("images of another size", "3 x 2 pixels and the test images 2 x 3"),
    ],
)
def test_a_damaged_idx_file_is_refused_by_its_name(how, part, refused, write_idx):
    directory = write_idx()
    name = damage(directory, how)
    message = refused(SourceError, f"idx:{directory}")
    assert part in message
    assert str(directory) in message
    assert name in message or how == "images of another size"


def test_a_class_with_one_row_to_train_and_validate_on_is_refused(refused, write_idx):
    directory = write_idx()
    labels = bytes([2] + [0, 1] * 14 + [0])
    (directory / "train-labels-idx1-ubyte").write_bytes(struct.pack(">2I", 0x801, 30) + labels)
    assert "class 2 of target 'label' has 1 training rows and needs at least 2" in refused(
        TableError, f"idx:{directory}"
    )


def test_a_class_without_a_row_in_the_test_split_of_the_source_is_refused(refused, write_idx):
    directory = write_idx()
    (directory / "t10k-labels-idx1-ubyte").write_bytes(struct.pack(">2I", 0x801, 6) + bytes([0, 1, 0, 1, 0, 1]))
    assert "class 2 of target 'label' has 0 test rows" in refused(TableError, f"idx:{directory}")
