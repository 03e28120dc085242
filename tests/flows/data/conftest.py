import gzip
import os
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from flows.data.store import DatasetReference
from tests.flows.data.writing import write

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
    write(root, "wine")
    return root


@pytest.fixture
def ingest(store: Path) -> Callable[..., DatasetReference]:
    """The whole way from what a person wrote to a dataset, as the ingest flow goes it."""

    def ingest(data: str, target: str | None = None, task: str = "auto") -> DatasetReference:
        return write(store, data, () if target is None else (target,), task=task)

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
