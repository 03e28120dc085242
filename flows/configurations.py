"""Configurations: what a search compares, each with the trials that repeat it."""

from flows.errors import SpaceError
from flows.parameters import Hyperparameters, Space
from flows.spaces import expand

Configuration = tuple[Hyperparameters, ...]
"""Hyperparameters that differ in nothing but the seed; the first has the configuration's own."""


def configurations(space: Space) -> list[Configuration]:
    """Return the configurations of a space in its order, each with as many seeds as the space asks for.

    Raises
    ------
    SpaceError
        The space has no trials, or asks for seeds of configurations that are seeds of each other already.
    """
    chosen = expand(space)
    if space.seeds > 1:
        _require_one_seed(chosen, space.seeds)
    return [
        tuple(own.model_copy(update={"seed": own.seed + repeat}) for repeat in range(space.seeds)) for own in chosen
    ]


def _require_one_seed(chosen: list[Hyperparameters], seeds: int) -> None:
    if len({own.model_copy(update={"seed": 0}) for own in chosen}) < len(chosen):
        raise SpaceError(
            f"seeds: {seeds} repeats every configuration, and the space has some that differ in their seed only; give "
            f"grid.seed one value, the first of the {seeds}"
        )
