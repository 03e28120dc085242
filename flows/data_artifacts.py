"""What was found in the data, on the pages of Prefect runs: tables of violations and of drift, and notes."""

from collections.abc import Sequence

from prefect.artifacts import create_markdown_artifact, create_table_artifact
from prefect.logging import get_run_logger

from flows.data.drift import DriftReport
from flows.data.violations import Violation, sentence
from flows.progress import progress_listener


def publish_violations(uri: str, violations: Sequence[Violation], schema_file: str) -> None:
    """Put every violation of a schema on the page of this run, and into its log if all are warnings."""
    errors = sum(violation.severity == "error" for violation in violations)
    # With errors among them the error itself has them all.
    for violation in () if errors else violations:
        warn(f"{uri}: column {violation.column!r}: {sentence(violation)}")
    verdict = f"{errors} of them stopped the ingestion" if errors else "none of them stops the ingestion"
    create_table_artifact(
        key="schema-violations",
        table=[row(violation) for violation in violations],
        description=f"Where **{uri}** breaks `{schema_file}`: {len(violations)} in all, {verdict}.",
    )


def warn(text: str) -> None:
    """Put a line into the run's log, and before whoever watches the run."""
    get_run_logger().warning("%s", text)
    progress_listener().warned(text)


def row(violation: Violation) -> dict[str, object]:
    """Return a violation as a row of a table."""
    return {
        "column": violation.column,
        "rule": violation.rule,
        "allowed": violation.allowed,
        "count": violation.count,
        "examples": ", ".join(f"{example.value} at {example.where}" for example in violation.examples),
        "severity": violation.severity,
    }


def publish_notes(uri: str, notes: Sequence[str]) -> None:
    """Put what is suspicious, if anything, on the page of this run and into its log."""
    for note in notes:
        warn(note)
    if notes:
        listed = "\n".join(f"- {note}" for note in notes)
        create_markdown_artifact(key="data-notes", markdown=f"# Look at {uri}\n\n{listed}\n")


def publish_drift(report: DriftReport, uri: str) -> None:
    """Put how far each column has moved on the page of this run."""
    create_table_artifact(
        key="drift",
        table=[
            {
                "column": column.column,
                "PSI": round(column.psi, 4),
                "test": column.test or "",
                "statistic": "" if column.statistic is None else round(column.statistic, 4),
                "p-value": "" if column.p_value is None else f"{column.p_value:.2g}",
                "verdict": column.verdict,
            }
            for column in report.columns
        ],
        description=(
            f"**{uri}** against the rows that the model was last retrained on: {report.summary}. "
            f"{report.rows_reference:,} reference rows, {report.rows_current:,} rows now."
        ),
    )
