"""A CSV file cut into pieces of whole rows, so that several are parsed at once."""

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import NamedTuple

import pyarrow as pa

from flows.data.sources.streams import read_up_to

PIECE_BYTES = 2 * 2**20
# No row is longer than this: what has no line break is given to the parser, which says so.
LONGEST_PIECE = 32 * 2**20


class Parsing(NamedTuple):
    """A piece of the file and the work on it."""

    piece: bytes
    batches: Future[list[pa.RecordBatch]]


def row_pieces(stream: pa.NativeFile, line_break: bytes = b"\n") -> Iterator[bytes]:
    """Yield the rest of a stream in pieces that end with a line.

    That is where a row ends unless the line break stands in quotes: whoever parses a piece has to check its end.
    """
    held = b""
    while content := read_up_to(stream, PIECE_BYTES):
        end = content.rfind(line_break) + 1 or (len(content) if len(held) > LONGEST_PIECE else 0)
        if end:
            yield b"".join((held, memoryview(content)[:end]))
            held = content[end:]
        else:
            held += content
    if held:
        yield held


class ParsedPieces:
    """Pieces in order, a few of them parsed ahead by threads."""

    def __init__(
        self, pieces: Iterator[bytes], parse: Callable[[bytes], list[pa.RecordBatch]], pool: ThreadPoolExecutor
    ):
        self.pieces = pieces
        self.parse = parse
        self.pool = pool
        self.ahead: deque[Parsing] = deque()

    def __iter__(self) -> Iterator[Parsing]:
        """Yield each piece with the work on it, which may not be done yet."""
        for piece in self.pieces:
            self.ahead.append(Parsing(piece, self.pool.submit(self.parse, piece)))
            if len(self.ahead) > pa.cpu_count():
                yield self.ahead.popleft()
        while self.ahead:
            yield self.ahead.popleft()

    def rest(self, piece: bytes) -> Iterator[bytes]:
        """Yield a piece again and then all behind it, as it lies in the file."""
        yield piece
        while self.ahead:
            yield self.ahead.popleft().piece
        yield from self.pieces


@contextmanager
def parsing_threads() -> Iterator[ThreadPoolExecutor]:
    """Start as many threads as Arrow may use; what they have not begun when the block ends is dropped."""
    pool = ThreadPoolExecutor(pa.cpu_count(), "csv")
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


class Joined:
    """Pieces as one file to read from."""

    closed = False

    def __init__(self, pieces: Iterator[bytes]):
        self.pieces = pieces
        self.held = memoryview(b"")

    def read(self, size: int) -> bytes:
        """Return at most so many bytes; none at the end."""
        if not self.held:
            self.held = memoryview(next(self.pieces, b""))
        content, self.held = self.held[:size], self.held[size:]
        return bytes(content)

    def readable(self) -> bool:
        """Tell that this can be read."""
        return True

    def close(self) -> None:
        """Let go of the pieces."""
        self.pieces = iter(())
