"""By how much the winner leads, on the same rows, and how far luck in the rows reaches.

Both networks answer the same rows. A bootstrap draws rows, each with the answers of both (Efron and Tibshirani, An
Introduction to the Bootstrap, 1993, chapter 8): what makes a row hard for both takes nothing from the comparison.
Of several folds the rows are all rows that validate in one of them, and of several seeds a row counts with its mean.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from flows.data.preparation import Task
from flows.data.store import Dataset, SplitArrays
from flows.evaluation.groups import Array, GroupSums, intervals
from flows.evaluation.networks import answers_on, raw_target, read_network
from flows.evaluation.paired_metrics import METRICS, PairedMetric, Rows
from flows.ranking import Candidate
from flows.report.searched import Searched
from flows.tracking.search_runs import TrialRecord

CONFIDENCE = 0.95
MOST_COMPARED = 9
"""Configurations behind the winner whose distance to it is measured."""
MOST_ROWS = 500_000
"""Validation rows that all of them together answer: of a large dataset fewer configurations are compared."""

_RANKED_BY: dict[Task, str] = {"classification": "accuracy", "regression": "rmse", "multilabel": "log_loss"}


@dataclass(frozen=True)
class Lead:
    """By how much the winner is better than another configuration; positive is better.

    Attributes
    ----------
    place : int
        The rank of the other.
    low, high : float
        Two-sided interval at 95% confidence.
    """

    place: int
    name: str
    rows: int
    winner: float
    other: float
    value: float
    low: float
    high: float

    @property
    def within_chance(self) -> bool:
        """Whether the interval holds 0, so that other rows might have told the other way."""
        return not (self.low > 0 or self.high < 0)


@dataclass(frozen=True)
class Leads:
    """The winner beside the configurations that come next.

    Attributes
    ----------
    validation : tuple of Lead
        On the rows that ranked them, which flatter whoever is first.
    test : Lead or None
        Over the second on the test rows, which had no say; None after a cross-validation, which leaves the second
        untrained on all rows, and where there is no second.
    """

    metric: PairedMetric
    validation: tuple[Lead, ...]
    test: Lead | None


def measure_leads(searched: Searched) -> Leads:
    """Compare the winner with the configurations behind it, on the validation rows, and with the second on the test."""
    metric = METRICS[_RANKED_BY[searched.dataset.task]]
    rows = sum(dataset.rows["validation"] for dataset in searched.folds or (searched.dataset,))
    others = searched.ranked[1 : 1 + min(MOST_COMPARED, max(1, MOST_ROWS // rows))]
    ours = _on_validation(searched, metric, searched.best) if others else np.empty((0, 0))
    validation = tuple(
        _lead(metric, ours, _on_validation(searched, metric, other), place, other.name)
        for place, other in enumerate(others, start=2)
    )
    test = None
    if others and not searched.folds:
        dataset = searched.dataset
        second = min(others[0].members, key=lambda member: searched.goal.sort_key(member.metrics))
        both = [_of_rows(searched, metric, trial, dataset, dataset.test) for trial in (searched.winner, second)]
        test = _lead(metric, both[0], both[1], 2, others[0].name)
    return Leads(metric, validation, test)


def lead_of(metric: PairedMetric, ours: Rows, theirs: Rows) -> tuple[float, float, float]:
    """Return the gain of one model over another from their statistics of the same rows, and its interval."""
    numbers = ours.shape[1]
    sums = GroupSums(2 * numbers)
    sums.add(np.hstack([ours, theirs]))

    def gain(both: Array) -> dict[str, Array]:
        return {"gain": metric.gain(metric.value(both[..., :numbers]), metric.value(both[..., numbers:]))}

    low, high = intervals(sums, gain, CONFIDENCE).get("gain", (-np.inf, np.inf))
    return float(gain(sums.total)["gain"]), low, high


def _lead(metric: PairedMetric, ours: Rows, theirs: Rows, place: int, name: str) -> Lead:
    value, low, high = lead_of(metric, ours, theirs)
    first, other = (float(metric.value(rows.sum(axis=0))) for rows in (ours, theirs))
    return Lead(place, name, len(ours), first, other, value, low, high)


def _on_validation(searched: Searched, metric: PairedMetric, candidate: Candidate) -> Rows:
    """Return the statistics of the rows that validate, fold after fold, each the mean over the seeds."""
    datasets = searched.folds or (searched.dataset,)
    by_fold: dict[int, list[Rows]] = defaultdict(list)
    for member in candidate.members:
        fold = int(member.params["fold"])
        dataset = datasets[max(0, fold - 1)]
        by_fold[fold].append(_of_rows(searched, metric, member, dataset, dataset.validation))
    return np.concatenate([_mean(by_fold[fold]) for fold in sorted(by_fold)])


def _mean(each: Sequence[Rows]) -> Rows:
    return np.asarray(np.mean(each, axis=0))


def _of_rows(searched: Searched, metric: PairedMetric, trial: TrialRecord, dataset: Dataset, part: SplitArrays) -> Rows:
    preparation = dataset.preparation
    said = answers_on(read_network(searched.run, trial), dataset, part)
    return metric.statistics(preparation, raw_target(preparation, np.asarray(part.target)), said)
