"""Threads that work on one trial together, and wait for each other between its stages.

A stage of a small network takes microseconds, less than it takes to wake a thread. So the threads of a team never
sleep within an epoch: they count themselves in at a barrier and look until all are there, and give way to others
only when that takes long.
"""

import ctypes
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from threading import Barrier
from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from backprop.backend import HostArray
from backprop.compiled.compiling import part

LOOKS = 4096
"""How often a thread looks before it gives way to others on its processor."""

COUNT, ROUND = 0, 8
"""Where a barrier keeps how many have come and how often all had: a cache line apart."""

ROWS_PER_MEMBER = 16
"""Fewest rows of a minibatch that a member of a team takes: with less the barriers cost more than it brings."""

WORK_PER_MEMBER = 10**5
"""Fewest products of a minibatch, rows by parameters, that a member of a team takes, for the same reason: 64-32-10 at
32 has 77,000, and two threads take a quarter longer for it than one."""

BARRIER_SIZE = 16
"""Entries of a barrier, an int64 array of zeros."""


class Team(NamedTuple):
    """Threads that train the same trials.

    Attributes
    ----------
    members : int
    trials : (n,) int64 array
    """

    members: int
    trials: HostArray


def share_out(trials: int, threads: int, batch: int, size: int) -> list[Team]:
    """Share out trials of some size: to a thread each its own, or, where threads are more, to each a team of them."""
    members = min(threads // trials, batch // ROWS_PER_MEMBER, batch * size // WORK_PER_MEMBER)
    if members > 1:
        return [Team(members, np.array([trial])) for trial in range(trials)]
    return [Team(1, np.arange(first, trials, threads)) for first in range(min(threads, trials))]


class Crew:
    """Threads that are there before there is work, and stay for the next: starting them takes as long as a small epoch.

    Parameters
    ----------
    count : int
        Threads, the one that calls included.

    Raises
    ------
    RuntimeError
        The system gives no more threads.
    """

    def __init__(self, count: int) -> None:
        self._others = ThreadPoolExecutor(count - 1) if count > 1 else None
        if self._others is None:
            return
        # Members of a team wait for each other for ever: none may begin before all have a thread.
        all_there = Barrier(count)
        try:
            waiting = [self._others.submit(all_there.wait) for _ in range(count - 1)]
        except RuntimeError:
            all_there.abort()
            raise
        all_there.wait()
        for thread in waiting:
            thread.result()

    def call(self, function: Callable[..., None], calls: Sequence[tuple[Any, ...]]) -> None:
        """Call a compiled function with each of the arguments, at most as many as threads, at the same time."""
        if self._others is None:
            function(*calls[0])
            return
        others = [self._others.submit(function, *arguments) for arguments in calls[1:]]
        try:
            function(*calls[0])
        finally:
            # What they write on must not be let go of before they are done.
            wait(others)
        for other in others:
            other.result()


def give_way_address() -> int:
    """Return the address of the system's function that lets another thread run."""
    library = ctypes.windll.kernel32 if os.name == "nt" else ctypes.CDLL(None)  # type: ignore[attr-defined,unused-ignore]
    function = library.SwitchToThread if os.name == "nt" else library.sched_yield
    return int(ctypes.cast(function, ctypes.c_void_p).value or 0)


GIVE_WAY = give_way_address()


@part
def wait_for_team(barrier, members, give_way):
    """Return when all members of a team have called."""
    if members == 1:
        return
    now = _look(barrier, ROUND)
    if _count_in(barrier, COUNT) == members - 1:
        barrier[COUNT] = 0
        _count_in(barrier, ROUND)
        return
    looks = 0
    while _look(barrier, ROUND) == now:
        looks += 1
        if looks % LOOKS == 0:
            _call(give_way)


@intrinsic
def _count_in(typing_context: Any, counts: Any, place: Any) -> Any:  # noqa: ARG001 - Numba's signature
    """Add 1 to `counts[place]` and return what it was, in one step that no other thread comes between."""

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:  # noqa: ARG001 - Numba's signature
        return builder.atomic_rmw("add", builder.gep(arguments[0], [arguments[1]]), ir.IntType(64)(1), "seq_cst")

    return types.int64(counts, types.intp), build


@intrinsic
def _look(typing_context: Any, counts: Any, place: Any) -> Any:  # noqa: ARG001 - Numba's signature
    """Return `counts[place]` as other threads have left it, and see all they wrote before."""

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:  # noqa: ARG001 - Numba's signature
        return builder.load_atomic(builder.gep(arguments[0], [arguments[1]]), "seq_cst", 8)

    return types.int64(counts, types.intp), build


@intrinsic
def _call(typing_context: Any, address: Any) -> Any:  # noqa: ARG001 - Numba's signature
    """Call the function without arguments at an address."""

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:  # noqa: ARG001 - Numba's signature
        function = ir.FunctionType(ir.IntType(32), [])
        builder.call(builder.inttoptr(arguments[0], function.as_pointer()), [])
        return context.get_dummy_value()

    return types.void(types.intp), build
