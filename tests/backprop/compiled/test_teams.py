"""How trials are shared out among threads, and that the threads of a team wait for each other."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numba import njit

from backprop.compiled.lanes import pointer
from backprop.compiled.teams import (
    BARRIER_SIZE,
    GIVE_WAY,
    ROWS_PER_MEMBER,
    WORK_PER_MEMBER,
    Crew,
    share_out,
    wait_for_team,
)


@given(trials=st.integers(1, 40), threads=st.integers(1, 70), batch=st.integers(1, 300), size=st.integers(1, 1_000_000))
def test_every_trial_is_trained_by_one_team_and_no_thread_is_used_twice(trials, threads, batch, size):
    teams = share_out(trials, threads, batch, size)
    assert sorted(trial for team in teams for trial in team.trials) == list(range(trials))
    assert sum(team.members for team in teams) <= threads
    for team in teams:
        assert team.members == 1 or team.members * ROWS_PER_MEMBER <= batch
        assert team.members == 1 or team.members * WORK_PER_MEMBER <= batch * size


@pytest.mark.parametrize(
    ("trials", "threads", "batch", "size", "wanted"),
    [
        (1, 1, 64, 100_000, [(1, [0])]),
        (3, 2, 64, 100_000, [(1, [0, 2]), (1, [1])]),
        (3, 8, 16, 100_000, [(1, [0]), (1, [1]), (1, [2])]),
        (1, 4, 64, 100_000, [(4, [0])]),
        (1, 4, 40, 100_000, [(2, [0])]),
        (2, 5, 64, 100_000, [(2, [0]), (2, [1])]),
        (1, 2, 64, 2_000, [(1, [0])]),
    ],
)
def test_threads_that_have_no_trial_of_their_own_share_minibatches_that_are_large_enough(
    trials, threads, batch, size, wanted
):
    found = [(team.members, team.trials.tolist()) for team in share_out(trials, threads, batch, size)]
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
    crew = Crew(members)
    crew.call(count_rounds, [(k, members, 2000, counts, ahead, barrier, GIVE_WAY) for k in range(members)])
    assert counts.tolist() == [2000] * members
    assert not ahead.any()


def test_what_a_call_raises_is_raised():
    def fails(number: int) -> None:
        if number:
            raise MemoryError(number)

    Crew(1).call(fails, [(0,)])
    for calls in ([(1,)], [(0,), (2,)], [(3,), (0,)]):
        with pytest.raises(MemoryError):
            Crew(len(calls)).call(fails, calls)


def test_a_crew_works_again_after_a_call_that_failed():
    crew, done = Crew(3), []
    with pytest.raises(ZeroDivisionError):
        crew.call(lambda k: 1 // k, [(1,), (0,), (2,)])
    crew.call(done.append, [(1,), (2,), (3,)])
    assert sorted(done) == [1, 2, 3]


def test_the_threads_of_a_crew_end_with_it():
    # Those of an earlier test may end meanwhile.
    before = set(threading.enumerate())
    crew = Crew(4)
    started = set(threading.enumerate()) - before
    assert len(started) == 3
    del crew
    deadline = time.monotonic() + 10
    while any(one.is_alive() for one in started) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not any(one.is_alive() for one in started)


def test_where_a_member_gets_no_thread_the_others_are_let_go_and_the_error_is_told(monkeypatch):
    before = threading.active_count()
    submit = ThreadPoolExecutor.submit

    def only_once(pool, *arguments):
        if only_once.calls:
            raise RuntimeError("can't start new thread")
        only_once.calls += 1
        return submit(pool, *arguments)

    only_once.calls = 0
    monkeypatch.setattr(ThreadPoolExecutor, "submit", only_once)
    with pytest.raises(RuntimeError, match="can't start new thread"):
        Crew(3)
    deadline = time.monotonic() + 10
    while threading.active_count() > before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert threading.active_count() == before
