"""The table of violations in a terminal."""

from io import StringIO

from rich.console import Console

from flows.data.violations import Example, SchemaViolationError, Violation
from flows.terminal.violations import print_violations

VIOLATIONS = (
    Violation(column="day", rule="missing column", allowed="date", count=1200),
    Violation(
        column="[red]size",
        rule="range",
        allowed="-59 to 118",
        count=2,
        examples=(Example(value="901", where="line 11"), Example(value="'[x]'", where="line 12")),
    ),
    Violation(column="colour", rule="levels", allowed="red", count=1, severity="warning"),
)


def test_every_violation_has_a_row_with_its_examples_and_markup_is_text() -> None:
    out = StringIO()
    print_violations(Console(file=out, width=120), SchemaViolationError("s3://shop/[a].csv", VIOLATIONS, "schema.yaml"))
    shown = out.getvalue()
    title, *lines = shown.splitlines()
    assert title.rstrip() == "s3://shop/[a].csv breaks schema.yaml"
    assert [line.split("│")[1].strip() for line in lines if line.startswith("│")] == ["day", "[red]size", "", "colour"]
    for part in ("1,200", "-59 to 118", "901 at line 11", "'[x]' at line 12", "missing column", "warning"):
        assert part in shown
