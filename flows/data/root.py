"""Where datasets lie: a directory of this machine, or a prefix of any store that fsspec knows (s3, gs, abfs, ...).

A directory is written to in place. To a store elsewhere a dataset is uploaded after it was built here, ``schema.json``
last: what has none is not a dataset. Whoever opens it gets a copy on this machine, which is fetched once.
"""

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol
from uuid import uuid4

import fsspec
from fsspec.core import split_protocol, url_to_fs

from flows.data.sources.files import EXTRAS, first_line
from flows.data.whole import appearing_whole
from flows.errors import DatasetError

SCHEMA = "schema.json"
"""The file that makes a directory a dataset: it is there last."""

DIGEST = re.compile(r"[0-9a-f]{64}")


class Root(Protocol):
    """A place for datasets, each under its digest, and for files besides, which are there whole or not at all."""

    def place(self, digest: str) -> str:
        """Return what to call a dataset's directory, here or elsewhere."""

    def has(self, digest: str) -> bool:
        """Tell whether a dataset is there."""

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """Yield a directory of this machine that can take files as large as the data."""

    @contextmanager
    def building(self, digest: str) -> Iterator[Path]:
        """Yield an empty directory; what it holds when the block ends without an error is the dataset."""

    def local(self, digest: str) -> Path:
        """Return a directory of this machine with the dataset's files."""

    def digests(self) -> list[str]:
        """Return the datasets that are there, sorted."""

    def size(self, digest: str) -> int:
        """Return how many bytes a dataset takes."""

    def remove(self, digest: str) -> None:
        """Remove a dataset; whoever has it open keeps it."""

    def read(self, name: str) -> str | None:
        """Return a text below the root; None if there is none."""

    def write(self, name: str, text: str) -> str:
        """Write a text below the root, whole or not at all, and return what to call it."""

    def read_bytes(self, name: str) -> bytes | None:
        """Return the content of a file below the root; None if there is none."""

    def write_bytes(self, name: str, content: bytes) -> str:
        """Write a file below the root, whole or not at all, and return what to call it."""

    def files(self, directory: str) -> list[str]:
        """Return the names of the files in a directory below the root, sorted; none if it is not there."""

    def discard(self, name: str) -> None:
        """Remove a file or a directory below the root, if it is there."""


HOME = "BACKPROP_HOME"
"""Of the environment: the directory below which a relative path of a root is meant; the working directory if unset."""


def open_root(root: str | Path) -> Root:
    """Return the root at a path or a URL; a relative path is one below ``BACKPROP_HOME``, if that is set.

    Raises
    ------
    DatasetError
        If nothing is installed that speaks the URL's protocol.
    """
    text = str(root)
    protocol = split_protocol(text)[0]
    if protocol in (None, "file"):
        home = Path(os.environ.get(HOME) or ".")
        return Directory((home / text.removeprefix("file://")).absolute())
    try:
        with explained(text):
            filesystem, path = url_to_fs(text)
    except ValueError as error:
        raise DatasetError(
            f"{text}: {first_line(error)}; use a directory, or a URL such as s3://bucket/datasets"
        ) from error
    return Elsewhere(text.rstrip("/"), filesystem, path.rstrip("/"))


def root_of(place: str) -> tuple[Root, str]:
    """Return the root and the digest of what `Root.place` returned."""
    parent, _, digest = place.rpartition("/")
    return open_root(parent), digest


