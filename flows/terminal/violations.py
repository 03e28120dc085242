"""Where a table breaks its schema, as a table in the terminal."""

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from flows.data.violations import SchemaViolationError, Violation

STYLES = {"error": "red", "warning": "yellow"}


def print_violations(console: Console, error: SchemaViolationError) -> None:
    """Print every violation, errors first: column, rule, what is allowed, how many rows, and examples."""
    table = Table(title=f"{escape(error.uri)} breaks {escape(error.schema_path)}", title_justify="left")
    for name in ("column", "rule", "allowed"):
        table.add_column(name, overflow="fold")
    table.add_column("rows", justify="right")
    table.add_column("examples", overflow="fold")
    table.add_column("")
    for violation in error.violations:
        table.add_row(*cells(violation), style=STYLES[violation.severity])
    console.print(table)


def cells(violation: Violation) -> tuple[str, ...]:
    """Return a violation as the cells of a row."""
    examples = "\n".join(escape(f"{example.value} at {example.where}") for example in violation.examples)
    return (
        escape(violation.column),
        violation.rule,
        escape(violation.allowed),
        f"{violation.count:,}",
        examples,
        violation.severity,
    )
