"""Features that give the target away: what a model would learn from them is not there when it is asked.

Three ways are looked for, each in pieces of the table and given up at the first row that speaks against it: the target
is a straight line of the feature (a copy, another unit); every value of the feature goes with one value of the target
(a code of the class under another name); every class has a stretch of the feature's range to itself.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import pandas as pd

from flows.data.plan import PreparationPlan
from flows.data.staging import Staged

# Nearly every honest feature is cleared by so many rows.
SCREENED_ROWS = 10_000
# A value that is seen less often than this on average may go with one class by chance: names, measurements.
LEAST_ROWS_A_VALUE = 5
MOST_VALUES = 1000
# Of the target's own size: what a change of unit and back leaves of a float64.
TOLERANCE = 1e-9


class Suspicion(Protocol):
    """A way in which a feature may determine the target."""

    def survives(self, feature: pd.Series, target: np.ndarray) -> bool:
        """Take the next rows, none of them with a gap, and tell whether all so far are as suspected."""

    def confirmed(self) -> str | None:
        """Say after the last row what was found; None if it may be chance."""


@dataclass
class StraightLine:
    """The target is a multiple of the feature plus a constant."""

    slope: float | None = None
    offset: float = 0.0
    seen: tuple[float, float] | None = None

    def survives(self, feature: pd.Series, target: np.ndarray) -> bool:
        """Draw the line through the first two rows that differ, and see whether all lie on it."""
        values = feature.to_numpy(dtype=np.float64)
        if not len(values):
            return True
        x0, y0 = self.seen = self.seen or (float(values[0]), float(target[0]))
        if self.slope is None:
            other = int(np.argmax(np.abs(values - x0)))
            if values[other] == x0:
                return bool((target == y0).all())
            self.slope = float((target[other] - y0) / (values[other] - x0))
            self.offset = y0 - self.slope * x0
        with np.errstate(over="ignore", invalid="ignore"):
            errors = np.abs(self.slope * values + self.offset - target)
            size = np.abs(target) + np.abs(self.offset)
            return bool((errors <= TOLERANCE * size).all())

    def confirmed(self) -> str | None:
        """Tell a copy from another unit; nothing of a constant."""
        if self.slope is None:
            return None
        return "it is a copy" if (self.slope, self.offset) == (1.0, 0.0) else "the target is a straight line of it"


@dataclass
class OneToOne:
    """Every value of the feature goes with one value of the target."""

    partners: dict[object, float] = field(default_factory=dict)
    rows: int = 0

    def survives(self, feature: pd.Series, target: np.ndarray) -> bool:
        """See whether each value has one partner, the one it had before."""
        codes, values = feature.factorize()
        if len(values) > MOST_VALUES:
            return False
        firsts = np.unique(codes, return_index=True)[1]
        if not np.array_equal(target[firsts][codes], target):
            return False
        self.rows += len(codes)
        pairs = zip(values.tolist(), target[firsts].tolist(), strict=True)
        return all(self.partners.setdefault(value, partner) == partner for value, partner in pairs) and (
            len(self.partners) <= MOST_VALUES
        )

    def confirmed(self) -> str | None:
        """Count values that are seen once or twice as chance."""
        is_chance = len(self.partners) < 2 or len(self.partners) * LEAST_ROWS_A_VALUE > self.rows
        return None if is_chance else "each of its values goes with one value of the target"


@dataclass
class OwnStretches:
    """Every class has a stretch of the feature's range to itself."""

    ends: pd.DataFrame | None = None
    rows: int = 0

    def survives(self, feature: pd.Series, target: np.ndarray) -> bool:
        """See whether the classes' ranges are apart."""
        self.rows += len(feature)
        ends = feature.groupby(target).agg(["min", "max"])
        known = ends if self.ends is None else pd.concat([self.ends, ends])
        self.ends = known.groupby(level=0).agg({"min": "min", "max": "max"}).sort_values("min")
        return bool((self.ends["max"].to_numpy()[:-1] < self.ends["min"].to_numpy()[1:]).all())

    def confirmed(self) -> str | None:
        """Count classes that are seen once or twice as chance."""
        is_chance = self.ends is None or len(self.ends) < 2 or len(self.ends) * LEAST_ROWS_A_VALUE > self.rows
        return None if is_chance else "every class has a stretch of its range to itself"


def leaks(staged: Staged, plan: PreparationPlan) -> Iterator[str]:
    """Yield a line for each feature that determines a target exactly; of images none is looked at."""
    features = [] if plan.pixels else list(plan.features(staged.names))
    for target in plan.target:
        codes = target_values(staged, target)
        suspects = {name: suspicions(staged, name, plan) for name in features}
        suspects = surviving(staged, suspects, codes, SCREENED_ROWS)
        suspects = surviving(staged, {name: suspicions(staged, name, plan) for name in suspects}, codes, staged.rows)
        for name, held in suspects.items():
            found = next((said for suspicion in held if (said := suspicion.confirmed())), None)
            if found:
                yield (
                    f"{staged.source.uri}: column {name!r} gives the target {target!r} away: {found}; leave it out "
                    f"(drop: [{name}]) unless it is known when a prediction is made"
                )


def target_values(staged: Staged, name: str) -> np.ndarray:
    """Return a target as numbers, float64 (N,): quantities as they are, labels as codes."""
    column = staged.column(name)
    if column.dtype.kind in "iuf":
        return np.asarray(column.to_numpy(dtype=np.float64))
    return np.asarray(column.factorize()[0], dtype=np.float64)


def suspicions(staged: Staged, name: str, plan: PreparationPlan) -> list[Suspicion]:
    """Return the ways in which a column could determine a target."""
    kind = str(staged.schema.field(name).type)
    if kind in ("bool", "large_string"):
        return [OneToOne()]
    if plan.task == "regression":
        return [OneToOne()] if kind.startswith(("date", "timestamp")) else [StraightLine(), OneToOne()]
    return [OwnStretches(), OneToOne()]


def surviving(
    staged: Staged, suspects: dict[str, list[Suspicion]], target: np.ndarray, rows: int
) -> dict[str, list[Suspicion]]:
    """Return what is still suspected after the first rows of a table."""
    start = 0
    for frame in staged.chunks([*suspects]) if suspects else ():
        piece = frame.iloc[: rows - start]
        here = target[start : start + len(piece)]
        start += len(piece)
        suspects = {name: remaining(piece[name], here, held) for name, held in suspects.items()}
        suspects = {name: held for name, held in suspects.items() if held}
        if start >= rows or not suspects:
            break
    return suspects


def remaining(column: pd.Series, target: np.ndarray, held: list[Suspicion]) -> list[Suspicion]:
    """Return the suspicions that the next rows of a column do not clear; a gap says nothing."""
    known = column.notna().to_numpy()
    values, partners = (column, target) if known.all() else (column[known], target[known])
    return [suspicion for suspicion in held if suspicion.survives(values, partners)]
