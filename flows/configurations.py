"""Configurations: what a search compares, each with the trials that repeat it."""

from collections.abc import Sequence
from itertools import pairwise

from flows.errors import SpaceError
from flows.parameters import Hyperparameters, Space
from flows.spaces import draws, expand, require_optuna

Configuration = tuple[Hyperparameters, ...]
"""Hyperparameters that differ in nothing but the seed; the first has the configuration's own."""


def configurations(space: Space, asked: Sequence[Hyperparameters] = ()) -> list[Configuration]:
    """Return the configurations of a space in its order, each with as many seeds as the space asks for.

    Parameters
    ----------
    asked : sequence of Hyperparameters
        What Optuna asked for so far, if the space leaves trials to it; those that are equal are one.

    Raises
    ------
    SpaceError
        The space asks for seeds of configurations that are seeds of each other already.
    """
    listed = expand(space)
    if space.seeds > 1:
        _require_one_seed(listed, space.seeds)
        if space.optuna is not None:
            _require_seeds_from_0(listed, space.seeds)
    return [
        tuple(own.model_copy(update={"seed": own.seed + repeat}) for repeat in range(space.seeds))
        for own in dict.fromkeys((*listed, *asked))
    ]


def rounds(space: Space) -> list[list[Configuration]]:
    """Return the configurations of a space by what trains beside each other: all of them, or with Optuna its batches.

    In place of the trials that Optuna will ask for stand as many draws from the same distributions: what they cost is
    about what those will.
    """
    if space.optuna is None:
        return [configurations(space)]
    every = configurations(space, list(draws(space.optuna)))
    # What the space lists trains with the first batch.
    size = space.optuna.batch
    ends = (0, *range(len(configurations(space)) + size, len(every), size), len(every))
    return [every[start:stop] for start, stop in pairwise(ends)]


def check_before_data(space: Space) -> None:
    """Check all of a space that can be checked while its data was not read.

    Raises
    ------
    SpaceError
        It cannot be searched, whatever the data is.
    """
    configurations(space)
    if space.optuna is not None:
        require_optuna()


def _require_seeds_from_0(listed: list[Hyperparameters], seeds: int) -> None:
    if any(own.seed for own in listed):
        raise SpaceError(
            f"seeds: {seeds} repeats every configuration, those that Optuna asks for from seed 0 on, and the space "
            "lists some with another seed, which it may ask for too; leave their seed out"
        )


def _require_one_seed(chosen: list[Hyperparameters], seeds: int) -> None:
    if len({own.model_copy(update={"seed": 0}) for own in chosen}) < len(chosen):
        raise SpaceError(
            f"seeds: {seeds} repeats every configuration, and the space has some that differ in their seed only; give "
            f"grid.seed one value, the first of the {seeds}"
        )
