"""A table held against the schema of its source: every violation, found in pieces of the table."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from flows.data.labels import label_text
from flows.data.plan import PreparationPlan
from flows.data.profile import ColumnKind, kind_of
from flows.data.schema import ColumnSchema, Range, TableSchema
from flows.data.staging import Staged
from flows.data.values import float_values
from flows.data.violations import MOST_EXAMPLES, Example, Rule, SchemaViolationError, Severity, Violation

if TYPE_CHECKING:
    import pandera.pandas as pa

LONGEST_VALUE = 40
LARGEST_BYTE = 255


def enforce_schema(
    schema: TableSchema | None, staged: Staged, plan: PreparationPlan | None, schema_file: str
) -> tuple[Violation, ...]:
    """Check a table against the schema of its source, if it has one yet, and return what is only a warning.

    Raises
    ------
    SchemaViolationError
        If there is more than warnings; it has those too.
    """
    violations = check_schema(schema, staged, plan or PreparationPlan()) if schema is not None else []
    if any(violation.severity == "error" for violation in violations):
        raise SchemaViolationError(staged.source.uri, violations, schema_file)
    return tuple(violations)


def check_schema(schema: TableSchema, staged: Staged, plan: PreparationPlan) -> list[Violation]:
    """Return every violation of a schema, errors first, each in the order of the columns.

    The plan says what becomes of a gap: where it is filled, a gap that the schema does not know is a warning.
    """
    used = {name: column for name, column in schema.columns.items() if name not in plan.drop}
    present = {name: column for name, column in used.items() if name in staged.names}
    strange = [name for name, column in present.items() if kind_of(staged.schema.field(name).type) != column.kind]
    # A column without any value has no kind: it is all gaps, and nothing else is asked of it.
    empty = {
        name: ColumnSchema(kind=present[name].kind, nullable=present[name].nullable)
        for name in strange
        if not has_values(staged, name)
    }
    judged = {name: column for name, column in present.items() if name not in strange} | empty
    found = [
        *missing_columns(used, staged),
        *unexpected_columns(schema, staged, plan),
        *(wrong_kind(staged, name, present[name].kind) for name in strange if name not in empty),
        *broken_rules(staged, judged, plan),
        *broken_pixels(schema, staged),
    ]
    order = {name: place for place, name in enumerate(staged.names)}
    return sorted(found, key=lambda v: (v.severity != "error", order.get(v.column, -1)))


def missing_columns(columns: dict[str, ColumnSchema], staged: Staged) -> Iterator[Violation]:
    """Yield the columns that the table should have."""
    for name, column in columns.items():
        if name not in staged.names:
            yield Violation(column=name, rule="missing column", allowed=column.kind, count=staged.rows)


def unexpected_columns(schema: TableSchema, staged: Staged, plan: PreparationPlan) -> Iterator[Violation]:
    """Yield the columns that neither schema nor plan name, unless they may come; of images every column is known."""
    if schema.other_columns == "accept" or schema.pixels is not None:
        return
    known = {*schema.columns, *schema.ignored, *plan.columns, *plan.drop, *plan.target}
    for name in staged.names:
        if name not in known:
            allowed = "the columns of the schema"
            yield Violation(column=name, rule="unexpected column", allowed=allowed, count=staged.rows)


def has_values(staged: Staged, name: str) -> bool:
    """Tell whether a column has a value that is not missing."""
    return any(frame[name].notna().any() for frame in staged.chunks([name]))


def wrong_kind(staged: Staged, name: str, expected: ColumnKind) -> Violation:
    """Return that a column is of another kind, with the values that make it so."""
    tally = Tally(name, "kind", f"{'an' if expected[0] in 'aeiou' else 'a'} {expected}")
    for frame in staged.chunks([name]):
        values = frame[name].dropna()
        tally.add(values[~readable_as(expected, values)])
    if not tally.count:
        # Each of them can be read as what it should be, such as numbers in quotes: all are stored as something else.
        for frame in staged.chunks([name]):
            tally.add(frame[name].dropna())
    return tally.violation(staged)


def readable_as(kind: ColumnKind, values: pd.Series) -> pd.Series:
    """Return which values could be read as a kind, bool (n,)."""
    match kind:
        case "number":
            return pd.to_numeric(values, errors="coerce").notna()
        case "date":
            texts = values if isinstance(values.dtype, pd.StringDtype) else pd.Series("a number", index=values.index)
            return pd.to_datetime(texts, errors="coerce", format="ISO8601").notna()
        case "boolean":
            return values.map(label_text).str.lower().isin(["true", "false"])
        case "text":
            return pd.Series(False, index=values.index)


def broken_rules(staged: Staged, columns: dict[str, ColumnSchema], plan: PreparationPlan) -> Iterator[Violation]:
    """Yield what the values of columns break, each rule of a column once."""
    if not columns:
        return
    tallies: dict[tuple[str, Rule], Tally] = {}
    checked = pandera_schema(columns)
    for frame in staged.chunks([*columns]):
        for name, rule, values in failures(checked, frame):
            if (name, rule) not in tallies:
                tallies[name, rule] = Tally(name, rule, described(columns[name], rule), severity_of(name, rule, plan))
            tallies[name, rule].add(values)
    yield from (tallies[key].violation(staged) for key in sorted(tallies))


def described(column: ColumnSchema, rule: Rule) -> str:
    """Say what a rule of a column allows."""
    match rule:
        case "gaps":
            return "no gaps"
        case "range":
            return column.described
        case _:
            known = (column.classes if rule == "classes" else column.levels) or ()
            return ", ".join(known[:8]) + (f" and {len(known) - 8} more" if len(known) > 8 else "")


def severity_of(name: str, rule: Rule, plan: PreparationPlan) -> Severity:
    """Return whether a rule that is broken stops an ingestion."""
    if rule == "levels":
        return "warning"
    if rule != "gaps" or name in plan.target:
        return "error"
    declared = plan.columns.get(name)
    # What no plan declares is inferred, and an inferred plan fills gaps.
    return "error" if declared is not None and declared.missing == "refuse" else "warning"


def pandera_schema(columns: dict[str, ColumnSchema]) -> "pa.DataFrameSchema":
    """Return the rules of columns as pandera checks them; each check's error is the name of its rule."""
    # Here and not above: it takes a third of a second, which a command that reads no data should not.
    import pandera.pandas as pa

    def checks(column: ColumnSchema) -> Iterator[pa.Check]:
        if column.minimum is not None:
            yield pa.Check.ge(column.minimum, error="range")
        if column.maximum is not None:
            yield pa.Check.le(column.maximum, error="range")
        if column.kind != "boolean":
            for rule, labels in (("levels", column.levels), ("classes", column.classes)):
                if labels is not None:
                    known = [float(label) for label in labels] if column.kind == "number" else list(labels)
                    yield pa.Check.isin(known, error=rule)

    return pa.DataFrameSchema(
        {name: pa.Column(checks=list(checks(column)), nullable=column.nullable) for name, column in columns.items()}
    )


