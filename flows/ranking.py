"""Which metric decides between trials, and in which direction."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import fmean, stdev
from typing import Protocol, TypeVar

from pydantic import BaseModel, ConfigDict

from flows.data.preparation import Task
from flows.tracking.search_runs import TrialRecord


@dataclass(frozen=True)
class Objective:
    """The validation metric that ranks trials; the lower validation loss decides between equals.

    Of several labels the loss itself ranks: rows with all labels right are often as many in trials that differ, or
    none, while the loss counts how sure a trial is of every label.
    """

    metric: str
    maximise: bool

    @property
    def names(self) -> frozenset[str]:
        """The metrics that it reads."""
        return frozenset((self.metric, "val/loss"))

    def better(self, score: float, other: float) -> bool:
        """Return whether a score is strictly better than another."""
        return score > other if self.maximise else score < other

    def sort_key(self, metrics: Mapping[str, float]) -> tuple[float, float]:
        """Return what sorts trials from the best to the worst."""
        score = metrics[self.metric]
        return (-score if self.maximise else score, metrics["val/loss"])


OBJECTIVES: dict[Task, Objective] = {
    "classification": Objective("val/accuracy", maximise=True),
    "regression": Objective("val/rmse", maximise=False),
    "multilabel": Objective("val/loss", maximise=False),
}


def objective(task: Task) -> Objective:
    """Return the objective of a task: validation accuracy, RMSE, or of several labels the loss."""
    return OBJECTIVES[task]


@dataclass(frozen=True)
class Candidate:
    """A configuration with its finished trials, one for each seed and fold: the members of which it is the mean.

    ``name`` says what differs from the other configurations, and ``key`` is the tag ``configuration`` of its trials.
    """

    name: str
    key: str
    members: tuple[TrialRecord, ...]

    @cached_property
    def metrics(self) -> dict[str, float]:
        """The mean over the members of each metric that all of them have."""
        return {name: fmean(values) for name, values in self._values().items()}

    @cached_property
    def deviations(self) -> dict[str, float]:
        """The sample standard deviation, with n - 1, of each metric over the members; empty where there is but one."""
        return {name: stdev(values) for name, values in self._values().items() if len(values) > 1}

    @property
    def diverged_at(self) -> int | None:
        """The first epoch in which the loss of a member stopped being finite."""
        return min((member.diverged_at for member in self.members if member.diverged_at is not None), default=None)

    @property
    def pruned_at(self) -> int | None:
        """The epoch after which a stop rule ended it: it has then one trial only."""
        return min((member.pruned_at for member in self.members if member.pruned_at is not None), default=None)

    @property
    def epochs_trained(self) -> int:
        """The epochs of all of its trials."""
        return sum(member.epochs_trained for member in self.members)

    @property
    def most_epochs(self) -> int:
        """The epochs of all of its trials if nothing had ended them."""
        return sum(member.most_epochs for member in self.members)

    @property
    def trained(self) -> str:
        """What a leaderboard says of its epochs."""
        return f"{self.epochs_trained}, pruned" if self.pruned_at is not None else str(self.epochs_trained)

    def _values(self) -> dict[str, list[float]]:
        names = [name for name in self.members[0].metrics if all(name in member.metrics for member in self.members)]
        return {name: [member.metrics[name] for member in self.members] for name in names}


class Selection(BaseModel):
    """The configurations of a search from the best to the worst.

    Attributes
    ----------
    ranked : tuple of Candidate
        By the mean over the trials of each; those that were pruned come last.
    diverged : tuple of Candidate
        Those with a trial whose loss stopped being finite; they have no rank.
    winner : TrialRecord
        The trial that is tested and registered: the refit of the best configuration after a cross-validation, else its
        best trial.
    test : dict of str to float
        What the winner reached on the test rows.
    """

    model_config = ConfigDict(frozen=True)

    metric: str
    ranked: tuple[Candidate, ...]
    diverged: tuple[Candidate, ...]
    winner: TrialRecord
    test: dict[str, float]


class Rankable(Protocol):
    """A trial, or a configuration of several."""

    @property
    def metrics(self) -> Mapping[str, float]:
        """What ranks it."""

    @property
    def diverged_at(self) -> int | None:
        """The epoch in which it diverged, None if it did not."""

    @property
    def pruned_at(self) -> int | None:
        """The epoch after which a stop rule ended it, None if none did."""


R = TypeVar("R", bound=Rankable)


def rank(records: Sequence[R], goal: Objective) -> list[R]:
    """Return trials or configurations from the best to the worst; those that diverged are not ranked.

    Those that were pruned come after all others, whatever their scores: they are of fewer epochs, and none may win.
    """
    ranked = (record for record in records if record.diverged_at is None)
    return sorted(ranked, key=lambda record: (record.pruned_at is not None, goal.sort_key(record.metrics)))
