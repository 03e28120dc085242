"""A search space as a YAML file: read with the line of every fault, and described to editors as JSON Schema."""

import json
from difflib import get_close_matches
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import yaml
from pydantic import BaseModel, ValidationError
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import ErrorDetails, core_schema

from flows.data.yaml_declarations import is_plain_null, value_of
from flows.errors import SpaceError
from flows.parameters import FORMS, Space

START = "start it with " + ", ".join(f"`{form}:`" for form in FORMS[:-1]) + f" or `{FORMS[-1]}:`"

BOUNDS = {"greater_than": "more than", "greater_than_equal": "at least", "less_than": "less than"}
BOUNDS |= {"less_than_equal": "at most"}

RANGES = {"uniform", "log_uniform", "integer"}

WANTED = {"int": "a whole number", "float": "a number", "string": "a name", "finite": "a finite number"}
"""What pydantic's errors about types ask for, by the first word of their name."""


def parse_space(text: str, where: Path | str) -> Space:
    """Read a space from YAML; ``where`` is what messages call the file it stood in.

    Raises
    ------
    SpaceError
        It is not YAML or no space; one line that begins ``FILE:LINE:``.
    """
    try:
        root = yaml.compose(text, Loader=yaml.BaseLoader)
    except yaml.YAMLError as error:
        line, what = _syntax(error, text)
        raise SpaceError(f"{where}:{line}: {what}") from error
    if not isinstance(root, yaml.MappingNode):
        raise SpaceError(f"{where}:1: the space holds no mapping; {START}")
    try:
        _check(root, (), "")
        return Space.model_validate(value_of(root))
    except _FaultError as fault:
        raise SpaceError(f"{where}:{fault.line}: {fault}") from fault
    except ValidationError as error:
        line, what = _describe(root, error)
        raise SpaceError(f"{where}:{line}: {what}") from error


def space_schema() -> str:
    """Return the JSON Schema of a space's file, by which an editor completes and checks it."""
    schema = Space.model_json_schema(schema_generator=_FileSchema)
    return json.dumps({"$schema": _FileSchema.schema_dialect, **schema}, indent=2) + "\n"


class _FileSchema(GenerateJsonSchema):
    """In a file, what is optional is left out: it is never null."""

    def nullable_schema(self, schema: core_schema.NullableSchema) -> JsonSchemaValue:
        return self.generate_inner(schema["schema"])

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        described = super().default_schema(schema)
        return {name: value for name, value in described.items() if (name, value) != ("default", None)}


class _FaultError(Exception):
    """Something that YAML allows and a space does not."""

    def __init__(self, node: yaml.Node, what: str) -> None:
        super().__init__(what)
        self.line = node.start_mark.line + 1


def _syntax(error: yaml.YAMLError, text: str) -> tuple[int, str]:
    """Return the line where a text stops being YAML, and why."""
    if isinstance(error, yaml.reader.ReaderError):
        return text.count("\n", 0, error.position) + 1, f"not valid YAML: {error.reason}; remove the character"
    mark = error.problem_mark if isinstance(error, yaml.MarkedYAMLError) else None
    line = 1 if mark is None else mark.line + 1
    problem = str(getattr(error, "problem", error))
    if problem.startswith("but "):
        problem = f"{getattr(error, 'context', '')} {problem}"
    if r"'\t'" in problem:
        return line, "not valid YAML: a tab where a line is indented; indent with spaces"
    return line, f"not valid YAML: {' '.join(problem.split())}; correct it"


def _check(node: yaml.Node, above: tuple[yaml.Node, ...], place: str) -> None:
    """Refuse what would be lost without a word, or could not be read at all."""
    if any(node is one for one in above):
        raise _FaultError(node, f"{place} contains itself; write it out")
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise _FaultError(key, f"{place or 'the space'} has a key that is no name; give it a name")
            here = f"{place}.{key.value}".lstrip(".")
            if key.value in seen:
                raise _FaultError(key, f"{here} is there twice; remove one")
            if is_plain_null(value):
                raise _FaultError(key, f"{here} has no value; give it one, or remove it")
            seen.add(key.value)
            _check(value, (*above, node), here)
    elif isinstance(node, yaml.SequenceNode):
        for number, item in enumerate(node.value):
            if is_plain_null(item):
                raise _FaultError(item, f"{place}[{number}] has no value; give it one, or remove it")
            _check(item, (*above, node), f"{place}[{number}]")