def failures(schema: "pa.DataFrameSchema", frame: pd.DataFrame) -> Iterator[tuple[str, Rule, pd.Series]]:
    """Yield column, rule and the values at fault, with their rows as index, of a piece of a table."""
    from pandera.errors import SchemaErrors

    try:
        schema.validate(frame, lazy=True)
    except SchemaErrors as errors:
        for (name, check), cases in errors.failure_cases.groupby(["column", "check"], sort=False):
            rows = cases["index"].astype("int64").sort_values()
            yield name, "gaps" if check == "not_nullable" else check, frame[name].loc[rows]


def broken_pixels(schema: TableSchema, staged: Staged) -> Iterator[Violation]:
    """Yield whether images have another size, and the pixels outside their range."""
    if schema.pixels is None:
        return
    names = [name for name in staged.names if name not in schema.columns and name not in schema.ignored]
    if len(names) != schema.pixels.count:
        allowed = f"{schema.pixels.count} pixel columns"
        yield Violation(column=f"{len(names)} columns", rule="pixels", allowed=allowed, count=staged.rows)
    if any(not is_byte(staged, name) for name in names) or not holds_bytes(schema.pixels):
        yield from pixels_out_of_range(staged, names, schema.pixels)


def is_byte(staged: Staged, name: str) -> bool:
    """Tell whether a column is stored in bytes without a sign."""
    return str(staged.schema.field(name).type) == "uint8"


def holds_bytes(allowed: Range) -> bool:
    """Tell whether a range holds whatever a byte may be."""
    starts = allowed.minimum is None or allowed.minimum <= 0
    return starts and (allowed.maximum is None or allowed.maximum >= LARGEST_BYTE)


def pixels_out_of_range(staged: Staged, names: Sequence[str], allowed: Range) -> Iterator[Violation]:
    """Yield the pixel columns with values outside the range of all."""
    tallies = {name: Tally(name, "range", allowed.described) for name in names}
    least = -np.inf if allowed.minimum is None else allowed.minimum
    most = np.inf if allowed.maximum is None else allowed.maximum
    for frame in staged.chunks(names):
        values = float_values(frame)
        wrong = (values < least) | (values > most)
        for place in np.flatnonzero(wrong.any(axis=0)).tolist():
            tallies[names[place]].add(frame[names[place]][wrong[:, place]])
    yield from (tally.violation(staged) for tally in tallies.values() if tally.count)


@dataclass
class Tally:
    """Counts the values of a column that break a rule, and keeps the first five."""

    column: str
    rule: Rule
    allowed: str
    severity: Severity = "error"
    count: int = 0
    first: list[tuple[int, Any]] = field(default_factory=list)

    def add(self, values: pd.Series) -> None:
        """Count values, whose index says in which rows they are; called in the order of the rows."""
        self.count += len(values)
        room = values.iloc[: MOST_EXAMPLES - len(self.first)]
        self.first += zip(room.index.tolist(), room.tolist(), strict=True)

    def violation(self, staged: Staged) -> Violation:
        """Return what was counted, each example with its place in the source."""
        examples = tuple(Example(value=shown(value), where=staged.source.locate(row)) for row, value in self.first)
        return Violation(
            column=self.column,
            rule=self.rule,
            allowed=self.allowed,
            count=self.count,
            examples=examples,
            severity=self.severity,
        )


def shown(value: Any) -> str:
    """Return a value as a person reads it: text in quotes, a gap as ``missing``; a long one is cut."""
    if pd.isna(value):
        return "missing"
    text = repr(value) if isinstance(value, str) else label_text(value)
    return text if len(text) <= LONGEST_VALUE else f"{text[: LONGEST_VALUE - 3]}..."
