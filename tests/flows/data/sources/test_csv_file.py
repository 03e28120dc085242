"""CSV files as people have them: delimiters, encodings, gaps, quotes, and types that turn out wider later."""

import csv
import gzip
import io
from datetime import date, datetime

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.data.sources import ColumnWidened, csv_pieces, open_source
from flows.errors import SourceError
from tests.flows.data.sources.reading import read, read_source, types

ROWS = "y,a,b\n" + "".join(f"{'no' if i % 2 else 'yes'},{i},{i / 2}\n" for i in range(12))


@pytest.fixture
def small_pieces(monkeypatch):
    """Cut files into pieces of a few rows, so that a small one shows what a large one would."""
    monkeypatch.setattr(csv_pieces, "PIECE_BYTES", 64)


def write(path, text, **how):
    path.write_text(text, encoding="utf-8", newline="", **how)
    return str(path)


@pytest.mark.parametrize("start", ["", "\ufeff", "\n \n"], ids=["plain", "byte order mark", "blank lines"])
@pytest.mark.parametrize("line_break", ["\n", "\r\n", "\r"], ids=["LF", "CRLF", "CR"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_csv_files_are_read_as_they_are_written(start, line_break, delimiter, tmp_path):
    text = (start + ROWS).replace(",", delimiter).replace("\n", line_break)
    path = write(tmp_path / "plants.csv", text)
    source, table = read(path)
    assert (source.name, source.uri, source.targets) == ("plants", path, None)
    assert types(table) == {"y": "string", "a": "int64", "b": "double"}
    assert table["y"].to_pylist() == ["yes", "no"] * 6
    assert table["b"].to_pylist() == [i / 2 for i in range(12)]
    assert source.locate(5) == f"line {7 + start.count(chr(10))}"


def test_tsv_files_have_tabs_whatever_else_stands_in_them(tmp_path):
    assert read(write(tmp_path / "plants.tsv", "a,b;c\ty\n1,5;2\t3\n"))[1].to_pydict() == {"a,b;c": ["1,5;2"], "y": [3]}


def test_the_delimiter_is_the_one_that_splits_all_lines_alike(tmp_path):
    text = "id;text, with a comma\n1;one, two, three\n2;none\n"
    assert read(write(tmp_path / "plants.csv", text))[1].column_names == ["id", "text, with a comma"]


@pytest.mark.parametrize("ending", [".gz", ".zst"])
def test_csv_files_may_be_compressed(ending, tmp_path):
    path = str(tmp_path / f"plants.csv{ending}")
    with pa.CompressedOutputStream(path, {".gz": "gzip", ".zst": "zstd"}[ending]) as file:
        file.write(ROWS.encode() + ROWS.partition("\n")[2].encode() * 20_000)
    source, table = read(path)
    assert (source.name, table.num_rows) == ("plants", 12 * 20_001)


def test_the_words_that_pandas_counts_as_missing_are_missing_in_every_column(tmp_path):
    from pandas._libs.parsers import STR_NA_VALUES

    words = sorted(STR_NA_VALUES)
    path = write(tmp_path / "plants.csv", "text,number,y\noak,1.5,0\n" + "".join(f"{w},{w},1\n" for w in words))
    table = read(path)[1]
    assert types(table) == {"text": "string", "number": "double", "y": "int64"}
    assert table["text"].null_count == table["number"].null_count == len(words)
    assert pd.read_csv(path).isna().sum().tolist() == [len(words), len(words), 0]


@pytest.mark.parametrize(
    ("first", "then", "kind", "values"),
    [
        ("", "7", "int64", [None, 7]),
        ("1", "2.5", "double", [1.0, 2.5]),
        ("1", "oak", "string", ["1", "oak"]),
        ("1.5", "oak", "string", ["1.5", "oak"]),
        ("007", "oak", "string", ["007", "oak"]),
        ("1", "99999999999999999999", "double", [1.0, 1e20]),
        ("true", "1", "string", ["true", "1"]),
        ("2020-01-01", "2020-01-02 03:04:05", "timestamp[us]", [datetime(2020, 1, 1), datetime(2020, 1, 2, 3, 4, 5)]),
        ("2020-01-01", "yesterday", "string", ["2020-01-01", "yesterday"]),
        ("2020-01-01", "20", "string", ["2020-01-01", "20"]),
        ("2020-01-01 00:00:00.5", "1600-01-01 00:00:00", "string", ["2020-01-01 00:00:00.5", "1600-01-01 00:00:00"]),
        ("", "2020-01-01", "date32[day]", [None, date(2020, 1, 1)]),
        ("12:30:00", "1", "string", ["12:30:00", "1"]),
    ],
)
def test_a_column_becomes_as_wide_as_its_widest_value(first, then, kind, values, tmp_path):
    rows = 600_000
    path = write(tmp_path / "plants.csv", "a,y\n" + f"{first},0\n" * rows + f"{then},1\n")
    source, table = read(path)
    assert str(table.schema.field("a").type) == kind
    assert [table["a"][0].as_py(), table["a"][rows].as_py()] == values
    assert (source.name, source.uri, table.num_rows) == ("plants", path, rows + 1)


def test_a_pass_that_meets_a_wider_value_says_with_which_source_to_begin_again(tmp_path):
    path = write(tmp_path / "plants.csv", "a,y\n" + "1,0\n" * 600_000 + "oak,1\n")
    source = open_source(path)
    with pytest.raises(ColumnWidened) as widened:
        list(source.batches())
    assert types(read_source(widened.value.source)[1])["a"] == "string"
    assert str(source.schema.field("a").type) == "int64"


def test_a_column_of_gaps_alone_is_one_of_missing_numbers(tmp_path):
    table = read(write(tmp_path / "plants.csv", "a,y\n,0\nNA,1\n"))[1]
    assert types(table)["a"] == "double"
    assert table["a"].null_count == 2


def test_ones_and_zeros_are_numbers_and_words_are_truth_values(tmp_path):
    table = read(write(tmp_path / "plants.csv", "a,b,c\n0,True,true\n1,FALSE,\n"))[1]
    assert table.to_pydict() == {"a": [0, 1], "b": [True, False], "c": [True, None]}


def test_instants_with_a_zone_are_in_utc(tmp_path):
    table = read(write(tmp_path / "plants.csv", "a,y\n2020-01-01T10:00:00+02:00,0\n2020-01-01T10:00:00Z,1\n"))[1]
    assert types(table)["a"] == "timestamp[us]"
    assert table["a"].to_pylist() == [datetime(2020, 1, 1, 8), datetime(2020, 1, 1, 10)]


def test_the_line_of_a_row_counts_blank_lines_and_line_breaks_in_quotes(tmp_path):
    source, table = read(write(tmp_path / "plants.csv", 'a,y\n1,"two\nlines"\n\n   \n2,one\n'))
    assert [source.locate(row) for row in range(table.num_rows)] == ["line 3", "line 6"]


def test_the_line_of_a_row_is_estimated_where_a_field_is_too_long_for_the_csv_module(tmp_path):
    source, _ = read(write(tmp_path / "plants.csv", "a,y\n1,short\n2," + "x" * 200_000 + "\n3,short\n"))
    assert source.locate(2) == "line 4"


FIELD = st.text('oak,;"\n\r \t', max_size=12)


@given(rows=st.lists(st.tuples(FIELD, FIELD, st.integers(0, 9)), min_size=1, max_size=60))
def test_whatever_is_quoted_is_read_as_the_csv_module_reads_it(rows, tmp_path_factory):
    text = io.StringIO()
    csv.writer(text, quoting=csv.QUOTE_NONNUMERIC).writerows([("a", "b", "y"), *rows])
    path = tmp_path_factory.mktemp("quoted") / "plants.csv"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(csv_pieces, "PIECE_BYTES", 64)
        table = read(write(path, text.getvalue()))[1]
    expected = [(a or None, b or None, y) for a, b, y in rows]
    found = zip(*(column.to_pylist() for column in table.columns), strict=True)
    assert [tuple(None if v is None or v == "" else str(v) for v in row) for row in found] == [
        tuple(None if v is None else str(v) for v in row) for row in expected
    ]


@pytest.mark.usefixtures("small_pieces")
@pytest.mark.parametrize("column", ["first", "last"])
def test_a_quote_amid_a_field_does_not_lead_the_pieces_astray(column, tmp_path):
    rows = [('5" pipe', f"number {i}\nof many, {i}") for i in range(40)]
    rows = rows if column == "last" else [row[::-1] for row in rows]
    lines = [",".join(field if '"' in field else f'"{field}"' for field in row) for row in rows]
    table = read(write(tmp_path / "pipes.csv", "a,b\n" + "\n".join(lines) + "\n"))[1]
    assert list(zip(*(column.to_pylist() for column in table.columns), strict=True)) == rows


@pytest.mark.usefixtures("small_pieces")
def test_a_fault_in_a_late_piece_is_reported_with_its_line(tmp_path):
    path = write(tmp_path / "plants.csv", "a,y\n" + "1,2\n" * 500 + "1,2,3\n" + "1,2\n" * 500)
    with pytest.raises(SourceError, match="line 502 has 3 fields and the header 2"):
        read(path)


@pytest.mark.usefixtures("small_pieces")
def test_the_rows_come_in_the_order_of_the_file(tmp_path):
    table = read(write(tmp_path / "plants.csv", "a\n" + "\n".join(map(str, range(5_000)))))[1]
    assert table["a"].to_pylist() == list(range(5_000))


def test_numbers_are_those_that_pandas_reads(tmp_path):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {"a": rng.normal(size=500) * 10.0 ** rng.integers(-300, 300, 500), "b": rng.integers(-9, 9, 500)}
    )
    path = str(tmp_path / "numbers.csv")
    frame.to_csv(path, index=False)
    pd.testing.assert_frame_equal(read(path)[1].to_pandas(), pd.read_csv(path))


def test_a_pass_that_is_given_up_leaves_no_thread_behind(tmp_path):
    import threading

    path = write(tmp_path / "plants.csv", "a,y\n" + "1,0\n" * 2_000_000)
    before = threading.active_count()
    batches = open_source(path).batches()
    next(batches)
    batches.close()
    assert threading.active_count() == before


def test_gzip_members_written_one_after_the_other_are_one_file(tmp_path):
    path = tmp_path / "plants.csv.gz"
    path.write_bytes(gzip.compress(b"a,y\n1,2\n") + gzip.compress(b"3,4\n"))
    assert read(str(path))[1].to_pydict() == {"a": [1, 3], "y": [2, 4]}
