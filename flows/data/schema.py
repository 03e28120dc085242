"""What a source's table is expected to be: inferred when it is first ingested, a YAML that a person may edit."""

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

from flows.data.plan import PreparationPlan
from flows.data.staging import Staged
from flows.data.violations import Violation

ColumnKind = Literal["number", "text", "boolean", "date"]


class ColumnSchema(BaseModel):
    """What the values of one column may be.

    Attributes
    ----------
    kind
        ``number`` (whole or not), ``text``, ``boolean`` or ``date``.
    nullable
        Whether there may be gaps.
    minimum, maximum
        The least and the largest value allowed, both included; None where any is.
    levels
        The values seen so far, as text; others are a warning. None where any is allowed.
    classes
        The labels a target may have, as text; others are an error.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: ColumnKind
    nullable: bool = False
    minimum: float | None = None
    maximum: float | None = None
    levels: tuple[str, ...] | None = None
    classes: tuple[str, ...] | None = None


class PixelSchema(BaseModel):
    """What images may be: so many columns of numbers within one range."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    count: int
    minimum: float
    maximum: float


class TableSchema(BaseModel):
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

    model_config = ConfigDict(frozen=True, extra="forbid")

    columns: dict[str, ColumnSchema]
    pixels: PixelSchema | None = None
    ignored: tuple[str, ...] = ()
    other_columns: Literal["refuse", "ignore"] = "refuse"


def infer_schema(staged: Staged, plan: PreparationPlan) -> TableSchema:
    """Return the schema that a table keeps with room to spare, for the columns that the plan uses."""
    raise NotImplementedError


def check_schema(schema: TableSchema, staged: Staged, plan: PreparationPlan) -> list[Violation]:
    """Return every violation of a schema, errors first, each in the order of the columns."""
    raise NotImplementedError


def load_schema(path: Path) -> TableSchema:
    """Read a schema from its YAML.

    Raises
    ------
    TableError
        If the file is not YAML or not a schema; the message names the line or the field.
    """
    raise NotImplementedError


def dump_schema(schema: TableSchema, uri: str) -> str:
    """Return a schema as YAML with comments that say what may be edited."""
    raise NotImplementedError
