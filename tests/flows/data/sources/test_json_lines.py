import gzip
import json
from datetime import datetime

import pytest

from flows.data.sources import ColumnWidened, json_lines, open_source
from flows.errors import SourceError, TableError
from tests.flows.data.sources.reading import read, types


def write(path, *records) -> str:
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    return str(path)


def test_keys_become_columns_and_a_key_that_is_not_there_is_missing(tmp_path):
    path = write(
        tmp_path / "trees.jsonl", {"a": 1, "kind": "oak"}, {"kind": "elm", "b": 0.5}, {"b": None, "wild": True}
    )
    source, table = read(path)
    assert (source.name, source.uri) == ("trees", path)
    assert types(table) == {"a": "int64", "kind": "string", "b": "double", "wild": "bool"}
    assert table.to_pydict() == {
        "a": [1, None, None],
        "kind": ["oak", "elm", None],
        "b": [None, 0.5, None],
        "wild": [None, None, True],
    }


def test_lines_may_be_compressed_and_blank_ones_are_counted_and_no_rows(tmp_path):
    path = tmp_path / "trees.ndjson.gz"
    path.write_bytes(gzip.compress(b'\n{"a": 1}\n\n  \n{"a": 2}\n'))
    source, table = read(str(path))
    assert table["a"].to_pylist() == [1, 2]
    assert [source.locate(row) for row in range(2)] == ["line 2", "line 5"]


# So many that the last lines are in another block than the first.
MANY = 2_000


@pytest.fixture
def small_blocks(monkeypatch):
    monkeypatch.setattr(json_lines, "BLOCK_BYTES", 4096)


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize(
    ("first", "last", "kind", "values"),
    [
        (1, 2.5, "double", [1.0, 2.5]),
        (None, 3, "int64", [None, 3]),
        (1, 2**70, "double", [1.0, 2.0**70]),
        ("2026-01-01 00:00:00", "oak", "string", ["2026-01-01 00:00:00", "oak"]),
        ("2026-01-01 00:00:00", "2026-01-02 00:00:00", "timestamp[us]", [datetime(2026, 1, 1), datetime(2026, 1, 2)]),
    ],
)
def test_a_column_becomes_as_wide_as_its_widest_value(first, last, kind, values, tmp_path):
    path = tmp_path / "trees.jsonl"
    path.write_text(f'{{"a": {json.dumps(first)}}}\n' * MANY + f'{{"a": {json.dumps(last)}}}\n')
    table = read(str(path))[1]
    assert types(table) == {"a": kind}
    assert [table["a"][0].as_py(), table["a"][MANY].as_py()] == values


@pytest.mark.usefixtures("small_blocks")
def test_a_key_that_appears_late_is_a_column_and_instants_stay_instants(tmp_path):
    path = tmp_path / "trees.jsonl"
    path.write_text('{"on": "2026-01-01 00:00:00"}\n' * MANY + '{"on": "2026-01-01 00:00:01", "late": 5}\n')
    with pytest.raises(ColumnWidened):
        list(open_source(str(path)).batches())
    table = read(str(path))[1]
    assert types(table) == {"on": "timestamp[us]", "late": "int64"}
    assert table["late"].to_pylist()[-1] == 5
    assert table["late"].null_count == MANY


@pytest.mark.parametrize(
    ("text", "kind", "parts"),
    [
        ('{"a": 1}\n{"a": \n', SourceError, ("line 2 is not valid JSON", "correct that line")),
        ('[{"a": 1}]\n', SourceError, ("line 1 is no object", "one object a line")),
        ('[\n{"a": 1}\n]\n', SourceError, ("line 1 is not valid JSON", "lines=True")),
        ('{"a": 1}\n7\n', SourceError, ("line 2 is no object",)),
        ('{"a": 1}\n{"a": 1, "a": 2}\n', SourceError, ("line 2 has a key twice",)),
        ('{"a": {"b": 1}}\n', TableError, ("column 'a' holds struct",)),
        ('{"a": 1}\n{"a": [1, 2]}\n', SourceError, ("column 'a' holds an array or object at line 2",)),
        (
            '{"a": 1}\n{"a": null}\n{"a": "oak"}\n',
            SourceError,
            ("column 'a' holds a text at line 3 and a number above",),
        ),
        ('{"a": true}\n{"a": 1}\n', SourceError, ("column 'a' holds a number at line 2 and true or false above",)),
        ('{"": 1, "a": 2}\n', TableError, ("column 1 has no name",)),
        ("\n \n", SourceError, ("write the file again",)),
    ],
)
def test_a_faulty_line_is_refused_by_its_number(text, kind, parts, tmp_path):
    path = tmp_path / "trees.jsonl"
    path.write_text(text)
    with pytest.raises(kind) as raised:
        read(str(path))
    assert all(part in str(raised.value) for part in (str(path), *parts)), raised.value
    assert "\n" not in str(raised.value)


@pytest.mark.usefixtures("small_blocks")
def test_a_line_longer_than_a_block_is_refused_by_its_number(tmp_path):
    path = write(tmp_path / "trees.jsonl", *[{"a": "short"}] * MANY, {"a": "x" * 20_000}, *[{"a": "short"}] * MANY)
    with pytest.raises(SourceError, match=rf"line {MANY + 1} is longer than 4,096 bytes; shorten it"):
        read(path)


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("rows", [0, MANY])
def test_bytes_that_are_not_utf8_are_refused_by_their_line(rows, tmp_path):
    path = tmp_path / "trees.jsonl"
    path.write_bytes(b'{"a": "oak"}\n' * rows + '{"a": "frêne"}\n'.encode("latin-1"))
    with pytest.raises(SourceError, match=f"line {rows + 1} is not UTF-8 text"):
        read(str(path))
