import json
import signal
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from flows.data import staging, store
from flows.data.plan import parse_plan
from flows.data.sources import Source
from flows.data.splitting import SplitParameters
from flows.data.store import DatasetReference, open_dataset, raw_test_rows, raw_train_sample
from flows.errors import DatasetError, TableError
from tests.flows.data.processes import PEAK, WRITE, files_limited_to, needs_proc, printed_by, race, start
from tests.flows.data.tables import source_of
from tests.flows.data.writing import write

KILLED_MIDWAY = """
import os, signal

def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)

store.write_facts = die
write(sys.argv[1], "wine")
"""


def snapshot(directory: Path) -> dict[Path, tuple[int, int]]:
    return {path: (path.stat().st_ino, path.stat().st_mtime_ns) for path in directory.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def visits() -> pd.DataFrame:
    """Three hundred rows with a column of each kind and gaps in each, two quantities, two labels and a class."""
    rng = np.random.default_rng(7)
    frame = pd.DataFrame(
        {
            "length": rng.normal(5.0, 2.0, 300),
            "pages": pd.array(rng.integers(1, 40, 300), dtype="Int64"),
            "member": pd.array(rng.random(300) < 0.4, dtype="boolean"),
            "place": pd.Series(rng.choice(["north", "south", "west"], 300), dtype="str"),
            "day": pd.to_datetime("2024-03-01") + pd.to_timedelta(rng.integers(0, 90, 300), unit="D"),
        }
    )
    for position, name in enumerate(frame):
        frame.loc[position::13, name] = None
    return frame.assign(
        price=rng.normal(3e5, 4e4, 300),
        rent=rng.normal(1e3, 2e2, 300),
        sold=rng.random(300) < 0.5,
        seen=rng.random(300) < 0.3,
        kind=rng.choice(["rose", "iris", "daisy"], 300),
    )


FEATURES = ["length", "pages", "member", "place", "day"]
TASKS = {
    "classification": ("kind",),
    "regression": ("price",),
    "regression of two": ("price", "rent"),
    "multilabel": ("sold", "seen"),
}


@pytest.mark.parametrize("targets", TASKS.values(), ids=TASKS)
def test_a_dataset_is_found_again_as_it_was_prepared(targets, visits, tmp_path):
    frame = visits[[*FEATURES, *targets]]
    dataset = open_dataset(write(tmp_path, source_of(frame), targets))
    is_classes = dataset.task == "classification"
    assert dataset.outputs == (3 if is_classes else len(targets))
    assert dataset.inputs > len(FEATURES)
    assert sum(dataset.rows.values()) == 300
    for part in (dataset.train, dataset.validation, dataset.test):
        assert part.features.dtype == np.float32
        assert part.features.shape == (len(part.target), dataset.inputs)
        assert (part.target.dtype, part.target.shape[1:]) == (
            (np.int64, ()) if is_classes else (np.float32, (len(targets),))
        )
    raw = raw_test_rows(dataset)
    assert sorted(raw.columns) == sorted(frame.columns)
    assert np.array_equal(dataset.preparation.transform_features(raw), dataset.test.features)
    assert np.array_equal(dataset.preparation.transform_target(raw), dataset.test.target)


@pytest.mark.parametrize("source", ["digits", "wine", "breast_cancer", "diabetes"])
def test_raw_test_rows_prepared_again_are_the_test_arrays(source, tmp_path):
    dataset = open_dataset(write(tmp_path, source))
    raw = raw_test_rows(dataset)
    assert np.array_equal(dataset.preparation.transform_features(raw), dataset.test.features)
    assert np.array_equal(dataset.preparation.transform_target(raw), dataset.test.target)


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
def test_labels_of_every_type_go_through_the_store(target, tmp_path):
    frame = pd.DataFrame({"a": np.random.default_rng(0).normal(size=90), "y": target})
    dataset = open_dataset(write(tmp_path, source_of(frame), ("y",), task="classification"))
    restored = dataset.preparation.restore_target(np.asarray(dataset.test.target)).tolist()
    assert restored == raw_test_rows(dataset)["y"].tolist()
    assert set(restored) == set(target)


def pixel_source(test_rows: np.ndarray | None = None) -> Source:
    rng = np.random.default_rng(0)
    columns = {f"p{place}": rng.integers(0, 256, 90, dtype=np.uint8) for place in range(6)}
    return source_of(
        pa.table({**columns, "label": pa.array((np.arange(90) % 3).astype(np.uint8))}), pixels=True, test_rows=test_rows
    )


def test_pixels_of_one_byte_stay_so_and_say_what_a_network_sees_of_them(tmp_path):
    dataset = open_dataset(write(tmp_path, pixel_source(), ("label",)))
    raw, test = raw_test_rows(dataset), dataset.test
    assert test.features.dtype == np.uint8
    assert np.array_equal(raw[[f"p{place}" for place in range(6)]], test.features)
    seen = (test.features - test.shift) / test.scale
    assert dataset.preparation.transform_features(raw) == pytest.approx(seen, rel=1e-6)
    train = (dataset.train.features - dataset.train.shift) / dataset.train.scale
    assert (train.mean(), train.std()) == pytest.approx((0, 1), abs=1e-9)


def test_arrays_are_memory_mapped_and_cannot_be_written_to(tmp_path):
    dataset = open_dataset(write(tmp_path, "wine"))
    for arrays in (dataset.train, dataset.validation, dataset.test):
        assert isinstance(arrays.features, np.memmap)
        assert arrays.features.flags.c_contiguous
        with pytest.raises(ValueError, match="read-only"):
            arrays.features[0, 0] = 1.0


def test_the_sizes_of_pieces_and_batches_change_no_bit(visits, tmp_path, monkeypatch):
    frame = visits[[*FEATURES, "price"]]
    at_once = Path(write(tmp_path / "one", source_of(frame), ("price",)).path)
    monkeypatch.setattr(staging, "CHUNK_BYTES", 8 * 6 * 7)
    in_pieces = Path(write(tmp_path / "two", source_of(frame, batch_rows=11), ("price",)).path)
    for part in ("train", "validation", "test"):
        for name in ("features.npy", "target.npy"):
            assert (in_pieces / part / name).read_bytes() == (at_once / part / name).read_bytes()
    for name in ("test/rows.parquet", "train/sample.parquet"):
        pd.testing.assert_frame_equal(pd.read_parquet(in_pieces / name), pd.read_parquet(at_once / name))


def test_the_sample_is_of_the_training_rows_and_mostly_the_same_after_the_file_has_grown(tmp_path, monkeypatch):
    monkeypatch.setattr(store, "MOST_SAMPLE_ROWS", 100)
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"a": rng.normal(size=1000), "y": rng.normal(size=1000)})
    samples = []
    for rows in (800, 1000):
        dataset = open_dataset(write(tmp_path, source_of(frame[:rows]), ("y",)))
        sample = raw_train_sample(dataset)
        assert len(sample) == 100
        assert list(sample) == ["a", "y"]
        trained = dataset.train.features[:, 0]
        assert np.isin(dataset.preparation.transform_features(sample)[:, 0], trained).all()
        samples.append(set(sample["a"]))
    assert len(samples[0] & samples[1]) >= 70


