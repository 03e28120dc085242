"""Packing trials into stacks: what trains together, in how many pieces, in which order."""

from collections import defaultdict
from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from backprop import Architecture
from backprop.optimizers import OPTIMIZERS
from flows.compute.devices import DeviceFacts
from flows.trials import DTYPE, PlannedTrial

LEAST_PIECE = 16
"""Trials of a stack below which it is not halved for the sake of the end: a CPU trains them as fast as it does 1,024
(docs/performance.md), and a piece costs half a second to hand out."""

ITEM_BYTES = np.dtype(DTYPE).itemsize


def pack(trials: Sequence[PlannedTrial], slots: int, facts: DeviceFacts) -> list[list[PlannedTrial]]:
    """Group trials that can share a stack, and cut the groups so that `slots` workers have work to the end.

    The longest stack comes first.

    Trials share a stack if they have the same fold, architecture, batch size and kind of optimiser. Their rates, seeds
    and numbers of epochs may differ. No stack is larger than `facts` allow, save for a trial that is so alone.
    """
    groups: dict[tuple[int, Architecture, int, str], list[PlannedTrial]] = defaultdict(list)
    for trial in trials:
        chosen = trial.hyperparameters
        groups[trial.fold, trial.architecture, chosen.batch_size, chosen.optimizer].append(trial)
    share = max(1, -(-len(trials) // slots))
    stacks = [
        stack
        for group in groups.values()
        for stack in _cut(group, min(share, facts.stack_trials, max(1, facts.stack_bytes // trial_bytes(group[0]))))
    ]
    return _shrinking(stacks, slots, max(LEAST_PIECE, facts.stack_trials // 4))


def trial_bytes(trial: PlannedTrial) -> int:
    """Return the bytes a trial takes in a stack: its parameters, the optimiser's memories, and a gradient.

    Parameters and memories count twice: a stack keeps them once as matrices and once as its loops have them.
    """
    memories = len(OPTIMIZERS[trial.hyperparameters.optimizer].memories)
    return ITEM_BYTES * trial.architecture.parameter_count * (2 * (1 + memories) + 1)


def _shrinking(stacks: list[list[PlannedTrial]], slots: int, least: int) -> list[list[PlannedTrial]]:
    """Sort stacks, longest first, and halve those that the others would wait for at the end, down to `least` trials.

    A stack may take no more than its worker's share of what is left when it begins (guided self-scheduling:
    Polychronopoulos and Kuck, IEEE Transactions on Computers C-36, 1987).
    """
    waiting = sorted(stacks, key=_work, reverse=True)
    left = sum(map(_work, stacks))
    packed = []
    while waiting:
        stack = waiting.pop(0)
        if len(stack) >= 2 * least and _work(stack) * slots > left:
            waiting = sorted([*waiting, *_cut(stack, -(-len(stack) // 2))], key=_work, reverse=True)
            continue
        packed.append(stack)
        left -= _work(stack)
    return packed


def work(trial: PlannedTrial, after: int = 0) -> int:
    """Return the multiplications of a trial after some epochs, up to a factor that all trials on a dataset share."""
    return epoch_work(trial) * (trial.hyperparameters.epochs - after)


def epoch_work(trial: PlannedTrial) -> int:
    """Return the multiplications of one epoch of a trial, up to the same factor."""
    return trial.architecture.parameter_count


def _cut(group: list[PlannedTrial], most: int) -> list[list[PlannedTrial]]:
    """Cut into the fewest pieces of at most `most`, as equal as they can be."""
    pieces = -(-len(group) // most)
    bounds = [len(group) * piece // pieces for piece in range(pieces + 1)]
    return [group[start:stop] for start, stop in pairwise(bounds)]


def _work(stack: list[PlannedTrial]) -> int:
    return sum(work(trial) for trial in stack)
