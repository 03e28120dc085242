from itertools import combinations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from backprop.randomness import Stream, generator

KEYS = st.tuples(st.integers(0, 2**32 - 1), st.sampled_from(list(Stream)), st.integers(0, 10_000))


def draws(key: tuple[int, Stream, int]) -> tuple[int, ...]:
    return tuple(generator(*key).integers(2**63, size=2).tolist())


@given(key=KEYS)
def test_the_same_key_gives_the_same_numbers_whenever_it_is_asked(key):
    first = draws(key)
    generator(key[0], key[1], key[2] + 1).normal(size=10)
    assert draws(key) == first


@given(keys=st.lists(KEYS, min_size=2, max_size=6, unique=True))
def test_different_keys_give_different_numbers(keys):
    assert all(draws(one) != draws(other) for one, other in combinations(keys, 2))


def test_seed_stream_and_step_are_not_interchangeable():
    keys = [(0, Stream.WEIGHTS, 1), (1, Stream.WEIGHTS, 0), (0, Stream.SHUFFLE, 0), (1, Stream.SHUFFLE, 0)]
    assert len({draws(key) for key in keys}) == len(keys)


def test_the_numbers_of_a_key_are_pinned_because_they_are_a_part_of_every_trial():
    np.testing.assert_array_equal(generator(11, Stream.SHUFFLE, 1).permutation(8), [1, 5, 2, 4, 6, 0, 3, 7])
    drawn = generator(3, Stream.WEIGHTS, 0).uniform(-1, 1, 3)
    np.testing.assert_array_equal(drawn, [-0.8287016657127513, -0.5263789868078006, 0.6025489304127938])
