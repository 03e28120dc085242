"""How far a table has moved from the one a model was trained on, column by column.

Two questions are asked of every column. How far did it move: the population stability index over bins,

    PSI = sum_b (c_b - r_b) ln(c_b / r_b)

with r_b and c_b the shares of the reference and of the current rows in bin b (Siddiqi, Credit Risk Scorecards, 2006;
the rule of thumb there is 0.1 for a shift to look at and 0.25 for one to act on). And could that be luck: for numbers
the two-sample Kolmogorov-Smirnov test of the values, for levels Pearson's chi-square test of homogeneity, each at a
level that is divided by the number of tests (Bonferroni). On few rows PSI is large by luck alone, on many rows a test
finds differences that matter to nobody: a column has drifted only if both agree.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict, Field

from flows.data.labels import label_text
from flows.data.plan import PreparationPlan
from flows.form import named_as_written

Verdict = Literal["stable", "warning", "drifted"]
Kind = Literal["number", "date", "levels"]

QUANTILE_BINS = 10
# Levels beyond these, by how often they come on both sides together, share one bin.
MOST_LEVELS = 20
# Cochran's rule: with fewer rows than this expected in a bin, chi-square is not the distribution of the statistic.
LEAST_EXPECTED = 5
MISSING, OTHERS = "missing", "other levels"
SECONDS_A_DAY = 86_400


class DriftParameters(BaseModel):
    """When a table counts as drifted, and whether that stops a retraining."""

    model_config = ConfigDict(frozen=True, extra="forbid", field_title_generator=named_as_written)

    stop: bool = Field(default=True, description="Whether drift ends a retraining before anything is trained")
    psi_warning: float = Field(default=0.1, gt=0, description="Population stability index from which a column is shown")
    psi_stop: float = Field(default=0.25, gt=0, description="Population stability index from which a column drifted")
    significance: float = Field(
        default=0.01, gt=0, lt=1, description="Level of the tests together: each has its share (Bonferroni)"
    )
    least_rows: int = Field(default=100, ge=2, description="With fewer rows on either side nothing is measured")
    ignore: tuple[str, ...] = Field(default=(), description="Columns that are expected to move, such as counters")


class ColumnDrift(BaseModel):
    """How far one column has moved.

    Attributes
    ----------
    psi
        Population stability index; 0 where nothing moved.
    test
        ``ks`` of the values, ``chi2`` of the levels, or ``chi2 of gaps`` where that is what moved most
        significantly; None where there is nothing to test, as of a constant.
    bins, reference, current
        The bins' labels, and the shares of the rows in them on either side, each summing to 1.
    """

    model_config = ConfigDict(frozen=True)

    column: str
    kind: Kind
    psi: float
    test: str | None
    statistic: float | None
    p_value: float | None
    verdict: Verdict
    bins: tuple[str, ...]
    reference: tuple[float, ...]
    current: tuple[float, ...]


class DriftReport(BaseModel):
    """The drift of every column, the most drifted first.

    Attributes
    ----------
    columns
        Empty where there were too few rows to measure anything.
    unmeasured
        Columns that the reference does not have, or that are to be ignored.
    """

    model_config = ConfigDict(frozen=True)

    parameters: DriftParameters
    reference_digest: str | None = None
    rows_reference: int
    rows_current: int
    columns: tuple[ColumnDrift, ...]
    unmeasured: tuple[str, ...] = ()

    @property
    def drifted(self) -> tuple[ColumnDrift, ...]:
        """The columns that moved too far for a retraining to go on by itself."""
        return tuple(column for column in self.columns if column.verdict == "drifted")

    @property
    def summary(self) -> str:
        """What was found, in one line."""
        if not self.columns:
            return f"{self.rows_reference:,} and {self.rows_current:,} rows are too few to measure drift"
        worst = self.drifted or self.columns[:1]
        named = ", ".join(f"{column.column!r} (PSI {column.psi:.2f})" for column in worst[:3])
        more = f" and {len(worst) - 3} more" if len(worst) > 3 else ""
        if self.drifted:
            return f"{len(worst)} of {len(self.columns)} columns drifted: {named}{more}"
        return f"none of {len(self.columns)} columns drifted; the most moved is {named}"


def measure_drift(
    reference: pd.DataFrame,
    current: pd.DataFrame,
    plan: PreparationPlan,
    parameters: DriftParameters = DriftParameters(),  # noqa: B008 - immutable
) -> DriftReport:
    """Compare raw rows with raw reference rows: the features of the plan and its targets.

    A date is measured as a number but never counts as drifted: in a table that grows, it moves by itself.
    """
    kinds = measured_kinds(plan)
    measured = {
        name: kind
        for name, kind in kinds.items()
        if name in reference and name in current and name not in parameters.ignore
    }
    unmeasured = tuple(name for name in kinds if name not in measured)
    is_enough = min(len(reference), len(current)) >= parameters.least_rows
    columns = compare_all(measured, reference, current, parameters) if is_enough else []
    return DriftReport(
        parameters=parameters,
        rows_reference=len(reference),
        rows_current=len(current),
        columns=tuple(columns),
        unmeasured=unmeasured,
    )


def compare_all(
    measured: dict[str, Kind], reference: pd.DataFrame, current: pd.DataFrame, parameters: DriftParameters
) -> list[ColumnDrift]:
    """Compare every column, and judge them together: the more tests, the surer each must be."""
    moves = [compare(name, kind, reference[name], current[name]) for name, kind in measured.items()]
    level = parameters.significance / max(1, sum(len(move.tests) for move in moves))
    columns = [judged(move, level, parameters) for move in moves]
    order = {"drifted": 0, "warning": 1, "stable": 2}
    return sorted(columns, key=lambda column: (order[column.verdict], -column.psi))


def measured_kinds(plan: PreparationPlan) -> dict[str, Kind]:
    """Return how each column that matters is measured: what the plan takes as a number, a date, or as levels."""
    kinds: dict[str, Kind] = {}
    for name, column in plan.columns.items():
        kinds[name] = "number" if column.kind == "numeric" else "date" if column.kind == "date" else "levels"
    for name in plan.target:
        kinds[name] = "number" if plan.task == "regression" else "levels"
    return kinds


@dataclass(frozen=True)
class Outcome:
    """What a test says."""

    name: str
    statistic: float
    p_value: float


@dataclass(frozen=True)
class Move:
    """A column's rows counted in bins on either side, int64 (B,), and what the tests say."""

    column: str
    kind: Kind
    bins: tuple[str, ...]
    reference: np.ndarray
    current: np.ndarray
    tests: tuple[Outcome, ...]


