import datetime as dt
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flows.data import staging
from flows.data.sources import ColumnWidened, Source
from flows.data.staging import stage
from flows.errors import DatasetError, SourceError
from tests.flows.data.processes import PEAK, files_limited_to, needs_proc, printed_by
from tests.flows.data.tables import source_of, staged_table

with_tmp_path = settings(deadline=None, max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture
def mixed() -> pa.Table:
    """One column of each type, with a gap in the second row of those whose names end in _gap."""
    values = {
        "integer": pa.array([1, 2, 3], pa.int32()),
        "integer_gap": pa.array([1, None, 3], pa.int64()),
        "float": pa.array([1.5, 2.5, float("nan")], pa.float32()),
        "float_gap": pa.array([1.5, None, 3.5]),
        "boolean": pa.array([True, False, True]),
        "boolean_gap": pa.array([True, None, False]),
        "text_gap": pa.array(["a", None, "ü"]),
        "level_gap": pa.array(["x", None, "x"]).dictionary_encode(),
        "date_gap": pa.array([dt.date(2024, 2, 29), None, dt.date(9999, 12, 31)]),
        "moment": pa.array([dt.datetime(2024, 1, 1, 12, microsecond=7)] * 3, pa.timestamp("ns")),
        "zoned": pa.array([dt.datetime(2024, 1, 1, 12)] * 3, pa.timestamp("us", "America/New_York")),
    }
    return pa.table(values)


def test_every_type_comes_back_as_pandas_has_it(mixed, tmp_path):
    with staged_table(mixed, tmp_path) as staged:
        (frame,) = staged.chunks()
        assert frame.dtypes.astype(str).to_dict() == {
            "integer": "int32",
            "integer_gap": "float64",
            "float": "float32",
            "float_gap": "float64",
            "boolean": "bool",
            "boolean_gap": "boolean",
            "text_gap": "str",
            "level_gap": "str",
            "date_gap": "datetime64[us]",
            "moment": "datetime64[us]",
            "zoned": "datetime64[us]",
        }
        assert frame["level_gap"].tolist()[::2] == ["x", "x"]
        assert frame["date_gap"].iloc[2] == pd.Timestamp("9999-12-31").as_unit("us")
        assert frame["moment"].iloc[0] == pd.Timestamp("2024-01-01 12:00:00.000007")
        assert frame["zoned"].iloc[0] == pd.Timestamp("2024-01-01 12:00")
        assert frame.isna().sum().to_dict() == {name: int("gap" in name or name == "float") for name in frame}
        for name in frame:
            pd.testing.assert_series_equal(staged.column(name), frame[name])


def test_a_column_has_one_type_in_pieces_with_and_without_gaps(tmp_path, monkeypatch):
    monkeypatch.setattr(staging, "CHUNK_BYTES", 8 * 3 * 2)
    columns = {
        "n": pa.array([1, 2, None, 4]),
        "b": pa.array([True, False, True, None]),
        "t": pa.array(["a"] * 3 + [None]),
    }
    with staged_table(pa.table(columns), tmp_path) as staged:
        first, second = staged.chunks()
        assert first.dtypes.tolist() == second.dtypes.tolist()
        assert second.index.tolist() == [2, 3]


@with_tmp_path
@given(
    rows=st.integers(0, 40),
    batch=st.integers(1, 12),
    piece=st.integers(1, 9),
    columns=st.sampled_from([["b"], ["a", "c"], ["c", "a"], None]),
)
def test_pieces_are_the_rows_in_order_whatever_the_batches_were(rows, batch, piece, columns, tmp_path):
    table = pd.DataFrame({"a": np.arange(rows), "b": np.arange(rows) / 2, "c": [str(row) for row in range(rows)]})
    wanted = table[columns] if columns else table
    with (
        pytest.MonkeyPatch.context() as patch,
        staged_table(table.astype({"c": "str"}), tmp_path, batch_rows=batch) as staged,
    ):
        patch.setattr(staging, "CHUNK_BYTES", 8 * wanted.shape[1] * piece)
        pieces = list(staged.chunks(columns))
        assert [len(part) for part in pieces[:-1]] == [piece] * (len(pieces) - 1)
        assert [part.index.start for part in pieces] == [piece * place for place in range(len(pieces))]
        assert sum(len(part) for part in pieces) == staged.rows == rows
        together = pd.concat(pieces)
        assert list(together) == list(wanted)
        assert together.to_numpy().tolist() == wanted.to_numpy().tolist()


@needs_proc
def test_only_the_columns_asked_for_are_read(tmp_path):
    table = pa.table({f"c{place}": np.random.default_rng(place).normal(size=200_000) for place in range(20)})
    with staged_table(table, tmp_path) as staged:
        before = bytes_read()
        staged.column("c7")
        assert bytes_read() - before < 0.1 * table.nbytes


def bytes_read() -> int:
    """What this process has asked the system to read so far; ``rchar`` counts the cache too."""
    return int(Path("/proc/self/io").read_text().split()[1])


def test_a_column_that_widens_is_read_again_from_the_start(tmp_path):
    passes = []

    def narrow():
        passes.append("narrow")
        yield pa.record_batch({"a": [1, 2]})
        raise ColumnWidened(source_of({"a": ["1", "2", "x"]}))

    source = Source("t", "t.csv", pa.schema({"a": pa.int64()}), narrow)
    with stage(source, tmp_path) as staged:
        assert staged.column("a").tolist() == ["1", "2", "x"]
        assert (staged.rows, staged.source.schema.field("a").type) == (3, pa.string())
    assert passes == ["narrow"]


def test_nothing_is_left_of_a_staged_file(tmp_path):
    with staged_table({"a": [1]}, tmp_path) as staged:
        assert list(tmp_path.iterdir()) == [staged.path]
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_left_where_the_source_fails(tmp_path):
    def batches():
        yield pa.record_batch({"a": [1]})
        raise SourceError("t.csv: line 3 is torn")

    with (
        pytest.raises(SourceError, match="line 3"),
        stage(Source("t", "t.csv", pa.schema({"a": pa.int64()}), batches), tmp_path),
    ):
        pytest.fail("it was staged")
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_takes_no_more_is_one_line(tmp_path):
    with (
        files_limited_to(10_000),
        pytest.raises(DatasetError, match=r"File too large; free space or choose another$"),
        staged_table({"a": np.arange(10_000)}, tmp_path),
    ):
        pytest.fail("it was staged")
    assert list(tmp_path.iterdir()) == []


@needs_proc
def test_memory_does_not_grow_with_the_rows(tmp_path):
    """Four hundred megabytes of rows pass through, forwards and column by column."""
    code = """
import sys
from pathlib import Path
import numpy as np, pyarrow as pa
from flows.data.sources import Source
from flows.data.staging import stage

batch = pa.record_batch({f"c{place}": np.random.default_rng(place).normal(size=50_000) for place in range(20)})
source = Source("t", "t", batch.schema, lambda: (batch for _ in range(50)))
before = peak()
with stage(source, Path(sys.argv[1])) as staged:
    assert sum(len(frame) for frame in staged.chunks()) == 2_500_000
    staged.column("c3")
print(peak() - before)
"""
    assert int(printed_by(PEAK + code, tmp_path)) < 200 * 1024
