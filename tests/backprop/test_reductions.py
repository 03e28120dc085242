import numpy as np
import pytest

from backprop.reductions import max_last, sum_last, sum_rows

SHAPES = [(1, 1, 1), (2, 7, 3), (4, 1, 10), (3, 5, 1), (2, 64, 100)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", ["float32", "float64", "complex128"])
def test_they_are_numpys_own_reductions(shape, dtype):
    values = np.random.default_rng(0).normal(size=shape).astype(dtype)
    tolerance = {"rtol": 1e-5, "atol": 1e-4} if dtype == "float32" else {"rtol": 1e-12, "atol": 1e-12}
    np.testing.assert_array_equal(max_last(np, values), values.max(axis=-1, keepdims=True))
    for found, wanted in (
        (sum_last(np, values), values.sum(axis=-1, keepdims=True)),
        (sum_rows(np, values), values.sum(axis=1, keepdims=True)),
    ):
        assert found.dtype == dtype
        assert found.shape == wanted.shape
        np.testing.assert_allclose(found, wanted, **tolerance)


def test_a_sum_over_the_batch_is_written_where_it_is_wanted():
    out = np.empty((2, 1, 3))
    assert sum_rows(np, np.ones((2, 7, 3)), out=out) is out
    assert (out == 7).all()


def test_no_trials_have_no_sums_and_no_maxima():
    none = np.empty((0, 4, 3))
    assert sum_last(np, none).shape == max_last(np, none).shape == (0, 4, 1)
    assert sum_rows(np, none).shape == (0, 1, 3)


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_stays_in_its_row_and_is_seen(wrong):
    values = np.ones((2, 4, 3))
    values[1, 2, 0] = wrong
    with np.errstate(invalid="ignore"):
        sums, maxima = sum_last(np, values)[..., 0], max_last(np, values)[..., 0]
    np.testing.assert_array_equal(sums, values.sum(axis=-1))
    np.testing.assert_array_equal(maxima, values.max(axis=-1))
