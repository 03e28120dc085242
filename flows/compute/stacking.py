"""Packing trials into stacks: what trains together, in how many pieces, in which order."""

import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np

from backprop.compiled.backend import compiles
from backprop.optimizers import OPTIMIZERS
from flows.compute.devices import DeviceFacts
from flows.compute.paces import Kind, Paces, family_of, kind_of
from flows.trials import DTYPE, PlannedTrial, common_architecture

LEAST_PIECE = 16
"""Trials of a stack below which it is not halved for the sake of the end: a CPU trains them as fast as it does 1,024
(docs/performance.md), and a piece costs half a second to hand out."""

LEAST_SECONDS = 5.0
"""Of a piece of fewer trials, for the sake of the end: ten times what it costs to hand out."""

MOST_APART = 16
"""Times as many parameters as the smallest that the largest network of a stack has, at the most: further was not
measured (docs/performance.md), and a stack holds all of its trials as if they were the widest."""

ROUNDING = 1e-9
"""Part by which sums of times may differ that are equal."""

ITEM_BYTES = np.dtype(DTYPE).itemsize


def pack(
    trials: Sequence[PlannedTrial],
    slots: int,
    facts: DeviceFacts,
    paces: Paces,
    *,
    beside: Sequence[float] = (),
    most_seconds: float | None = None,
) -> list[list[PlannedTrial]]:
    """Group trials that can share a stack, and cut the groups so that `slots` workers have work to the end.

    The longest stack comes first.

    Trials share a stack if they have the same fold, architecture, batch size and kind of optimiser. Their rates, seeds
    and numbers of epochs may differ. So may their hidden widths, where those of one width are too few or too short for
    a stack of their own, and one stack is faster than several: in a CPU's compiled loops, which train each trial in its
    own widths, and elsewhere if the workers measured it.

    No stack is larger than `facts` allow, or longer than a slot's share of all or than `most_seconds`, save for a trial
    that is so alone.

    Parameters
    ----------
    beside : sequence of float
        What stacks cost that are trained too and are packed already.
    most_seconds : float, optional
        Of a stack, where paces are seconds.
    """
    if not trials:
        return []
    longest = (sum(map(paces.work, trials)) + sum(beside)) / slots
    if most_seconds is not None and paces.are_seconds:
        longest = min(longest, most_seconds)
    stacks = [
        stack
        for group in _groups(trials, facts, paces)
        for stack in _cut(group, longest, most_trials(group, facts), paces)
    ]
    return _shrinking(stacks, slots, facts, paces, beside)