def judged(move: Move, level: float, parameters: DriftParameters) -> ColumnDrift:
    """Return what came of a comparison, with the most significant of its tests at this level."""
    psi = stability_index(move.reference, move.current)
    test = min(move.tests, key=lambda outcome: outcome.p_value, default=None)
    significant = test is not None and test.p_value < level
    verdict: Verdict = "warning" if significant or psi >= parameters.psi_warning else "stable"
    if significant and psi >= parameters.psi_stop and move.kind != "date":
        verdict = "drifted"
    return ColumnDrift(
        column=move.column,
        kind=move.kind,
        psi=psi,
        test=test.name if test else None,
        statistic=test.statistic if test else None,
        p_value=test.p_value if test else None,
        verdict=verdict,
        bins=move.bins,
        reference=tuple((move.reference / move.reference.sum()).tolist()),
        current=tuple((move.current / move.current.sum()).tolist()),
    )


def stability_index(reference: np.ndarray, current: np.ndarray) -> float:
    """Return the population stability index of two counts over the same bins, int64 (B,).

    A bin that is empty on one side counts as half a row there, so that its logarithm is finite; one that is
    empty on both sides says nothing.
    """
    used = (reference > 0) | (current > 0)
    r = np.maximum(reference[used], 0.5) / reference.sum()
    c = np.maximum(current[used], 0.5) / current.sum()
    return float(np.sum((c - r) * np.log(c / r)))


def compare(name: str, kind: Kind, reference: pd.Series, current: pd.Series) -> Move:
    """Count both sides of a column in the same bins, and test them."""
    if kind == "levels":
        return compare_levels(name, as_levels(reference), as_levels(current))
    return compare_numbers(name, kind, as_numbers(reference, kind), as_numbers(current, kind))


def as_numbers(column: pd.Series, kind: Kind) -> np.ndarray:
    """Return a column as float64 (N,), gaps as NaN; moments as days since 1970."""
    if kind == "number":
        return np.asarray(pd.to_numeric(column, errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan))
    moments = pd.to_datetime(column, errors="coerce", utc=True)
    return np.asarray((moments - pd.Timestamp(0, tz="UTC")) / pd.Timedelta(days=1), dtype=np.float64)


def as_levels(column: pd.Series) -> pd.Series:
    """Return a column as text, gaps as None: a whole number reads the same whatever type it is stored in."""
    return column.astype(object).map(label_text, na_action="ignore")


