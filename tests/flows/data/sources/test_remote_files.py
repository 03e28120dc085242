"""Files in S3, against moto's server, and on web servers, both on this machine."""

import os
import sys
from collections.abc import Iterator

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from flows.data.sources import open_source
from flows.errors import SourceError
from tests.flows.data.sources.reading import read
from tests.flows.data.sources.servers import serving

ROWS = b"a,y\n" + b"".join(b"%d,%d\n" % (i, i % 2) for i in range(1000))


@pytest.fixture
def bucket(s3_server, monkeypatch) -> Iterator[fsspec.AbstractFileSystem]:
    """A bucket with files of several kinds in it; the environment says where it is, as for any program."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3_server)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "garden")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s3cret")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    filesystem = fsspec.filesystem("s3", skip_instance_cache=True)
    filesystem.mkdir("garden")
    filesystem.pipe("garden/days/1.csv", ROWS)
    filesystem.pipe("garden/days/2.csv", b"a,y\n1.5,0\n")
    yield filesystem
    filesystem.rm("garden", recursive=True)


@pytest.mark.usefixtures("bucket")
@pytest.mark.parametrize("data", ["s3://garden/days", "s3://garden/days/", "s3://garden/days/*.csv"])
def test_a_prefix_or_pattern_of_a_bucket_is_one_table(data):
    source, table = read(data)
    assert (source.name, source.uri) == ("days", data)
    assert table.num_rows == 1001
    assert source.locate(1000).endswith("2.csv line 2")


def test_an_object_that_appears_is_read_the_next_time(bucket):
    assert read("s3://garden/days")[1].num_rows == 1001
    bucket.pipe("garden/days/3.csv", b"a,y\n7,1\n")
    assert read("s3://garden/days")[1]["a"].to_pylist()[-1] == 7.0


def test_a_column_of_an_object_that_turns_out_wider_is_read_so(bucket):
    bucket.pipe("garden/late.csv", b"a,y\n" + b"1,0\n" * 1_000_000 + b"oak,1\n")
    assert read("s3://garden/late.csv")[1]["a"].to_pylist()[-2:] == ["1", "oak"]


def test_every_kind_of_file_is_read_from_a_bucket(bucket, tmp_path):
    table = pa.table({"a": np.arange(1000.0), "y": np.arange(1000) % 2})
    pq.write_table(table, tmp_path / "t.parquet", row_group_size=100)
    table.to_pandas().to_feather(tmp_path / "t.feather")
    table.to_pandas().to_json(tmp_path / "t.jsonl", orient="records", lines=True)
    np.save(tmp_path / "t.npy", table.to_pandas().to_numpy())
    np.savez_compressed(tmp_path / "t.npz", a=table["a"].to_numpy(), y=table["y"].to_numpy())
    for path in tmp_path.iterdir():
        bucket.put(str(path), f"garden/all/{path.name}")
        source, found = read(f"s3://garden/all/{path.name}")
        assert source.name == "t"
        assert [np.allclose(column, expected) for column, expected in zip(found.columns, table.columns, strict=True)]


def test_partitions_in_a_bucket_become_columns(bucket, tmp_path):
    table = pa.table({"a": range(6), "kind": ["oak", "elm"] * 3})
    pq.write_to_dataset(table, str(tmp_path / "trees"), partition_cols=["kind"])
    bucket.put(str(tmp_path / "trees"), "garden/trees", recursive=True)
    assert read("s3://garden/trees")[1].sort_by("a").equals(table)


def test_an_object_that_is_replaced_while_it_is_read_is_refused(bucket):
    batches = open_source("s3://garden/days/1.csv").batches()
    bucket.pipe("garden/days/1.csv", ROWS.replace(b"999", b"998"))
    with pytest.raises(SourceError, match=r"^s3://garden/days/1.csv: the file changed while it was read"):
        list(batches)


@pytest.mark.usefixtures("bucket")
@pytest.mark.parametrize(
    ("data", "part"),
    [
        ("s3://garden/nothing.csv", "no such file; check the path"),
        ("s3://garden/nothing/", "no such file; check the path"),
        ("s3://garden/nothing/*.csv", "no file matches this pattern"),
        ("s3://nobody/nothing.csv", "no such file; check the path"),
        ("s3://", "s3://"),
    ],
)
def test_what_is_not_in_the_bucket_is_said_in_one_line(data, part):
    with pytest.raises(SourceError) as raised:
        open_source(data)
    assert part in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_bucket_without_access_is_said_in_one_line(bucket, s3_server):
    import requests

    # From here on moto asks for rights that nobody was given.
    requests.post(f"{s3_server}/moto-api/reset-auth", data="0", timeout=10)
    try:
        with pytest.raises(SourceError) as raised:
            open_source("s3://garden/days/1.csv")
    finally:
        requests.post(f"{s3_server}/moto-api/reset-auth", data="1000000", timeout=10)
    assert bucket
    assert "s3://garden/days/1.csv: access is denied" in str(raised.value)
    assert "\n" not in str(raised.value)


def test_missing_credentials_are_said_in_one_line(s3_server, monkeypatch, tmp_path):
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3_server)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    fsspec.filesystem("s3").clear_instance_cache()
    with pytest.raises(SourceError, match=r"^s3://garden/days/1.csv: .*[Cc]redentials") as raised:
        open_source("s3://garden/days/1.csv")
    assert "\n" not in str(raised.value)


@pytest.fixture
def web(tmp_path) -> Iterator[str]:
    """The address of a web server with files of several kinds."""
    (tmp_path / "trees.csv").write_bytes(ROWS)
    table = pa.table({"a": np.arange(1000.0), "y": np.arange(1000) % 2})
    pq.write_table(table, tmp_path / "trees.parquet", row_group_size=100)
    np.savez_compressed(tmp_path / "trees.npz", a=table["a"].to_numpy(), y=table["y"].to_numpy())
    with pa.CompressedOutputStream(str(tmp_path / "trees.csv.gz"), "gzip") as file:
        file.write(ROWS)
    with serving(tmp_path) as address:
        yield address


@pytest.mark.parametrize("name", ["trees.csv", "trees.csv.gz", "trees.parquet", "trees.npz", "trees.csv?day=1&page=2"])
def test_files_are_read_from_a_web_server_that_does_not_know_ranges(name, web):
    source, table = read(f"{web}/{name}")
    assert (source.name, source.uri) == ("trees", f"{web}/{name}")
    assert table["a"].to_pylist() == list(range(1000))
    assert table["y"].to_pylist() == [0, 1] * 500


def test_secrets_of_an_address_are_not_shown(web):
    address = web.replace("http://", "http://gardener:s3cret@")
    source = open_source(f"{address}/trees.csv?page=2&token=s3cret&X-Amz-Signature=s3cret")
    assert source.uri == f"{web.replace('http://', 'http://gardener@')}/trees.csv?page=2"


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("nothing.csv", "no such file; check the path"),
        ("forbidden.csv", "the server answers 403 Forbidden"),
        ("trees.xlsx", "cannot tell what kind of file this is"),
        ("", "cannot tell what kind of file this is"),
    ],
)
def test_what_a_web_server_does_not_give_is_said_in_one_line(name, part, web, tmp_path):
    (tmp_path / "trees.xlsx").write_bytes(b"PK")
    with pytest.raises(SourceError) as raised:
        open_source(f"{web}/{name}")
    assert part in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_file_that_is_replaced_on_the_web_server_is_refused(web, tmp_path):
    batches = open_source(f"{web}/trees.csv").batches()
    (tmp_path / "trees.csv").write_bytes(ROWS + b"1,1\n")
    with pytest.raises(SourceError, match="the file changed while it was read"):
        list(batches)


@pytest.mark.parametrize(
    ("data", "part"),
    [
        ("http://127.0.0.1:1/trees.csv", "the server cannot be reached: "),
        ("nowhere://trees.csv", "Protocol not known: nowhere"),
        ("gs://garden/trees.csv", "pip install 'backprop[gcs]'"),
    ],
)
def test_what_cannot_be_reached_is_said_in_one_line(data, part, monkeypatch):
    # As on a machine where the extra `gcs` is not installed.
    monkeypatch.setitem(sys.modules, "gcsfs", None)
    with pytest.raises(SourceError) as raised:
        open_source(data)
    assert part in str(raised.value)
    assert "\n" not in str(raised.value)
