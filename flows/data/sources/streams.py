"""Streams that return less at a call than was asked for, as sockets do and decompressors, and such that Arrow reads."""

from typing import Protocol

import pyarrow as pa


class Readable(Protocol):
    """What bytes can be read from, a few at a time."""

    def read(self, size: int, /) -> bytes:
        """Return at most so many bytes; none at the end."""


def read_up_to(stream: Readable, size: int) -> bytes:
    """Read so many bytes, or all that are left where these are fewer."""
    pieces, missing = [], size
    while missing and (piece := stream.read(missing)):
        pieces.append(piece)
        missing -= len(piece)
    return b"".join(pieces)


def owned_stream(file: object, buffered: int) -> pa.BufferedInputStream:
    """Return a Python file as a stream that gives Arrow its own copies of so many bytes at a time.

    Arrow reads ahead in threads that may let go of what they read as late as while Python ends. One that would need
    Python's lock for it, as it does for bytes of Python, then aborts the process (apache/arrow#34314 tells of such).
    """
    return pa.BufferedInputStream(pa.PythonFile(file, mode="r"), buffered)
