"""Where a CSV file is at fault: Arrow reads it in blocks and names no line, so the file is read again by lines."""

import csv
from collections.abc import Iterator
from itertools import islice
from typing import NamedTuple

from flows.data.sources.csv_header import DELIMITER_NAMES, Header, is_blank, not_utf8, open_text, read_header
from flows.data.sources.files import DataFile, first_line
from flows.errors import SourceError


class Record(NamedTuple):
    """A record of a CSV file: the lines on which it begins and ends, and its fields."""

    begins: int
    ends: int
    fields: list[str]


def records(file: DataFile, header: Header) -> Iterator[Record]:
    """Yield the header and the rows, which may go over several lines, without the blank lines between them."""
    with open_text(file) as lines:
        reader = csv.reader(lines, delimiter=header.delimiter)
        begins = 1
        for fields in reader:
            if not is_blank(fields, len(header.names)):
                yield Record(begins, reader.line_num, fields)
            begins = reader.line_num + 1


def fault_of(file: DataFile, header: Header, error: Exception) -> SourceError:
    """Say in one line what is wrong with the file and on which line."""
    columns, last = len(header.names), Record(0, 0, [])
    try:
        for last in records(file, header):
            if len(last.fields) != columns:
                break
        else:
            return SourceError(f"{file.uri}: not valid CSV: {first_line(error)}; correct the file")
    except UnicodeDecodeError:
        return not_utf8(file)
    except csv.Error:
        # A field of more than 128 KiB, which this reader refuses.
        return SourceError(
            f"{file.uri}: the quote that opens in line {last.ends + 1} is not closed within 128 KiB; correct that line"
        )
    if has_open_quote(file, header, last):
        return SourceError(f"{file.uri}: the quote that opens in line {last.begins} is not closed; correct that line")
    delimiter = DELIMITER_NAMES[header.delimiter]
    remedy = f"quote or remove the extra {delimiter}" if len(last.fields) > columns else f"add the missing {delimiter}s"
    fields = "field" if len(last.fields) == 1 else "fields"
    return SourceError(
        f"{file.uri}: line {last.ends} has {len(last.fields)} {fields} and the header {columns}; "
        f"correct that line: {remedy}"
    )


def has_open_quote(file: DataFile, header: Header, record: Record) -> bool:
    """Tell whether a record ends because the file does, within a quote."""
    with open_text(file) as text:
        lines = list(islice(text, record.begins - 1, record.ends))
    try:
        for _ in csv.reader(lines, delimiter=header.delimiter, strict=True):
            pass
    except csv.Error as error:
        return "unexpected end of data" in str(error)
    return False


def line_of_row(file: DataFile, row: int) -> str:
    """Find the line on which a row ends, blank lines and line breaks within quotes counted."""
    try:
        header = read_header(file)
        found = next(islice(records(file, header), row + 1, None), None)
    except csv.Error:
        # A field of more than 128 KiB, which this reader refuses.
        found = None
    return f"line {row + 2 if found is None else found.ends}"