def _describe(root: yaml.Node, error: ValidationError) -> tuple[int, str]:
    """Return the line where a space is not valid, and in a few words why and what is."""
    # An unknown name first: a missing one is often the same name misspelt.
    fault = min(error.errors(), key=lambda found: found["type"] != "extra_forbidden")
    line, place, node = _locate(root, fault["loc"])
    kind, given = fault["type"], _shown(node)
    words = fault.get("ctx", {})
    match kind:
        case "value_error":
            message = fault["msg"].removeprefix("Value error, ")
            return line, f"{place}: {message}" if place else message
        case "union_tag_invalid" | "union_tag_not_found":
            name = str(words["discriminator"]).strip("'")
            what = f"{place}.{name} is {words['tag']!r}" if "tag" in words else f"{place} has no {name}"
            return line, f"{what}; use one of {', '.join(_tags_at(fault['loc']))}"
        case "extra_forbidden":
            known = _names_at(fault["loc"])
            nearest = get_close_matches(str(fault["loc"][-1]), known, n=1)
            hint = f"did you mean {nearest[0]!r}? " if nearest else ""
            return line, f"{place} is unknown: {hint}use {', '.join(known)}"
        case "missing" if not isinstance(fault["loc"][-1], int):
            missing = f"{place}.{fault['loc'][-1]}".lstrip(".")
            return line, f"{missing} is missing; {_remedy(fault['loc'], 'add it')}"
        case "missing" | "too_long" | "tuple_type" if RANGES & set(fault["loc"]):
            return line, f"{place} is {given} and has to be a range; give it two ends, [a, b]"
        case "too_short":
            return line, f"{place} is an empty list, so the space has no trials; give it at least one value"
        case "model_type" | "model_attributes_type" | "dict_type":
            return line, f"{place} is {given} and has to be a mapping; write `name: value` below it, a line each"
        case "tuple_type":
            listed = f"write [{given}]" if isinstance(node, yaml.ScalarNode) else "begin every item with `- `"
            return line, f"{place} is {given} and has to be a list; {_remedy(fault['loc'], listed, node)}"
        case _ if kind in BOUNDS:
            bound = next(iter(words.values()))
            return line, f"{place} is {given}, which is out of range; use {BOUNDS[kind]} {bound:g}"
    return line, f"{place} is {given} and has to be {_wanted(fault)}; {_remedy(fault['loc'], 'correct it', node)}"


def _locate(root: yaml.Node, loc: tuple[int | str, ...]) -> tuple[int, str, yaml.Node]:
    """Return the line of a fault, what a person calls its place, and the node that stands there.

    What pydantic names beside keys and positions (which member of a union was tried) is left out.
    """
    node, line, place = root, 1, ""
    for part in loc:
        if isinstance(node, yaml.MappingNode):
            found = [(key, value) for key, value in node.value if key.value == part]
            if found:
                line, node = found[0][0].start_mark.line + 1, found[0][1]
                place = f"{place}.{part}".lstrip(".")
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            node = node.value[part]
            line, place = node.start_mark.line + 1, f"{place}[{part}]"
    return line, place, node


def _shown(node: yaml.Node) -> str:
    if isinstance(node, yaml.MappingNode):
        return "a mapping"
    return "a list" if isinstance(node, yaml.SequenceNode) else str(node.value)


def _wanted(fault: ErrorDetails) -> str:
    first = fault["type"].partition("_")[0]
    return WANTED.get(first, fault["msg"].removeprefix("Input should be "))


def _remedy(loc: tuple[int | str, ...], otherwise: str, node: yaml.Node | None = None) -> str:
    """Say what to write where one form of a space was taken for another."""
    match loc[0], node:
        case "random" | "optuna", yaml.SequenceNode():
            return "give one value, or `{choice: [...]}`"
        case "trials", yaml.SequenceNode():
            return "give one value: lists of values are for `grid:`"
        case "grid", yaml.MappingNode():
            return "give the values: distributions are for `random:` and `optuna:`"
        case "grid", None:
            return "give it a list of values"
    return otherwise


def _names_at(loc: tuple[int | str, ...]) -> list[str]:
    """Return the names that may stand where an unknown one does."""
    model: type[BaseModel] = Space
    for part, following in pairwise(loc):
        if part in model.model_fields:
            models = _models_in(model.model_fields[str(part)].annotation)
            # Of several, what follows says which: the value by which they are told apart.
            told = [one for one in models if following in _tags_of(one)]
            model = next(iter(told or models), model)
    return list(model.model_fields)


def _tags_at(loc: tuple[int | str, ...]) -> list[str]:
    """Return the values by which the models that may stand at a place are told apart."""
    return [tag for model in _models_in(Space.model_fields[str(loc[0])].annotation) for tag in _tags_of(model)]


def _tags_of(model: type[BaseModel]) -> list[str]:
    kinds = (field.annotation for field in model.model_fields.values() if get_origin(field.annotation) is Literal)
    return [str(tag) for kind in kinds for tag in get_args(kind)]


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    """Return the models that a field is, holds, or may be instead of a value."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in get_args(annotation) for model in _models_in(part)]
