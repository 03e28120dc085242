"""Files wherever they lie: found, opened and watched for changes through fsspec."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path, PurePosixPath
from typing import IO, Any, cast

import fsspec
import pyarrow as pa
from fsspec.core import split_protocol, url_to_fs
from fsspec.implementations.local import LocalFileSystem

from flows.data.sources.addresses import without_secrets
from flows.data.sources.source import ValueTooWide
from flows.data.sources.streams import owned_stream
from flows.errors import InputError, SourceError

GLOB_CHARACTERS = frozenset("*?[")
COMPRESSIONS = {".gz": "gzip", ".zst": "zstd"}
# Which of our extras brings the file system of a protocol.
EXTRAS = {"s3": "s3", "s3a": "s3", "gs": "gcs", "gcs": "gcs", "abfs": "azure", "abfss": "azure", "az": "azure"}
# What a file system may tell of a file's content, under the names that the stores give it.
MARKS = ("size", "mtime", "ino", "ETag", "etag", "LastModified", "Last-Modified", "last_modified", "updated", "md5Hash")
# What a mistake in a program raises.
MISTAKES = (AssertionError, AttributeError, LookupError, NameError, TypeError)
# How much is fetched at once: of a file that is read from front to back, and of one that is read here and there.
BLOCK_BYTES = 8 * 2**20
SEEKING_BYTES = 2**20


@dataclass(frozen=True)
class DataFile:
    """One file: the file system it lies in, its path there, and what to call it in a message."""

    filesystem: fsspec.AbstractFileSystem
    path: str
    uri: str

    @property
    def name(self) -> str:
        """The file's name without its directories."""
        return PurePosixPath(self.uri.partition("?")[0]).name

    @property
    def stem(self) -> str:
        """The name without the suffixes of its compression and its kind."""
        name = self.name
        for ending in COMPRESSIONS:
            name = name.removesuffix(ending)
        return PurePosixPath(name).stem

    @property
    def local_path(self) -> Path | None:
        """Where it lies on this machine; None where it lies on another."""
        return Path(self.path) if isinstance(self.filesystem, LocalFileSystem) else None

    def open_stream(self) -> pa.NativeFile:
        """Open the file to be read from front to back, through its compression where the name tells of one."""
        return pa.CompressedInputStream(self.open_raw(), kind) if (kind := self.compression) else self.open_raw()

    @property
    def compression(self) -> str | None:
        """Arrow's name of the compression that the file's name tells of."""
        return COMPRESSIONS.get(PurePosixPath(self.name).suffix.lower())

    def open_raw(self) -> pa.NativeFile:
        """Open the bytes as they lie there, to be read from front to back."""
        if self.local_path is not None:
            return pa.OSFile(self.path)
        # A server need not know ranges of bytes: read from the front, no file asks for them.
        block = 0 if self.is_http else BLOCK_BYTES
        return owned_stream(self.filesystem.open(self.path, "rb", block_size=block), BLOCK_BYTES)

    def open_seekable(self) -> IO[bytes]:
        """Open the bytes to be read in any order: over HTTP, a copy of them on this machine."""
        if self.local_path is not None:
            return self.local_path.open("rb")
        if not self.is_http:
            return cast("IO[bytes]", self.filesystem.open(self.path, "rb", block_size=SEEKING_BYTES))
        copy = tempfile.TemporaryFile()  # noqa: SIM115 - closed, and so removed, by the caller
        self.filesystem.get_file(self.path, copy)
        copy.seek(0)
        return copy

    @property
    def is_http(self) -> bool:
        """Tell whether a web server holds the file."""
        return "http" in protocols(self.filesystem)

    def state(self) -> tuple[object, ...]:
        """Return what differs once the content does: size, time of change, the store's own tag."""
        self.filesystem.invalidate_cache()
        facts: dict[str, Any] = self.filesystem.info(self.path)
        return tuple(facts.get(mark) for mark in MARKS)


def protocols(filesystem: fsspec.AbstractFileSystem) -> tuple[str, ...]:
    """Return the protocols that a file system answers to."""
    return (filesystem.protocol,) if isinstance(filesystem.protocol, str) else tuple(filesystem.protocol)


def is_there(path: Path) -> bool:
    """Tell whether there is something at a path; a path that cannot even be asked for has nothing."""
    try:
        path.stat()
    except (OSError, ValueError):
        return False
    return True


