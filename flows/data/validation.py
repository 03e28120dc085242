"""What a table must satisfy before it is trained on, whatever its schema says."""

from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict

from flows.data.plan import PreparationPlan
from flows.data.schema import TableSchema
from flows.data.splitting import SplitParameters
from flows.data.staging import Staged
from flows.data.violations import Violation


class ValidationReport(BaseModel):
    """What was found in a table that may be trained on: small and JSON-able, passed on to the run.

    Attributes
    ----------
    violations
        Warnings only: errors are raised.
    notes
        One line each: a feature that gives the target away.
    """

    model_config = ConfigDict(frozen=True)

    violations: tuple[Violation, ...] = ()
    notes: tuple[str, ...] = ()


def check_kinds(staged: Staged, columns: Sequence[str]) -> None:
    """Raise a TableError at the first column that holds numbers and text; for columns that no plan declares."""
    raise NotImplementedError


def check_trainable(staged: Staged, plan: PreparationPlan, split: SplitParameters) -> tuple[str, ...]:
    """Check that a table can be split and trained on; return one line for each thing that is suspicious.

    Raises
    ------
    TableError
        At the first fault, in one line: the source, the column, the first row at fault and the remedy.
    """
    raise NotImplementedError


def validate(
    staged: Staged, plan: PreparationPlan, split: SplitParameters, schema: TableSchema | None, schema_path: str
) -> ValidationReport:
    """Check a table against the schema of its source, if it has one yet, and that it can be trained on.

    Raises
    ------
    SchemaViolationError, TableError
        If it cannot; nothing was written.
    """
    raise NotImplementedError
