"""Where datasets may lie: on a disk, or in a store that other machines reach; here one that speaks S3's protocol."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from flows.data.catalogue import find_dataset, list_datasets
from flows.data.root import copies, open_root
from flows.data.store import DatasetReference, open_dataset, raw_test_rows
from flows.errors import DatasetError
from tests.flows.data.processes import printed_by, race
from tests.flows.data.writing import write


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Copies of what lies elsewhere, of this test alone."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def bucket(s3_bucket: str) -> str:
    return f"s3://{s3_bucket}/datasets"


@pytest.fixture(params=["a directory", "a bucket"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "a directory":
        return str(tmp_path / "datasets")
    return request.getfixturevalue("bucket")


def test_a_dataset_is_the_same_wherever_it_lies(place, tmp_path):
    reference = write(place, "wine")
    assert reference.path == f"{place}/{reference.digest}"
    there, here = open_dataset(reference), open_dataset(write(tmp_path / "other", "wine"))
    assert (there.reference.digest, there.rows) == (here.reference.digest, here.rows)
    assert np.array_equal(there.train.features, here.train.features)
    assert raw_test_rows(there).equals(raw_test_rows(here))


def test_a_dataset_is_fetched_once_by_whoever_opens_it(bucket, own_cache):
    reference = write(bucket, "wine")
    shutil.rmtree(own_cache)
    dataset = open_dataset(reference)
    assert dataset.directory == copies() / reference.digest
    assert isinstance(dataset.train.features, np.memmap)
    before = {path: path.stat().st_mtime_ns for path in own_cache.rglob("*")}
    open_dataset(reference)
    assert {path: path.stat().st_mtime_ns for path in own_cache.rglob("*")} == before
    assert [path.name for path in copies().iterdir()] == [reference.digest]


def test_another_process_fetches_it(bucket, own_cache):
    reference = write(bucket, "wine")
    code = (
        "import sys; from flows.data.store import DatasetReference, open_dataset; "
        "print(open_dataset(DatasetReference.model_validate_json(sys.argv[1])).train.features.sum())"
    )
    found = printed_by(code, reference.model_dump_json(), XDG_CACHE_HOME=str(own_cache / "of another machine"))
    assert float(found) == pytest.approx(open_dataset(reference).train.features.sum())
    assert [path.name for path in (own_cache / "of another machine" / "backprop" / "datasets").iterdir()] == [
        reference.digest
    ]


def test_processes_that_write_the_same_dataset_to_a_bucket_at_once_all_succeed(bucket, own_cache):
    one, two = race(bucket)
    assert one == two
    shutil.rmtree(own_cache)
    assert open_dataset(write(bucket, "wine")).reference.path == one


def test_what_was_not_uploaded_to_its_end_is_no_dataset(bucket, own_cache, monkeypatch):
    root = open_root(bucket)
    upload = root.filesystem.put_file

    def interrupted(here: str, there: str) -> None:
        if there.endswith("schema.json"):
            raise OSError("the connection was reset")
        upload(here, there)

    with monkeypatch.context() as patch:
        patch.setattr(root.filesystem, "put_file", interrupted)
        with pytest.raises(DatasetError, match=r"the connection was reset"):
            write(bucket, "wine")
    # Everything else was there by then.
    assert len(root.filesystem.find(root.path)) == 10
    assert root.digests() == []
    shutil.rmtree(own_cache)
    reference = write(bucket, "wine")
    assert root.digests() == [reference.digest]


def test_texts_are_written_whole_and_read_back(place):
    root = open_root(place)
    assert root.read("sources/wine/plan.yaml") is None
    written = root.write("sources/wine/plan.yaml", "größe: 1\n")
    assert written == f"{place}/sources/wine/plan.yaml"
    assert root.read("sources/wine/plan.yaml") == "größe: 1\n"
    root.write("sources/wine/plan.yaml", "b")
    assert root.read("sources/wine/plan.yaml") == "b"
    assert root.digests() == []


def test_datasets_are_listed_found_and_removed(place):
    assert list_datasets(open_root(place)) == []
    wine, diabetes = write(place, "wine"), write(place, "diabetes")
    root = open_root(place)
    assert [entry.schema.name for entry in list_datasets(root)] == ["diabetes", "wine"]
    entry = find_dataset(root, "wine")
    assert (entry.digest, entry.place) == (wine.digest, wine.path)
    assert entry.size > open_dataset(wine).train.features.nbytes
    assert find_dataset(root, diabetes.digest[:12]).digest == diabetes.digest
    root.remove(wine.digest)
    assert [entry.schema.name for entry in list_datasets(root)] == ["diabetes"]
    with pytest.raises(DatasetError):
        open_dataset(wine)
    # What was removed can be ingested again.
    assert write(place, "wine") == wine


def test_what_names_no_dataset_or_several_is_refused(tmp_path):
    digest = write(tmp_path, "wine").digest
    with pytest.raises(DatasetError, match=r"no dataset is called 'wnie'"):
        find_dataset(open_root(tmp_path), "wnie")
    write(tmp_path, "diabetes")
    with pytest.raises(DatasetError, match=r"'' is not one dataset but 2: .*give more of the digest"):
        find_dataset(open_root(tmp_path), "")
    (tmp_path / digest / "schema.json").write_text("{}")
    with pytest.raises(DatasetError, match=r"schema\.json is damaged or of another version .*ingest again"):
        list_datasets(open_root(tmp_path))


def test_a_dataset_that_is_not_in_the_bucket_is_refused(bucket):
    reference = DatasetReference(name="wine", digest="0" * 64, path=f"{bucket}/{'0' * 64}")
    with pytest.raises(DatasetError, match=r"there is no such dataset; ingest it"):
        open_dataset(reference)


@pytest.mark.usefixtures("s3_bucket")
def test_a_bucket_that_is_not_there_is_one_line():
    with pytest.raises(DatasetError, match=r"s3://no-such-bucket/x: .*") as raised:
        write("s3://no-such-bucket/x", "wine")
    assert "\n" not in str(raised.value)


def test_a_store_without_credentials_is_one_line(s3_bucket, monkeypatch, tmp_path):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    open_root("s3://x").filesystem.clear_instance_cache()
    with pytest.raises(DatasetError, match=r"check the address and the credentials$") as raised:
        write(f"s3://{s3_bucket}/datasets", "wine")
    assert "\n" not in str(raised.value)


def test_a_protocol_that_nobody_speaks_is_one_line():
    with pytest.raises(DatasetError, match=r"^gopher://hole/x: .*; use a directory, or a URL") as raised:
        open_root("gopher://hole/x")
    assert "\n" not in str(raised.value)
