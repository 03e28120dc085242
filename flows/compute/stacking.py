"""Packing trials into stacks: what trains together, in how many pieces, in which order."""

from collections import defaultdict
from collections.abc import Sequence
from itertools import pairwise

from backprop import Architecture
from flows.trials import PlannedTrial

STACK_BYTES = 8 * 2**20
"""Most bytes of parameters in a stack. Past the caches a stack gains nothing over its trials one by one."""

STACK_TRIALS = 64
"""Most trials in a stack: throughput on a CPU peaks near it and falls behind it (docs/architecture.md)."""


def pack(trials: Sequence[PlannedTrial], slots: int) -> list[list[PlannedTrial]]:
    """Group trials that can share a stack and cut the groups so that `slots` workers have work; longest first.

    Trials share a stack if they have the same architecture, batch size and kind of optimiser. Their rates, seeds
    and numbers of epochs may differ.
    """
    groups: dict[tuple[Architecture, int, str], list[PlannedTrial]] = defaultdict(list)
    for trial in trials:
        chosen = trial.hyperparameters
        groups[trial.architecture, chosen.batch_size, chosen.optimizer].append(trial)
    share = max(1, -(-len(trials) // slots))
    stacks = [
        stack
        for group in groups.values()
        for stack in _cut(group, min(share, STACK_TRIALS, _fitting(group[0].architecture)))
    ]
    return sorted(stacks, key=_work, reverse=True)


def _fitting(architecture: Architecture) -> int:
    return max(1, STACK_BYTES // (4 * architecture.parameter_count))


def _cut(group: list[PlannedTrial], most: int) -> list[list[PlannedTrial]]:
    """Cut into the fewest pieces of at most `most`, as equal as they can be."""
    pieces = -(-len(group) // most)
    bounds = [len(group) * piece // pieces for piece in range(pieces + 1)]
    return [group[start:stop] for start, stop in pairwise(bounds)]


def _work(stack: list[PlannedTrial]) -> int:
    """Multiplications of a stack, up to a factor that all stacks of a dataset share."""
    return sum(trial.architecture.parameter_count * trial.hyperparameters.epochs for trial in stack)
