"""Pieces are all of one size and hold every row once; a worker's answer depends on no other row."""

from itertools import pairwise

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backprop import Architecture
from backprop.network import initial_parameters
from flows.data.encodings import CategoricalEncoding, NumericEncoding
from flows.data.outputs import answer
from flows.data.preparation import Preparation
from flows.errors import TableError
from flows.prediction import Predictor
from flows.scoring.columns import check_names, kept_columns, score_schema
from flows.scoring.kinds import require_kinds
from flows.scoring.pieces import Unfit, in_pieces, rows_per_piece, score_piece
from tests.flows.data.tables import source_of

PREPARATION = Preparation(
    task="classification",
    features=(
        NumericEncoding(column="age", shift=40, scale=10),
        CategoricalEncoding(column="town", levels=("Bern", "Ulm")),
        CategoricalEncoding(column="zone", levels=(1, 2)),
    ),
    targets=("bought",),
    classes=("no", "yes"),
)
ARCHITECTURE = Architecture(inputs=PREPARATION.inputs, hidden=(4,), outputs=2)
PREDICTOR = Predictor(PREPARATION, ARCHITECTURE, initial_parameters(ARCHITECTURE, [0], "float32"))
ROWS = pd.DataFrame({"age": [20, 30, 40], "town": ["Ulm", None, "Chur"], "zone": [1, 2, 2]})


@given(sizes=st.lists(st.integers(0, 9), max_size=8), rows=st.integers(1, 12))
def test_pieces_hold_every_row_once_and_in_order(sizes: list[int], rows: int) -> None:
    ends = np.cumsum([0, *sizes])
    batches = [pa.record_batch({"n": np.arange(start, end)}) for start, end in pairwise(ends)]
    pieces = list(in_pieces(iter(batches), rows))

    assert [n for piece in pieces for n in piece["n"].to_pylist()] == list(range(ends[-1]))
    assert all(piece.num_rows == rows for piece in pieces[:-1])
    assert all(0 < piece.num_rows <= rows for piece in pieces[-1:])


def test_a_wide_table_has_fewer_rows_in_a_piece() -> None:
    assert rows_per_piece(3000) * 3000 * 8 <= 4 * 2**20 < (rows_per_piece(3000) + 1) * 3000 * 8
    assert rows_per_piece(1) == 2**16


def test_a_piece_is_answered_with_predictions_and_probabilities() -> None:
    table = pa.Table.from_pandas(ROWS, preserve_index=False)
    answered = score_piece(PREDICTOR, table)

    assert isinstance(answered, pa.Table)
    assert answered.column_names == ["prediction", "probability_no", "probability_yes"]
    pd.testing.assert_frame_equal(
        answered.to_pandas().astype({"prediction": object}),
        answer(PREPARATION, PREDICTOR.outputs(ROWS)).astype({"prediction": object}),
    )


def test_a_piece_that_cannot_be_answered_names_every_column_and_its_first_row() -> None:
    table = pa.table({"age": [20.0, None, None], "town": ["Ulm", "Bern", "Ulm"], "zone": ["1", "2", "3"]})
    unfit = score_piece(PREDICTOR, table)

    assert isinstance(unfit, Unfit)
    assert [fault.describe() for fault in unfit.after(100)] == [
        "column 'zone' has '1', which is text, and the categories are numbers, in row 101",
        "column 'age' has a missing value in row 102",
    ]


# What a source must have


def test_a_column_that_is_missing_is_named() -> None:
    with pytest.raises(TableError, match=r"missing columns \['zone'\].*unknown columns \['zones'\]"):
        require_kinds(source_of(ROWS.rename(columns={"zone": "zones"})), PREPARATION)


@pytest.mark.parametrize("name", ["age", "zone"])
def test_the_value_that_makes_numbers_a_text_is_found(name: str) -> None:
    rows = ROWS.assign(**{name: ["1", None, "many"]})

    with pytest.raises(TableError, match=f"column '{name}' has 'many', which is no number, in row 3"):
        require_kinds(source_of(rows), PREPARATION)


def test_numbers_that_are_all_stored_as_text_are_told_to_be_that() -> None:
    with pytest.raises(TableError, match="column 'age' has '7', a number stored as text, in row 2"):
        require_kinds(source_of(ROWS.assign(age=[None, "7", "8"])), PREPARATION)


def test_columns_are_kept_in_the_order_of_the_source() -> None:
    source = source_of(ROWS)

    assert kept_columns(source, None) == ["age", "town", "zone"]
    assert kept_columns(source, ["zone", "age"]) == ["age", "zone"]
    assert kept_columns(source, ()) == []
    with pytest.raises(TableError, match="there is no column 'id' to keep; choose from 'age', 'town', 'zone'"):
        kept_columns(source, ["id"])


def test_a_column_called_like_a_score_is_refused() -> None:
    source = source_of(ROWS.assign(prediction=1))

    with pytest.raises(TableError, match="its column 'prediction' is called like one of the scores"):
        check_names(source, kept_columns(source, None), score_schema(PREPARATION))