def most_trials(group: Sequence[PlannedTrial], facts: DeviceFacts) -> int:
    """Return how many trials of a group a stack may hold."""
    return min(facts.stack_trials, max(1, facts.stack_bytes // trial_bytes(group)))


def trial_bytes(stack: Sequence[PlannedTrial]) -> int:
    """Return the bytes that each trial of a stack takes: its parameters, the optimiser's memories, and a gradient.

    Parameters and memories count twice: a stack keeps them once as matrices and once as its loops have them.
    """
    memories = len(OPTIMIZERS[stack[0].hyperparameters.optimizer].memories)
    return ITEM_BYTES * common_architecture(stack).parameter_count * (2 * (1 + memories) + 1)


def families(trials: Sequence[PlannedTrial], facts: DeviceFacts, paces: Paces) -> dict[Kind, list[PlannedTrial]]:
    """Return the trials of small groups that only differ in their widths, where there are several of them."""
    found: dict[Kind, list[PlannedTrial]] = defaultdict(list)
    for group in _by_kind(trials).values():
        if _is_small(group, facts, paces):
            found[family_of(kind_of(group[0]))] += group
    return {family: mates for family, mates in found.items() if len(set(map(kind_of, mates))) > 1}


def _groups(trials: Sequence[PlannedTrial], facts: DeviceFacts, paces: Paces) -> list[list[PlannedTrial]]:
    """Return the trials that may share stacks, in their order."""
    kinds = _by_kind(trials)
    places: dict[tuple[int, Kind], tuple[int, Kind, int]] = {}
    least: dict[tuple[int, Kind], int] = {}
    for fold, kind in sorted(kinds, key=lambda of: of[1].architecture.parameter_count):
        family = family_of(kind)
        if _is_small(kinds[fold, kind], facts, paces) and _may_join(family, facts, paces):
            size = kind.architecture.parameter_count
            if size > MOST_APART * least.setdefault((fold, family), size):
                least[fold, family] = size
            places[fold, kind] = (fold, family, least[fold, family])
        else:
            places[fold, kind] = (fold, kind, 0)
    groups: dict[tuple[int, Kind, int], list[PlannedTrial]] = defaultdict(list)
    for trial in trials:
        groups[places[trial.fold, kind_of(trial)]].append(trial)
    return list(groups.values())


def _by_kind(trials: Sequence[PlannedTrial]) -> dict[tuple[int, Kind], list[PlannedTrial]]:
    groups: dict[tuple[int, Kind], list[PlannedTrial]] = defaultdict(list)
    for trial in trials:
        groups[trial.fold, kind_of(trial)].append(trial)
    return groups


def _is_small(group: Sequence[PlannedTrial], facts: DeviceFacts, paces: Paces) -> bool:
    """Return whether a group is too small to fill a device, or too short to be worth its hand-out."""
    long = facts.in_turn and paces.are_seconds and _work_of(paces)(group) >= LEAST_SECONDS
    return len(group) < _least_piece(facts) and not long


def _may_join(family: Kind, facts: DeviceFacts, paces: Paces) -> bool:
    return compiles(family.architecture) if facts.in_turn else family in paces.padded


def _least_piece(facts: DeviceFacts) -> int:
    return max(LEAST_PIECE, facts.stack_trials // 4)


def _shrinking(
    stacks: list[list[PlannedTrial]], slots: int, facts: DeviceFacts, paces: Paces, beside: Sequence[float]
) -> list[list[PlannedTrial]]:
    """Sort stacks, longest first, and halve those that the others would wait for at the end, where a half is worth it.

    A stack may take no more than its worker's share of what is left when it begins (guided self-scheduling:
    Polychronopoulos and Kuck, IEEE Transactions on Computers C-36, 1987).
    """
    work = _work_of(paces)
    least = _least_piece(facts)
    waiting = sorted(stacks, key=work, reverse=True)
    left = sum(map(work, stacks))
    packed = []
    while waiting:
        stack = waiting.pop(0)
        mine = work(stack)
        shared = left + sum(other for other in beside if other <= mine)
        long = len(stack) > 1 and facts.in_turn and paces.are_seconds and mine >= 2 * LEAST_SECONDS
        if (long or len(stack) >= 2 * least) and mine * slots > shared * (1 + ROUNDING):
            waiting = sorted([*waiting, *_in_pieces(stack, 2, paces)], key=work, reverse=True)
            continue
        packed.append(stack)
        left -= mine
    return packed


def _cut(group: list[PlannedTrial], longest: float, most: int, paces: Paces) -> list[list[PlannedTrial]]:
    """Cut into the fewest pieces of about equal work of which none has more than `most` trials or is much longer."""
    by_work = math.ceil(_work_of(paces)(group) / longest * (1 - ROUNDING))
    count = min(len(group), max(by_work, -(-len(group) // most)))
    pieces = _in_pieces(group, count, paces)
    while max(map(len, pieces)) > most:
        count += 1
        pieces = _in_pieces(group, count, paces)
    return pieces


def _in_pieces(group: list[PlannedTrial], count: int, paces: Paces) -> list[list[PlannedTrial]]:
    """Cut into so many pieces of about equal work, in order, none of them empty."""
    work = np.array([paces.work(trial) for trial in group], "float64")
    middles = np.cumsum(work) - work / 2
    bounds = np.searchsorted(middles, work.sum() * np.arange(count + 1) / count * (1 - ROUNDING))
    # A trial that is longer than a piece leaves none for the pieces around it: they take a neighbour.
    bounds = np.maximum.accumulate(bounds - np.arange(count + 1)) + np.arange(count + 1)
    bounds = np.minimum(bounds, len(group) - np.arange(count, -1, -1))
    return [group[start:stop] for start, stop in pairwise([0, *bounds[1:-1], len(group)])]


def _work_of(paces: Paces) -> Callable[[Sequence[PlannedTrial]], float]:
    return lambda stack: sum(map(paces.work, stack))
