"""CSV and TSV files: a header, any usual delimiter, UTF-8 with or without a byte order mark, plain or compressed."""

import io
import re
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache, partial

import pyarrow as pa
import pyarrow.csv as pc

from flows.data.sources.columns import check_names
from flows.data.sources.csv_faults import fault_of, has_open_quote, line_of_row, records
from flows.data.sources.csv_header import Header, read_header
from flows.data.sources.csv_pieces import Joined, ParsedPieces, parsing_threads, row_pieces
from flows.data.sources.file_table import Format
from flows.data.sources.files import DataFile
from flows.data.sources.source import ValueTooWide
from flows.data.sources.streams import owned_stream, read_up_to
from flows.errors import SourceError

# Measured: threads hinder each other where a piece of the file is parsed as one block.
BLOCK_BYTES = 2**20
# What a row has to fit.
LONGEST_ROW = 4 * 2**20
# What Arrow says where nothing stands below the header.
EMPTY = "Empty CSV file"
# The words that pandas.read_csv counts as missing.
MISSING = [
    *("", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "<NA>", "N/A"),
    *("NA", "NULL", "NaN", "None", "n/a", "nan", "null"),
]
TRUE, FALSE = ["True", "TRUE", "true"], ["False", "FALSE", "false"]
NOT_CONVERTED = re.compile(r"In CSV column #(\d+): .*?CSV conversion error to .*?: invalid value '(.*)'", re.DOTALL)


def read_schema(file: DataFile) -> pa.Schema:
    """Return the columns with the types that the first block shows; null where it shows no value.

    Raises
    ------
    SourceError
        If the header or the first rows are not those of a table, or there are no rows.
    TableError
        If a column has no name or shares it.
    """
    header = read_header(file)
    check_names(file.uri, header.names)
    try:
        found = inferred_schema(file, header)
    except (pa.ArrowInvalid, UnicodeDecodeError) as error:
        if str(error) == EMPTY:
            raise SourceError(f"{file.uri}: there is a header and no rows; write the rows below it") from error
        raise fault_of(file, header, error) from error
    return pa.schema([(field.name, cell_type(file, header, field.type)) for field in found])


def inferred_schema(file: DataFile, header: Header) -> pa.Schema:
    """Return the types that the first piece shows, or where that ends within a row, those of the first block."""
    with opened_rows(file, header) as stream:
        first = pa.BufferReader(next(row_pieces(stream, header.line_break), b""))
    try:
        return pc.read_csv(first, reading(header, LONGEST_ROW), splitting(header.delimiter), converting()).schema
    except pa.ArrowInvalid:
        with opened_rows(file, header) as stream, open_blocks(stream, header) as blocks:
            return blocks.schema


def cell_type(file: DataFile, header: Header, inferred: pa.DataType) -> pa.DataType:
    """Return the type to read a column with: times of day stay text, and bytes are no text."""
    if pa.types.is_time(inferred):
        return pa.string()
    if pa.types.is_binary(inferred):
        raise fault_of(file, header, UnicodeError("bytes that are no text"))
    return inferred


