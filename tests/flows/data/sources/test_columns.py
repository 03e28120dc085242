"""The types that a table may have, and the one that holds the values of two."""

from decimal import Decimal

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.data.sources.columns import as_type, logical_type, widest

TYPES = st.sampled_from(
    [
        *(pa.null(), pa.bool_(), pa.int8(), pa.int64(), pa.uint8(), pa.uint64(), pa.float32(), pa.float64()),
        *(pa.string(), pa.date32(), pa.timestamp("s"), pa.timestamp("ns"), pa.timestamp("ms", "UTC")),
    ]
)


@given(one=TYPES, other=TYPES)
def test_the_order_of_two_types_does_not_matter(one, other):
    assert widest(one, other) == widest(other, one)


@given(one=TYPES, other=TYPES)
def test_no_type_is_wider_than_the_widest_of_two(one, other):
    wide = widest(one, other)
    assert widest(wide, one) == wide
    assert widest(wide, other) == wide


@given(one=TYPES, other=TYPES)
def test_reading_wider_ends_at_text(one, other):
    assert widest(pa.string(), widest(one, other)) == pa.string()


@pytest.mark.parametrize(
    ("one", "other", "wide"),
    [
        (pa.int8(), pa.int64(), pa.int64()),
        (pa.uint8(), pa.int8(), pa.int64()),
        (pa.uint64(), pa.int8(), pa.float64()),
        (pa.int64(), pa.float32(), pa.float64()),
        (pa.int64(), pa.decimal128(9, 2), pa.float64()),
        (pa.bool_(), pa.int64(), pa.string()),
        (pa.date32(), pa.date64(), pa.date32()),
        (pa.date32(), pa.timestamp("s"), pa.timestamp("s")),
        (pa.timestamp("s"), pa.timestamp("ns"), pa.timestamp("ns")),
        (pa.timestamp("s"), pa.timestamp("s", "UTC"), pa.string()),
        (pa.date32(), pa.int64(), pa.string()),
    ],
)
def test_the_widest_of_two_types_holds_the_values_of_both(one, other, wide):
    assert widest(one, other) == wide


@given(st.lists(st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1))))
def test_integers_that_become_floats_are_rounded_and_gaps_stay_gaps(values):
    cast = as_type(pa.array(values, pa.int64()), pa.float64())
    assert cast.to_pylist() == [None if value is None else float(value) for value in values]


def test_levels_are_texts_and_decimals_are_floats():
    assert logical_type("t", "a", pa.dictionary(pa.int8(), pa.large_string())) == pa.string()
    levels = pa.array(["oak", None, "elm", "oak"]).dictionary_encode()
    assert as_type(levels, pa.string()).to_pylist() == ["oak", None, "elm", "oak"]
    assert as_type(pa.array([Decimal("0.1"), None]), pa.float64()).to_pylist() == [0.1, None]
