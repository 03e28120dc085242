"""Arrays in NumPy's own format, read in pieces. Pickled objects are refused, never unpickled."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO
from zipfile import BadZipFile
from zlib import error as ZlibError  # noqa: N812 - it is an exception

import numpy as np
import pyarrow as pa

from flows.data.sources.arrays import column_array, column_type, matrix_columns
from flows.data.sources.files import DataFile, first_line
from flows.data.sources.streams import read_up_to
from flows.errors import SourceError, TableError

# A header of a thousand fields is longer than the ten thousand characters that NumPy allows by default.
LONGEST_HEADER = 2**20


@dataclass(frozen=True)
class StoredArray:
    """An array of N rows in a file: what its header says; the values stay there until they are asked for."""

    uri: str
    name: str
    dtype: np.dtype
    shape: tuple[int, ...]
    is_fortran: bool

    @property
    def width(self) -> int:
        """How many values a row has, D; all but the first axis are one."""
        return int(np.prod(self.shape[1:], dtype=object))

    @property
    def row_bytes(self) -> int:
        """How many bytes a row takes."""
        return self.width * self.dtype.itemsize

    def fields(self, names: list[str]) -> list[pa.Field]:
        """Return the columns that the array makes: one for each value of a row, or for each field of a structured one.

        Raises
        ------
        TableError
            If the values are neither numbers nor truth values, texts or dates.
        """
        if self.dtype.names is None:
            kind = column_type(self.uri, self.name, self.dtype)
            return [pa.field(name, kind) for name in names]
        return [pa.field(name, column_type(self.uri, name, self.dtype[name])) for name in self.dtype.names]

    def columns(self, stream: IO[bytes], rows: int) -> Iterator[list[pa.Array]]:
        """Yield the columns of so many rows at a time from a stream that stands behind the header.

        Raises
        ------
        EOFError
            If the values end too early.
        """
        for block in self.blocks(stream, rows):
            if self.dtype.names is None:
                yield matrix_columns(block)
            else:
                yield [column_array(np.ascontiguousarray(block[name][:, 0])) for name in self.dtype.names]

    def blocks(self, stream: IO[bytes], rows: int) -> Iterator[np.ndarray]:
        """Yield so many rows at a time, (n, D).

        Not through a memory map: a file that someone cuts short meanwhile would end the process by a bus error.
        """
        if self.is_fortran and self.width > 1:
            yield from self.fortran_blocks(stream, rows)
            return
        for start in range(0, self.shape[0], rows):
            count = min(rows, self.shape[0] - start)
            yield np.frombuffer(read_values(stream, count * self.row_bytes), self.dtype).reshape(count, -1)

    def fortran_blocks(self, stream: IO[bytes], rows: int) -> Iterator[np.ndarray]:
        """Yield rows of an array whose columns lie one after the other: of each, the piece that is needed."""
        begin, size = stream.tell(), self.dtype.itemsize
        # Where in the file a column lies whose place in a row is known.
        places = np.arange(self.width).reshape(self.shape[1:], order="F").reshape(-1)
        for start in range(0, self.shape[0], rows):
            count = min(rows, self.shape[0] - start)
            block = np.empty((self.width, count), self.dtype)
            for column, place in enumerate(places.tolist()):
                stream.seek(begin + (place * self.shape[0] + start) * size)
                block[column] = np.frombuffer(read_values(stream, count * size), self.dtype)
            yield block.T


def read_values(stream: IO[bytes], size: int) -> bytes:
    """Read so many bytes of the values; an EOFError if the file ends before."""
    content = read_up_to(stream, size)
    if len(content) < size:
        raise EOFError(f"{size - len(content)} bytes of the values are missing")
    return content


def read_header(file: DataFile, name: str, stream: IO[bytes]) -> StoredArray:
    """Read the header of an array, which leaves the stream at its values.

    Raises
    ------
    TableError
        If the values are Python objects, or there is only one of them.
    ValueError
        If there is no header.
    """
    version = np.lib.format.read_magic(stream)
    reader = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, is_fortran, dtype = reader(stream, max_header_size=LONGEST_HEADER)
    if version >= (3, 0) and dtype.names:
        # Version 3 differs from 2 in how the names of fields are encoded, and in nothing else.
        dtype.names = tuple(field.encode("latin-1").decode() for field in dtype.names)
    if dtype.hasobject:
        raise TableError(
            f"{file.uri}: array {name!r} holds pickled Python objects, which are never unpickled; "
            "save it again as an array of numbers or texts"
        )
    if not shape:
        raise TableError(f"{file.uri}: array {name!r} is a single value; save a table's columns, or leave it out")
    return StoredArray(file.uri, name, dtype, shape, is_fortran)


@contextmanager
def undamaged(file: DataFile) -> Iterator[None]:
    """Turn what NumPy and zipfile say of a damaged file into a SourceError."""
    try:
        yield
    except (SourceError, TableError):
        raise
    except (EOFError, BadZipFile, ZlibError, NotImplementedError, ValueError) as error:
        reason = first_line(error)
        raise SourceError(f"{file.uri}: truncated or damaged: {reason}; save the file again") from error
