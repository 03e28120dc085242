"""What a source's table is expected to be: inferred when it is first ingested, a YAML that a person may edit.

A table that grows must go on to pass, a mistake must not. So numbers may lie in the range seen so far widened by its
own width on either side: ten times as large, as after a change of unit, is out of it, a hot summer is not. What may
come and what may not, rule by rule, is in docs/validation-and-drift.md.
"""

import math
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from flows.data.plan import PreparationPlan
from flows.data.profile import ColumnKind, ColumnProfile, kind_of, profile
from flows.data.staging import Staged
from flows.data.yaml_declarations import flow_list, locate, read_mapping, scalar
from flows.errors import InputError

HEADER = """\
# What is expected of {uri}: inferred when it was first ingested, and checked at every ingestion after it.
# Edit it: what is asked for here is what you know of the data.
#
# kind       number | text | boolean | date
# nullable   whether there may be gaps. Where not, a gap is an error if the preparation says `missing: refuse`,
#            and a warning if it fills gaps in
# minimum, maximum   of a number, both included; leave them out and any number passes
# levels     the values seen so far; others are a warning
# classes    the labels of the target; others are an error
# A column that is named nowhere is an error; with `other_columns: accept` it becomes a feature.
"""


class SchemaFileError(InputError):
    """A file of a schema that cannot be read or is not valid; the message names the line and the field."""


