"""How a worker tells the search that submitted a stack how far it is."""

import time
from collections.abc import Sequence

import numpy as np
from distributed import get_worker

from backprop import EpochReport
from backprop.reports import Reason
from flows.compute.paces import Paces
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
    paces : Paces
        What the work of the stack's trials is counted in.
    """

    def __init__(self, topic: str, goal: Objective, metric_unit: float, paces: Paces) -> None:
        self._topic, self._goal, self._paces = topic, goal, paces
        self._unit = metric_unit if goal.metric.endswith("/rmse") else 1.0
        self._work = 0.0
        self._best: float | None = None
        self._ended: dict[str, Reason] = {}
        self._next = time.monotonic() + ANNOUNCE_SECONDS

    def ended_before(self, news: Sequence[TrialNews]) -> None:
        """Take trials that had ended in an earlier attempt, and were not delivered."""
        for one in news:
            if one.end is not None:
                self._ended[one.key] = one.end.reason

    def trained(self, trials: Sequence[PlannedTrial], report: EpochReport) -> None:
        """Take an epoch of a stack, and send what there is if it is time."""
        self._work += sum(self._paces.epoch(trials[place]) for place in report.trials)
        for done in report.finished:
            self._ended[trials[done.trial].key] = done.reason
            # What a trial that ends early is spared is done too.
            self._work += self._paces.work(trials[done.trial], after=report.epoch)
        scores = report.metrics[self._goal.metric]
        finite = scores[np.isfinite(scores)] * self._unit
        if len(finite):
            best = float(finite.max() if self._goal.maximise else finite.min())
            if self._best is None or self._goal.better(best, self._best):
                self._best = best
        if time.monotonic() >= self._next:
            self.send()

    def send(self) -> None:
        """Send what was summed up."""
        if on_dask_worker():
            news = WorkerNews(
                work=self._work,
                finished=tuple(self._ended),
                diverged=self._ended_as("diverged"),
                pruned=self._ended_as("stopped"),
                best=self._best,
            )
            get_worker().log_event(self._topic, news.model_dump(mode="json"))
        self._work, self._best, self._ended = 0.0, None, {}
        self._next = time.monotonic() + ANNOUNCE_SECONDS

    def _ended_as(self, reason: Reason) -> tuple[str, ...]:
        return tuple(key for key, why in self._ended.items() if why == reason)


def on_dask_worker() -> bool:
    """Return whether this is the thread of a Dask worker that runs a task."""
    try:
        get_worker()
    except ValueError:
        return False
    return True
