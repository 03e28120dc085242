"""An MLflow store that is a SQLite file: written ahead into a log, which several processes share well.

With SQLite's default, a rollback journal, each of the several transactions of a call to MLflow makes a file, waits for
the disk three times and deletes the file again, and keeps every other process out meanwhile.
"""

import contextlib
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import event
from sqlalchemy.engine import Engine

PATIENCE = 5.0
"""Seconds to wait for a process that writes, before a store is left as it is."""

BUSY_MILLISECONDS = 60_000
"""How long a call waits for others that write, before it fails as locked; Python's default is 5 seconds."""

_PREFIX = "sqlite:///"


def use_write_ahead_log(uri: str, patience: float = PATIENCE) -> None:
    """Set the journal of a SQLite store to a write-ahead log, which it keeps; do nothing for any other store.

    Only processes of one machine may share it: the log has an index in shared memory.
    """
    # Locked, read-only or of a file system that cannot share memory: it is written as it was before.
    with _connection(uri, patience) as database, contextlib.suppress(sqlite3.OperationalError):
        database.execute("PRAGMA journal_mode = WAL")


def fold_log(uri: str, patience: float = PATIENCE) -> None:
    """Write what the log still holds into the file itself, so that the file alone is the whole store."""
    with _connection(uri, patience) as database, contextlib.suppress(sqlite3.OperationalError):
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")


@event.listens_for(Engine, "connect")
def _share_with_others(connection: Any, record: object) -> None:  # noqa: ARG001 - SQLAlchemy's signature
    """Wait for other writers, and let commits to a write-ahead log not wait for the disk, which it needs seldom.

    A crash of a process loses nothing. A power failure may lose the last commits, that is, trials that will not be
    found finished, and leaves the file sound.
    """
    if isinstance(connection, sqlite3.Connection):
        connection.execute(f"PRAGMA busy_timeout = {BUSY_MILLISECONDS}")
        [(journal,)] = connection.execute("PRAGMA journal_mode")
        if journal == "wal":
            connection.execute("PRAGMA synchronous = NORMAL")


@contextmanager
def _connection(uri: str, patience: float) -> Iterator[sqlite3.Connection]:
    path = Path(uri.removeprefix(_PREFIX)) if uri.startswith(_PREFIX) else None
    database = sqlite3.connect(path if path is not None and path.is_file() else ":memory:", timeout=patience)
    try:
        yield database
    finally:
        database.close()
