"""How a worker tells the search that submitted a stack how far it is."""

import time
from collections.abc import Sequence

import numpy as np
from distributed import get_worker

from backprop import EpochReport
from backprop.reports import Reason
from flows.compute.stacking import epoch_work, work
from flows.compute.worker_news import WorkerNews
from flows.ranking import Objective
from flows.tracking.trial_news import TrialNews
from flows.trials import PlannedTrial

ANNOUNCE_SECONDS = 0.5
"""Least time between two events: epochs of small networks last a millisecond."""


class Announcer:
    """Sums up what a stack does and sends it on a Dask topic; outside of a Dask worker nobody hears it.

    Parameters
    ----------
    topic : str
    goal : Objective
        Picks the score.
    metric_unit : float
        What an RMSE is multiplied with to be in the unit of the target.
    """

    def __init__(self, topic: str, goal: Objective, metric_unit: float) -> None:
        self._topic, self._goal = topic, goal
        self._unit = metric_unit if goal.metric.endswith("/rmse") else 1.0
        self._news = WorkerNews()
        self._next = time.monotonic() + ANNOUNCE_SECONDS

    def ended_before(self, news: Sequence[TrialNews]) -> None:
        """Take trials that had ended in an earlier attempt, and were not delivered."""
        ended = [one for one in news if one.end is not None]
        self._add(
            WorkerNews(
                finished=tuple(one.key for one in ended),
                diverged=_ended_as("diverged", ended),
                pruned=_ended_as("stopped", ended),
            )
        )

    def trained(self, trials: Sequence[PlannedTrial], report: EpochReport) -> None:
        """Take an epoch of a stack, and send what there is if it is time."""
        scores = report.metrics[self._goal.metric]
        finite = scores[np.isfinite(scores)] * self._unit
        best = None if not len(finite) else float(finite.max() if self._goal.maximise else finite.min())
        self._add(
            WorkerNews(
                # What a trial that ends early is spared is done too.
                work=sum(epoch_work(trials[place]) for place in report.trials)
                + sum(work(trials[done.trial], after=report.epoch) for done in report.finished),
                finished=tuple(trials[done.trial].key for done in report.finished),
                diverged=tuple(trials[done.trial].key for done in report.finished if done.diverged),
                pruned=tuple(trials[done.trial].key for done in report.finished if done.reason == "stopped"),
                best=best,
            )
        )
        if time.monotonic() >= self._next:
            self.send()

    def send(self) -> None:
        """Send what was summed up."""
        if on_dask_worker():
            get_worker().log_event(self._topic, self._news.model_dump(mode="json"))
        self._news = WorkerNews()
        self._next = time.monotonic() + ANNOUNCE_SECONDS

    def _add(self, news: WorkerNews) -> None:
        so_far, best = self._news, news.best
        if best is None or (so_far.best is not None and not self._goal.better(best, so_far.best)):
            best = so_far.best
        self._news = WorkerNews(
            work=so_far.work + news.work,
            finished=so_far.finished + news.finished,
            diverged=so_far.diverged + news.diverged,
            pruned=so_far.pruned + news.pruned,
            best=best,
        )


def _ended_as(reason: Reason, ended: Sequence[TrialNews]) -> tuple[str, ...]:
    return tuple(one.key for one in ended if one.end is not None and one.end.reason == reason)


def on_dask_worker() -> bool:
    """Return whether this is the thread of a Dask worker that runs a task."""
    try:
        get_worker()
    except ValueError:
        return False
    return True
