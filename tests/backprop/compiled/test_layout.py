"""Where a stack lies in one-dimensional arrays, and what a team has room for."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backprop import Architecture, Samples, Trial
from backprop.compiled.layout import as_read, copy_in, copy_out, layout, new_scratch, rule_of
from backprop.compiled.products import ROW
from backprop.network import initial_parameters

WIDTHS = st.lists(st.integers(1, 40), max_size=3)


@given(hidden=WIDTHS, inputs=st.integers(1, 20), outputs=st.integers(1, 20), trials=st.integers(1, 3))
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
def test_samples_are_read_in_one_form_and_copied_only_if_they_have_another(weighted):
    x = np.arange(20, dtype="float32").reshape(4, 5)
    given = Samples(x, x[:, :3].copy(), x[:, 0].copy() if weighted else None)
    read = as_read(given, "float32")
    for found, wanted in zip(read, (given.x, given.y, given.weights), strict=True):
        assert not found.flags.writeable
        assert wanted is None or np.shares_memory(found, wanted)
    assert given.x.flags.writeable
    for other in (np.asfortranarray(x), np.repeat(x, 2, axis=0)[::2], x.astype("uint8")):
        found, y, weights = as_read(Samples(other, given.y, given.weights), "float32")
        assert found.flags.c_contiguous
        assert (found.dtype, y.dtype, weights.dtype) == (np.float32,) * 3
        np.testing.assert_array_equal(found, x)
