"""CSV and TSV files: a header, any usual delimiter, UTF-8 with or without a byte order mark, plain or compressed."""

import io
import re
from collections import deque
from collections.abc import Iterator

import pyarrow as pa
import pyarrow.csv as pc

from flows.data.sources.columns import check_names
from flows.data.sources.csv_faults import fault_of, has_open_quote, line_of_row, records
from flows.data.sources.csv_header import Header, read_header
from flows.data.sources.file_table import Format, ValueTooWide
from flows.data.sources.files import DataFile
from flows.errors import SourceError

# Measured: smaller blocks cost more calls, larger ones leave the processor's cache.
BLOCK_BYTES = 2**20
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
        with open_blocks(file, header) as blocks:
            found: pa.Schema = blocks.schema
            has_rows = bool(blocks.read_next_batch().num_rows)
    except StopIteration:
        has_rows = False
    except (pa.ArrowInvalid, UnicodeDecodeError) as error:
        raise fault_of(file, header, error) from error
    if not has_rows:
        raise SourceError(f"{file.uri}: there is a header and no rows; write the rows below it")
    return pa.schema([(field.name, cell_type(file, header, field.type)) for field in found])


def cell_type(file: DataFile, header: Header, inferred: pa.DataType) -> pa.DataType:
    """Return the type to read a column with: times of day stay text, and bytes are no text."""
    if pa.types.is_time(inferred):
        return pa.string()
    if pa.types.is_binary(inferred):
        raise fault_of(file, header, UnicodeError("bytes that are no text"))
    return inferred


def read_batches(file: DataFile, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    """Yield the rows in blocks.

    Raises
    ------
    ValueTooWide
        If a value does not fit its column.
    SourceError
        If a row has too few or too many fields, a quote is not closed, or bytes are not UTF-8.
    """
    header, last = read_header(file), None
    try:
        with open_blocks(file, header, schema) as blocks:
            for batch in blocks:
                last = batch if batch.num_rows else last
                yield batch
    except pa.ArrowInvalid as error:
        found = NOT_CONVERTED.search(str(error))
        if found is None:
            raise fault_of(file, header, error) from error
        name = header.names[int(found[1])]
        raise ValueTooWide(pa.schema([(name, type_of(found[2]))])) from error
    except UnicodeDecodeError as error:
        raise fault_of(file, header, error) from error
    if last is not None and swallowed_lines(last):
        check_last_quote(file, header)


def open_blocks(file: DataFile, header: Header, schema: pa.Schema | None = None) -> pc.CSVStreamingReader:
    """Open the rows below the header as a reader of blocks, with types given or inferred from the first block."""
    return pc.open_csv(
        file.open_stream(),
        # The header has to fit the first block.
        pc.ReadOptions(block_size=max(BLOCK_BYTES, 2 * header.bytes), skip_rows=header.lines_before),
        parsing(header.delimiter),
        converting(schema),
    )


def parsing(delimiter: str) -> pc.ParseOptions:
    """Return how fields are found: line breaks may stand in quotes, lines of spaces are no rows."""
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
        io.BytesIO(f'value\n"{quoted}"\n'.encode()), parse_options=parsing(","), convert_options=converting()
    )
    inferred = table.schema.field(0).type
    return pa.string() if pa.types.is_time(inferred) else inferred


def swallowed_lines(batch: pa.RecordBatch) -> bool:
    """Tell whether the very last field has a line break: its quote may never be closed, which Arrow accepts."""
    value = batch.column(batch.num_columns - 1)[-1].as_py()
    return isinstance(value, str) and "\n" in value


def check_last_quote(file: DataFile, header: Header) -> None:
    """Raise a SourceError if the file ends within a quote."""
    last = deque(records(file, header), maxlen=1)[0]
    if has_open_quote(file, header, last):
        raise SourceError(f"{file.uri}: the quote that opens in line {last.begins} is not closed; correct that line")


CSV = Format((".csv", ".tsv"), "PATH.csv", read_schema, read_batches, line_of_row)
