"""JSON lines: one object a line, its keys the columns; plain or compressed."""

import json
import re
from collections.abc import Iterator
from datetime import datetime
from itertools import islice

import pyarrow as pa
import pyarrow.json as pj

from flows.data.sources.columns import widest
from flows.data.sources.csv_header import not_utf8, open_text
from flows.data.sources.file_table import Format
from flows.data.sources.files import DataFile, first_line
from flows.data.sources.source import ValueTooWide
from flows.errors import SourceError

# A line has to fit a block; the types are inferred from the first one.
BLOCK_BYTES = 4 * 2**20
# What Python's reader makes of a value, and the type that holds it.
TYPES = {bool: pa.bool_(), float: pa.float64(), str: pa.string(), type(None): pa.null()}
KINDS = {pa.bool_(): "true or false", pa.float64(): "a number", pa.int64(): "a number", pa.string(): "a text"}
# The texts that Arrow takes for instants, to the second.
INSTANT = re.compile(r"\d{4}-\d\d-\d\d([ T]\d\d:\d\d:\d\d)?")


def read_schema(file: DataFile) -> pa.Schema:
    """Return the keys of the first block with the types that its values show; null where it shows none."""
    try:
        with open_blocks(file) as blocks:
            found: pa.Schema = blocks.schema
    except pa.ArrowInvalid as error:
        return scanned_schema(file, error)
    except UnicodeDecodeError as error:
        raise not_utf8(file) from error
    return found


def read_batches(file: DataFile, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    """Yield the rows in blocks; a key that a line does not have is missing there.

    Raises
    ------
    ValueTooWide
        If a value does not fit its column, or a key is new.
    SourceError
        If a line is not one JSON object, or not UTF-8.
    """
    try:
        with open_blocks(file, schema) as blocks:
            for batch in blocks:
                # Arrow looks for the ends of texts alone, not whether their bytes are UTF-8.
                batch.validate(full=True)
                yield batch
    except pa.ArrowInvalid as error:
        # Arrow does not say which column and which line: they are looked for in Python, which is slow and rare.
        raise ValueTooWide(scanned_schema(file, error, schema)) from error
    except UnicodeDecodeError as error:
        raise not_utf8(file) from error


def open_blocks(file: DataFile, schema: pa.Schema | None = None) -> pa.RecordBatchReader:
    """Open the lines as a reader of blocks, with types given or inferred from the first block."""
    # A new key is an error and not left out: it is a column that the first block did not show.
    unexpected = "infer" if schema is None else "error"
    return pj.open_json(
        file.open_stream(),
        pj.ReadOptions(block_size=BLOCK_BYTES),
        pj.ParseOptions(explicit_schema=schema, unexpected_field_behavior=unexpected),
    )


def scanned_schema(file: DataFile, error: Exception, known: pa.Schema | None = None) -> pa.Schema:
    """Read every line and return the columns with types that hold all values.

    Raises
    ------
    SourceError
        If a line is not one object of plain values, or a column's are of several kinds, or nothing explains Arrow's
        error.
    """
    types: dict[str, pa.DataType] = {}
    for line, record in records(file):
        for key, value in record.items():
            before = types.get(key, pa.null())
            found = type_of(file, line, key, value, known)
            if found != before:
                types[key] = joined(file, line, key, before, found)
    if not types or (known is not None and all(fits(found, key, known) for key, found in types.items())):
        raise SourceError(f"{file.uri}: cannot be read as JSON lines: {first_line(error)}; write the file again")
    return pa.schema(list(types.items()))


def joined(file: DataFile, line: int, key: str, before: pa.DataType, found: pa.DataType) -> pa.DataType:
    """Return a type for the values so far and one more; unlike in a CSV file, a number is no text."""
    wider = widest(before, found)
    if pa.types.is_string(wider) and not (is_text(before) and is_text(found)):
        raise SourceError(
            f"{file.uri}: column {key!r} holds {KINDS[found]} at line {line} and {KINDS[before]} above; "
            "write values of one kind"
        )
    return wider


def is_text(kind: pa.DataType) -> bool:
    """Tell whether values of this type are written as texts, or not at all."""
    return bool(pa.types.is_string(kind) or pa.types.is_timestamp(kind) or pa.types.is_null(kind))


def fits(found: pa.DataType, key: str, known: pa.Schema) -> bool:
    """Tell whether a column is known with a type that is wide enough."""
    return key in known.names and widest(known.field(key).type, found) == known.field(key).type


def records(file: DataFile) -> Iterator[tuple[int, dict[str, object]]]:
    """Yield the number of each line that is not blank, and its object.

    Raises
    ------
    SourceError
        If a line is not one JSON object, or too long, or not UTF-8.
    """
    try:
        with open_text(file) as lines:
            for number, line in enumerate(lines, start=1):
                if line.strip():
                    yield number, parsed(file, number, line)
    except UnicodeDecodeError as error:
        raise not_utf8(file) from error


def parsed(file: DataFile, number: int, line: str) -> dict[str, object]:
    """Parse one line."""
    if len(line) > BLOCK_BYTES:
        raise SourceError(f"{file.uri}: line {number} is longer than {BLOCK_BYTES:,} bytes; shorten it")
    try:
        value = json.loads(line, object_pairs_hook=list)
    except (ValueError, RecursionError) as error:
        reason = error.msg if isinstance(error, json.JSONDecodeError) else first_line(error)
        whole = "write one object a line (pandas: to_json(orient='records', lines=True))"
        remedy = whole if number == 1 else "correct that line"
        raise SourceError(f"{file.uri}: line {number} is not valid JSON ({reason}); {remedy}") from error
    # An object comes as a list of pairs, an array as a list of what is no pair of a key and a value.
    if not line.lstrip().startswith("{"):
        raise SourceError(f"{file.uri}: line {number} is no object with one value a column; write one object a line")
    record = dict(value)
    if len(record) < len(value):
        raise SourceError(f"{file.uri}: line {number} has a key twice; correct that line")
    return record


def type_of(file: DataFile, line: int, key: str, value: object, known: pa.Schema | None) -> pa.DataType:
    """Return the type that holds a value; a text that its column's instants were read from stays one of them."""
    if isinstance(value, list | dict):
        raise SourceError(
            f"{file.uri}: column {key!r} holds an array or object at line {line}; write plain values, or remove it"
        )
    if isinstance(value, str) and known is not None and key in known.names:
        return text_type(value, known.field(key).type)
    if type(value) is int:
        return pa.int64() if -(2**63) <= value < 2**63 else pa.float64()
    return TYPES[type(value)]


def text_type(text: str, known: pa.DataType) -> pa.DataType:
    """Return the type of the column's instants if the text is one, else text."""
    if not pa.types.is_timestamp(known) or not INSTANT.fullmatch(text):
        return pa.string()
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return pa.string()
    return known


def line_of_row(file: DataFile, row: int) -> str:
    """Find the line on which a row stands, blank lines counted."""
    with open_text(file) as lines:
        filled = (number for number, line in enumerate(lines, start=1) if line.strip())
        return f"line {next(islice(filled, row, None), row + 1)}"


JSON_LINES = Format((".jsonl", ".ndjson"), "PATH.jsonl", read_schema, read_batches, is_text=True, locate=line_of_row)
