"""IDX directories: images and labels in the four files of MNIST and the sets made in its likeness."""

import gzip
import struct
import zlib
from pathlib import Path

import numpy as np
import pandas as pd

from flows.data.sources.files import first_line, is_there
from flows.data.sources.table import Table
from flows.errors import SourceError

USAGE = "idx:DIRECTORY"
PREFIX = "idx:"
# Two zero bytes, 0x08 for unsigned bytes, and the number of dimensions.
IMAGES_MAGIC = 0x0803
LABELS_MAGIC = 0x0801
PARTS = ("train", "t10k")


def claims(data: str) -> bool:
    """Tell whether ``data`` names a directory of IDX files."""
    return data.startswith(PREFIX)


def check(data: str, target: str | None) -> None:
    """Raise a SourceError if a target is asked for, or the directory or one of the four files is missing."""
    directory = existing_directory(data, target)
    for part in PARTS:
        find_file(directory, images_name(part))
        find_file(directory, labels_name(part))


def read(data: str, target: str | None) -> Table:
    """Read the four files into uint8 pixels (N, D) and int64 labels (N,), training images first.

    Raises
    ------
    SourceError
        If a target is asked for, or a file is missing, truncated or not IDX, or the files disagree.
    """
    directory = existing_directory(data, target)
    (train_images, train_labels), (test_images, test_labels) = (read_pair(directory, part) for part in PARTS)
    if train_images.shape[1:] != test_images.shape[1:]:
        raise SourceError(
            f"{data}: the training images are {size(train_images)} pixels and the test images {size(test_images)}; "
            "both must come from one data set"
        )
    return Table(
        name=directory.resolve().name,
        uri=data,
        features=pixel_columns(np.concatenate([train_images, test_images])),
        target=pd.Series(np.concatenate([train_labels, test_labels]).astype(np.int64), name="label"),
        is_test=np.arange(len(train_images) + len(test_images)) >= len(train_images),
        shared_scale=True,
    )


def existing_directory(data: str, target: str | None) -> Path:
    """Return the directory that ``data`` names; these files bring their own target."""
    if target is not None:
        raise SourceError(f"{data} brings its own target: leave out --target {target}")
    directory = Path(data.removeprefix(PREFIX))
    if not is_there(directory) or not directory.is_dir():
        raise SourceError(f"{data}: no such directory; give the one that holds the four IDX files")
    return directory


def images_name(part: str) -> str:
    """Return the name of the images' file of a part, without ``.gz``."""
    return f"{part}-images-idx3-ubyte"


def labels_name(part: str) -> str:
    """Return the name of the labels' file of a part, without ``.gz``."""
    return f"{part}-labels-idx1-ubyte"


def size(images: np.ndarray) -> str:
    """Say how large each image is: ``28 x 28``."""
    return " x ".join(map(str, images.shape[1:]))


def pixel_columns(images: np.ndarray) -> pd.DataFrame:
    """View images (N, H, W) as columns pixel_0 .. pixel_{H*W-1}, without a copy."""
    rows = images.reshape(len(images), -1)
    return pd.DataFrame(rows, columns=[f"pixel_{i}" for i in range(rows.shape[1])], copy=False)


def read_pair(directory: Path, part: str) -> tuple[np.ndarray, np.ndarray]:
    """Read the images uint8 (N, H, W) and the labels uint8 (N,) of one part, ``train`` or ``t10k``."""
    images_path = find_file(directory, images_name(part))
    labels_path = find_file(directory, labels_name(part))
    images = read_idx(images_path, IMAGES_MAGIC)
    labels = read_idx(labels_path, LABELS_MAGIC)
    if len(images) != len(labels):
        raise SourceError(
            f"{directory}: {images_path.name} has {len(images)} images and {labels_path.name} {len(labels)} labels; "
            "fetch both again"
        )
    return images, labels


def find_file(directory: Path, name: str) -> Path:
    """Return the file of that name, plain or gzipped."""
    for path in (directory / name, directory / f"{name}.gz"):
        if is_there(path):
            return path
    raise SourceError(f"{directory}: {name} is missing (plain or as .gz); put it beside the other files")


def read_idx(path: Path, magic: int) -> np.ndarray:
    """Read one IDX file into a uint8 array of the shape its header states."""
    content = read_bytes(path)
    found = int.from_bytes(content[:4], "big")
    if found != magic:
        raise SourceError(
            f"{path}: not an IDX file of this kind: magic number {found:#06x} where {magic:#06x} belongs; "
            "fetch the file again"
        )
    header = struct.Struct(f">{1 + (magic & 0xFF)}I")
    if len(content) < header.size:
        raise SourceError(f"{path}: truncated: {len(content)} bytes are less than a header; fetch the file again")
    _, *shape = header.unpack_from(content)
    expected = int(np.prod(shape, dtype=object))
    if len(content) - header.size != expected or expected == 0:
        raise SourceError(
            f"{path}: truncated or damaged: the header announces {expected} values and {len(content) - header.size} "
            "follow; fetch the file again"
        )
    return np.frombuffer(content, np.uint8, offset=header.size).reshape(shape)


def read_bytes(path: Path) -> bytes:
    """Read a file whole, through gzip where its name says so."""
    try:
        if path.suffix != ".gz":
            return path.read_bytes()
        with gzip.open(path) as stream:
            return stream.read()
    except (OSError, EOFError, zlib.error) as error:
        raise SourceError(f"{path}: cannot be read: {first_line(error)}; fetch the file again") from error
