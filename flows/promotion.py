"""Whether a challenger replaces the champion: both judged on the same test rows, and luck taken off.

Each model has one number a row: for classes 1 where it is right and 0 where not (their mean is the accuracy), for
several labels the part of them that is right, for a quantity the squared error (the root of their mean is the RMSE),
for several quantities the mean of the squared errors, each in its target's standard deviations. The gain of one model
over another is the difference of the two scores. A percentile bootstrap that draws rows, each with the numbers of both
models, gives the bound above which the gain lies with the confidence asked for (Efron and Tibshirani, An Introduction
to the Bootstrap, 1993, chapter 13).
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.stats import bootstrap

from flows.data.outputs import Predictions, predictions
from flows.data.preparation import Preparation, Task
from flows.errors import TableError
from flows.parameters import PromotionParameters

RESAMPLES = 2000

ROWS_AT_ONCE = 2**22
"""Most rows drawn before their scores are summed up: what the bootstrap keeps in memory."""

METRICS: dict[Task, str] = {"classification": "accuracy", "multilabel": "accuracy of labels", "regression": "RMSE"}
"""What the mean of the rows' numbers is called."""

Rows = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Gain:
    """By how much the challenger is better than another on the test rows; positive is better.

    Attributes
    ----------
    challenger, other : float
        Accuracy, or RMSE in the target's unit, or of several targets in standard deviations.
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
    metric = METRICS[task]
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


def score_rows(preparation: Preparation, target: pd.DataFrame, predicted: Predictions) -> Rows:
    """Return one number a row, (N,): what is right of it, from 0 to 1, or its squared error.

    Parameters
    ----------
    preparation : Preparation
        Of the data that the models are judged on; it says which targets there are and how far they spread.
    target : pandas.DataFrame
        The targets as they were read, (N, C).
    predicted : array or pandas.DataFrame
        (N,) of one target, and a frame of several.

    Raises
    ------
    TableError
        The model predicts something else than the targets.
    """
    said = _columns(preparation, predicted)
    if preparation.task == "classification":
        return np.asarray(target.iloc[:, 0].to_numpy() == said[:, 0], dtype=np.float64)
    try:
        said = said.astype(np.float64)
    except (TypeError, ValueError) as error:
        raise TableError(f"it predicts labels, and {', '.join(preparation.targets)} holds numbers") from error
    if preparation.task == "multilabel":
        return np.asarray((preparation.transform_target(target) == said).mean(axis=1))
    # Of one target the unit is its own, and both scales are the same.
    scale = np.array(preparation.target_scale) / preparation.metric_unit
    errors = (target[list(preparation.targets)].to_numpy(dtype=np.float64) - said) / scale
    return np.asarray((errors**2).mean(axis=1))


def _columns(preparation: Preparation, predicted: Predictions) -> npt.NDArray[np.generic]:
    """Return predictions with a column for each target, (N, C), in the order of the targets."""
    if not isinstance(predicted, pd.DataFrame):
        predicted = np.asarray(predicted)[:, None]
        if len(preparation.targets) > 1 or preparation.task == "multilabel":
            raise TableError(f"it predicts one target, and these are {len(preparation.targets)}")
        return predicted
    if set(predicted.columns) != set(preparation.targets):
        raise TableError(
            f"it predicts {', '.join(map(str, predicted.columns))}, and the targets are "
            f"{', '.join(preparation.targets)}"
        )
    return predicted[list(preparation.targets)].to_numpy()


def baseline_prediction(preparation: Preparation, trained_on: npt.NDArray[np.generic], rows: int) -> Predictions:
    """Return what a model says of some rows that looks at no feature: the commonest label, or the mean.

    Parameters
    ----------
    trained_on : (N,) or (N, C) array
        Targets of the training rows, as a dataset has them. Of several labels each has its own commonest value.
    """
    if preparation.task == "classification":
        constant = np.bincount(trained_on, minlength=preparation.outputs)[None]
    else:
        constant = trained_on.mean(axis=0, dtype=np.float64, keepdims=True)
    answer = predictions(preparation, constant)
    return answer.iloc[[0] * rows] if isinstance(answer, pd.DataFrame) else np.repeat(answer, rows)


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
    return theirs - ours if task == "regression" else ours - theirs


def _score(task: Task, rows: Rows, axis: int) -> Rows:
    mean = np.asarray(rows.mean(axis=axis))
    return np.asarray(np.sqrt(mean)) if task == "regression" else mean
