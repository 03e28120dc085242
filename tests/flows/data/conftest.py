import gzip
import os
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from flows.data.preparation import infer_task
from flows.data.sources import Table, read_source
from flows.data.splitting import SplitParameters
from flows.data.store import DatasetReference, write_dataset
from flows.data.validation import check_table

FASHION_MNIST = Path("/usr/share/datasets/fashion-mnist")


@pytest.fixture(scope="session")
def fashion_mnist() -> str:
    if not FASHION_MNIST.is_dir():
        reason = f"{FASHION_MNIST} is not there (Debian package dataset-fashion-mnist)"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    return f"idx:{FASHION_MNIST}"


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A store that holds one dataset already, so that a test can tell whether it was touched."""
    root = tmp_path / "store"
    write_dataset(root, read_source("wine", None), "classification", SplitParameters())
    return root


@pytest.fixture
def ingest(store: Path) -> Callable[..., DatasetReference]:
    """The whole way from what a person wrote to a dataset, as the ingest flow goes it."""

    def ingest(data: str, target: str | None = None, task: str = "auto") -> DatasetReference:
        table = read_source(data, target)
        found = infer_task(table.target, task)
        check_table(table, found)
        return write_dataset(store, table, found, SplitParameters())

    return ingest


@pytest.fixture
def write_idx(tmp_path: Path) -> Callable[..., Path]:
    """Write the four files of a small IDX data set: 2 x 3 pixels, ten training and two test images a class."""

    def write(compressed: bool = False) -> Path:
        directory = tmp_path / "shapes"
        directory.mkdir()
        pixels = np.random.default_rng(0).integers(0, 256, size=(36, 2, 3), dtype=np.uint8)
        labels = np.arange(36, dtype=np.uint8) % 3
        for part, rows in (("train", slice(0, 30)), ("t10k", slice(30, 36))):
            files = {
                f"{part}-images-idx3-ubyte": struct.pack(">4I", 0x803, len(pixels[rows]), 2, 3)
                + pixels[rows].tobytes(),
                f"{part}-labels-idx1-ubyte": struct.pack(">2I", 0x801, len(labels[rows])) + labels[rows].tobytes(),
            }
            for name, content in files.items():
                if compressed:
                    (directory / f"{name}.gz").write_bytes(gzip.compress(content))
                else:
                    (directory / name).write_bytes(content)
        return directory

    return write


@pytest.fixture
def flowers() -> Table:
    """Ninety rows, three classes under text labels, columns of several types, one of them constant."""
    rng = np.random.default_rng(7)
    features = pd.DataFrame(
        {
            "length": rng.normal(5.0, 2.0, 90),
            "petals": rng.integers(3, 9, 90),
            "wild": rng.integers(0, 2, 90).astype(bool),
            "planet": np.full(90, 3.0),
        }
    )
    target = pd.Series(np.repeat(["rose", "iris", "daisy"], 30), name="kind")
    return Table("flowers", "flowers.csv", features, target)


@pytest.fixture
def prices() -> Table:
    """Two hundred rows with a target in units of its own."""
    rng = np.random.default_rng(8)
    features = pd.DataFrame(rng.normal(size=(200, 3)) * [1.0, 50.0, 1e-3], columns=["a", "b", "c"])
    return Table("prices", "prices.csv", features, pd.Series(rng.normal(3e5, 4e4, 200), name="price"))
