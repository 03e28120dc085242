"""Whether a challenger replaces the champion: both judged on the same test rows, and luck taken off.

The gain of one model over another is the difference of a metric on the test rows. A percentile bootstrap that draws
rows, each with the answers of both models, gives the bound above which the gain lies with the confidence asked for
(Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13). What is guarded, slices of the rows and
further metrics, has gains and bootstraps of its own, and refuses where one is a loss.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.stats import bootstrap

from flows.data.outputs import predictions, probabilities
from flows.data.preparation import Preparation
from flows.evaluation.paired_metrics import METRICS, Answers, PairedMetric, Rows, metric_of
from flows.parameters import PromotionParameters
from flows.retraining.slices import slices_of

RESAMPLES = 2000

ROWS_AT_ONCE = 2**22
"""Most rows drawn before their statistics are summed up: what the bootstrap keeps in memory."""


@dataclass(frozen=True)
class Gain:
    """By how much the challenger is better than another on some rows; positive is better.

    Attributes
    ----------
    challenger, other : float
        The metric, in its unit.
    value : float
        Gain in the same unit.
    at_least, at_most : float
        Bounds of the gain, each with the one-sided confidence asked for.
    interval : (float, float)
        Two-sided interval of the gain at that confidence.
    """

    challenger: float
    other: float
    value: float
    at_least: float
    at_most: float
    interval: tuple[float, float]


Verdict = Literal["holds", "worse", "too few rows"]


@dataclass(frozen=True)
class Guarded:
    """What must not get worse, and whether it did.

    Attributes
    ----------
    name : str
        The slice, or the metric.
    gain : Gain or None
        Over the champion; None where there are too few rows.
    """

    name: str
    metric: str
    rows: int
    tolerance: float
    gain: Gain | None
    verdict: Verdict


@dataclass(frozen=True)
class Decision:
    """Whether to promote, and why in one sentence.

    Attributes
    ----------
    metric : str
        What decided, as a sentence has it.
    rows : int
        Test rows.
    guarded : tuple of Guarded
        Nothing without a champion.
    """

    promoted: bool
    reason: str
    metric: str
    rows: int
    confidence: float
    min_gain: float
    over_baseline: Gain
    over_champion: Gain | None
    guarded: tuple[Guarded, ...] = ()


@dataclass(frozen=True)
class Comparison:
    """What the models said of the same test rows.

    Attributes
    ----------
    preparation : Preparation
        Of the data that they are judged on; it says which targets there are and how far they spread.
    features, target : pandas.DataFrame
        The rows as they were read.
    """

    preparation: Preparation
    features: pd.DataFrame
    target: pd.DataFrame
    challenger: Answers
    baseline: Answers
    champion: Answers | None
    _statistics: dict[tuple[str, str], Rows] = field(default_factory=dict, compare=False, repr=False)

    def over(
        self,
        other: Literal["baseline", "champion"],
        metric: PairedMetric,
        confidence: float,
        rows: npt.NDArray[np.bool_] | None = None,
    ) -> Gain:
        """Return the gain of the challenger over another, on all rows or on some."""
        ours, theirs = self.statistics("challenger", metric), self.statistics(other, metric)
        if rows is not None:
            ours, theirs = ours[rows], theirs[rows]
        return measure_gain(metric, ours, theirs, confidence)

    def statistics(self, who: Literal["challenger", "baseline", "champion"], metric: PairedMetric) -> Rows:
        """Return what a metric needs of each row of a model's answers, once for all slices."""
        key = (who, metric.title)
        if key not in self._statistics:
            answers: Answers = getattr(self, who)
            self._statistics[key] = metric.statistics(self.preparation, self.target, answers)
        return self._statistics[key]

    @cached_property
    def rows(self) -> pd.DataFrame:
        """Features and targets beside each other."""
        return pd.concat([self.features, self.target], axis=1)


def decide(comparison: Comparison, promotion: PromotionParameters) -> Decision:
    """Promote a challenger that beats the baseline, exceeds the champion by more than `min_gain`, and harms no guard.

    Without a champion, beating the baseline is enough: a model that learnt nothing is never promoted.

    Raises
    ------
    InputError
        A metric is none of the task.
    TableError
        A model does not answer what is asked.
    """
    metric = metric_of(promotion.metric, comparison.preparation.task)
    has_champion = comparison.champion is not None
    over_baseline = comparison.over("baseline", metric, promotion.confidence)
    over_champion = comparison.over("champion", metric, promotion.confidence) if has_champion else None
    guarded = tuple(_guarded(comparison, metric, promotion)) if has_champion else ()
    promoted, reason = _verdict(metric, promotion, over_baseline, over_champion, guarded)
    return Decision(
        promoted=promoted,
        reason=f"{'promoted' if promoted else 'refused'}: {reason}",
        metric=metric.title,
        rows=len(comparison.target),
        confidence=promotion.confidence,
        min_gain=promotion.min_gain,
        over_baseline=over_baseline,
        over_champion=over_champion,
        guarded=guarded,
    )


