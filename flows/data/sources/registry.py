"""The kinds of sources there are, and which of them reads what a person wrote."""

from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Protocol

from flows.data.sources import builtin, idx, openml, sql, table_files
from flows.data.sources.addresses import without_secrets
from flows.data.sources.columns import listed, nearest
from flows.data.sources.files import is_there
from flows.data.sources.source import Source
from flows.errors import SourceError, TableError


class Kind(Protocol):
    """A module that reads one kind of source: how a person writes it, whether a text means it, how it is opened."""

    USAGE: str

    def claims(self, data: str) -> bool:
        """Tell whether ``data`` is written as this kind of source."""

    def open_source(self, data: str) -> Source:
        """Return the table that ``data`` names."""


KINDS: tuple[Kind, ...] = (builtin, idx, openml, sql, table_files)


def open_source(data: str) -> Source:
    """Return the table that ``data`` names; its header is read, its rows are not.

    Raises
    ------
    SourceError
        If there is no such source or it cannot be read.
    TableError
        If a column has no name, shares it, or holds what a table cannot have.
    """
    for kind in KINDS:
        if kind.claims(data):
            return kind.open_source(data)
    raise unknown_source(data)


def require_targets(source: Source, targets: Sequence[str]) -> tuple[str, ...]:
    """Return the target columns: those given, or else those that the source brings.

    Raises
    ------
    SourceError
        If the source brings its own and others are given that it does not have.
    TableError
        If none are given and the source brings none, or one is not a column.
    """
    names = source.schema.names
    if not targets and source.targets is None:
        raise TableError(f"{source.uri}: which column is the target? Name it with --target COLUMN ({listed(names)})")
    for target in targets:
        if source.targets is not None and (source.pixels or target not in names):
            raise SourceError(f"{source.uri} brings its own target: leave out --target {target}")
        if target not in names:
            raise TableError(f"{source.uri}: there is no column {target!r}; {nearest(target, names)}")
    return tuple(dict.fromkeys(targets)) or source.targets or ()


def unknown_source(data: str) -> SourceError:
    """Say what was probably meant, and all that is possible."""
    possible = f"possible are {', '.join(kind.USAGE for kind in KINDS)}"
    if is_there(Path(data)):
        return SourceError(f"{data!r}: cannot tell what kind of data this is; {possible}")
    close = get_close_matches(data, builtin.NAMES, n=1)
    meant = f"did you mean {close[0]}? " if close else ""
    return SourceError(f"{without_secrets(data)!r} is neither a built-in data set nor a file; {meant}{possible}")
