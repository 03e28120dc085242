"""The hyperparameters around those of a champion."""

from collections.abc import Iterator
from itertools import product

from flows.parameters import MOST_UNITS, AroundParameters, Hyperparameters, Space


def space_around(champion: Hyperparameters, around: AroundParameters) -> Space:
    """Return the trials around a champion: its own first, then its next seeds, then its neighbours, the nearest first.

    Neighbours have its learning rate, times or divided by a factor, and its widths likewise; all else is the
    champion's. A neighbour that differs in one of the two is nearer than one that differs in both.
    """
    trials = list(dict.fromkeys([*_seeds(champion, around.seeds), *_neighbours(champion, around)]))
    return Space.model_validate({"trials": [trial.model_dump(exclude_none=True) for trial in trials[: around.trials]]})


def _seeds(champion: Hyperparameters, count: int) -> Iterator[Hyperparameters]:
    for later in range(count):
        yield champion.model_copy(update={"seed": champion.seed + later})


def _neighbours(champion: Hyperparameters, around: AroundParameters) -> list[Hyperparameters]:
    steps = sorted(product((0, 1, -1), repeat=2), key=lambda step: abs(step[0]) + abs(step[1]))
    return [
        champion.model_copy(
            update={
                "learning_rate": _rounded(champion.learning_rate * around.learning_rate_factor**rate),
                "hidden": tuple(_width(units * around.width_factor**width) for units in champion.hidden),
            }
        )
        for rate, width in steps
    ]


def _rounded(rate: float) -> float:
    """Return a rate as a person would write it, so that three times a third of it is the same rate again."""
    return float(f"{rate:.6g}")


def _width(units: float) -> int:
    return min(max(1, round(units)), MOST_UNITS)