def _verdict(
    metric: PairedMetric,
    promotion: PromotionParameters,
    over_baseline: Gain,
    over_champion: Gain | None,
    guarded: tuple[Guarded, ...],
) -> tuple[bool, str]:
    if not over_baseline.at_least > 0:
        return False, (
            f"{metric.title} {over_baseline.challenger:.4g} is not reliably better than the baseline's "
            f"{over_baseline.other:.4g}"
        )
    if over_champion is None:
        return True, f"the first champion, {metric.title} {over_baseline.challenger:.4g}"
    compared = (
        f"{metric.title} {over_champion.challenger:.4g} against the champion's {over_champion.other:.4g}, a gain of "
        f"{over_champion.value:.4g}, at least {over_champion.at_least:.4g} with {promotion.confidence:.0%} confidence; "
        f"more than {promotion.min_gain:g} is asked for"
    )
    worse = [guard for guard in guarded if guard.verdict == "worse"]
    if not over_champion.at_least > promotion.min_gain or not worse:
        return over_champion.at_least > promotion.min_gain, compared
    harmed = "; ".join(_loss(guard) for guard in worse[:3]) + (f"; {len(worse) - 3} more" if len(worse) > 3 else "")
    return False, f"{harmed}. On the whole {compared}"


def _loss(guard: Guarded) -> str:
    if guard.gain is None:
        return guard.name
    return (
        f"worse where {guard.name}" if guard.name != guard.metric else f"worse in {guard.name}"
    ) + f": {guard.metric} {guard.gain.challenger:.4g} against {guard.gain.other:.4g} on {guard.rows} rows"


def _guarded(comparison: Comparison, metric: PairedMetric, promotion: PromotionParameters) -> Iterator[Guarded]:
    everything = np.ones(len(comparison.target), dtype=bool)
    for further in promotion.guards.metrics:
        own = metric_of(further.metric, comparison.preparation.task)
        yield _guard(comparison, own.title, own, everything, further.tolerance, promotion)
    for guard in promotion.guards.slices:
        for name, rows in slices_of(comparison.rows, guard):
            if rows.sum() < guard.least_rows:
                yield Guarded(name, metric.title, int(rows.sum()), guard.tolerance, None, "too few rows")
            else:
                yield _guard(comparison, name, metric, rows, guard.tolerance, promotion)


def _guard(
    comparison: Comparison,
    name: str,
    metric: PairedMetric,
    rows: npt.NDArray[np.bool_],
    tolerance: float,
    promotion: PromotionParameters,
) -> Guarded:
    gain = comparison.over("champion", metric, promotion.confidence, rows)
    best = gain.at_most if promotion.guards.proof == "evidence" else gain.value
    # Not `best < -tolerance`: what is no number holds nothing.
    verdict: Verdict = "holds" if best >= -tolerance else "worse"
    return Guarded(name, metric.title, int(rows.sum()), tolerance, gain, verdict)


def check_metrics(promotion: PromotionParameters, preparation: Preparation) -> None:
    """Raise an InputError for the first metric asked for that is none of the task."""
    for name in (promotion.metric, *(guard.metric for guard in promotion.guards.metrics)):
        metric_of(name, preparation.task)


def needs_probabilities(promotion: PromotionParameters) -> bool:
    """Return whether a metric asked for is of probabilities."""
    asked = (promotion.metric, *(guard.metric for guard in promotion.guards.metrics))
    return any(METRICS[name] is METRICS["log_loss"] for name in asked if name != "auto")


def baseline_answers(preparation: Preparation, trained_on: npt.NDArray[np.generic], rows: int) -> Answers:
    """Return what a model says of some rows that looks at no feature: the commonest label, or the mean.

    Its probabilities are how often each class or label comes.

    Parameters
    ----------
    trained_on : (N,) or (N, C) array
        Targets of the training rows, as a dataset has them. Of several labels each has its own commonest value.
    """
    if preparation.task == "classification":
        constant = np.bincount(trained_on, minlength=preparation.outputs)[None] / len(trained_on)
    else:
        constant = trained_on.mean(axis=0, dtype=np.float64, keepdims=True)
    answer = predictions(preparation, constant)
    said = None if preparation.task == "regression" else probabilities(preparation, constant).iloc[[0] * rows]
    return Answers(answer.iloc[[0] * rows] if isinstance(answer, pd.DataFrame) else np.repeat(answer, rows), said)


def measure_gain(metric: PairedMetric, challenger: Rows, other: Rows, confidence: float) -> Gain:
    """Return the gain of one model over another from their (N, K) statistics of the same rows, with its bounds."""
    ours, theirs = (metric.value(rows.sum(axis=0)) for rows in (challenger, other))
    value = float(metric.gain(ours, theirs))
    at_least, at_most, *interval = _bounds(metric, challenger, other, confidence, value)
    return Gain(float(ours), float(theirs), value, at_least, at_most, (interval[0], interval[1]))


def _bounds(metric: PairedMetric, ours: Rows, theirs: Rows, confidence: float, value: float) -> list[float]:
    """Return the one-sided bounds and the ends of the two-sided interval."""
    if len(ours) < 2:
        # One row says nothing about others.
        return [-np.inf, np.inf, -np.inf, np.inf]
    if not np.isfinite(value):
        # Draws without the row that has no number would look as if nothing were wrong.
        return [np.nan] * 4

    def gains(drawn: npt.NDArray[np.int64], axis: int) -> Rows:  # noqa: ARG001 - the last, as asked for
        counts = np.stack([np.bincount(rows, minlength=len(ours)) for rows in np.atleast_2d(drawn)]).astype(np.float64)
        return metric.gain(metric.value(counts @ ours), metric.value(counts @ theirs))

    distribution = bootstrap(
        (np.arange(len(ours)),),
        gains,
        vectorized=True,
        method="percentile",
        n_resamples=RESAMPLES,
        batch=max(1, ROWS_AT_ONCE // len(ours)),
        rng=np.random.default_rng(0),
    ).bootstrap_distribution
    tail = 1 - confidence
    # A draw may hold no spread of the target, or no row of a class: it has no metric, and says nothing.
    return [float(q) for q in np.nanquantile(distribution, [tail, confidence, tail / 2, 1 - tail / 2])]
