"""The products against NumPy, at every size around the edges of tiles and panels, and what they leave alone."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numba import njit

from backprop.compiled import products
from backprop.compiled.compiling import part
from backprop.compiled.lanes import further, pointer
from backprop.compiled.pieces import find_in_columns, find_in_rows
from backprop.compiled.products import (
    ADD,
    AFFINE,
    DESCEND,
    PANEL_ROWS,
    PANEL_SIZE,
    ROW,
    SET,
    TILE_ROWS,
    UNIT,
    padded,
    product,
    product_with_transposed,
    row_product,
    row_product_with_transposed,
    sparse_product,
    sum_rows,
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


@njit(error_model="numpy")
def call_row_product_with_transposed(a, b, b_row, c, columns, inner):
    row_product_with_transposed(pointer(a), pointer(b), b_row, further(pointer(c), GUARDS), columns, inner)


@njit(error_model="numpy")
def call_sum_rows(delta, row, c, rows, columns, mode):
    sum_rows(pointer(delta), row, further(pointer(c), GUARDS), rows, columns, mode)


@njit(error_model="numpy")
def call_sparse_product(
    x, rows, inputs, most, transposed, flags, places, counts, b, b_row, c, c_row, bias, columns, mode, panel
):
    """As `epoch.py`: all rows of x by b, or all columns of x by b."""
    left, at, number_of, into = pointer(x), pointer(places), pointer(counts), further(pointer(c), GUARDS)
    if transposed:
        find_in_columns(left, inputs, 0, inputs // TILE_ROWS, rows, most, at, number_of)
        sparse_product(
            left, UNIT, inputs, at, number_of, most, pointer(b), b_row, into, c_row, pointer(bias), inputs, columns,
            rows, mode, pointer(panel),
        )  # fmt: skip
    else:
        find_in_rows(left, inputs, 0, rows // TILE_ROWS, pointer(flags), at, number_of)
        sparse_product(
            left, inputs, UNIT, at, number_of, inputs, pointer(b), b_row, into, c_row, pointer(bias), rows, columns,
            inputs, mode, pointer(panel),
        )  # fmt: skip


SIDE = st.integers(0, 70) | st.sampled_from([ROW - 1, ROW, ROW + 1, 2 * ROW, 4 * ROW, 255, 256, 257])
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
        self.panel = np.full(PANEL_SIZE + GUARDS, GUARD, dtype)

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
        assert (self.panel[PANEL_SIZE:] == GUARD).all(), "behind the panel"


def multiply(call, case: Case, mode: str, transposed: bool, extra: int) -> None:
    left = case.a.T if transposed else case.a
    a_row = left.shape[1] + extra
    b_row = padded(case.columns) + ROW * (extra % 2)
    bias = case.bias if mode == "AFFINE" else np.full_like(case.bias, np.nan)
    call(
        case.surrounded(left, a_row), *((UNIT, a_row) if transposed else (a_row, UNIT)),
        case.surrounded(case.b, b_row, zeros=padded(case.columns)), b_row, case.buffer, case.row, bias, case.rows,
        case.columns, case.inner, MODES[mode], case.panel,
    )  # fmt: skip


@DTYPES
@pytest.mark.parametrize("mode", MODES)
@settings(max_examples=25)
@given(transposed=st.booleans(), rows=SIDE, columns=WIDTH, inner=INNER, extra=EXTRA, seed=st.integers(0, 99))
def test_a_product_is_numpys_in_every_mode_with_the_left_factor_either_way(
    dtype, mode, transposed, rows, columns, inner, extra, seed
):
    case = Case(dtype, rows, columns, inner, extra, seed)
    multiply(call_product, case, mode, transposed, extra)
    case.check(mode)


@DTYPES
@settings(max_examples=40)
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
@settings(max_examples=12)
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
@settings(max_examples=25)
@given(columns=WIDTH, inner=WIDTH, extra=EXTRA, seed=st.integers(0, 99))
def test_a_product_of_one_row_with_a_transposed_factor_fills_its_columns_up(dtype, columns, inner, extra, seed):
    case = Case(dtype, 1, columns, inner, extra, seed)
    row = padded(inner) + ROW * (extra % 2)
    a, b = [case.surrounded(factor, row, zeros=padded(inner)) for factor in (case.a, case.b.T)]
    call_row_product_with_transposed(a, b, row, case.buffer, columns, padded(inner))
    case.check()


@DTYPES
@pytest.mark.parametrize("mode", ["SET", "DESCEND"])
@settings(max_examples=12)
@given(rows=SIDE, columns=WIDTH, extra=EXTRA, seed=st.integers(0, 99))
def test_rows_are_summed(dtype, mode, rows, columns, extra, seed):
    case = Case(dtype, 1, columns, rows, extra, seed)
    case.a[...] = 1
    row = padded(columns) + ROW * (extra % 2)
    call_sum_rows(case.surrounded(case.b, row, zeros=padded(columns)), row, case.buffer, rows, columns, MODES[mode])
    case.check(mode)


def multiply_sparse(call, case: Case, mode: str, transposed: bool, there: float, seed: int) -> SimpleNamespace:
    """Multiply with a part of the left factor there; return what was noted of its places."""
    case.a *= np.random.default_rng(seed).random(case.a.shape) < there
    x = np.ascontiguousarray(case.a.T if transposed else case.a)
    groups = case.rows // TILE_ROWS
    places = np.full(groups * case.inner + 1 + GUARDS, -1, "int32")
    counts = np.full(groups * (-(-case.inner // PANEL_ROWS)) + GUARDS, -1, "int32")
    flags = np.full(x.shape[1] + 1, 77, "uint8")
    b = case.surrounded(case.b, padded(case.columns), zeros=padded(case.columns))
    call(
        x.ravel(), *x.shape, case.inner, transposed, flags, places, counts, b, padded(case.columns), case.buffer,
        case.row, case.bias, case.columns, MODES[mode], case.panel,
    )  # fmt: skip
    return SimpleNamespace(groups=groups, places=places, counts=counts, flags=flags)


@DTYPES
@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("mode", ["SET", "AFFINE", "DESCEND"])
@settings(max_examples=15)
@given(
    rows=SIDE.filter(bool),
    columns=WIDTH,
    inner=INNER,
    there=st.sampled_from([0.0, 0.02, 0.3, 1.0]),
    seed=st.integers(0, 99),
)
def test_a_product_without_the_places_of_zeros_is_the_product_with_them(
    dtype, transposed, mode, rows, columns, inner, there, seed
):
    case = Case(dtype, rows, columns, inner, 0, seed)
    noted = multiply_sparse(call_sparse_product, case, mode, transposed, there, seed)
    case.check(mode)
    assert (noted.places[-GUARDS:] == -1).all()
    assert (noted.counts[-GUARDS:] == -1).all()
    assert noted.flags[-1] == 77
    tiles = case.a[: noted.groups * TILE_ROWS].reshape(noted.groups, TILE_ROWS, inner)
    assert noted.counts[:-GUARDS].sum() == (tiles != 0).any(axis=1).sum()


@DTYPES
def test_wide_tiles_are_numpys_and_those_of_narrow_ones_to_the_bit(dtype, monkeypatch):
    """Whichever of the two this processor would take; over two panels, with rows and columns that fill no tile."""
    found = []
    for wide in (False, True):
        monkeypatch.setattr(products, "WIDE_TILES", wide)
        for function in (product, sparse_product):
            monkeypatch.setattr(sys.modules[__name__], function.__name__, part(function.py_func))
        dense, sparse = njit(call_product.py_func), njit(call_sparse_product.py_func)
        cases = []
        for mode in MODES:
            for transposed in (False, True):
                cases += [Case(dtype, 11, 5 * ROW + 3, PANEL_ROWS + 5, 1, 0) for _ in range(2)]
                multiply(dense, cases[-2], mode, transposed, 1)
                multiply_sparse(sparse, cases[-1], mode, transposed, 0.1, 0)
                for case in cases[-2:]:
                    case.check(mode)
        found.append([case.buffer for case in cases])
    np.testing.assert_array_equal(*found)


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
