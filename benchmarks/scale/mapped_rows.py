"""Rows on disk: made in pieces, and mapped."""

import mmap
from pathlib import Path
from typing import NamedTuple

import numpy as np

from backprop import Samples
from backprop.backend import HostArray
from benchmarks.scale.workload import CLASSES

INPUTS = 64
PIECE = 100_000


class MappedSamples(NamedTuple):
    """Samples whose arrays are maps of files, and the maps."""

    samples: Samples
    maps: list[mmap.mmap]


def write_rows(directory: Path, rows: int) -> int:
    """Write features, (rows, 64) float32, and one-hot classes, float32, to two files; return their bytes.

    The class is the largest of the first ten features, so there is something to learn.
    """
    x = np.lib.format.open_memmap(directory / "x.npy", "w+", "float32", (rows, INPUTS))
    y = np.lib.format.open_memmap(directory / "y.npy", "w+", "float32", (rows, CLASSES))
    draw = np.random.default_rng(0)
    for start in range(0, rows, PIECE):
        piece = draw.standard_normal((min(PIECE, rows - start), INPUTS), dtype="float32")
        x[start : start + PIECE] = piece
        y[start : start + PIECE] = np.eye(CLASSES, dtype="float32")[piece[:, :CLASSES].argmax(axis=1)]
    x.flush()
    y.flush()
    return sum((directory / name).stat().st_size for name in ("x.npy", "y.npy"))


def map_rows(directory: Path) -> MappedSamples:
    """Map what `write_rows` wrote."""
    (x, x_map), (y, y_map) = (_mapped(directory / name) for name in ("x.npy", "y.npy"))
    return MappedSamples(Samples(x, y), [x_map, y_map])


def _mapped(path: Path) -> tuple[HostArray, mmap.mmap]:
    # Mapped here and not by NumPy, which does not hand out the map that pages are given back by.
    header = np.lib.format.open_memmap(path, mode="r")
    with path.open("rb") as file:
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    return np.frombuffer(mapped, header.dtype, offset=header.offset).reshape(header.shape), mapped
