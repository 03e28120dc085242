"""How a CSV file is written: its delimiter and its header, found out from its first lines."""

import csv
import io
from dataclasses import dataclass
from itertools import islice
from pathlib import PurePosixPath

from flows.data.sources.files import DataFile
from flows.errors import SourceError

DELIMITERS = (",", ";", "\t", "|")
DELIMITER_NAMES = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}
# So many lines show the delimiter; a header of hundreds of thousands of columns still fits a line.
FIRST_LINES = 50
LONGEST_LINE = 8 * 2**20
BYTE_ORDER_MARK = "\ufeff"


@dataclass(frozen=True)
class Header:
    """The names of the columns, what stands between fields and lines, and after how many bytes the rows begin."""

    names: tuple[str, ...]
    delimiter: str
    line_break: bytes
    bytes: int


def open_text(file: DataFile) -> io.TextIOWrapper:
    """Open a file as text, through its compression; a byte order mark is no part of it."""
    return io.TextIOWrapper(file.open_stream(), encoding="utf-8-sig", newline="")


def is_blank(record: list[str], columns: int) -> bool:
    """Tell whether a record is a blank line and no row: spaces alone are a value where there is one column."""
    return not record or (len(record) == 1 and columns > 1 and not record[0].strip())


def read_header(file: DataFile) -> Header:
    """Return the header after finding the delimiter that splits the first lines most evenly.

    Raises
    ------
    SourceError
        If there are only blank lines, or the first one is not UTF-8 text.
    """
    try:
        with io.TextIOWrapper(file.open_stream(), encoding="utf-8", newline="") as text:
            lines = first_lines(text)
    except UnicodeDecodeError as error:
        raise not_utf8(file) from error
    mark = BYTE_ORDER_MARK if lines[0].startswith(BYTE_ORDER_MARK) else ""
    lines[0] = lines[0].removeprefix(mark)
    before = next((number for number, line in enumerate(lines) if line.strip()), None)
    if before is None:
        raise SourceError(f"{file.uri}: there are only blank lines; write a header and rows")
    if "\0" in lines[before]:
        raise SourceError(f"{file.uri}: line {before + 1} has zero bytes (is it UTF-16?); save the file as UTF-8")
    written = [line for line in lines[before:] if line]
    delimiter = "\t" if is_tsv(file) else find_delimiter(written)
    reader = csv.reader(written, delimiter=delimiter)
    try:
        names = next(reader)
    except csv.Error as error:
        raise SourceError(
            f"{file.uri}: the header in line {before + 1} has a field of more than 128 KiB; separate lines by line "
            "breaks, and close its quotes"
        ) from error
    above = "".join([mark, *lines[:before], *written[: reader.line_num]])
    line_break = b"\r" if lines[before].endswith("\r") else b"\n"
    return Header(tuple(names), delimiter, line_break, len(above.encode()))


def first_lines(text: io.TextIOWrapper) -> list[str]:
    """Return the first lines, fewer where they are long; one empty one of a file without any."""
    lines = [text.readline(LONGEST_LINE)]
    while lines[-1] and len(lines) < FIRST_LINES and sum(map(len, lines)) < LONGEST_LINE:
        lines.append(text.readline(LONGEST_LINE))
    return lines


def is_tsv(file: DataFile) -> bool:
    """Tell whether the file's name says that tabs are its delimiters."""
    return PurePosixPath(file.name.lower()).with_suffix("").suffix == ".tsv" or file.name.lower().endswith(".tsv")


def find_delimiter(lines: list[str]) -> str:
    """Return the delimiter that gives most lines as many fields as the header; a comma where none splits it."""
    return max(DELIMITERS, key=lambda delimiter: evenness(lines, delimiter))


def evenness(lines: list[str], delimiter: str) -> tuple[float, int]:
    """Return the share of records with as many fields as the first, and how many those are; (0, 1) for one."""
    records = first_records(lines, delimiter, FIRST_LINES)
    fields = len(records[0])
    return (sum(len(record) == fields for record in records) / len(records), fields) if fields > 1 else (0.0, 1)


def first_records(lines: list[str], delimiter: str, count: int) -> list[list[str]]:
    """Split the first lines into records; a quote that is still open in the last line is no fault yet."""
    reader = csv.reader(lines, delimiter=delimiter)
    try:
        return list(islice((record for record in reader if record), count))
    except csv.Error:
        return [lines[0].rstrip("\r\n").split(delimiter)]


def not_utf8(file: DataFile) -> SourceError:
    """Say on which line the first byte stands that is not UTF-8: the decoder counts from its buffer's start."""
    with io.BufferedReader(file.open_stream()) as lines:
        faulty = (number for number, line in enumerate(lines, start=1) if not is_utf8(line))
        return SourceError(f"{file.uri}: line {next(faulty)} is not UTF-8 text; save the file as UTF-8")


def is_utf8(line: bytes) -> bool:
    """Tell whether all bytes of a line are text."""
    return line.decode(errors="ignore").encode() == line
