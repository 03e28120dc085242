"""Directories that appear whole or not at all."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4


@contextmanager
def appearing_whole(destination: Path) -> Iterator[Path]:
    """Yield an empty directory that takes the name of ``destination`` when the block ends without an error.

    If another process has put its own there meanwhile, that one stays and ours is discarded. After an error
    nothing is left. After a kill a sibling is left whose name begins with a dot, which nobody reads.
    """
    destination.parent.mkdir(parents=True, exist_ok=True)
    # Not tempfile.mkdtemp: its directories are closed to other users, and workers may run as one of them.
    temporary = destination.with_name(f".{destination.name}-{os.getpid()}-{uuid4().hex[:8]}")
    temporary.mkdir()
    try:
        yield temporary
        rename_unless_there(temporary, destination)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def rename_unless_there(source: Path, destination: Path) -> None:
    """Rename a directory; where the destination exists and is not empty, leave both as they are."""
    try:
        source.rename(destination)
    except OSError:
        if not destination.is_dir():
            raise
