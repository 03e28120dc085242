"""What a column says, in one form whatever type it is stored in: what names a dataset, and what splits it."""

import hashlib
from collections.abc import Iterator
from typing import Literal

import numpy as np
import pyarrow as pa

ContentKind = Literal["number", "moment", "text"]

# Text is hashed so many bytes at a time: each of them takes 32 bytes of working memory.
TEXT_BYTES = 2**20
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def content_kind(kind: pa.DataType) -> ContentKind:
    """Return how columns of an Arrow type are compared: booleans are numbers, and dates are moments."""
    if pa.types.is_temporal(kind):
        return "moment"
    return "text" if pa.types.is_large_string(kind) or pa.types.is_string(kind) else "number"


def number_words(column: pa.Array) -> np.ndarray:
    """Return numbers, booleans or moments as uint64 (n,): equal words are equal values.

    Numbers are the bits of a float64, with one zero and one NaN, which is every missing value. Moments are
    microseconds since 1970, and missing ones the smallest integer.
    """
    if pa.types.is_temporal(column.type):
        moments = column.cast(pa.timestamp("us")).cast(pa.int64())
        return np.asarray(moments.fill_null(np.iinfo(np.int64).min)).view(np.uint64)
    # Not safe: an integer beyond 2^53 is the nearest float64, as it is for the network.
    values: np.ndarray = column.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False) + 0.0
    missing = np.isnan(values)
    if missing.any():
        values[missing] = np.nan
    return values.view(np.uint64)


def text_parts(column: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    """Return the lengths of texts, int64 (n,) with -1 where one is missing, and their UTF-8, uint8, end to end."""
    if not len(column):
        return np.zeros(0, np.int64), np.zeros(0, np.uint8)
    filled = column.cast(pa.large_string()).fill_null("")
    _, offsets_buffer, text_buffer = filled.buffers()
    offsets = np.frombuffer(offsets_buffer, np.int64, count=len(filled) + 1, offset=8 * filled.offset)
    lengths = np.diff(offsets)
    lengths[column.is_null().to_numpy(zero_copy_only=False)] = -1
    text = np.frombuffer(text_buffer, np.uint8) if text_buffer is not None else np.zeros(0, np.uint8)
    return lengths, text[offsets[0] : offsets[-1]]


def row_hashes(tables: Iterator[pa.Table], key: int) -> np.ndarray:
    """Return a 64-bit hash, uint64 (N,), of what each row says; the columns' names count, their order does not."""
    return np.concatenate([table_hashes(table, key) for table in tables])


def table_hashes(table: pa.Table, key: int) -> np.ndarray:
    """Return the hashes of the rows of one piece."""
    total = np.zeros(table.num_rows, dtype=np.uint64)
    for name, column in zip(table.column_names, table.columns, strict=True):
        column_key = keyed(name, key)
        if content_kind(column.type) == "text":
            total += text_hashes(column.combine_chunks(), column_key)
        else:
            total += mixed(number_words(column.combine_chunks()) ^ column_key)
    return mixed(total)


def keyed(name: str, key: int) -> np.uint64:
    """Return 64 bits that depend on a column's name and on the key."""
    digest = hashlib.blake2b(name.encode(), key=key.to_bytes(8, "little"), digest_size=8).digest()
    return np.uint64(int.from_bytes(digest, "little"))


def mixed(words: np.ndarray) -> np.ndarray:
    """Mix each word so that every bit of it decides every bit of the result (SplitMix64); works in place."""
    words ^= words >> np.uint64(30)
    words *= np.uint64(0xBF58476D1CE4E5B9)
    words ^= words >> np.uint64(27)
    words *= np.uint64(0x94D049BB133111EB)
    words ^= words >> np.uint64(31)
    return words


def text_hashes(column: pa.Array, key: np.uint64) -> np.ndarray:
    """Return a hash of each text, uint64 (n,), computed once for each text that differs."""
    encoded = column.dictionary_encode()
    hashes = np.append(distinct_hashes(encoded.dictionary, key), mixed(np.array([key], np.uint64)))
    # The last hash is that of a missing text.
    return np.asarray(hashes[encoded.indices.fill_null(len(hashes) - 1).to_numpy()])


def distinct_hashes(texts: pa.Array, key: np.uint64) -> np.ndarray:
    """Return the multilinear hash of each text: the sum of its bytes, each times a number of its place."""
    lengths, text = text_parts(texts)
    ends = np.cumsum(lengths)
    sums = np.empty(len(lengths), dtype=np.uint64)
    first = 0
    while first < len(lengths):
        begin = int(ends[first] - lengths[first])
        last = max(first + 1, int(np.searchsorted(ends, begin + TEXT_BYTES, side="right")))
        part = lengths[first:last]
        starts = ends[first:last] - part - begin
        places = np.arange(int(part.sum())) - np.repeat(starts, part)
        weights = mixed((np.arange(int(part.max(initial=0)), dtype=np.uint64) + np.uint64(1)) * _GOLDEN ^ key)
        running = np.zeros(len(places) + 1, dtype=np.uint64)
        # No byte is worth nothing: "a" and "a" with a zero after it differ.
        np.cumsum(
            (text[begin : begin + len(places)].astype(np.uint64) + np.uint64(1)) * weights[places], out=running[1:]
        )
        sums[first:last] = running[starts + part] - running[starts]
        first = last
    return mixed(sums ^ mixed(lengths.astype(np.uint64) * _GOLDEN + key))
