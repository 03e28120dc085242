"""Tables in files: which kind a file is of, by its name, and all the files that make one table."""

from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

from flows.data.sources.addresses import without_secrets
from flows.data.sources.arrow_file import ARROW
from flows.data.sources.csv_file import CSV
from flows.data.sources.file_table import Format, file_source
from flows.data.sources.files import COMPRESSIONS, DataFile, find_files, is_pattern, is_there
from flows.data.sources.json_lines import JSON_LINES
from flows.data.sources.npy_file import NPY
from flows.data.sources.npz_file import NPZ
from flows.data.sources.parquet_file import PARQUET
from flows.data.sources.source import Source
from flows.errors import SourceError

FORMATS = (CSV, PARQUET, ARROW, JSON_LINES, NPY, NPZ)
USAGE = ", ".join(kind.usage for kind in FORMATS) + ", a directory or a pattern of them"


def claims(data: str) -> bool:
    """Tell whether ``data`` is a path or an address: by its ending, or because there is a directory."""
    return "://" in data or is_pattern(data) or format_of(data) is not None or (data != "" and is_directory(data))


def is_directory(data: str) -> bool:
    """Tell whether a directory of this machine is meant."""
    return is_there(Path(data)) and Path(data).is_dir()


def format_of(name: str) -> Format | None:
    """Return the kind of file that a name tells of, through the ending of a compression where it is text."""
    path = PurePosixPath((urlsplit(name).path if "://" in name else name).lower())
    compressed = path.suffix in COMPRESSIONS
    suffix = path.with_suffix("").suffix if compressed else path.suffix
    return next((kind for kind in FORMATS if suffix in kind.suffixes and (kind.is_text or not compressed)), None)


def open_source(data: str) -> Source:
    """Return the table in a file, or in all the files of a directory or matching a pattern.

    Raises
    ------
    SourceError
        If nothing is there that can be read, or the files are of several kinds.
    TableError
        If a column has no name or shares it.
    """
    uri = without_secrets(data)
    files = find_files(data)
    if len(files) == 1 and files[0].uri == uri:
        kind = format_of(files[0].uri)
        if kind is None:
            raise SourceError(f"{uri}: cannot tell what kind of file this is by its name; possible are {USAGE}")
        return file_source(files[0].stem, uri, kind, files)
    kind, files = one_kind(uri, files)
    return file_source(table_name(uri), uri, kind, files)


def one_kind(uri: str, files: tuple[DataFile, ...]) -> tuple[Format, tuple[DataFile, ...]]:
    """Return the files that hold tables and the one kind that they are all of; a SourceError if there are several."""
    kinds = {file: kind for file in files if (kind := format_of(file.uri)) is not None}
    if not kinds:
        raise SourceError(f"{uri}: there is no file of a known kind in it; possible are {USAGE}")
    first = next(iter(kinds))
    for file, kind in kinds.items():
        if kind is not kinds[first]:
            raise SourceError(f"{uri}: {first.name} and {file.name} are of different kinds; give a pattern of one kind")
    return kinds[first], tuple(kinds)


def table_name(uri: str) -> str:
    """Name the table after the last directory that is no pattern."""
    parts = [part for part in PurePosixPath(urlsplit(uri).path if "://" in uri else uri).parts if not is_pattern(part)]
    return PurePosixPath(parts[-1]).name if parts and parts[-1] not in ("/", ".", "..") else "table"