def read_batches(file: DataFile, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    """Yield the rows in pieces, which several threads parse ahead.

    Raises
    ------
    ValueTooWide
        If a value does not fit its column.
    SourceError
        If a row has too few or too many fields, a quote is not closed, or bytes are not UTF-8.
    """
    header = read_header(file)
    last = None
    try:
        for batch in parsed_batches(file, header, schema):
            yield batch
            last = batch
    except pa.ArrowInvalid as error:
        found = NOT_CONVERTED.search(str(error))
        if found is None:
            raise fault_of(file, header, error) from error
        name = header.names[int(found[1])]
        raise ValueTooWide(pa.schema([(name, type_of(found[2]))])) from error
    except UnicodeDecodeError as error:
        raise fault_of(file, header, error) from error
    if last is not None and ends_in_line_break(last):
        check_last_quote(file, header)


def parsed_batches(file: DataFile, header: Header, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    """Yield the rows of every piece; from the first one whose end is in doubt, those of the file read as a whole."""
    parse = partial(parse_piece, header=header, schema=schema)
    with opened_rows(file, header) as stream, parsing_threads() as pool:
        pieces = ParsedPieces(row_pieces(stream, header.line_break), parse, pool)
        for piece, parsing in pieces:
            try:
                batches = parsing.result()
            except PieceInDoubt:
                with (
                    owned_stream(Joined(pieces.rest(piece)), BLOCK_BYTES) as rest,
                    open_blocks(rest, header, schema) as blocks,
                ):
                    yield from blocks
                return
            yield from batches


class PieceInDoubt(Exception):  # noqa: N818 - it may well be sound
    """A piece does not parse on its own, or its last field may go on in the next one."""


def parse_piece(piece: bytes, header: Header, schema: pa.Schema) -> list[pa.RecordBatch]:
    """Parse a piece of whole rows; PieceInDoubt if it may be none, ArrowInvalid if a value does not fit its column."""
    options = reading(header, BLOCK_BYTES, threads=False)
    try:
        table = pc.read_csv(pa.BufferReader(piece), options, splitting(header.delimiter), converting(schema))
    except pa.ArrowInvalid as error:
        if NOT_CONVERTED.search(str(error)):
            raise
        raise PieceInDoubt from error
    batches: list[pa.RecordBatch] = table.to_batches()
    if batches and ends_in_line_break(batches[-1]):
        raise PieceInDoubt
    return batches


@contextmanager
def opened_rows(file: DataFile, header: Header) -> Iterator[pa.NativeFile]:
    """Open a file behind its header."""
    with file.open_stream() as stream:
        read_up_to(stream, header.bytes)
        yield stream


def open_blocks(stream: pa.NativeFile, header: Header, schema: pa.Schema | None = None) -> pc.CSVStreamingReader:
    """Open rows as a reader of blocks, one after the other; without types given, the first block shows them."""
    return pc.open_csv(stream, reading(header, LONGEST_ROW), splitting(header.delimiter), converting(schema))


def reading(header: Header, block: int, threads: bool = True) -> pc.ReadOptions:
    """Return how the bytes become blocks; the header has been read."""
    return pc.ReadOptions(column_names=header.names, block_size=block, use_threads=threads)


@cache
def splitting(delimiter: str) -> pc.ParseOptions:
    """Return how fields are found: line breaks may stand in quotes, lines of spaces are no rows.

    Kept for good: the function in it must not be let go of by a thread of Arrow, see ``owned_stream``.
    """
    return pc.ParseOptions(
        delimiter=delimiter,
        newlines_in_values=True,
        invalid_row_handler=lambda row: "error" if row.text.strip(" ") else "skip",
    )


def converting(schema: pa.Schema | None = None) -> pc.ConvertOptions:
    """Return how fields become values: the missing are nulls in every column, ones and zeros are no truth values."""
    return pc.ConvertOptions(
        column_types=schema,
        null_values=MISSING,
        true_values=TRUE,
        false_values=FALSE,
        strings_can_be_null=True,
    )


def type_of(text: str) -> pa.DataType:
    """Return the type that a field alone would be taken for."""
    quoted = text.replace('"', '""')
    table = pc.read_csv(
        io.BytesIO(f'value\n"{quoted}"\n'.encode()), parse_options=splitting(","), convert_options=converting()
    )
    inferred = table.schema.field(0).type
    return pa.string() if pa.types.is_time(inferred) else inferred


def ends_in_line_break(batch: pa.RecordBatch) -> bool:
    """Tell whether the very last field ends with a line break: its quote may not be closed, which Arrow accepts."""
    value = batch.column(batch.num_columns - 1)[-1].as_py() if batch.num_rows else None
    return isinstance(value, str) and value.endswith(("\n", "\r"))


def check_last_quote(file: DataFile, header: Header) -> None:
    """Raise a SourceError if the file ends within a quote."""
    last = deque(records(file, header), maxlen=1)[0]
    if has_open_quote(file, header, last):
        raise SourceError(f"{file.uri}: the quote that opens in line {last.begins} is not closed; correct that line")


CSV = Format((".csv", ".tsv"), "PATH.csv", read_schema, read_batches, is_text=True, locate=line_of_row)