class Expected(BaseModel):
    """Immutable, and an unknown field is an error: a misspelt name must not be silently ignored."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Range(Expected):
    """The least and the largest number allowed, both included; None where any is."""

    minimum: float | None = None
    maximum: float | None = None

    @model_validator(mode="after")
    def _ends_are_in_order(self) -> Self:
        if self.minimum is not None and self.maximum is not None and self.minimum > self.maximum:
            raise ValueError(f"the minimum {self.minimum:g} is above the maximum {self.maximum:g}")
        return self

    @property
    def described(self) -> str:
        """The range in words."""
        if self.minimum is None or self.maximum is None:
            return f"at least {self.minimum:g}" if self.minimum is not None else f"at most {self.maximum:g}"
        return f"{self.minimum:g} to {self.maximum:g}"


class ColumnSchema(Range):
    """What the values of one column may be.

    Attributes
    ----------
    kind
        ``number`` (whole or not), ``text``, ``boolean`` or ``date``.
    nullable
        Whether there may be gaps.
    levels
        The values seen so far, as text; others are a warning. None where any is allowed.
    classes
        The labels a target may have, as text; others are an error.
    """

    kind: ColumnKind
    nullable: bool = False
    levels: tuple[str, ...] | None = None
    classes: tuple[str, ...] | None = None

    @model_validator(mode="after")
    def _rules_go_with_the_kind(self) -> Self:
        if self.kind != "number" and (self.minimum is not None or self.maximum is not None):
            raise ValueError(f"a {self.kind} has no minimum and no maximum; remove them")
        for label in (*(self.levels or ()), *(self.classes or ())) if self.kind == "number" else ():
            if not is_number(label):
                raise ValueError(f"{label!r} is no number, and the column is of numbers")
        return self


class PixelSchema(Range):
    """What images may be: so many columns of numbers within one range."""

    count: int


class TableSchema(Expected):
    """What a table may be, column by column.

    Attributes
    ----------
    columns
        Features and targets by name, in the order of the source.
    pixels
        All feature columns at once, where they are images.
    ignored
        Columns that may be there or not: those the plan drops.
    other_columns
        What to do about a column that is named nowhere.
    """

    columns: dict[str, ColumnSchema]
    pixels: PixelSchema | None = None
    ignored: tuple[str, ...] = ()
    other_columns: Literal["refuse", "accept"] = "refuse"


def infer_schema(staged: Staged, plan: PreparationPlan) -> TableSchema:
    """Return the schema that a table keeps with room to spare, for the columns that the plan uses.

    A constant column has no range: it says nothing about how far values may lie apart.
    """
    features = [] if plan.pixels else list(plan.features(staged.names))
    used = [name for name in staged.names if name in {*features, *plan.target}]
    labels = set(plan.target) if plan.task != "regression" else set()
    categories = {name for name in features if plan.columns[name].kind == "categorical"}
    found = profile(staged, used, levels_of=labels | categories)
    columns = {
        name: column_schema(staged, name, found[name], is_label=name in labels, is_category=name in categories)
        for name in used
    }
    pixels = pixel_schema(staged, [*plan.features(staged.names)]) if plan.pixels else None
    return TableSchema(columns=columns, pixels=pixels, ignored=tuple(n for n in plan.drop if n in staged.names))


def column_schema(staged: Staged, name: str, found: ColumnProfile, is_label: bool, is_category: bool) -> ColumnSchema:
    """Return what is expected of one column after what was found in it."""
    kind = kind_of(staged.schema.field(name).type) or "text"
    levels = tuple(sorted(found.levels)) if found.levels is not None else None
    is_quantity = kind == "number" and not is_label and not is_category
    return ColumnSchema(
        kind=kind,
        nullable=found.gaps > 0,
        levels=levels if is_category and kind != "boolean" else None,
        classes=levels if is_label else None,
        **(widened(found.minimum, found.maximum) if is_quantity else {}),
    )


def pixel_schema(staged: Staged, names: list[str]) -> PixelSchema:
    """Return what is expected of the columns of images, all alike."""
    found = profile(staged, names).values()
    low = min((column.minimum for column in found if column.minimum is not None), default=None)
    high = max((column.maximum for column in found if column.maximum is not None), default=None)
    return PixelSchema(count=len(names), **widened(low, high))


def widened(low: float | None, high: float | None) -> dict[str, float]:
    """Return a range widened by its width on either side, its ends rounded outwards to three digits of the width."""
    if low is None or high is None or not 0 < high - low < math.inf:
        return {}
    width = high - low
    digits = 2 - math.floor(math.log10(width))
    step = 10.0**-digits
    return {
        "minimum": round(math.floor((low - width) / step) * step, digits),
        "maximum": round(math.ceil((high + width) / step) * step, digits),
    }


def is_number(text: str) -> bool:
    """Tell whether a text is written as a finite number."""
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def parse_schema(text: str, where: str) -> TableSchema:
    """Read a schema from its YAML; ``where`` is what to call it in a message.

    Raises
    ------
    SchemaFileError
        If the text is not YAML, or a field of it is not valid.
    """
    wanted = "a schema is a mapping with `columns:` in it; restore or delete it"
    root = read_mapping(text, where, SchemaFileError, wanted)
    if root is None:
        raise SchemaFileError(f"{where}: line 1: {wanted}")
    try:
        return TableSchema.model_validate(root.value)
    except ValidationError as error:
        fault = error.errors()[0]
        line, place = locate(root.node, fault["loc"])
        given = f" (it is {fault['input']!r})" if isinstance(fault["input"], str) else ""
        what = fault["msg"].removeprefix("Value error, ")
        if fault["type"] == "missing":
            place = [str(part) for part in fault["loc"]]
        at = f"{'.'.join(place)}: " if place else ""
        raise SchemaFileError(f"{where}: line {line}: {at}{what}{given}; correct it") from error


def dump_schema(schema: TableSchema, uri: str) -> str:
    """Return a schema as YAML with comments that say what may be edited; ``parse_schema`` reads it back."""
    lines = [HEADER.format(uri=uri), f"other_columns: {schema.other_columns}"]
    if schema.pixels:
        lines.append(f"pixels: {flow(schema.pixels)}")
    if schema.ignored:
        lines.append(f"ignored: {flow_list(schema.ignored)}")
    lines.append("columns:")
    lines += [f"  {scalar(name)}: {flow(column)}" for name, column in schema.columns.items()]
    return "\n".join(lines) + "\n"


def flow(expected: Range) -> str:
    """Return what is expected as one line of YAML; what is not asked for is left out."""
    # The kind first: it is what the rest is read by.
    fields = {name: value for name, value in expected if value is not None}
    order = ["kind", "nullable", "count", "minimum", "maximum", "levels", "classes"]
    shown = (f"{name}: {written(fields[name])}" for name in order if name in fields)
    return "{" + ", ".join(shown) + "}"


def written(value: object) -> str:
    """Return a field's value as YAML."""
    if isinstance(value, tuple):
        return flow_list(value)
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:.15g}" if isinstance(value, float) else str(value)
