"""Streams that return less at a call than was asked for: sockets do, and decompressors."""

from typing import Protocol


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
