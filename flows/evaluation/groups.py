"""Sums of the numbers of rows, in groups, from which a bootstrap draws.

A bootstrap draws rows with replacement (Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 6). All
measures here follow from sums over the rows, so what is drawn may as well be sums: of single rows as long as there are
few, and of groups of rows, dealt out one by one, when there are many. The groups are alike and independent, and their
sums vary as the rows do; so memory and time do not grow with the rows.
"""

from collections.abc import Callable, Iterator, Mapping

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Measured = Mapping[str, Array]

GROUPS = 4093
"""A prime: rows that repeat themselves every so often (hours, shops) are spread over all groups."""

RESAMPLES = 2000
DRAWN_AT_ONCE = 100


class GroupSums:
    """Sums of K numbers a row.

    Attributes
    ----------
    rows : int
        How many rows there were.
    """

    def __init__(self, numbers: int) -> None:
        self.rows = 0
        self._sums = np.zeros((GROUPS, numbers))

    def add(self, numbers: Array) -> None:
        """Add the numbers of some rows, (N, K), which follow those before."""
        groups = (self.rows + np.arange(len(numbers))) % GROUPS
        np.add.at(self._sums, groups, numbers)
        self.rows += len(numbers)

    @property
    def total(self) -> Array:
        """The sums over all rows, (K,)."""
        return np.asarray(self._sums.sum(axis=0))

    def resampled(self) -> Iterator[Array]:
        """Yield sums over groups that were drawn with replacement, as many as there are: (draws, K), some at a time."""
        count = min(self.rows, GROUPS)
        draw = np.random.default_rng(0)
        for start in range(0, RESAMPLES, DRAWN_AT_ONCE):
            times = draw.multinomial(count, np.full(count, 1 / count), size=min(DRAWN_AT_ONCE, RESAMPLES - start))
            yield times.astype(np.float64) @ self._sums[:count]


def intervals(
    sums: GroupSums, measure: Callable[[Array], Measured], confidence: float
) -> dict[str, tuple[float, float]]:
    """Return the percentile interval of every measure; none of fewer than two rows, which say nothing about others.

    Parameters
    ----------
    measure : callable
        From sums (..., K) to measures (...).
    """
    if sums.rows < 2:
        return {}
    drawn = [measure(some) for some in sums.resampled()]
    ends = 50 * (1 - confidence), 50 * (1 + confidence)
    found = {}
    for name in drawn[0]:
        values = np.concatenate([some[name] for some in drawn])
        low, high = np.nanpercentile(values, ends) if np.isfinite(values).any() else (np.nan, np.nan)
        found[name] = (float(low), float(high))
    return found


def wilson(successes: float, rows: float, confidence: float) -> tuple[float, float]:
    """Return Wilson's interval of a proportion (Wilson, Probable inference, 1927); nothing is known of no rows."""
    # Here and not above: it takes half a second, which a command that measures nothing should not.
    from scipy.stats import binomtest

    if not rows:
        return 0.0, 1.0
    found = binomtest(round(successes), round(rows)).proportion_ci(confidence, method="wilson")
    return float(found.low), float(found.high)
