"""Names and types of columns: what a table may have, and how other types are brought to it."""

from collections import Counter
from collections.abc import Sequence
from difflib import get_close_matches

import pyarrow as pa
import pyarrow.compute as pc

from flows.errors import TableError

# One unit for all, so that the same instants are the same content whatever file they came from.
INSTANT = pa.timestamp("us")
UNITS = ("s", "ms", "us", "ns")


def check_names(uri: str, names: Sequence[str]) -> None:
    """Raise a TableError where a column has no name or shares it: neither can be asked for.

    A nameless first column is most often an index, which must not become a feature.
    """
    if "" in names:
        position = list(names).index("") + 1
        raise TableError(
            f"{uri}: column {position} has no name in the header (an index that pandas wrote?); name or remove it"
        )
    repeated = [name for name, count in Counter(names).items() if count > 1]
    if repeated:
        raise TableError(f"{uri}: column {repeated[0]!r} appears more than once; rename or remove one of them")


def logical_schema(uri: str, storage: pa.Schema) -> pa.Schema:
    """Return the schema with every type brought to one that a Source may have.

    Raises
    ------
    TableError
        If a name is empty or there twice, or a column holds what is neither a number nor a truth value, a text
        or a date.
    """
    check_names(uri, storage.names)
    return pa.schema([(field.name, logical_type(uri, field.name, field.type)) for field in storage])


def logical_type(uri: str, name: str, storage: pa.DataType) -> pa.DataType:
    """Return the type a column comes in; a column of nulls alone is one of missing numbers."""
    kind = pa.types
    if kind.is_dictionary(storage):
        return logical_type(uri, name, storage.value_type)
    if kind.is_integer(storage) or kind.is_boolean(storage) or kind.is_float32(storage) or kind.is_float64(storage):
        return storage
    if kind.is_float16(storage):
        return pa.float32()
    if kind.is_null(storage) or kind.is_decimal(storage):
        return pa.float64()
    if kind.is_string(storage) or kind.is_large_string(storage) or kind.is_string_view(storage):
        return pa.string()
    if kind.is_date(storage):
        return pa.date32()
    if kind.is_timestamp(storage):
        return INSTANT
    raise TableError(
        f"{uri}: column {name!r} holds {storage} values; write numbers, text, dates or true and false, or remove it"
    )


def as_logical(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """Return a batch with its columns in the order and of the types of a logical schema.

    Raises
    ------
    pa.ArrowInvalid
        If a value has no counterpart in the type.
    """
    arrays = [as_type(batch.column(name), wanted) for name, wanted in zip(schema.names, schema.types, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def as_type(values: pa.Array, wanted: pa.DataType) -> pa.Array:
    """Cast one column; instants with a zone become UTC, fractions of a microsecond are cut off."""
    if values.type == wanted:
        return values
    if pa.types.is_dictionary(values.type):
        return as_type(values.dictionary_decode(), wanted)
    if wanted == INSTANT:
        if pa.types.is_timestamp(values.type) and values.type.tz is not None:
            values = values.cast(pa.timestamp(values.type.unit, "UTC")).cast(pa.timestamp(values.type.unit))
        return pc.cast(values, INSTANT, safe=False)
    # Integers beyond 2^53 are rounded as they become floats, as everywhere in this field.
    return values.cast(wanted, safe=not pa.types.is_floating(wanted))


def widest(one: pa.DataType, other: pa.DataType) -> pa.DataType:
    """Return the narrowest type that holds the values of both as they are written: at worst, text.

    Integers with floats are float64, dates with instants are instants, and nulls go with anything.
    """
    kind = pa.types
    if one == other or kind.is_null(other):
        return one
    if kind.is_null(one):
        return other
    if is_number(one) and is_number(other):
        return wider_integer(one, other) if kind.is_integer(one) and kind.is_integer(other) else pa.float64()
    if is_moment(one) and is_moment(other):
        return wider_moment(one, other)
    return pa.string()


def wider_integer(one: pa.DataType, other: pa.DataType) -> pa.DataType:
    """Return an integer type for both, float64 where there is none because one is uint64 and the other signed."""
    if pa.types.is_signed_integer(one) == pa.types.is_signed_integer(other):
        return max(one, other, key=lambda integer: integer.bit_width)
    return pa.float64() if pa.uint64() in (one, other) else pa.int64()


def wider_moment(one: pa.DataType, other: pa.DataType) -> pa.DataType:
    """Return a type for the dates and instants of both: the finer unit; text where only one tells its time zone."""
    instants = [moment for moment in (one, other) if pa.types.is_timestamp(moment)]
    if not instants:
        return pa.date32()
    if len({instant.tz is None for instant in instants}) > 1:
        return pa.string()
    return pa.timestamp(max((instant.unit for instant in instants), key=UNITS.index), instants[0].tz)


def is_number(storage: pa.DataType) -> bool:
    """Tell whether a type holds integers, floats or decimals."""
    kind = pa.types
    return bool(kind.is_integer(storage) or kind.is_floating(storage) or kind.is_decimal(storage))


def is_moment(storage: pa.DataType) -> bool:
    """Tell whether a type holds dates or instants."""
    return bool(pa.types.is_date(storage) or pa.types.is_timestamp(storage))


def nearest(name: str, names: Sequence[str]) -> str:
    """Suggest the column that was probably meant, or list what there is."""
    if len(names) == 1:
        return f"the only column is {names[0]!r}: if these are several, separate them by , ; tab or |"
    close = get_close_matches(name, names, n=1)
    return f"did you mean --target {close[0]}?" if close else f"choose --target from {listed(names)}"


def listed(names: Sequence[str], limit: int = 8) -> str:
    """List names for a message; of many, the first few and how many more."""
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(repr(name) for name in names[:limit]) + more
