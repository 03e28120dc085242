"""The kinds of sources there are, and which of them reads what a person wrote."""

from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from flows.data.sources import builtin, csv_file, idx, parquet_file
from flows.data.sources.files import is_there
from flows.data.sources.table import Table
from flows.errors import SourceError


@dataclass(frozen=True)
class Source:
    """A kind of source: how a person writes it, whether a text means it, and how it is looked at and read."""

    usage: str
    claims: Callable[[str], bool]
    check: Callable[[str, str | None], None]
    read: Callable[[str, str | None], Table]


SOURCES = tuple(
    Source(kind.USAGE, kind.claims, kind.check, kind.read) for kind in (builtin, idx, csv_file, parquet_file)
)


def check_source(data: str, target: str | None) -> None:
    """Raise what ``read_source`` would raise and what can be told at once: no such file, no such target.

    For whoever asked and would wait for seconds before the reading begins.
    """
    find_source(data).check(data, target)


def read_source(data: str, target: str | None) -> Table:
    """Read the table that ``data`` names; ``target`` is its target column, None where the source brings its own.

    Raises
    ------
    SourceError
        If there is no such source or it cannot be read.
    TableError
        If a file's columns are not unique, or its target is not given or not among them.
    """
    return find_source(data).read(data, target)


def find_source(data: str) -> Source:
    """Return the kind of source that ``data`` is written as; a SourceError if it is none."""
    for source in SOURCES:
        if source.claims(data):
            return source
    raise unknown_source(data)


def unknown_source(data: str) -> SourceError:
    """Say what was probably meant, and all that is possible."""
    possible = f"possible are {', '.join(source.usage for source in SOURCES)}"
    if is_there(Path(data)):
        return SourceError(f"{data!r}: cannot tell what kind of data this is; {possible}")
    close = get_close_matches(data, builtin.NAMES, n=1)
    meant = f"did you mean {close[0]}? " if close else ""
    return SourceError(f"{data!r} is neither a built-in data set nor a file; {meant}{possible}")
