"""What a search cost: trials, epochs, seconds, and how fast its stacks trained."""

from collections import defaultdict
from dataclasses import dataclass

from flows.report.searched import Searched
from flows.tracking.search_runs import TrialRecord


@dataclass(frozen=True)
class StackCost:
    """What a stack cost.

    Attributes
    ----------
    trials, epochs : int
        Trials whose runs say that they were trained in it, and the sum of their epochs.
    seconds, training_seconds : float
        Wall time on the worker with and without tracking.
    samples_per_second : float
        Rows that a trial was trained on, summed over its trials and epochs, a second of training.
    """

    name: str
    worker: str
    trials: int
    epochs: int
    seconds: float
    training_seconds: float
    samples_per_second: float


@dataclass(frozen=True)
class Costs:
    """What a search cost.

    Attributes
    ----------
    trials : int
        All that are finished, the refit of a cross-validation included.
    epochs, full_epochs : int
        Trained, and what they would have been if nothing had ended any.
    stacks : tuple of StackCost
        Those whose time was measured.
    unmeasured : int
        Trials that were finished before, in another search or in a run of this one that was killed.
    """

    trials: int
    pruned: int
    diverged: int
    failed: int
    epochs: int
    full_epochs: int
    search_seconds: float
    stacks: tuple[StackCost, ...]
    unmeasured: int
    workers: int
    peak_bytes: int

    @property
    def training_seconds(self) -> float:
        """Of all stacks, summed over the workers."""
        return sum(stack.training_seconds for stack in self.stacks)

    @property
    def samples_per_second(self) -> float:
        """The mean over the time of training; 0 where none was measured."""
        samples = sum(stack.samples_per_second * stack.training_seconds for stack in self.stacks)
        return samples / self.training_seconds if self.training_seconds else 0.0


def costs_of(searched: Searched) -> Costs:
    """Add up what a search cost."""
    trials = {trial.key: trial for trial in (*searched.trials, searched.winner)}
    by_stack: dict[str, list[TrialRecord]] = defaultdict(list)
    for trial in trials.values():
        by_stack[trial.stack].append(trial)
    rows = [dataset.rows["train"] for dataset in (searched.dataset, *searched.folds)]
    stacks = []
    for stack in searched.facts.stacks:
        here = by_stack.pop(stack.name, [])
        samples = sum(trial.epochs_trained * rows[int(trial.params["fold"])] for trial in here)
        pace = samples / stack.training_seconds if stack.training_seconds else 0.0
        epochs = sum(trial.epochs_trained for trial in here)
        stacks.append(
            StackCost(stack.name, stack.worker, len(here), epochs, stack.seconds, stack.training_seconds, pace)
        )
    return Costs(
        trials=len(trials),
        pruned=sum(trial.pruned_at is not None for trial in trials.values()),
        diverged=sum(trial.diverged_at is not None for trial in trials.values()),
        failed=len(searched.facts.failed),
        epochs=sum(trial.epochs_trained for trial in trials.values()),
        full_epochs=sum(trial.most_epochs for trial in trials.values()),
        search_seconds=searched.facts.seconds.get("search", 0.0),
        stacks=tuple(stacks),
        unmeasured=sum(map(len, by_stack.values())),
        workers=len({stack.worker for stack in stacks}),
        peak_bytes=max((stack.peak_bytes for stack in searched.facts.stacks), default=0),
    )
