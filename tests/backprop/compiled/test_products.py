"""The products against NumPy, at every size around the edges of tiles and panels, and what they leave alone."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numba import njit

from backprop.compiled.lanes import further, pointer
from backprop.compiled.products import (
    ADD,
    AFFINE,
    DESCEND,
    PANEL_ROWS,
    ROW,
    SET,
    UNIT,
    padded,
    product,
    product_with_transposed,
    row_product,
)

MODES = {"SET": SET, "AFFINE": AFFINE, "ADD": ADD, "DESCEND": DESCEND}
GUARD, GUARDS = -7777.0, 64
"""What stands before and behind a result, and in its columns that are not the product's."""


@njit(error_model="numpy")
def call_product(a, a_row, a_column, b, b_row, c, c_row, bias, rows, columns, inner, mode, panel):
    into = further(pointer(c), GUARDS)
    product(
        pointer(a), a_row, a_column, pointer(b), b_row, into, c_row, pointer(bias), rows, columns, inner, mode,
        pointer(panel),
    )  # fmt: skip


@njit(error_model="numpy")
def call_product_with_transposed(a, a_row, b, b_row, c, c_row, rows, columns, inner, panel):
    into = further(pointer(c), GUARDS)
    product_with_transposed(pointer(a), a_row, pointer(b), b_row, into, c_row, rows, columns, inner, pointer(panel))


@njit(error_model="numpy")
def call_row_product(a, b, b_row, c, bias, columns, inner, mode):
    into = further(pointer(c), GUARDS)
    row_product(pointer(a), pointer(b), b_row, into, pointer(bias), columns, inner, mode)


SIDE = st.integers(0, 70) | st.sampled_from([ROW - 1, ROW, ROW + 1, 2 * ROW, 255, 256, 257])
WIDTH = SIDE.filter(bool)
INNER = st.integers(1, 70) | st.sampled_from(
    [PANEL_ROWS - 1, PANEL_ROWS, PANEL_ROWS + 1, 2 * PANEL_ROWS, 2 * PANEL_ROWS + 1]
)
EXTRA = st.integers(0, 20)
DTYPES = pytest.mark.parametrize("dtype", ["float32", "float64"])


class Case:
    """Factors that are surrounded by NaN, so that a number too many cannot be read unseen, and a guarded result."""

    def __init__(self, dtype: str, rows: int, columns: int, inner: int, extra: int, seed: int) -> None:
        draw = np.random.default_rng(seed)
        self.dtype, self.rows, self.columns, self.inner = dtype, rows, columns, inner
        self.a, self.b = [draw.normal(size=shape).astype(dtype) for shape in ((rows, inner), (inner, columns))]
        self.bias = np.zeros(padded(columns), dtype)
        self.bias[:columns] = draw.normal(size=columns)
        self.row = padded(columns) + ROW * (extra % 3)
        self.buffer = np.full(2 * GUARDS + rows * self.row, GUARD, dtype)
        self.result = self.buffer[GUARDS : GUARDS + rows * self.row].reshape(rows, self.row)
        self.result[:, : padded(columns)] = 0
        self.result[:, :columns] = draw.normal(size=(rows, columns))
        self.before = self.buffer.copy()
        self.panel = np.full(PANEL_ROWS * ROW + GUARDS, GUARD, dtype)

    def surrounded(self, matrix: np.ndarray, row: int, *, zeros: int = 0) -> np.ndarray:
        """The elements of a matrix whose rows are `row` long: zeros up to the column `zeros`, then NaN."""
        rows, columns = matrix.shape
        wide = np.full((rows + 1, row), np.nan, self.dtype)
        wide[:rows, :zeros] = 0
        wide[:rows, :columns] = matrix
        return wide.ravel()

    def check(self, mode: str = "SET") -> None:
        a, b, bias = self.a.astype("float64"), self.b.astype("float64"), self.bias[: self.columns].astype("float64")
        before = self.before[GUARDS : GUARDS + self.rows * self.row].reshape(self.rows, self.row)
        had = before[:, : self.columns].astype("float64")
        wanted = {"SET": a @ b, "AFFINE": a @ b + bias, "ADD": had + a @ b, "DESCEND": had - a @ b}[mode]
        room = np.finfo(self.dtype).eps * (self.inner + 4) * (np.abs(a) @ np.abs(b) + np.abs(had) + np.abs(bias))
        assert (np.abs(self.result[:, : self.columns] - wanted) <= room).all()
        assert (self.result[:, self.columns : padded(self.columns)] == 0).all(), "columns filled up"
        assert (self.result[:, padded(self.columns) :] == GUARD).all(), "columns beyond"
        assert (self.buffer[:GUARDS] == GUARD).all(), "before the result"
        assert (self.buffer[len(self.buffer) - GUARDS :] == GUARD).all(), "behind the result"
        assert (self.panel[PANEL_ROWS * ROW :] == GUARD).all(), "behind the panel"


