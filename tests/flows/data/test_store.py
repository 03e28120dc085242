import json
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from flows.data.fitting import fit_preparation
from flows.data.sources import read_source
from flows.data.splitting import SplitParameters, split_rows
from flows.data.store import (
    DatasetError,
    DatasetReference,
    dataset_digest,
    open_dataset,
    raw_test_rows,
    write_dataset,
)
from flows.errors import TableError

SPLIT = SplitParameters()
WRITE_WINE = """
import sys
from pathlib import Path
from flows.data import store
from flows.data.sources import read_source
from flows.data.splitting import SplitParameters

def write():
    print(store.write_dataset(Path(sys.argv[1]), read_source("wine", None), "classification", SplitParameters()).path)
"""
RACE = "print('ready', flush=True); sys.stdin.readline(); write()"
KILLED_MIDWAY = """
import os, signal
write_features = store.write_features

def write_then_die(path, *rest):
    write_features(path, *rest)
    if "validation" in path.parts:
        os.kill(os.getpid(), signal.SIGKILL)

store.write_features = write_then_die
write()
"""


def start(code: str, root: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", WRITE_WINE + code, str(root)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def write_wine(root: Path) -> DatasetReference:
    return write_dataset(root, read_source("wine", None), "classification", SPLIT)


def snapshot(directory: Path) -> dict[Path, tuple[int, int]]:
    return {path: (path.stat().st_ino, path.stat().st_mtime_ns) for path in directory.rglob("*")}


@contextmanager
def files_limited_to(size: int) -> Iterator[None]:
    """Let the operating system refuse to write beyond ``size`` bytes of a file, as it does on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_classification_is_found_again_as_float32_features_and_int64_codes(flowers, tmp_path):
    dataset = open_dataset(write_dataset(tmp_path, flowers, "classification", SPLIT))
    rows = split_rows(flowers, "classification", SPLIT)
    assert (dataset.inputs, dataset.outputs, dataset.task) == (4, 3, "classification")
    assert dataset.preparation == fit_preparation(flowers, "classification", rows.train)
    for part, positions in rows._asdict().items():
        arrays = getattr(dataset, part)
        assert dataset.rows[part] == len(positions)
        assert (arrays.features.dtype, arrays.target.dtype) == (np.float32, np.int64)
        expected = dataset.preparation.transform_features(flowers.features.iloc[positions])
        assert np.array_equal(arrays.features, expected)
        assert dataset.preparation.restore_target(arrays.target).tolist() == flowers.target.iloc[positions].tolist()


def test_a_regression_is_found_again_with_its_target_as_one_float32_column(prices, tmp_path):
    dataset = open_dataset(write_dataset(tmp_path, prices, "regression", SPLIT))
    rows = split_rows(prices, "regression", SPLIT)
    assert (dataset.inputs, dataset.outputs, dataset.task) == (3, 1, "regression")
    assert dataset.test.target.shape == (len(rows.test), 1)
    assert dataset.test.target.dtype == np.float32
    restored = dataset.preparation.restore_target(dataset.test.target[:, 0])
    assert restored == pytest.approx(prices.target.iloc[rows.test].to_numpy(), rel=1e-6)


def test_arrays_are_memory_mapped_and_cannot_be_written_to(tmp_path):
    dataset = open_dataset(write_wine(tmp_path))
    for arrays in (dataset.train, dataset.validation, dataset.test):
        assert isinstance(arrays.features, np.memmap)
        assert arrays.features.flags.c_contiguous
        with pytest.raises(ValueError, match="read-only"):
            arrays.features[0, 0] = 1.0


def test_features_written_in_pieces_are_those_written_at_once(prices, tmp_path, monkeypatch):
    at_once = open_dataset(write_dataset(tmp_path / "one", prices, "regression", SPLIT))
    monkeypatch.setattr("flows.data.content.CHUNK_BYTES", 3 * 8 * 7)
    in_pieces = open_dataset(write_dataset(tmp_path / "two", prices, "regression", SPLIT))
    assert in_pieces.train.features.shape == at_once.train.features.shape
    assert np.array_equal(in_pieces.train.target, at_once.train.target)
    assert np.allclose(in_pieces.train.features, at_once.train.features, atol=1e-6)


def test_a_dataset_is_at_the_path_of_its_digest_and_its_reference_travels_as_json(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    reference = write_wine(Path("store"))
    digest = dataset_digest(read_source("wine", None), "classification", SPLIT)
    assert reference == DatasetReference(name="wine", digest=digest, path=str(tmp_path / "store" / digest))
    assert DatasetReference.model_validate_json(reference.model_dump_json()) == reference


def test_the_schema_says_what_was_read(flowers, tmp_path):
    reference = write_dataset(tmp_path, flowers, "classification", SPLIT)
    schema = json.loads((Path(reference.path) / "schema.json").read_text())
    assert schema == {
        "name": "flowers",
        "uri": "flowers.csv",
        "task": "classification",
        "columns": {"length": "float64", "petals": "int64", "wild": "bool", "planet": "float64"},
        "target": "kind",
        "rows": {"train": 63, "validation": 15, "test": 12},
    }


def test_raw_test_rows_are_the_rows_as_they_were_read(flowers, tmp_path):
    dataset = open_dataset(write_dataset(tmp_path, flowers, "classification", SPLIT))
    test = split_rows(flowers, "classification", SPLIT).test
    expected = flowers.features.assign(kind=flowers.target).iloc[test].reset_index(drop=True)
    pd.testing.assert_frame_equal(raw_test_rows(dataset), expected)


@pytest.mark.parametrize("source", ["digits", "wine", "breast_cancer", "diabetes"])
def test_raw_test_rows_prepared_again_are_the_test_arrays(source, tmp_path):
    task = "regression" if source == "diabetes" else "classification"
    dataset = open_dataset(write_dataset(tmp_path, read_source(source, None), task, SPLIT))
    raw = raw_test_rows(dataset)
    assert np.array_equal(dataset.preparation.transform_features(raw), dataset.test.features)
    target = dataset.preparation.transform_target(raw[dataset.preparation.target])
    assert np.array_equal(target.astype(dataset.test.target.dtype), dataset.test.target.reshape(-1))


@pytest.mark.parametrize(
    "target",
    [
        pd.Series([True, False] * 45),
        pd.Series([2, 1] * 45, dtype="Int64"),
        pd.Series(pd.Categorical(["u", "v"] * 45)),
        pd.Series([0.5, 1.5] * 45),
    ],
    ids=["bool", "Int64", "category", "float"],
)
def test_targets_of_every_type_go_through_the_store(target, flowers, tmp_path):
    table = replace(flowers, target=target.rename("y"))
    dataset = open_dataset(write_dataset(tmp_path, table, "classification", SPLIT))
    assert np.array_equal(dataset.preparation.transform_target(raw_test_rows(dataset)["y"]), dataset.test.target)


def test_writing_again_leaves_the_dataset_as_it_is(tmp_path):
    reference = write_wine(tmp_path)
    before = snapshot(tmp_path)
    with files_limited_to(0):
        assert write_wine(tmp_path) == reference
    assert snapshot(tmp_path) == before


def test_a_table_that_was_not_checked_is_checked(flowers, tmp_path):
    table = replace(flowers, target=pd.Series(["same"] * 90, name="kind"))
    with pytest.raises(TableError, match="one class only"):
        write_dataset(tmp_path / "store", table, "classification", SPLIT)
    assert not (tmp_path / "store").exists()


def test_processes_that_write_the_same_dataset_at_once_all_succeed(tmp_path):
    processes = [start(RACE, tmp_path / "store") for _ in range(2)]
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    outputs = []
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in processes:
        output, errors = process.communicate(timeout=60)
        assert process.returncode == 0, errors
        outputs.append(output.strip())
    assert len(set(outputs)) == 1
    assert [path.name for path in (tmp_path / "store").iterdir()] == [Path(outputs[0]).name]
    reference = write_wine(tmp_path / "store")
    assert reference.path == outputs[0]
    assert open_dataset(reference).rows == {"train": 125, "validation": 26, "test": 27}


def test_a_process_killed_while_it_writes_leaves_no_dataset_and_no_obstacle(tmp_path):
    process = start(KILLED_MIDWAY, tmp_path)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL, errors
    (left,) = tmp_path.iterdir()
    assert left.name.startswith(".")
    assert open_dataset(write_wine(tmp_path)).rows == {"train": 125, "validation": 26, "test": 27}


@pytest.mark.parametrize("limit", [0, 100, 3000, 8000], ids=["nothing", "a header", "some features", "all but Parquet"])
def test_a_disk_that_takes_no_more_leaves_no_dataset(limit, tmp_path):
    with files_limited_to(limit), pytest.raises(DatasetError, match=r"File too large.*free space") as raised:
        write_wine(tmp_path / "store")
    assert "\n" not in str(raised.value)
    assert list((tmp_path / "store").iterdir()) == []
    open_dataset(write_wine(tmp_path / "store"))


def test_a_root_that_is_a_file_is_refused(tmp_path):
    (tmp_path / "store").write_text("in the way")
    with pytest.raises(DatasetError, match="store: the dataset cannot be written"):
        write_wine(tmp_path / "store")


FILES = ["schema.json", "preparation.json"] + [
    f"{part}/{name}.npy" for part in ("train", "validation", "test") for name in ("features", "target")
]
DAMAGE = {
    "missing": lambda path: path.unlink(),
    "empty": lambda path: path.write_bytes(b""),
    "cut": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "other content": lambda path: path.write_bytes(b"[1, 2]"),
}


def assert_says_what_to_do(error: DatasetError, reference: DatasetReference) -> None:
    assert str(error).startswith(f"{reference.path}: the dataset is missing or damaged (")
    assert str(error).endswith("; delete it and ingest again")
    assert "\n" not in str(error)


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
@pytest.mark.parametrize("name", FILES)
def test_a_dataset_with_a_damaged_file_is_refused(name, damage, tmp_path):
    reference = write_wine(tmp_path)
    damage(Path(reference.path) / name)
    with pytest.raises(DatasetError) as raised:
        open_dataset(reference)
    assert_says_what_to_do(raised.value, reference)


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_damaged_raw_test_rows_are_refused(damage, tmp_path):
    dataset = open_dataset(write_wine(tmp_path))
    damage(Path(dataset.reference.path) / "test" / "rows.parquet")
    with pytest.raises(DatasetError) as raised:
        raw_test_rows(dataset)
    assert_says_what_to_do(raised.value, dataset.reference)


@pytest.mark.parametrize(
    ("name", "array"),
    [
        ("features", np.zeros((5, 13), np.float32)),
        ("features", np.zeros((125, 12), np.float32)),
        ("features", np.zeros((125, 13), np.float64)),
        ("target", np.zeros(124, np.int64)),
        ("target", np.array([None] * 125)),
    ],
    ids=["rows", "columns", "type", "targets", "pickle"],
)
def test_arrays_that_are_not_what_the_schema_says_are_refused(name, array, tmp_path):
    reference = write_wine(tmp_path)
    np.save(Path(reference.path) / "train" / f"{name}.npy", array, allow_pickle=True)
    with pytest.raises(DatasetError) as raised:
        open_dataset(reference)
    assert_says_what_to_do(raised.value, reference)


def test_a_dataset_that_was_never_written_is_refused(tmp_path):
    reference = DatasetReference(name="wine", digest="0" * 64, path=str(tmp_path / ("0" * 64)))
    with pytest.raises(DatasetError) as raised:
        open_dataset(reference)
    assert_says_what_to_do(raised.value, reference)


def test_the_real_fashion_mnist_is_ingested_within_a_gigabyte(fashion_mnist, tmp_path):
    code = """
reference = store.write_dataset(
    Path(sys.argv[1]), read_source(sys.argv[2], None), "classification", SplitParameters()
)
print(reference.model_dump_json())
# Not ru_maxrss, which a process inherits from the one that started it: here from all the tests before.
print(next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM:")).split()[1])
"""
    command = [sys.executable, "-c", WRITE_WINE + code, str(tmp_path), fashion_mnist]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    dataset = open_dataset(DatasetReference.model_validate_json(output[0]))
    assert dataset.rows == {"train": 51_000, "validation": 9_000, "test": 10_000}
    assert np.bincount(dataset.validation.target).tolist() == [900] * 10
    assert abs(float(dataset.train.features.mean(dtype=np.float64))) < 1e-6
    assert float(dataset.train.features.std(dtype=np.float64)) == pytest.approx(1.0, abs=1e-6)
    assert int(output[1]) < 1_000_000  # kilobytes
