"""Whether a challenger replaces the champion: both judged on the same test rows, and luck taken off.

Each model has one number a row: for classes 1 where it is right and 0 where not (their mean is the accuracy),
for a quantity the squared error (the root of their mean is the RMSE). The gain of one model over
another is the difference of the two scores. A percentile bootstrap that draws rows, each with the numbers of
both models, gives the bound above which the gain lies with the confidence asked for (Efron and
Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13).
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.stats import bootstrap

from flows.data.preparation import Task
from flows.parameters import PromotionParameters

RESAMPLES = 2000

ROWS_AT_ONCE = 2**22
"""Most rows drawn before their scores are summed up: what the bootstrap keeps in memory."""

Rows = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Gain:
    """By how much the challenger is better than another on the test rows; positive is better.

    Attributes
    ----------
    challenger, other : float
        Accuracy, or RMSE in the target's unit.
    value : float
        Gain in the same unit.
    at_least : float
        Lower bound of the gain at the confidence asked for.
    """

    challenger: float
    other: float
    value: float
    at_least: float


@dataclass(frozen=True)
class Decision:
    """Whether to promote, and why in one sentence."""

    promoted: bool
    reason: str
    over_baseline: Gain
    over_champion: Gain | None


def decide(
    task: Task, challenger: Rows, baseline: Rows, champion: Rows | None, promotion: PromotionParameters
) -> Decision:
    """Promote a challenger that beats the baseline and exceeds the champion by more than `min_gain`.

    Without a champion, beating the baseline is enough: a model that learnt nothing is never promoted.

    Parameters
    ----------
    challenger, baseline, champion : (N,) arrays
        What `score_rows` gives for the same N test rows.
    """
    metric = "accuracy" if task == "classification" else "RMSE"
    over_baseline = measure_gain(task, challenger, baseline, promotion.confidence)
    over_champion = None if champion is None else measure_gain(task, challenger, champion, promotion.confidence)
    if not over_baseline.at_least > 0:
        reason = (
            f"refused: {metric} {over_baseline.challenger:.4g} is not reliably better than the baseline's "
            f"{over_baseline.other:.4g}"
        )
        return Decision(False, reason, over_baseline, over_champion)
    if over_champion is None:
        reason = f"promoted: the first champion, {metric} {over_baseline.challenger:.4g}"
        return Decision(True, reason, over_baseline, None)
    promoted = over_champion.at_least > promotion.min_gain
    reason = (
        f"{'promoted' if promoted else 'refused'}: {metric} {over_champion.challenger:.4g} against the champion's "
        f"{over_champion.other:.4g}, a gain of {over_champion.value:.4g}, at least {over_champion.at_least:.4g} "
        f"with {promotion.confidence:.0%} confidence; more than {promotion.min_gain:g} is asked for"
    )
    return Decision(promoted, reason, over_baseline, over_champion)


def score_rows(task: Task, target: "pd.Series[float]", predicted: npt.ArrayLike) -> Rows:
    """Return one number a row, (N,): 1 or 0 for right or wrong, or the squared error."""
    if task == "classification":
        return np.asarray(target.to_numpy() == np.asarray(predicted), dtype=np.float64)
    return np.asarray((target.to_numpy(dtype=np.float64) - np.asarray(predicted, dtype=np.float64)) ** 2)


def baseline_prediction(task: Task, training_target: npt.NDArray[np.generic]) -> object:
    """Return what a model says that looks at no feature: the commonest label, or the mean."""
    if task == "regression":
        return float(np.mean(training_target.astype(np.float64)))
    return pd.Series(training_target).mode().iloc[0]


def measure_gain(task: Task, challenger: Rows, other: Rows, confidence: float) -> Gain:
    """Return the gain of one model over another from their (N,) row scores, with its lower bound."""
    return Gain(
        challenger=float(_score(task, challenger, -1)),
        other=float(_score(task, other, -1)),
        value=float(_gain(task, challenger, other, -1)),
        at_least=_lower_bound(task, challenger, other, confidence),
    )


def _lower_bound(task: Task, challenger: Rows, other: Rows, confidence: float) -> float:
    if len(challenger) < 2:
        # One row says nothing about others.
        return -np.inf
    interval = bootstrap(
        (challenger, other),
        lambda ours, theirs, axis: _gain(task, ours, theirs, axis),
        paired=True,
        vectorized=True,
        method="percentile",
        alternative="greater",
        confidence_level=confidence,
        n_resamples=RESAMPLES,
        batch=max(1, ROWS_AT_ONCE // len(challenger)),
        rng=np.random.default_rng(0),
    ).confidence_interval
    return float(interval.low)


def _gain(task: Task, challenger: Rows, other: Rows, axis: int) -> Rows:
    ours, theirs = _score(task, challenger, axis), _score(task, other, axis)
    return ours - theirs if task == "classification" else theirs - ours


def _score(task: Task, rows: Rows, axis: int) -> Rows:
    mean = np.asarray(rows.mean(axis=axis))
    return mean if task == "classification" else np.asarray(np.sqrt(mean))