@dataclass(frozen=True)
class Directory:
    """A root on this machine, or on a disk that every machine has mounted."""

    path: Path

    def place(self, digest: str) -> str:
        """Return the path of a dataset."""
        return str(self.path / digest)

    def has(self, digest: str) -> bool:
        """Tell whether a dataset is there."""
        return (self.path / digest).is_dir()

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """Yield the root itself; if it was made for this, it goes when it is empty."""
        was_there = self.path.is_dir()
        with explained(str(self.path)):
            self.path.mkdir(parents=True, exist_ok=True)
        try:
            yield self.path
        finally:
            if not was_there and not any(self.path.iterdir()):
                self.path.rmdir()

    @contextmanager
    def building(self, digest: str) -> Iterator[Path]:
        """Yield a directory beside the datasets, which becomes one by its name."""
        with explained(str(self.path)), appearing_whole(self.path / digest) as directory:
            yield directory

    def local(self, digest: str) -> Path:
        """Return the dataset itself."""
        return self.path / digest

    def digests(self) -> list[str]:
        """Return the datasets that are there, sorted."""
        if not self.path.is_dir():
            return []
        with explained(str(self.path)):
            names = [entry.name for entry in self.path.iterdir()]
        return sorted(name for name in names if DIGEST.fullmatch(name) and (self.path / name / SCHEMA).is_file())

    def size(self, digest: str) -> int:
        """Return how many bytes a dataset takes."""
        return sum(file.stat().st_size for file in (self.path / digest).rglob("*") if file.is_file())

    def remove(self, digest: str) -> None:
        """Rename a dataset, so that nobody finds half of it, and delete it."""
        gone = self.path / f".removed-{digest}-{uuid4().hex[:8]}"
        with explained(str(self.path)):
            (self.path / digest).rename(gone)
            shutil.rmtree(gone)

    def read(self, name: str) -> str | None:
        """Return a text below the root; None if there is none."""
        content = self.read_bytes(name)
        return None if content is None else content.decode()

    def write(self, name: str, text: str) -> str:
        """Write a text below the root, whole or not at all."""
        return self.write_bytes(name, text.encode())

    def read_bytes(self, name: str) -> bytes | None:
        """Return the content of a file below the root; None if there is none."""
        with explained(str(self.path)):
            file = self.path / name
            return file.read_bytes() if file.is_file() else None

    def write_bytes(self, name: str, content: bytes) -> str:
        """Write a file beside its name, which it then takes."""
        file = self.path / name
        temporary = file.with_name(f".{file.name}-{uuid4().hex[:8]}")
        with explained(str(self.path)):
            file.parent.mkdir(parents=True, exist_ok=True)
            try:
                with temporary.open("wb") as written:
                    written.write(content)
                    # Or a machine that loses power could keep the name and lose the content.
                    written.flush()
                    os.fsync(written.fileno())
                temporary.replace(file)
            finally:
                temporary.unlink(missing_ok=True)
        return str(file)

    def files(self, directory: str) -> list[str]:
        """Return the names of the files in a directory below the root, sorted."""
        place = self.path / directory
        with explained(str(self.path)):
            found = [entry.name for entry in place.iterdir() if entry.is_file()] if place.is_dir() else []
        return sorted(name for name in found if not name.startswith("."))

    def discard(self, name: str) -> None:
        """Remove a file or a directory below the root, if it is there."""
        place = self.path / name
        with explained(str(self.path)):
            if place.is_dir():
                shutil.rmtree(place)
            else:
                place.unlink(missing_ok=True)


