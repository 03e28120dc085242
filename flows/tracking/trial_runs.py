"""The MLflow runs of a stack's trials, written beside the training by a thread of their own."""

import contextvars
import logging
import tempfile
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from backprop import EpochReport, Finished, save_weights
from flows.data.store import Dataset
from flows.environment import Environment
from flows.tracking.outages import PATIENCE, Outage, disk_full_explained, passes
from flows.tracking.search_runs import SearchRun
from flows.tracking.trial_delivery import WEIGHTS_FILE, TrialDelivery
from flows.tracking.trial_news import Point, TrialEnd, TrialNews, measured_in
from flows.trials import PlannedTrial

FLUSH_SECONDS = 1.0
"""Least time between two deliveries of what is buffered, and before the first."""

FLUSH_SHARE = 0.05
"""Most of the time that deliveries may take while a stack trains: they share the interpreter with the training."""

LAST_WORDS_SECONDS = 10.0
"""How long a stack that was stopped, or broke, tries to say so."""

_logger = logging.getLogger(__name__)


class StackStopped(Exception):  # noqa: N818 - an order that was followed, not an error
    """The search was interrupted while the stack trained; its trials end as KILLED."""


@dataclass
class _Buffer:
    """What MLflow has yet to hear of a trial, and whether it has heard all."""

    points: list[Point] = field(default_factory=list)
    end: TrialEnd | None = None
    ended: bool = False


