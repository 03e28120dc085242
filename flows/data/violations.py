"""Where a table breaks its schema: what every violation says, and the error that lists them all."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

from flows.errors import TableError

MOST_EXAMPLES = 5

Rule = Literal["missing column", "unexpected column", "kind", "gaps", "range", "levels", "classes", "pixels"]
Severity = Literal["error", "warning"]


class Example(BaseModel):
    """One value that breaks a rule, as text, and where a person finds it: ``line 7``, ``row 6``."""

    model_config = ConfigDict(frozen=True)

    value: str
    where: str


class Violation(BaseModel):
    """One rule of a schema that a column breaks.

    Attributes
    ----------
    allowed
        What the schema asks for: ``-10 to 240``, ``no gaps``, ``number``.
    count
        How many rows break it; for a column that is missing or unexpected, all of them.
    examples
        The first five of them, in the order of the rows; none where no row is to blame.
    severity
        An ``error`` stops the ingestion, a ``warning`` is shown.
    """

    model_config = ConfigDict(frozen=True)

    column: str
    rule: Rule
    allowed: str
    count: int
    examples: tuple[Example, ...] = ()
    severity: Severity = "error"


class SchemaViolationError(TableError):
    """A table that breaks the schema of its source; ``violations`` has every one, the message the first."""

    def __init__(self, uri: str, violations: Sequence[Violation], schema_path: Path | str) -> None:
        self.uri = uri
        self.violations = tuple(violations)
        self.schema_path = str(schema_path)
        super().__init__(describe(uri, self.errors, self.schema_path))

    @property
    def errors(self) -> tuple[Violation, ...]:
        """Those that stopped the ingestion."""
        return tuple(violation for violation in self.violations if violation.severity == "error")

    def __reduce__(self) -> tuple[object, ...]:
        """Rebuild from what it was made of: an exception is otherwise pickled with its message alone."""
        return type(self), (self.uri, self.violations, self.schema_path)


def describe(uri: str, violations: Sequence[Violation], schema_path: str) -> str:
    """Say in one line what the first violation is, how many more there are, and what to do."""
    first = violations[0]
    others = len(violations) - 1
    more = f" (and {others} more {'violation' if others == 1 else 'violations'})" if others else ""
    return (
        f"{uri}: column {first.column!r} breaks the schema: {sentence(first)}{more}; "
        f"correct the data, or edit {schema_path} if this is what you want"
    )


def sentence(violation: Violation) -> str:
    """Say what is wrong with the column, without its name."""
    example = violation.examples[0] if violation.examples else None
    rows = f"{violation.count:,} {'value' if violation.count == 1 else 'values'}"
    first = f", the first {example.value} at {example.where}" if example else ""
    match violation.rule:
        case "missing column":
            return "it is missing"
        case "unexpected column":
            return "the schema does not know it"
        case "gaps":
            where = f", the first at {example.where}" if example else ""
            return f"{violation.count:,} missing {'value' if violation.count == 1 else 'values'}{where}; it had none"
        case "kind":
            return f"{violation.allowed} is expected{first}"
        case "range":
            return f"{rows} outside {violation.allowed}{first}"
        case "levels":
            return f"{rows} of levels not seen before{first}"
        case "classes":
            return f"{rows} of classes not seen before{first}"
        case "pixels":
            return f"{violation.allowed} are expected{first}"
