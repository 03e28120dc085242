"""What CSV and Parquet files have in common: a file that must be there, a target among its columns."""

from collections import Counter
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path

from flows.errors import SourceError, TableError


def existing_file(data: str) -> Path:
    """Return the path of a file that is there and has content.

    Raises
    ------
    SourceError
        If nothing is there, or a directory, or a file of no bytes.
    """
    path = Path(data)
    if not is_there(path):
        raise SourceError(f"{data}: no such file; check the path (the working directory is {Path.cwd()})")
    if path.is_dir():
        raise SourceError(f"{data}: is a directory; give the path of one file in it")
    if path.is_file() and path.stat().st_size == 0:
        raise SourceError(f"{data}: the file is empty (0 bytes); write it again")
    return path


def is_there(path: Path) -> bool:
    """Tell whether there is something at a path; a path that cannot even be asked for has nothing."""
    try:
        path.stat()
    except (OSError, ValueError):
        return False
    return True


def check_columns(data: str, columns: Sequence[str], target: str | None) -> str:
    """Return the target's name after checking that it and every other column can be told apart.

    Raises
    ------
    TableError
        If a name is there twice, or no target is given, or the target is not among the columns.
    """
    repeated = [name for name, count in Counter(columns).items() if count > 1]
    if repeated:
        raise TableError(f"{data}: column {repeated[0]!r} appears more than once; rename or remove one of them")
    if target is None:
        raise TableError(f"{data}: which column is the target? Name it with --target COLUMN ({listed(columns)})")
    if target not in columns:
        raise TableError(f"{data}: there is no column {target!r}; {nearest(target, columns)}")
    return target


def nearest(name: str, columns: Sequence[str]) -> str:
    """Suggest the column that was probably meant, or list what there is."""
    close = get_close_matches(name, columns, n=1)
    return f"did you mean --target {close[0]}?" if close else f"choose --target from {listed(columns)}"


def listed(names: Sequence[str], limit: int = 8) -> str:
    """List names for a message; of many, the first few and how many more."""
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(repr(name) for name in names[:limit]) + more


def first_line(error: Exception) -> str:
    """Return the first line of what a library says, which may be long, for a message of one line."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