class TrialRuns:
    """One MLflow run for each trial of a stack, open while the stack trains.

    The training only buffers; a thread delivers all trials at a time, never a call per trial and epoch. While MLflow
    does not answer it tries again, in order, and the training goes on. When the block is left all is delivered, or a
    TrackingError says that MLflow was waited for in vain. A run that has not finished then ends as FAILED, or KILLED
    if it was stopped, with the reason.

    Parameters
    ----------
    run : SearchRun
        The search that the trials belong to.
    stack : str
        Name of the stack, a tag on every run.
    trials : sequence of PlannedTrial
        In the order of the stack.
    varying : frozenset of str
        The hyperparameters that differ within the search; they make the runs' names.
    unfinished : mapping of str to str
        Runs of an earlier attempt to go on with, by trial key.
    news : iterable of TrialNews
        What an earlier attempt could not deliver.
    environment : Environment, optional
        Where the trials are trained, which their runs then say.

    Attributes
    ----------
    trials : tuple of PlannedTrial
    """

    def __init__(
        self,
        run: SearchRun,
        stack: str,
        dataset: Dataset,
        trials: Sequence[PlannedTrial],
        varying: frozenset[str],
        unfinished: Mapping[str, str] | None = None,
        news: Iterable[TrialNews] = (),
        environment: Environment | None = None,
    ) -> None:
        self._uri = run.tracking.uri
        self._delivery = TrialDelivery(run, stack, dataset, trials, varying, unfinished or {}, environment)
        self._dataset = dataset
        self.trials = tuple(trials)
        known = {one.key: one for one in news}
        self._buffers = [
            _Buffer(list(known[trial.key].points), known[trial.key].end) if trial.key in known else _Buffer()
            for trial in trials
        ]
        self._spool = tempfile.TemporaryDirectory(prefix="backprop-weights-")
        # Between the thread that trains and the one that delivers.
        self._lock = threading.Lock()
        self._news = threading.Event()
        self._closed = threading.Event()
        self._patience = PATIENCE
        self._failure: Exception | None = None
        self._outage = Outage(self._uri)
        self._next_flush = 0.0
        # What it warns of is logged where the training is.
        context = contextvars.copy_context()
        self._thread = threading.Thread(
            target=lambda: context.run(self._deliver_to_end), name=f"deliver-{stack}", daemon=True
        )

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        stopped = kind is not None and (issubclass(kind, StackStopped) or not issubclass(kind, Exception))
        self._patience = PATIENCE if kind is None else LAST_WORDS_SECONDS
        self._closed.set()
        self._news.set()
        self._thread.join(None if kind is None else LAST_WORDS_SECONDS)
        if not self._thread.is_alive():
            reason = error if error is not None else self._failure
            said = f"{type(reason).__name__}: {reason}" if reason else "the stack ended before this trial did"
            self._abandon_rest("KILLED" if stopped else "FAILED", said)
        self._spool.cleanup()
        if kind is None and self._failure is not None:
            raise self._failure

    def record(self, report: EpochReport) -> None:
        """Take an epoch's metrics, and the weights of the trials that it finished.

        Raises
        ------
        Exception
            What stopped the deliveries, if something did that will not pass.
        """
        if self._failure is not None:
            raise self._failure
        now = int(time.time() * 1000)
        ends = {finished.trial: self._end(finished, report.epoch) for finished in report.finished}
        with self._lock:
            for place, name, value in measured_in(report, self._dataset.preparation.metric_unit):
                self._buffers[place].points.append(Point(name, value, now, report.epoch))
            for place, end in ends.items():
                self._buffers[place].end = end
        if ends:
            self._news.set()

    @property
    def is_unreachable(self) -> bool:
        """Whether MLflow does not answer at the moment."""
        return self._outage.seconds > 0

    def news(self) -> tuple[TrialNews, ...]:
        """Return what MLflow has not heard yet, to be kept with a checkpoint."""
        with self._lock:
            return tuple(
                TrialNews(key=trial.key, points=tuple(buffer.points), end=buffer.end)
                for trial, buffer in zip(self.trials, self._buffers, strict=True)
                if not buffer.ended and (buffer.points or buffer.end)
            )

    def _end(self, finished: Finished, epoch: int) -> TrialEnd:
        trial = self.trials[finished.trial]
        # MLflow names an artifact as the file that it is given.
        weights = Path(self._spool.name) / trial.key / WEIGHTS_FILE
        with disk_full_explained(str(weights.parent)):
            weights.parent.mkdir()
            save_weights(weights, trial.architecture, finished.parameters)
        return TrialEnd(epoch=epoch, reason=finished.reason, weights=weights)

    # The thread that delivers

    def _deliver_to_end(self) -> None:
        outage = self._outage
        while True:
            closed = self._closed.is_set()
            self._news.clear()
            try:
                with disk_full_explained(self._uri):
                    self._deliver(all_that_is=closed)
                outage.end()
            except Exception as error:  # noqa: BLE001 - handed to the thread that trains
                if not passes(error):
                    self._failure = error
                    return
                pause = outage.begin(error)
                if closed and outage.seconds > self._patience:
                    self._failure = outage.error()
                    return
                self._closed.wait(pause) if not closed else time.sleep(pause)
                continue
            if closed:
                return
            self._news.wait(max(0.0, self._next_flush - time.monotonic()))

    def _deliver(self, all_that_is: bool) -> None:
        """Open the runs that are not, end those of trials that are finished, and tell the rest if it is time."""
        started = time.monotonic()
        opened = [place for place in self._waiting() if not self._delivery.is_open(place)]
        for place in opened:
            self._delivery.open(place)
        due = all_that_is or (not opened and time.monotonic() >= self._next_flush)
        for place in self._waiting():
            if due or self._buffers[place].end is not None:
                self._deliver_trial(place)
        if due or opened:
            # A delivery will take about as long as the opening did, and a short training is over before one is due.
            cost = time.monotonic() - started
            self._next_flush = time.monotonic() + max(FLUSH_SECONDS, cost / FLUSH_SHARE)

    def _waiting(self) -> list[int]:
        return [place for place, buffer in enumerate(self._buffers) if not buffer.ended]

    def _deliver_trial(self, place: int) -> None:
        buffer = self._buffers[place]
        with self._lock:
            points, end = list(buffer.points), buffer.end
        if end is None:
            self._delivery.tell(place, points)
        else:
            self._delivery.finish(place, points, end)
            end.weights.unlink(missing_ok=True)
        with self._lock:
            del buffer.points[: len(points)]
            buffer.ended = end is not None

    def _abandon_rest(self, status: str, reason: str) -> None:
        for place in self._waiting():
            try:
                self._delivery.abandon(place, self._buffers[place].points, status, reason)
            except Exception:
                # The search ends what a worker could not: it looks for runs that are still RUNNING.
                _logger.warning("MLflow could not be told that a trial ended as %s", status, exc_info=True)
                return