@DTYPES
@pytest.mark.parametrize("mode", MODES)
@settings(max_examples=40)
@given(transposed=st.booleans(), rows=SIDE, columns=WIDTH, inner=INNER, extra=EXTRA, seed=st.integers(0, 99))
def test_a_product_is_numpys_in_every_mode_with_the_left_factor_either_way(
    dtype, mode, transposed, rows, columns, inner, extra, seed
):
    case = Case(dtype, rows, columns, inner, extra, seed)
    left = case.a.T if transposed else case.a
    a_row = left.shape[1] + extra
    b_row = padded(columns) + ROW * (extra % 2)
    bias = case.bias if mode == "AFFINE" else np.full_like(case.bias, np.nan)
    call_product(
        case.surrounded(left, a_row), *((UNIT, a_row) if transposed else (a_row, UNIT)),
        case.surrounded(case.b, b_row, zeros=padded(columns)), b_row, case.buffer, case.row, bias, rows, columns, inner,
        MODES[mode], case.panel,
    )  # fmt: skip
    case.check(mode)


@DTYPES
@settings(max_examples=60)
@given(rows=SIDE, columns=WIDTH, inner=INNER, extra=EXTRA, seed=st.integers(0, 99))
def test_a_product_with_a_transposed_factor_reads_it_where_it_lies(dtype, rows, columns, inner, extra, seed):
    case = Case(dtype, rows, columns, inner, extra, seed)
    row = inner + extra
    call_product_with_transposed(
        case.surrounded(case.a, row), row, case.surrounded(case.b.T, row), row, case.buffer, case.row, rows, columns,
        inner, case.panel,
    )  # fmt: skip
    case.check()


@DTYPES
@pytest.mark.parametrize("mode", MODES)
@settings(max_examples=25)
@given(columns=WIDTH, inner=INNER, extra=EXTRA, seed=st.integers(0, 99))
def test_a_product_of_one_row_needs_no_panel(dtype, mode, columns, inner, extra, seed):
    case = Case(dtype, 1, columns, inner, extra, seed)
    b_row = padded(columns) + ROW * (extra % 2)
    bias = case.bias if mode == "AFFINE" else np.full_like(case.bias, np.nan)
    call_row_product(
        case.surrounded(case.a, max(1, inner)), case.surrounded(case.b, b_row, zeros=padded(columns)), b_row,
        case.buffer, bias, columns, inner, MODES[mode],
    )  # fmt: skip
    case.check(mode)


@DTYPES
def test_what_is_not_a_number_in_a_factor_reaches_its_row_of_the_result_and_no_other(dtype):
    case = Case(dtype, 9, 20, 30, 0, 0)
    case.a[6, 3] = np.nan
    call_product(
        case.a.ravel(), 30, UNIT, case.surrounded(case.b, 32, zeros=32), 32, case.buffer, case.row, case.bias, 9, 20,
        30, SET, case.panel,
    )  # fmt: skip
    assert np.isnan(case.result[:, :20]).any(axis=1).tolist() == [i == 6 for i in range(9)]
    assert np.isnan(case.result[6, :20]).all()


@given(columns=st.integers(1, 1000))
def test_rows_are_padded_to_the_next_whole_tile(columns):
    assert padded(columns) % ROW == 0
    assert 0 <= padded(columns) - columns < ROW