@dataclass(frozen=True)
class Elsewhere:
    """A root in a store that is reached through fsspec."""

    url: str
    filesystem: fsspec.AbstractFileSystem
    path: str

    def place(self, digest: str) -> str:
        """Return the URL of a dataset."""
        return f"{self.url}/{digest}"

    def has(self, digest: str) -> bool:
        """Tell whether a dataset was uploaded to its end."""
        with explained(self.url):
            self.filesystem.invalidate_cache()
            return bool(self.filesystem.exists(f"{self.path}/{digest}/{SCHEMA}"))

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """Yield where the copies are."""
        with explained(str(copies())):
            copies().mkdir(parents=True, exist_ok=True)
        yield copies()

    @contextmanager
    def building(self, digest: str) -> Iterator[Path]:
        """Yield a directory among the copies, which is then uploaded."""
        copy = copies() / digest
        with explained(str(copies())), appearing_whole(copy) as directory:
            yield directory
        with explained(self.url):
            # Not the directory that was just filled: another process may have put its own there first.
            files = sorted(file.relative_to(copy) for file in copy.rglob("*") if file.is_file())
            for file in sorted(files, key=lambda file: file == Path(SCHEMA)):
                self.filesystem.put_file(str(copy / file), f"{self.path}/{digest}/{file.as_posix()}")

    def local(self, digest: str) -> Path:
        """Return the copy of a dataset on this machine; it is fetched if there is none."""
        copy = copies() / digest
        if not copy.is_dir():
            with explained(self.url), appearing_whole(copy) as directory:
                prefix = f"{self.path}/{digest}/"
                self.filesystem.invalidate_cache()
                if not self.filesystem.exists(prefix + SCHEMA):
                    raise DatasetError(f"{self.place(digest)}: there is no such dataset; ingest it")
                for found in self.filesystem.find(prefix):
                    file = directory / found.removeprefix(prefix)
                    file.parent.mkdir(parents=True, exist_ok=True)
                    self.filesystem.get_file(found, str(file))
        return copy

    def digests(self) -> list[str]:
        """Return the datasets that are there, sorted."""
        with explained(self.url):
            self.filesystem.invalidate_cache()
            found = self.filesystem.glob(f"{self.path}/*/{SCHEMA}")
        names = (str(path).split("/")[-2] for path in found)
        return sorted(name for name in names if DIGEST.fullmatch(name))

    def size(self, digest: str) -> int:
        """Return how many bytes a dataset takes."""
        with explained(self.url):
            return int(self.filesystem.du(f"{self.path}/{digest}", total=True))

    def remove(self, digest: str) -> None:
        """Delete first what makes it a dataset, so that nobody finds half of it, then the rest and the local copy."""
        with explained(self.url):
            self.filesystem.rm_file(f"{self.path}/{digest}/{SCHEMA}")
            self.filesystem.rm(f"{self.path}/{digest}", recursive=True)
        shutil.rmtree(copies() / digest, ignore_errors=True)

    def read(self, name: str) -> str | None:
        """Return a text below the root; None if there is none."""
        content = self.read_bytes(name)
        return None if content is None else content.decode()

    def write(self, name: str, text: str) -> str:
        """Write a text below the root, whole or not at all."""
        return self.write_bytes(name, text.encode())

    def read_bytes(self, name: str) -> bytes | None:
        """Return the content of a file below the root; None if there is none."""
        with explained(self.url):
            self.filesystem.invalidate_cache()
            try:
                content: bytes = self.filesystem.cat_file(f"{self.path}/{name}")
            except FileNotFoundError:
                return None
        return content

    def write_bytes(self, name: str, content: bytes) -> str:
        """Write a file, which a store shows whole or not at all."""
        with explained(self.url):
            self.filesystem.pipe_file(f"{self.path}/{name}", content)
        return f"{self.url}/{name}"

    def files(self, directory: str) -> list[str]:
        """Return the names of the files in a directory below the root, sorted."""
        with explained(self.url):
            self.filesystem.invalidate_cache()
            return sorted(str(path).rpartition("/")[2] for path in self.filesystem.glob(f"{self.path}/{directory}/*"))

    def discard(self, name: str) -> None:
        """Remove a file or a directory below the root, if it is there."""
        with explained(self.url):
            self.filesystem.invalidate_cache()
            if self.filesystem.exists(f"{self.path}/{name}"):
                self.filesystem.rm(f"{self.path}/{name}", recursive=True)


def copies() -> Path:
    """Return the directory of this machine's copies of datasets that lie elsewhere."""
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(cache).expanduser() / "backprop" / "datasets"


@contextmanager
def explained(where: str) -> Iterator[None]:
    """Turn what a file system raises into a DatasetError of one line."""
    try:
        yield
    except ImportError as error:
        protocol = split_protocol(where)[0]
        extra = EXTRAS.get(str(protocol))
        remedy = f"pip install 'backprop[{extra}]'" if extra else first_line(error)
        raise DatasetError(f"{where}: nothing is installed that reaches {protocol}://; {remedy}") from error
    except NotImplementedError as error:
        raise DatasetError(
            f"{where}: nothing can be written there; use a directory, or a store such as s3://"
        ) from error
    except OSError as error:
        raise DatasetError(
            f"{where}: the dataset cannot be written or read: {first_line(error)}; free space or choose another"
        ) from error
    except Exception as error:
        if not from_a_store(error):
            raise
        raise DatasetError(
            f"{where}: the store cannot be reached: {first_line(error)}; check the address and the credentials"
        ) from error


def from_a_store(error: Exception) -> bool:
    """Tell whether an error was made by the library of a store: no credentials, no route, an expired token."""
    modules: set[Any] = {kind.__module__.partition(".")[0] for kind in type(error).__mro__}
    return bool(modules & {"aiohttp", "azure", "botocore", "gcsfs", "google", "s3fs"})
