"""Picking one of a table of named things, with an error that helps, and adding to such a table."""

from collections.abc import Mapping
from dataclasses import fields
from difflib import get_close_matches
from typing import TypeVar

Choice = TypeVar("Choice")


def choose(argument: str, name: object, choices: Mapping[str, Choice]) -> Choice:
    """Return ``choices[name]``.

    Raises
    ------
    ValueError
        The name is unknown or no text; the message names the argument, the value, the nearest valid name
        and all of them.
    """
    if isinstance(name, str) and name in choices:
        return choices[name]
    nearest = get_close_matches(str(name), choices, n=1)
    suggestion = f"did you mean {nearest[0]!r}? " if nearest else ""
    raise ValueError(f"{argument} {name!r} is unknown: {suggestion}use one of {', '.join(choices)}")


def check_new_name(argument: str, name: object, choices: Mapping[str, object]) -> None:
    """Refuse a name that cannot be added to a table.

    Raises
    ------
    ValueError
        The name is taken, or no Python identifier.
    """
    if not isinstance(name, str) or not name.isidentifier():
        raise ValueError(f"{argument} {name!r} cannot be registered: use a name of letters, digits and underscores")
    if name in choices:
        raise ValueError(f"{argument} {name!r} is taken: use a name other than {', '.join(choices)}")


def named(kind: type[Choice], numbers: Mapping[str, object]) -> Choice:
    """Return a dataclass made of numbers by name, such as come from a configuration.

    Raises
    ------
    ValueError
        The dataclass has no such number, with the nearest suggested, or refuses a value.
    """
    known = {field.name: field for field in fields(kind)}  # type: ignore[arg-type]
    for name in numbers:
        choose(f"{kind.__name__} number", name, known)
    return kind(**numbers)
