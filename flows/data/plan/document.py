"""A plan as a YAML file: written with comments for the person who edits it, read with the line of every fault."""

from collections.abc import Iterator
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from flows.data.plan.models import (
    BooleanPlan,
    CategoricalPlan,
    ColumnPlan,
    DatePlan,
    Declared,
    NumericPlan,
    PreparationPlan,
)
from flows.data.yaml_declarations import flow_list, locate, read_mapping, scalar, value_of
from flows.errors import InputError

KINDS: dict[str, type[Declared]] = {
    "numeric": NumericPlan,
    "categorical": CategoricalPlan,
    "boolean": BooleanPlan,
    "date": DatePlan,
}

HEADER = """\
# How the columns of a table become the inputs of a network. Edit it: the next ingestion follows it.
#
# kind: numeric      scale: standard | minmax | robust | none
#                    missing: median | constant (with fill: NUMBER) | refuse     indicator: true | false
# kind: categorical  rare: levels in fewer than this fraction of the training rows share the input (other),
#                          which unseen levels light too                         missing: level | refuse
# kind: boolean      missing: most_frequent | refuse                             indicator: true | false
# kind: date         parts: [year, month, day, weekday, hour, elapsed]           missing: median | refuse
#                    indicator: true | false                                     format: strptime, for text
# A column that is named nowhere is inferred anew.
"""


class PlanError(InputError):
    """A file of a preparation that cannot be read or is not valid; the message names the line and the field."""


def load_plan(path: Path | str) -> PreparationPlan:
    """Read a plan from its YAML file.

    Raises
    ------
    PlanError
        If there is no such file, it is not YAML, or a field of it is not valid.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise PlanError(f"{path}: the preparation cannot be read: {reason}; give the path of a YAML file") from error
    return parse_plan(text, path)


def parse_plan(text: str, path: Path | str) -> PreparationPlan:
    """Read a plan from YAML; ``path`` is what messages call the file it stood in.

    Raises
    ------
    PlanError
        If it is not YAML, or a field of it is not valid.
    """
    root = read_mapping(text, path, PlanError, "a preparation is a mapping; start it with `columns:` or `drop:`")
    if root is None:
        return PreparationPlan()
    try:
        return PreparationPlan.model_validate(root.value)
    except ValidationError as error:
        raise PlanError(f"{path}: {describe_fault(root.node, error)}") from error


def describe_fault(root: yaml.MappingNode, error: ValidationError) -> str:
    """Say in one line where a declaration is not valid, why, and what is."""
    # An unknown field first: a missing one is often the same name misspelt.
    fault = min(error.errors(), key=lambda found: found["type"] != "extra_forbidden")
    line, place = locate(root, fault["loc"])
    what = fault["msg"].removeprefix("Value error, ")
    match fault["type"]:
        case "extra_forbidden":
            known = fields_at(root, place[:-1])
            nearest = get_close_matches(place[-1], known, n=1)
            hint = f"did you mean {nearest[0]!r}? " if nearest else ""
            what = f"there is no such field: {hint}use {', '.join(known)}"
        case "union_tag_not_found" | "union_tag_invalid" | "model_attributes_type":
            what = f"say what it is: `{{kind: ...}}` with one of {', '.join(KINDS)}"
        case _ if isinstance(fault["input"], str):
            what = f"{what} (it is {fault['input']!r})"
    # What two fields have against each other is said of the whole file.
    return f"line {line}: {'.'.join(place)}: {what}" if place else what


def fields_at(root: yaml.MappingNode, place: list[str]) -> list[str]:
    """Return the names of the fields that may stand at a place of a file."""
    if not place:
        return [name for name, field in PreparationPlan.model_fields.items() if not field.exclude]
    declared = value_of(root)
    for key in place:
        declared = declared[key]
    return list(KINDS[declared["kind"]].model_fields)


def dump_plan(plan: PreparationPlan) -> str:
    """Return a plan as YAML that says every choice, and in comments what else could be chosen and why.

    ``load_plan`` reads it back as the same plan, without its notes.
    """
    return HEADER + "\n" + "\n".join(lines_of(plan)) + "\n"


def lines_of(plan: PreparationPlan) -> Iterator[str]:
    """Yield the lines of a plan's fields."""
    yield f"target: {flow_list(plan.target)}"
    yield f"task: {plan.task}  # auto | classification | regression | multilabel"
    yield f"target_scale: {plan.target_scale}  # standard | none; has no effect but in a regression"
    if plan.pixels:
        yield "pixels: true  # every other column is a pixel: they share one mean and one scale"
    elif plan.columns:
        yield "columns:"
        for name, column in plan.columns.items():
            yield f"  {scalar(name)}: {flow_mapping(column)}{comment(plan.notes.get(name))}"
    else:
        yield "columns: {}"
    if plan.drop:
        yield "drop:"
        for name in plan.drop:
            yield f"  - {scalar(name)}{comment(plan.notes.get(name))}"
    else:
        yield "drop: []"


def flow_mapping(column: ColumnPlan) -> str:
    """Return the declaration of one column as one line; fields that are not set are left out."""
    fields = {name: value for name, value in column.model_dump().items() if value is not None}
    return "{" + ", ".join(f"{name}: {flow_value(value)}" for name, value in fields.items()) + "}"


def flow_value(value: Any) -> str:
    """Return a value of a field as YAML."""
    if isinstance(value, tuple):
        return flow_list(value)
    if isinstance(value, bool):
        return str(value).lower()
    return repr(value) if isinstance(value, float) else scalar(value)


def comment(note: str | None) -> str:
    """Return a note as the comment at the end of a line, without what YAML allows in no text."""
    words = "".join(sign if sign.isprintable() else " " for sign in note or "").split()
    return f"  # {' '.join(words)}" if words else ""
