"""Which metric decides between trials, and in which direction."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

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


def rank(records: Sequence[TrialRecord], goal: Objective) -> list[TrialRecord]:
    """Return the trials from the best to the worst; those that diverged are not ranked.

    Those that were pruned come after all others, whatever their scores: they are of fewer epochs, and none may win.
    """
    ranked = (record for record in records if record.diverged_at is None)
    return sorted(ranked, key=lambda record: (record.pruned_at is not None, goal.sort_key(record.metrics)))
