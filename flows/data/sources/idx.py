"""IDX directories: images and labels in the four files of MNIST and the sets made in its likeness."""

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath

import numpy as np
import pyarrow as pa
from fsspec.core import url_to_fs

from flows.data.sources.addresses import without_secrets
from flows.data.sources.arrays import matrix_batch, rows_per_batch
from flows.data.sources.file_table import Part, check_unchanged
from flows.data.sources.files import DataFile, explained, first_line
from flows.data.sources.source import Source
from flows.data.sources.streams import read_up_to
from flows.errors import SourceError

USAGE = "idx:DIRECTORY"
PREFIX = "idx:"
# Two zero bytes, 0x08 for unsigned bytes, and the number of dimensions.
IMAGES_MAGIC = 0x0803
LABELS_MAGIC = 0x0801
PARTS = ("train", "t10k")
# A header that claims more was damaged.
MOST_PIXELS = 2**22


@dataclass(frozen=True)
class Images:
    """A file of images and the labels that belong to them; the images stay in the file until they are asked for."""

    part: Part
    count: int
    height: int
    width: int
    labels: np.ndarray

    def blocks(self) -> Iterator[np.ndarray]:
        """Yield the images as uint8 (n, H * W), in order; a SourceError if there are not as many as announced."""
        pixels, left = self.height * self.width, self.count
        with readable(self.part.file), self.part.file.open_stream() as stream:
            stream.read(header_of(IMAGES_MAGIC).size)
            while left:
                rows = min(left, rows_per_batch(pixels))
                content = read_up_to(stream, rows * pixels)
                if len(content) < rows * pixels:
                    raise miscounted(self.part.file, self.count * pixels, (self.count - left) * pixels + len(content))
                yield np.frombuffer(content, np.uint8).reshape(rows, pixels)
                left -= rows
            if more := len(stream.read()):
                raise miscounted(self.part.file, self.count * pixels, self.count * pixels + more)
        check_unchanged(self.part)


def claims(data: str) -> bool:
    """Tell whether ``data`` names a directory of IDX files."""
    return data.startswith(PREFIX)


def open_source(data: str) -> Source:
    """Return the four files as one table of uint8 pixels and an int64 ``label``, training images first.

    Raises
    ------
    SourceError
        If a file is missing, truncated or not IDX, or the files disagree.
    """
    train, test = (open_part(data.removeprefix(PREFIX), part) for part in PARTS)
    uri = without_secrets(data)
    if (train.height, train.width) != (test.height, test.width):
        raise SourceError(
            f"{uri}: the training images are {train.height} x {train.width} pixels and the test images "
            f"{test.height} x {test.width}; both must come from one data set"
        )
    columns = [(f"pixel_{i}", pa.uint8()) for i in range(train.height * train.width)]
    schema = pa.schema([*columns, ("label", pa.int64())])
    return Source(
        name=directory_name(data.removeprefix(PREFIX)),
        uri=uri,
        schema=schema,
        batches=partial(batches, (train, test), schema),
        targets=("label",),
        test_rows=np.arange(train.count + test.count) >= train.count,
        pixels=True,
    )


def batches(parts: tuple[Images, ...], schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    """Yield the images of each part with their labels."""
    for part in parts:
        row = 0
        for block in part.blocks():
            labels = part.labels[row : row + len(block)].astype(np.int64)
            yield matrix_batch(block, schema, [pa.array(labels)])
            row += len(block)


def directory_name(path: str) -> str:
    """Name the data set after its directory."""
    return PurePosixPath(path).name if "://" in path else Path(path).resolve().name


def read_pair(directory: Path, part: str) -> tuple[np.ndarray, np.ndarray]:
    """Read the images uint8 (N, H, W) and the labels uint8 (N,) of one part, ``train`` or ``t10k``, whole."""
    images = open_part(str(directory), part)
    return np.concatenate(list(images.blocks())).reshape(-1, images.height, images.width), images.labels


def open_part(directory: str, part: str) -> Images:
    """Read the labels of one part, and of its images what their header says."""
    images, labels = (find_file(directory, name) for name in (f"{part}-images-idx3-ubyte", f"{part}-labels-idx1-ubyte"))
    with explained(images.uri):
        watched = Part(images, images.state(), {})
    count, height, width = read_header(images, IMAGES_MAGIC)
    classes = read_labels(labels)
    if count != len(classes):
        raise SourceError(
            f"{PREFIX}{without_secrets(directory)}: {images.name} has {count} images and {labels.name} "
            f"{len(classes)} labels; fetch both again"
        )
    if height * width > MOST_PIXELS:
        raise SourceError(f"{images.uri}: images of {height} x {width} pixels; is the file damaged? Fetch it again")
    return Images(watched, count, height, width, classes)


def find_file(directory: str, name: str) -> DataFile:
    """Return the file of that name, plain or gzipped."""
    uri = without_secrets(directory).rstrip("/")
    with explained(f"{PREFIX}{uri}"):
        filesystem, path = url_to_fs(directory)
        if not filesystem.isdir(path):
            raise SourceError(f"{PREFIX}{uri}: no such directory; give the one that holds the four IDX files")
        for found in (name, f"{name}.gz"):
            if filesystem.exists(f"{path.rstrip('/')}/{found}"):
                return DataFile(filesystem, f"{path.rstrip('/')}/{found}", f"{uri}/{found}")
    raise SourceError(f"{PREFIX}{uri}: {name} is missing (plain or as .gz); put it beside the other files")


def header_of(magic: int) -> struct.Struct:
    """Return the layout of a header: the magic number, then one size a dimension."""
    return struct.Struct(f">{1 + (magic & 0xFF)}I")


def read_header(file: DataFile, magic: int) -> tuple[int, ...]:
    """Return the sizes that a file announces, after checking that a plain file has as many bytes."""
    header = header_of(magic)
    with readable(file), file.open_stream() as stream:
        content = stream.read(header.size)
    found = int.from_bytes(content[:4], "big")
    if found != magic:
        raise SourceError(
            f"{file.uri}: not an IDX file of this kind: magic number {found:#06x} where {magic:#06x} belongs; "
            "fetch the file again"
        )
    if len(content) < header.size:
        raise SourceError(f"{file.uri}: truncated: {len(content)} bytes are less than a header; fetch the file again")
    shape = header.unpack(content)[1:]
    announced = int(np.prod(shape, dtype=object))
    with explained(file.uri):
        follow = None if file.compression else int(file.filesystem.size(file.path)) - header.size
    if announced == 0 or (follow is not None and follow != announced):
        raise miscounted(file, announced, follow or 0)
    return shape


def read_labels(file: DataFile) -> np.ndarray:
    """Read a file of labels into uint8 (N,)."""
    (count,) = read_header(file, LABELS_MAGIC)
    with readable(file), file.open_stream() as stream:
        content = stream.read()[header_of(LABELS_MAGIC).size :]
    if len(content) != count:
        raise miscounted(file, count, len(content))
    return np.frombuffer(content, np.uint8)


def miscounted(file: DataFile, announced: int, follow: int) -> SourceError:
    """Say that a file is not as long as its header says."""
    return SourceError(
        f"{file.uri}: truncated or damaged: the header announces {announced} values and {follow} follow; "
        "fetch the file again"
    )


@contextmanager
def readable(file: DataFile) -> Iterator[None]:
    """Turn what goes wrong while a file is read into a SourceError."""
    try:
        with explained(file.uri):
            yield
    except pa.ArrowInvalid as error:
        raise SourceError(f"{file.uri}: cannot be read: {first_line(error)}; fetch the file again") from error
