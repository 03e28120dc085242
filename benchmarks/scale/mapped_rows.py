"""Rows on disk: made in pieces, and mapped."""

from pathlib import Path

import numpy as np

from backprop import Samples
from benchmarks.scale.workload import CLASSES

INPUTS = 64
PIECE = 100_000


def write_rows(directory: Path, rows: int) -> int:
    """Write features, (rows, 64) float32, and one-hot classes, float32, to two files; return their bytes.

    The class is the largest of the first ten features, so there is something to learn.
    """
    draw = np.random.default_rng(0)
    paths = directory / "x.npy", directory / "y.npy"
    with paths[0].open("wb") as x, paths[1].open("wb") as y:
        for file, columns in ((x, INPUTS), (y, CLASSES)):
            header = {"descr": "<f4", "fortran_order": False, "shape": (rows, columns)}
            np.lib.format.write_array_header_1_0(file, header)
        for start in range(0, rows, PIECE):
            piece = draw.standard_normal((min(PIECE, rows - start), INPUTS), dtype="float32")
            piece.tofile(x)
            np.eye(CLASSES, dtype="float32")[piece[:, :CLASSES].argmax(axis=1)].tofile(y)
    return sum(path.stat().st_size for path in paths)


def map_rows(directory: Path) -> Samples:
    """Map what `write_rows` wrote, as the pipeline maps its datasets."""
    x, y = (np.asarray(np.lib.format.open_memmap(directory / name, mode="r")) for name in ("x.npy", "y.npy"))
    return Samples(x, y)
