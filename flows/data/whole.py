"""Directories and files that appear whole or not at all."""

import errno
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


@contextmanager
def file_appearing_whole(destination: Path, *, overwrite: bool) -> Iterator[Path]:
    """Yield a path whose file takes the name of ``destination`` when the block ends without an error.

    After an error nothing is left. After a kill a sibling is left whose name begins with a dot, which nobody reads.

    Raises
    ------
    FileExistsError
        There is a file of that name, and it may not be overwritten.
    """
    with _said_to_be_no_directory(destination.parent):
        destination.parent.mkdir(parents=True, exist_ok=True)
    # The endings stay at the end: by them a library knows what to write.
    temporary = destination.with_name(f".{os.getpid()}-{uuid4().hex[:8]}-{destination.name}")
    try:
        yield temporary
        if overwrite:
            temporary.replace(destination)
        else:
            # A link, because a rename would replace a file that appeared meanwhile.
            destination.hardlink_to(temporary)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def _said_to_be_no_directory(parent: Path) -> Iterator[None]:
    """Tell a file in the place of the directory from one that was there before ours."""
    try:
        yield
    except FileExistsError as error:
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(parent)) from error
