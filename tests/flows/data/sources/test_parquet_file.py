"""Parquet files: every type that a table may have, in memory that does not grow with the rows."""

from datetime import UTC, date, datetime
from decimal import Decimal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from flows.data.sources import open_source
from flows.errors import SourceError, TableError
from tests.flows.data.processes import growth_in_reading, needs_proc
from tests.flows.data.sources.reading import read, types


def written(tmp_path, table: pa.Table) -> str:
    path = str(tmp_path / "plants.parquet")
    pq.write_table(table, path)
    return path


def test_types_are_brought_to_those_a_table_may_have(tmp_path):
    instant = datetime(2026, 11, 1, 12, tzinfo=UTC)
    columns = {
        "i8": (pa.array([1, None], pa.int8()), "int8", [1, None]),
        "u64": (pa.array([2**64 - 1, 0], pa.uint64()), "uint64", [2**64 - 1, 0]),
        "f16": (pa.array(np.array([0.5, 1], np.float16)), "float", [0.5, 1.0]),
        "f32": (pa.array([0.1, 1], pa.float32()), "float", [np.float32(0.1), 1.0]),
        "money": (pa.array([Decimal("1.25"), None]), "double", [1.25, None]),
        "flag": (pa.array([True, None]), "bool", [True, None]),
        "text": (pa.array(["oak", None], pa.large_string()), "string", ["oak", None]),
        "level": (pa.array(["oak", None]).dictionary_encode(), "string", ["oak", None]),
        "day": (pa.array([date(2026, 11, 1), None]), "date32[day]", [date(2026, 11, 1), None]),
        "nanos": (
            pa.array([10**9 + 1999, None], pa.timestamp("ns")),
            "timestamp[us]",
            [datetime(1970, 1, 1, 0, 0, 1, 1), None],
        ),
        "zoned": (
            pa.array([instant, None], pa.timestamp("ms", "Europe/Zurich")),
            "timestamp[us]",
            [datetime(2026, 11, 1, 12), None],
        ),
        "nothing": (pa.nulls(2), "double", [None, None]),
    }
    table = read(written(tmp_path, pa.table({name: column[0] for name, column in columns.items()})))[1]
    assert types(table) == {name: column[1] for name, column in columns.items()}
    assert table.to_pydict() == {name: column[2] for name, column in columns.items()}


@pytest.mark.parametrize(
    ("column", "kind"),
    [
        (pa.array([[1], [2]]), "list"),
        (pa.array([{"a": 1}, None]), "struct"),
        (pa.array([b"x", b"y"]), "binary"),
        (pa.array([1, 2], pa.time32("s")), "time32"),
        (pa.array([1, 2], pa.duration("s")), "duration"),
        (pa.array([[("k", 1)], []], pa.map_(pa.string(), pa.int64())), "map"),
    ],
)
def test_what_is_no_value_of_a_table_is_refused_with_its_column(column, kind, tmp_path):
    path = written(tmp_path, pa.table({"y": [0, 1], "odd": column}))
    with pytest.raises(TableError, match=f"column 'odd' holds {kind}.* or remove it"):
        open_source(path)


def test_the_unnamed_index_that_filtering_leaves_behind_is_left_out(tmp_path):
    frame = pd.DataFrame({"a": np.arange(20.0), "b": np.arange(20), "y": pd.Categorical(["u", "v"] * 10)})
    frame[frame["a"] > 3].to_parquet(tmp_path / "plants.parquet")
    source, table = read(str(tmp_path / "plants.parquet"))
    assert table.column_names == ["a", "b", "y"]
    assert table["a"].to_pylist() == list(np.arange(4.0, 20.0))
    assert table["y"].to_pylist() == ["u", "v"] * 8
    assert source.locate(5) == "row 6"


def test_parts_with_narrow_and_wide_types_are_read_wide(tmp_path):
    for part, column in enumerate([pa.array([1, 2], pa.int8()), pa.array([3, None], pa.int64()), pa.array([0.5, 1])]):
        pq.write_table(pa.table({"a": column}), tmp_path / f"part-{part}.parquet")
    table = read(str(tmp_path))[1]
    assert table.to_pydict() == {"a": [1.0, 2.0, 3.0, None, 0.5, 1.0]}


def test_a_file_cut_anywhere_is_refused(tmp_path):
    path = written(tmp_path, pa.table({"a": np.arange(40.0), "y": [0, 1] * 20}))
    whole = (tmp_path / "plants.parquet").read_bytes()
    for length in range(1, len(whole), 97):
        (tmp_path / "plants.parquet").write_bytes(whole[:length])
        with pytest.raises(SourceError) as raised:
            read(path)
        assert str(raised.value).startswith(f"{path}: cannot be read as Parquet: ")
        assert str(raised.value).endswith("; write the file again")


def test_a_byte_changed_leads_to_a_table_or_to_one_line(tmp_path):
    path = written(tmp_path, pa.table({"a": np.arange(40.0), "s": ["u", "v"] * 20, "y": [0, 1] * 20}))
    whole = (tmp_path / "plants.parquet").read_bytes()
    rng = np.random.default_rng(0)
    messages = []
    for position in rng.integers(0, len(whole), 300):
        changed = bytearray(whole)
        changed[position] ^= int(rng.integers(1, 256))
        (tmp_path / "plants.parquet").write_bytes(changed)
        try:
            read(path)
        except (SourceError, TableError) as error:
            messages.append(str(error))
    assert len(messages) > 50
    assert [message for message in messages if "\n" in message] == []


@needs_proc
def test_memory_does_not_grow_with_the_rows_even_in_one_row_group(tmp_path):
    rows, columns = 1_000_000, 20
    rng = np.random.default_rng(0)
    path = str(tmp_path / "tall.parquet")
    table = pa.table({f"x{i}": rng.normal(size=rows) for i in range(columns)})
    pq.write_table(table, path, row_group_size=rows, compression="none", use_dictionary=False)
    count, growth = growth_in_reading(path)
    assert count == rows
    # All of it is 160 MB.
    assert growth < 80 * 1024
