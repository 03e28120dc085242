"""CSV files: a header in the first line, commas, UTF-8 with or without a byte order mark."""

import csv
import re
from functools import partial
from itertools import islice
from pathlib import Path

import pandas as pd

from flows.data.sources.files import check_columns, existing_file, first_line
from flows.data.sources.table import Table
from flows.errors import SourceError, TableError

USAGE = "PATH.csv"


def claims(data: str) -> bool:
    """Tell whether ``data`` is the path of a CSV file."""
    return data.lower().endswith(".csv")


def check(data: str, target: str | None) -> None:
    """Raise what ``read`` would raise of the file and its header, without reading the rows."""
    usable_target(data, existing_file(data), target)


def read(data: str, target: str | None) -> Table:
    """Read a CSV file; empty fields and the words pandas knows for them (NA, null) are missing values.

    Raises
    ------
    SourceError
        If the file cannot be read as CSV.
    TableError
        If its header is not one usable name a column, or the target is not among them.
    """
    path = existing_file(data)
    target = usable_target(data, path, target)
    frame = read_frame(data, path)
    return Table(
        name=path.stem,
        uri=data,
        features=frame.drop(columns=target),
        target=frame[target],
        locate=partial(line_of_row, path),
    )


def usable_target(data: str, path: Path, target: str | None) -> str:
    """Return the target's name after checking the header."""
    header = read_header(data, path)
    check_names(data, header)
    return check_columns(data, header, target)


def read_header(data: str, path: Path) -> list[str]:
    """Return the fields of the first line that is not blank, before pandas renames what is there twice."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as lines:
            reader = csv.reader(lines)
            records = (record for record in reader if not is_blank(record))
            header, first = next(records, []), next(records, [])
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise unreadable(data, path, error) from error
    # Where the first row has a field too many, pandas would silently take the first column for an index.
    if len(first) > len(header):
        raise SourceError(
            f"{data}: line {reader.line_num} has {len(first)} fields and the header {len(header)}; "
            "quote or remove the extra comma"
        )
    return header


def check_names(data: str, header: list[str]) -> None:
    """Raise an error where a column has no name: most often an index, which must not become a feature."""
    if not header:
        raise SourceError(f"{data}: there are only blank lines; write a header and rows")
    if "" in header:
        position = header.index("") + 1
        raise TableError(
            f"{data}: column {position} has no name in the header (an index that pandas wrote?); name or remove it"
        )


def read_frame(data: str, path: Path) -> pd.DataFrame:
    """Parse the whole file at once, so that a column has one type from its first row to its last."""
    try:
        frame = pd.read_csv(path, encoding="utf-8", low_memory=False)
    except (OSError, UnicodeDecodeError, pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise unreadable(data, path, error) from error
    if frame.empty:
        raise SourceError(f"{data}: there is a header and no rows; write the rows below it")
    return frame


def unreadable(data: str, path: Path, error: Exception) -> SourceError:
    """Say in one line what is wrong with the file."""
    if isinstance(error, UnicodeDecodeError):
        return SourceError(f"{data}: line {undecodable_line(path)} is not UTF-8 text; save the file as UTF-8")
    if isinstance(error, OSError):
        return SourceError(f"{data}: cannot be read: {error.strerror or first_line(error)}")
    # pandas says: Error tokenizing data. C error: Expected 3 fields in line 4, saw 5
    reason = first_line(error).rpartition("C error: ")[2]
    opened = re.fullmatch(r"EOF inside string starting at row (\d+)", reason)
    if opened:
        reason = f"the quote that opens in line {int(opened[1]) + 1} is not closed"
    return SourceError(f"{data}: not valid CSV: {reason}; correct that line")


def undecodable_line(path: Path) -> int:
    """Find the line of the first byte that is not UTF-8: the decoder counts from the start of its buffer."""
    with path.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            if line.decode(errors="ignore").encode() != line:
                return number
    return number


def is_blank(record: list[str]) -> bool:
    """Tell whether pandas skips this record as a blank line."""
    return len(record) < 2 and not "".join(record).strip()


def line_of_row(path: Path, row: int) -> str:
    """Find the line on which a row stands, blank lines and line breaks within quotes counted."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as lines:
            reader = csv.reader(lines)
            ends = (reader.line_num for record in reader if not is_blank(record))
            return f"line {next(islice(ends, row + 1, None), row + 2)}"
    except csv.Error:
        # The csv module refuses fields that pandas reads, those above 128 KiB among them.
        return f"line {row + 2}"