def test_a_dataset_is_at_the_path_of_its_digest_and_its_reference_travels_as_json(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    reference = write("store", "wine")
    assert reference.name == "wine"
    assert reference.path == str(tmp_path / "store" / reference.digest)
    assert DatasetReference.model_validate_json(reference.model_dump_json()) == reference


def test_the_schema_says_what_was_read_and_the_plan_how_it_was_prepared(visits, tmp_path):
    frame = visits[["length", "pages", "place", "day", "kind"]]
    reference = write(tmp_path, source_of(frame, name="visits", uri="visits.csv"), ("kind",))
    schema = json.loads((Path(reference.path) / "schema.json").read_text())
    sizes = schema.pop("rows")
    assert sum(sizes.values()) == 300
    assert schema == {
        "name": "visits",
        "uri": "visits.csv",
        "task": "classification",
        "columns": {
            "length": "double",
            "pages": "int64",
            "place": "string",
            "day": "timestamp[us]",
            "kind": "string",
        },
        "targets": ["kind"],
        "inputs": open_dataset(reference).inputs,
        "outputs": 3,
        "features": "float32",
        "split": {"by": "random", "column": None, "validation": 0.15, "test": 0.15, "seed": 0},
        "fold": None,
    }
    plan = parse_plan((Path(reference.path) / "plan.yaml").read_text(), "plan.yaml")
    assert {name: column.kind for name, column in plan.columns.items()} == {
        "length": "numeric",
        "pages": "numeric",
        "place": "categorical",
        "day": "date",
    }


def test_writing_again_leaves_the_dataset_as_it_is(tmp_path):
    reference = write(tmp_path, "wine")
    before = snapshot(tmp_path)
    assert write(tmp_path, "wine") == reference
    assert snapshot(tmp_path) == before


def test_a_table_that_cannot_be_split_leaves_nothing(tmp_path):
    frame = pd.DataFrame({"a": np.arange(20.0), "owner": ["x", "y"] * 10, "y": np.arange(20.0)})
    with pytest.raises(TableError, match="2 groups"):
        write(tmp_path / "store", source_of(frame), ("y",), split=SplitParameters(by="group", column="owner"))
    assert not (tmp_path / "store").exists()


def test_processes_that_write_the_same_dataset_at_once_all_succeed(tmp_path):
    one, two = race(tmp_path / "store")
    assert one == two
    assert [path.name for path in (tmp_path / "store").iterdir()] == [Path(one).name]
    reference = write(tmp_path / "store", "wine")
    assert reference.path == one
    assert open_dataset(reference).rows == {"train": 125, "validation": 26, "test": 27}


def test_a_process_killed_while_it_writes_leaves_no_dataset_and_no_obstacle(tmp_path):
    process = start(KILLED_MIDWAY, tmp_path)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL, errors
    assert all(path.name.startswith(".") for path in tmp_path.iterdir())
    assert open_dataset(write(tmp_path, "wine")).rows == {"train": 125, "validation": 26, "test": 27}


@pytest.mark.parametrize("limit", [0, 100, 20_000, 23_000], ids=["nothing", "a header", "the rows", "all but Parquet"])
def test_a_disk_that_takes_no_more_leaves_no_dataset(limit, tmp_path):
    frame = pd.DataFrame({"a": np.random.default_rng(0).normal(size=4000), "y": [0, 1] * 2000}).astype(np.float32)
    with files_limited_to(limit), pytest.raises(DatasetError, match=r"File too large.*free space") as raised:
        write(tmp_path / "store", source_of(frame), ("y",))
    assert "\n" not in str(raised.value)
    assert not (tmp_path / "store").exists()
    open_dataset(write(tmp_path / "store", source_of(frame), ("y",)))


def test_a_root_that_is_a_file_is_refused(tmp_path):
    (tmp_path / "store").write_text("in the way")
    with pytest.raises(DatasetError, match="store: the dataset cannot be written"):
        write(tmp_path / "store", "wine")


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
    reference = write(tmp_path, "wine")
    damage(Path(reference.path) / name)
    with pytest.raises(DatasetError) as raised:
        open_dataset(reference)
    assert_says_what_to_do(raised.value, reference)


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
@pytest.mark.parametrize("name", ["test/rows.parquet", "train/sample.parquet"])
def test_damaged_raw_rows_are_refused(name, damage, tmp_path):
    dataset = open_dataset(write(tmp_path, "wine"))
    damage(Path(dataset.reference.path) / name)
    with pytest.raises(DatasetError) as raised:
        (raw_test_rows if "test" in name else raw_train_sample)(dataset)
    assert_says_what_to_do(raised.value, dataset.reference)


@pytest.mark.parametrize(
    ("name", "array"),
    [
        ("features", np.zeros((5, 13), np.float32)),
        ("features", np.zeros((125, 12), np.float32)),
        ("features", np.zeros((125, 13), np.float64)),
        ("features", np.zeros((125, 13), np.uint8)),
        ("target", np.zeros(124, np.int64)),
        ("target", np.array([None] * 125)),
    ],
    ids=["rows", "columns", "type", "bytes", "targets", "pickle"],
)
def test_arrays_that_are_not_what_the_schema_says_are_refused(name, array, tmp_path):
    reference = write(tmp_path, "wine")
    np.save(Path(reference.path) / "train" / f"{name}.npy", array, allow_pickle=True)
    with pytest.raises(DatasetError) as raised:
        open_dataset(reference)
    assert_says_what_to_do(raised.value, reference)


def test_a_dataset_that_was_never_written_is_refused(tmp_path):
    reference = DatasetReference(name="wine", digest="0" * 64, path=str(tmp_path / ("0" * 64)))
    with pytest.raises(DatasetError) as raised:
        open_dataset(reference)
    assert_says_what_to_do(raised.value, reference)


@needs_proc
def test_the_real_fashion_mnist_stays_bytes_and_is_ingested_within_half_a_gigabyte(fashion_mnist, tmp_path):
    code = """
print(write(Path(sys.argv[1]), sys.argv[2]).model_dump_json())
print(peak())
"""
    reference, peak = printed_by(PEAK + WRITE + code, tmp_path, fashion_mnist).splitlines()
    dataset = open_dataset(DatasetReference.model_validate_json(reference))
    assert dataset.rows == {"train": 51_000, "validation": 9_000, "test": 10_000}
    assert np.bincount(dataset.validation.target).tolist() == [900] * 10
    train = dataset.train
    assert train.features.dtype == np.uint8
    assert float(train.features.mean(dtype=np.float64)) == pytest.approx(train.shift, rel=1e-9)
    assert float(train.features.std(dtype=np.float64)) == pytest.approx(train.scale, rel=1e-9)
    assert int(peak) < 500_000  # KiB
