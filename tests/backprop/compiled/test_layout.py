"""Where a stack lies in one-dimensional arrays, and what a team has room for."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backprop import Architecture, Samples, Trial
from backprop.compiled.layout import (
    LEAST_INPUTS,
    copy_in,
    copy_out,
    data_of,
    layout,
    mostly_zeros,
    new_scratch,
    rule_of,
)
from backprop.compiled.products import ROW
from backprop.network import initial_parameters

WIDTHS = st.lists(st.integers(1, 40), max_size=3)


@given(hidden=WIDTHS, inputs=st.integers(1, 20), outputs=st.integers(2, 20), trials=st.integers(1, 3))
def test_parameters_copied_in_and_out_are_the_same_and_lie_apart_among_zeros(hidden, inputs, outputs, trials):
    architecture = Architecture(inputs, tuple(hidden), outputs)
    net, size = layout(architecture, [architecture.hidden] * trials)
    parameters = initial_parameters(architecture, range(trials), "float64")
    for number, array in enumerate(parameters, start=1):
        array[...] = number + np.arange(array.size).reshape(array.shape) / array.size
    flat = np.zeros((trials, size))
    copy_in(parameters, flat, net)
    everything = np.concatenate([array.ravel() for array in parameters])
    np.testing.assert_array_equal(np.sort(flat[flat != 0]), np.sort(everything))
    back = initial_parameters(architecture, range(trials), "float64")
    copy_out(back, flat, net)
    for found, wanted in zip(back, parameters, strict=True):
        np.testing.assert_array_equal(found, wanted)


@given(hidden=WIDTHS)
def test_every_row_is_whole_tiles_so_that_no_product_reads_or_writes_another(hidden):
    architecture = Architecture(5, tuple(hidden), 3)
    net, size = layout(architecture, [architecture.hidden])
    assert (net.row % ROW == 0).all()
    assert (net.row >= [fan_out for _, fan_out in architecture.layers]).all()
    ends = [0]
    for k, (fan_in, _) in enumerate(architecture.layers):
        assert net.w_at[k] == ends[-1]
        assert net.b_at[k] == net.w_at[k] + fan_in * net.row[k]
        ends.append(net.b_at[k] + net.row[k])
    assert ends[-1] == size


@pytest.mark.parametrize("rows", [1, 5, 1000])
def test_a_team_has_room_for_a_piece_and_for_its_weights_also_where_the_first_samples_have_none(rows):
    architecture = Architecture(5, (6,), 3)
    net, size = layout(architecture, [(6,)])
    rule = rule_of(architecture, [Trial(0.1, 1)], plain=True)
    samples = Samples(np.ones((rows, 5)), np.ones((rows, 3)))
    scratch = new_scratch(net, rule, samples, "float64", block=8, members=1, size=size)
    assert len(scratch.x) == len(scratch.y) == len(scratch.weights)
    assert len(scratch.x) % 8 == 0
    assert len(scratch.x) >= rows


@pytest.mark.parametrize("weighted", [False, True])
def test_samples_are_read_where_they_lie_and_copied_only_if_they_have_another_form(weighted):
    x = np.arange(20, dtype="float32").reshape(4, 5)
    x.flags.writeable = False
    given = Samples(x, x[:, :3].copy(), x[:, 0].copy() if weighted else None)
    data, kept = data_of(given, "float32")
    assert (data.x, data.y) == (x.ctypes.data, given.y.ctypes.data)
    assert (data.inputs, data.outputs, data.bytes, data.weighted) == (5, 3, False, weighted)
    assert kept.x is x
    for other in (np.asfortranarray(x), np.repeat(x, 2, axis=0)[::2], x.astype("float64")):
        data, kept = data_of(Samples(other, given.y, given.weights), "float32")
        assert data.x == kept.x.ctypes.data
        assert kept.x.flags.c_contiguous
        assert kept.x.dtype == np.float32
        np.testing.assert_array_equal(kept.x, x)


def test_bytes_stay_bytes():
    x = np.arange(20, dtype="uint8").reshape(4, 5)
    data, kept = data_of(Samples(x, np.ones((4, 1))), "float32")
    assert data.bytes
    assert kept.x is x


def test_zeros_are_left_out_where_tiles_have_few_others():
    draw = np.random.default_rng(3)
    x = draw.random((2000, LEAST_INPUTS))
    assert not mostly_zeros(Samples(x, x[:, :1]))
    x[:, : int(0.7 * LEAST_INPUTS)] = 0
    assert mostly_zeros(Samples(x, x[:, :1]))
    narrow = np.zeros((2000, LEAST_INPUTS - 1))
    assert not mostly_zeros(Samples(narrow, x[:, :1]))
