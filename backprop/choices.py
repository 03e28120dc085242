"""Picking one of a table of named things, with an error that helps."""

from collections.abc import Mapping
from difflib import get_close_matches
from typing import TypeVar

Choice = TypeVar("Choice")


def choose(argument: str, name: str, choices: Mapping[str, Choice]) -> Choice:
    """Return ``choices[name]``.

    Raises
    ------
    ValueError
        The name is unknown; the message names the argument, the value, the nearest valid name and all of them.
    """
    if name in choices:
        return choices[name]
    nearest = get_close_matches(name, choices, n=1)
    suggestion = f"did you mean {nearest[0]!r}? " if nearest else ""
    raise ValueError(f"{argument} {name!r} is unknown: {suggestion}use one of {', '.join(choices)}")