def find_files(data: str) -> tuple[DataFile, ...]:
    """Return the file at a path, or in name order those in a directory or matching a pattern.

    Names that begin with a dot or an underscore are left out, as Spark and Hive do: they are no data.

    Raises
    ------
    SourceError
        If nothing is there, or it may not be read, or a file has no bytes.
    """
    uri = without_secrets(data)
    if "\0" in data:
        raise SourceError(f"{uri!r}: no file can have a name with a zero byte in it; check the path")
    with explained(uri):
        filesystem, path = url_to_fs(data)
        filesystem.invalidate_cache()
        return tuple(listed_files(uri, filesystem, path))


def listed_files(uri: str, filesystem: fsspec.AbstractFileSystem, path: str) -> Iterator[DataFile]:
    """Yield the files that a path of a file system stands for."""
    if "http" in protocols(filesystem):
        filesystem.info(path)
        yield DataFile(filesystem, path, uri)
    elif is_pattern(uri) and not filesystem.exists(path):
        matches = [found for found, facts in filesystem.glob(path, detail=True).items() if facts["type"] == "file"]
        if not matches:
            raise SourceError(f"{uri}: no file matches this pattern; check it{working_directory(filesystem)}")
        base = uri[: min(uri.index(character) for character in GLOB_CHARACTERS if character in uri)]
        root = path[: len(path) - (len(uri) - len(base))]
        yield from named_parts(filesystem, matches, root, base)
    else:
        facts = filesystem.info(path)
        if facts["type"] == "directory":
            found = filesystem.find(path, detail=False)
            yield from named_parts(filesystem, found, path.rstrip("/") + "/", uri.rstrip("/") + "/")
        elif facts["size"] == 0 and facts["type"] == "file":
            raise SourceError(f"{uri}: the file is empty (0 bytes); write it again")
        else:
            yield DataFile(filesystem, path, uri)


def named_parts(filesystem: fsspec.AbstractFileSystem, paths: list[str], root: str, shown: str) -> Iterator[DataFile]:
    """Yield the files below a root in the order of their names, each called as the person called the root."""
    for path in sorted(paths):
        below = path.removeprefix(root)
        if not any(part.startswith((".", "_")) for part in PurePosixPath(below).parts):
            yield DataFile(filesystem, path, shown + below)


def is_pattern(data: str) -> bool:
    """Tell whether a path holds a character that stands for others."""
    return any(character in data for character in GLOB_CHARACTERS)


def working_directory(filesystem: fsspec.AbstractFileSystem) -> str:
    """Say where a relative path begins, which is what is most often wrong with it."""
    return f" (the working directory is {Path.cwd()})" if isinstance(filesystem, LocalFileSystem) else ""


@contextmanager
def explained(uri: str) -> Iterator[None]:
    """Turn what a file system raises into a SourceError of one line."""
    try:
        yield
    except (InputError, ValueTooWide):
        raise
    except Exception as error:
        reason = reason_of(uri, error)
        if reason is None:
            raise
        raise SourceError(f"{uri}: {reason}") from error


def reason_of(uri: str, error: Exception) -> str | None:
    """Say what is wrong and what to do; None where the fault is not the file system's."""
    protocol = split_protocol(uri)[0]
    if isinstance(error, ImportError):
        extra = EXTRAS.get(str(protocol))
        remedy = f"pip install 'backprop[{extra}]'" if extra else first_line(error)
        return f"nothing is installed that reads {protocol}://; {remedy}"
    if isinstance(error, FileNotFoundError):
        # Of a web server fsspec says that the file is not there, whatever it was that failed.
        cause = error.__cause__
        status = getattr(cause, "status", None)
        if status not in (None, HTTPStatus.NOT_FOUND, HTTPStatus.GONE):
            return f"the server answers {status} {getattr(cause, 'message', '')}; check the address and the credentials"
        if isinstance(cause, OSError) and not isinstance(cause, FileNotFoundError):
            return f"the server cannot be reached: {first_line(cause)}; check the address, or try again"
        return f"no such file; check the path{'' if protocol else f' (the working directory is {Path.cwd()})'}"
    if isinstance(error, PermissionError):
        return f"access is denied ({first_line(error)}); ask for the right to read it, or check the credentials"
    if isinstance(error, OSError) and error.errno is None and protocol in (None, "file"):
        # Not the system's error but that of a decompressor.
        return f"cannot be read: {first_line(error)}; is the file cut or damaged? Write it again"
    if isinstance(error, OSError):
        return f"cannot be read: {error.strerror or first_line(error)}; try again, or copy it here first"
    # Every library of a store has errors of its own: no credentials, no route, an expired token.
    if protocol not in (None, "file") and not isinstance(error, MISTAKES):
        return f"cannot be reached: {first_line(error)}; check the address and the credentials"
    return None


def first_line(error: Exception) -> str:
    """Return the first line of what a library says, which may be long, for a message of one line."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
