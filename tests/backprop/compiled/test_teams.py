"""How trials are shared out among threads, and that the threads of a team wait for each other."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numba import njit

from backprop.compiled.lanes import pointer
from backprop.compiled.teams import BARRIER_SIZE, GIVE_WAY, ROWS_PER_MEMBER, call_together, share_out, wait_for_team


@given(trials=st.integers(1, 40), threads=st.integers(1, 70), batch=st.integers(1, 300))
def test_every_trial_is_trained_by_one_team_and_no_thread_is_used_twice(trials, threads, batch):
    teams = share_out(trials, threads, batch)
    assert sorted(trial for team in teams for trial in team.trials) == list(range(trials))
    assert sum(team.members for team in teams) <= threads
    assert all(team.members * ROWS_PER_MEMBER <= batch or team.members == 1 for team in teams)


@pytest.mark.parametrize(
    ("trials", "threads", "batch", "wanted"),
    [
        (1, 1, 64, [(1, [0])]),
        (3, 2, 64, [(1, [0, 2]), (1, [1])]),
        (3, 8, 16, [(1, [0]), (1, [1]), (1, [2])]),
        (1, 4, 64, [(4, [0])]),
        (1, 4, 40, [(2, [0])]),
        (2, 5, 64, [(2, [0]), (2, [1])]),
    ],
)
def test_threads_that_have_no_trial_of_their_own_share_minibatches_that_are_large_enough(
    trials, threads, batch, wanted
):
    found = [(team.members, team.trials.tolist()) for team in share_out(trials, threads, batch)]
    assert found == wanted


@njit(error_model="numpy", nogil=True)
def count_rounds(member, members, rounds, counts, ahead, barrier, give_way):
    """Count this member's rounds, and how often another's count was not the same at the end of one."""
    for _ in range(rounds):
        counts[member] += 1
        wait_for_team(pointer(barrier), members, give_way)
        for other in range(members):
            ahead[member] += counts[other] != counts[member]
        wait_for_team(pointer(barrier), members, give_way)


@pytest.mark.parametrize("members", [1, 2, 3, 5])
def test_no_member_of_a_team_goes_on_before_all_have_come(members):
    counts, ahead, barrier = np.zeros(members, int), np.zeros(members, int), np.zeros(BARRIER_SIZE, np.int64)
    call_together(count_rounds, [(k, members, 2000, counts, ahead, barrier, GIVE_WAY) for k in range(members)])
    assert counts.tolist() == [2000] * members
    assert not ahead.any()


def test_what_a_call_raises_is_raised():
    def fails(number: int) -> None:
        if number:
            raise MemoryError(number)

    call_together(fails, [(0,)])
    for calls in ([(1,)], [(0,), (2,)]):
        with pytest.raises(MemoryError):
            call_together(fails, calls)


def test_where_a_member_gets_no_thread_none_begins_and_the_error_is_told(monkeypatch):
    begun = []
    submit = ThreadPoolExecutor.submit

    def only_once(pool, *arguments):
        if only_once.calls:
            raise RuntimeError("can't start new thread")
        only_once.calls += 1
        return submit(pool, *arguments)

    only_once.calls = 0
    monkeypatch.setattr(ThreadPoolExecutor, "submit", only_once)
    with pytest.raises(RuntimeError, match="can't start new thread"):
        call_together(begun.append, [(1,), (2,)])
    assert begun == []
