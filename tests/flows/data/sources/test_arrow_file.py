import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from flows.data.sources import open_source
from flows.errors import SourceError
from tests.flows.data.sources.reading import read, types

FRAME = pd.DataFrame(
    {
        "a": np.arange(100.0),
        "kind": pd.Categorical(["oak", "elm", None, "oak"] * 25),
        "on": pd.date_range("2026-01-01", periods=100),
        "wild": [True, False] * 50,
    }
)


def test_feather_files_of_pandas_are_read_with_their_types(tmp_path):
    FRAME.to_feather(tmp_path / "trees.feather")
    source, table = read(str(tmp_path / "trees.feather"))
    assert source.name == "trees"
    assert types(table) == {"a": "double", "kind": "string", "on": "timestamp[us]", "wild": "bool"}
    assert table["kind"].to_pylist() == ["oak", "elm", None, "oak"] * 25
    assert source.locate(5) == "row 6"


@pytest.mark.parametrize("write", [pa.ipc.new_file, pa.ipc.new_stream], ids=["file", "stream"])
@pytest.mark.parametrize("compression", [None, "zstd", "lz4"])
def test_arrow_files_and_streams_are_read_in_small_batches(write, compression, tmp_path):
    whole = pa.table({"a": range(200_000), "text": [str(i) for i in range(200_000)]})
    path = str(tmp_path / "trees.arrow")
    options = pa.ipc.IpcWriteOptions(compression=compression)
    with write(path, whole.schema, options=options) as writer:
        writer.write_table(whole)
    source, table = read(path)
    assert table.equals(whole)
    assert max(batch.num_rows for batch in source.batches()) <= 65_536


def test_a_first_version_feather_file_is_refused_with_the_way_out(tmp_path):
    (tmp_path / "trees.feather").write_bytes(b"FEA1" + bytes(100) + b"FEA1")
    with pytest.raises(SourceError, match=r"Feather file of version 1; write it again with pandas"):
        open_source(str(tmp_path / "trees.feather"))


def test_a_file_cut_anywhere_is_refused(tmp_path):
    path = tmp_path / "trees.arrow"
    FRAME.to_feather(path)
    whole = path.read_bytes()
    for length in range(1, len(whole), 203):
        path.write_bytes(whole[:length])
        with pytest.raises(SourceError) as raised:
            read(str(path))
        assert str(raised.value).startswith(f"{path}: cannot be read as Arrow: ")


def test_text_that_is_not_utf8_is_refused(tmp_path):
    labels = pa.array([b"oak", b"\xff\xfe"], pa.binary()).view(pa.string())
    path = str(tmp_path / "trees.arrow")
    with pa.ipc.new_file(path, pa.schema([("a", pa.string())])) as writer:
        writer.write_table(pa.table({"a": labels}))
    with pytest.raises(SourceError, match=r"cannot be read as Arrow: .*UTF"):
        read(path)
