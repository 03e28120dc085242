"""Declarations in YAML that a person edits: read with the line of every fault, written so that they are read back.

Every scalar is read as text, of which a pydantic model makes what it asks for: a column may be called 2024, no or null.
"""

import re
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from flows.errors import InputError

# Needs no quotes, neither in a block nor between brackets, and is no other thing than text to any reader of YAML.
PLAIN = re.compile(r"[A-Za-z_][A-Za-z_0-9]*([ .-][A-Za-z_0-9]+)*")
NOT_TEXT = {"true", "false", "yes", "no", "on", "off", "null"}


class Mapping(NamedTuple):
    """A file's mapping: as dicts, lists and texts, and as the nodes that know their lines."""

    value: dict[str, Any]
    node: yaml.MappingNode


def read_mapping(text: str, where: Path | str, fault: type[InputError], wanted: str) -> Mapping | None:
    """Read a file that is one mapping; None if there is nothing in it.

    Parameters
    ----------
    where
        What messages call the file.
    fault
        The error to raise.
    wanted
        What to say of a file that is no mapping.

    Raises
    ------
    InputError
        As ``fault``: the text is not YAML, is no mapping, or has a key twice.
    """
    try:
        root = yaml.compose(text, Loader=yaml.BaseLoader)
        if root is None:
            return None
        if not isinstance(root, yaml.MappingNode):
            raise fault(f"{where}: line 1: {wanted}")
        return Mapping(value_of(root), root)
    except yaml.YAMLError as error:
        raise fault(f"{where}: {describe_syntax(error)}; correct it") from error
    except RepeatedKeyError as error:
        raise fault(f"{where}: {error}") from error


class RepeatedKeyError(Exception):
    """A key that is there twice in one mapping: YAML forbids it, and its Python parser takes the last."""


def value_of(node: yaml.Node) -> Any:
    """Return a node as dicts, lists and strings; a plain ``null`` or nothing at all as None."""
    if isinstance(node, yaml.MappingNode):
        values: dict[str, Any] = {}
        for key, value in node.value:
            if key.value in values:
                line = key.start_mark.line + 1
                raise RepeatedKeyError(f"line {line}: {key.value!r} is there twice; remove one")
            values[key.value] = value_of(value)
        return values
    if isinstance(node, yaml.SequenceNode):
        return [value_of(item) for item in node.value]
    return None if is_plain_null(node) else node.value


def is_plain_null(node: yaml.Node) -> bool:
    """Tell whether a scalar stands for nothing: left out, or ``null`` without quotes."""
    return isinstance(node, yaml.ScalarNode) and node.style is None and node.value in ("", "~", "null")


def describe_syntax(error: yaml.YAMLError) -> str:
    """Say in one line where a text stops being YAML."""
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        return f"line {error.problem_mark.line + 1}: not valid YAML: {error.problem}"
    return f"not valid YAML: {' '.join(str(error).split())}"


def locate(root: yaml.MappingNode, loc: tuple[int | str, ...]) -> tuple[int, list[str]]:
    """Return the line of a fault, and the keys that lead there; what pydantic names beside the keys is left out."""
    node: yaml.Node = root
    line, place = 1, []
    for part in loc:
        if isinstance(node, yaml.MappingNode):
            found = [(key, value) for key, value in node.value if key.value == part]
            if found:
                line, node = found[0][0].start_mark.line + 1, found[0][1]
                place.append(str(part))
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            node = node.value[part]
            line = node.start_mark.line + 1
    return line, place


def flow_list(values: tuple[str, ...]) -> str:
    """Return names as one line of YAML."""
    return "[" + ", ".join(scalar(value) for value in values) + "]"


def scalar(text: str) -> str:
    """Return a text as YAML, in quotes where it could be read as something else."""
    if PLAIN.fullmatch(text) and text.lower() not in NOT_TEXT:
        return text
    quoted: str = yaml.safe_dump(text, default_style='"', width=float("inf"))
    return quoted.rstrip("\n")
