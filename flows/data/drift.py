"""How far a table has moved from the one a model was trained on, column by column."""

from typing import Literal

import pandas as pd
from pydantic import BaseModel, ConfigDict, Field

from flows.data.plan import PreparationPlan

Verdict = Literal["stable", "warning", "drifted"]


class DriftParameters(BaseModel):
    """When a table counts as drifted, and whether that stops a retraining."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    stop: bool = Field(default=True, description="Whether drift ends a retraining before anything is trained")
    psi_warning: float = Field(default=0.1, gt=0, description="Population stability index from which a column is shown")
    psi_stop: float = Field(default=0.25, gt=0, description="Population stability index from which a column drifted")
    significance: float = Field(
        default=0.01, gt=0, lt=1, description="Level of the tests, divided by the number of columns (Bonferroni)"
    )
    least_rows: int = Field(default=100, ge=2, description="With fewer rows on either side nothing is measured")
    ignore: tuple[str, ...] = Field(default=(), description="Columns that are expected to move: counters, dates")


class ColumnDrift(BaseModel):
    """How far one column has moved.

    Attributes
    ----------
    psi
        Population stability index; 0 where nothing moved.
    test
        ``ks`` (two-sample Kolmogorov-Smirnov) or ``chi2`` (of homogeneity); None where a test says nothing.
    bins, reference, current
        The bins' labels, and the shares of the rows in them on either side, each summing to 1.
    """

    model_config = ConfigDict(frozen=True)

    column: str
    kind: str
    psi: float
    test: Literal["ks", "chi2"] | None
    statistic: float | None
    p_value: float | None
    verdict: Verdict
    bins: tuple[str, ...]
    reference: tuple[float, ...]
    current: tuple[float, ...]


class DriftReport(BaseModel):
    """The drift of every column, the most drifted first."""

    model_config = ConfigDict(frozen=True)

    rows_reference: int
    rows_current: int
    columns: tuple[ColumnDrift, ...]

    @property
    def drifted(self) -> tuple[str, ...]:
        """The columns that are beyond the thresholds that stop."""
        return tuple(column.column for column in self.columns if column.verdict == "drifted")


def measure_drift(
    reference: pd.DataFrame,
    current: pd.DataFrame,
    plan: PreparationPlan,
    parameters: DriftParameters = DriftParameters(),  # noqa: B008 - immutable
) -> DriftReport:
    """Compare raw rows with raw reference rows: the features of the plan and its targets."""
    raise NotImplementedError