def compare_numbers(name: str, kind: Kind, reference: np.ndarray, current: np.ndarray) -> Move:
    """Compare by ten bins that are equally full in the reference, one on either side of its range, and gaps."""
    known, now = reference[~np.isnan(reference)], current[~np.isnan(current)]
    edges = bin_edges(known)
    before, after = counted(known, reference, edges), counted(now, current, edges)
    gaps = (np.array([count[:-1].sum(), count[-1]]) for count in (before, after))
    tests = [*kolmogorov_smirnov(known, now), *chi_square("chi2 of gaps", *gaps)]
    return Move(name, kind, (*edge_labels(edges, kind), MISSING), before, after, tuple(tests))


def counted(known: np.ndarray, column: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Count the values of a column that are known in the bins between edges, and its gaps, int64 (B,)."""
    bins = np.bincount(np.searchsorted(edges, known), minlength=len(edges) + 1)
    return np.append(bins, len(column) - len(known))


def bin_edges(values: np.ndarray) -> np.ndarray:
    """Return the inner edges of the bins: what lies just below the least value, the inner deciles, the largest.

    A bin holds what is above its lower edge, up to and with its upper one. Deciles that coincide make one edge.
    """
    if not len(values):
        return np.empty(0)
    # Values that are there, none between two of them: of whole numbers the edges are whole.
    deciles = np.quantile(values, np.arange(1, QUANTILE_BINS) / QUANTILE_BINS, method="inverted_cdf")
    return np.unique([np.nextafter(values.min(), -np.inf), *deciles, values.max()])


def edge_labels(edges: np.ndarray, kind: Kind) -> tuple[str, ...]:
    """Name the bins between edges, and those on either side of them."""
    if not len(edges):
        return ("any value",)
    # The first edge lies just below the least value, which is what is meant.
    shown = [readable(edge, kind) for edge in (np.nextafter(edges[0], np.inf) + 0.0, *edges[1:].tolist())]
    between = (low if low == high else f"{low} to {high}" for low, high in pairwise(shown))
    return (f"below {shown[0]}", *between, f"above {shown[-1]}")


def readable(value: float, kind: Kind) -> str:
    """Write a number with four digits, and a moment as its day."""
    if kind == "number":
        return f"{float(f'{value:.4g}'):,.10g}"
    return str(np.datetime64(round(value * SECONDS_A_DAY), "s").astype("datetime64[D]"))


def compare_levels(name: str, reference: pd.Series, current: pd.Series) -> Move:
    """Compare by levels; the rare ones share a bin, and gaps are a level."""
    counts = pd.DataFrame({"r": reference.value_counts(), "c": current.value_counts()}).fillna(0).astype(np.int64)
    # By how often, then by name: the order of the rows must not decide.
    counts = counts.assign(both=counts.r + counts.c).sort_index().sort_values("both", ascending=False, kind="stable")
    smaller = min(len(reference), len(current)) / (len(reference) + len(current))
    pooled = (counts["both"].to_numpy() * smaller < LEAST_EXPECTED) | (np.arange(len(counts)) >= MOST_LEVELS)
    bins = [str(level) for level in counts.index[~pooled]] + [OTHERS, MISSING]
    r, c = (
        np.array([*counts[side][~pooled], counts[side][pooled].sum(), rows.isna().sum()], dtype=np.int64)
        for side, rows in (("r", reference), ("c", current))
    )
    return Move(name, "levels", tuple(bins), r, c, tuple(chi_square("chi2", r, c)))


def kolmogorov_smirnov(reference: np.ndarray, current: np.ndarray) -> Iterator[Outcome]:
    """Test whether two samples come from one distribution; nothing where one has no value."""
    # Here and not above: it takes half a second, and most of what imports this module measures nothing.
    from scipy.stats import ks_2samp

    if len(reference) and len(current):
        result = ks_2samp(reference, current, method="asymp")
        yield Outcome("ks", float(result.statistic), float(result.pvalue))


def chi_square(name: str, reference: np.ndarray, current: np.ndarray) -> Iterator[Outcome]:
    """Test whether two counts over the same bins are of one distribution; nothing where there is one bin only."""
    from scipy.stats import chi2_contingency

    used = (reference > 0) | (current > 0)
    if used.sum() > 1:
        result = chi2_contingency(np.stack([reference[used], current[used]]), correction=False)
        yield Outcome(name, float(result.statistic), float(result.pvalue))
