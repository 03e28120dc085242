"""Which trials of a stack end before their epochs, decided by their validation scores and those of earlier stacks.

- Successive halving (Jamieson and Talwalkar, "Non-stochastic best arm identification and hyperparameter optimization",
  AISTATS 2016). The trials of a stack train in lock step, so at a rung all are there to be compared, and nobody waits.
- Across stacks it is asynchronous (ASHA: Li et al., "A system for massively parallel hyperparameter tuning", MLSys
  2020): a trial goes on if it is among the best of all that were at the rung when its stack was submitted, or are now.
- Hyperband (Li et al., "Hyperband: a novel bandit-based approach to hyperparameter optimization", JMLR 18, 2018): a
  rung that is too early ends what learns slowly, so trials are dealt into brackets, each with a later first rung.
- The median rule (Golovin et al., "Google Vizier: a service for black-box optimization", KDD 2017, section 3.2.2).

Nothing here trains, waits or asks: decisions follow from the rule, what earlier stacks had, and the reports so far.
"""

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from itertools import count, takewhile

from pydantic import BaseModel, ConfigDict

from backprop import EpochReport
from flows.parameters import Halving, Hyperband, Median, StopRule
from flows.ranking import Objective
from flows.trials import PlannedTrial

Score = tuple[float, float]
"""What `Objective.sort_key` gives: the lower is better, and the second number decides between equals."""


class SeenTrial(BaseModel):
    """The scores of a trial that a rule looks at, by epoch: of halving those at its bracket's rungs, else all."""

    model_config = ConfigDict(frozen=True)

    bracket: int = 0
    scores: dict[int, Score] = {}


class PruningState(BaseModel):
    """What a `Pruner` has seen, in the order of its stack: small and JSON-able, to be kept beside a checkpoint.

    It may be newer than the checkpoint, since a report that comes again changes nothing, but not older.
    """

    model_config = ConfigDict(frozen=True)

    trials: tuple[SeenTrial, ...]


class Pruning(BaseModel):
    """What a worker needs to know to prune a stack.

    Attributes
    ----------
    brackets : dict of str to int
        Hyperband's bracket of each trial, by trial key; of other rules 0.
    earlier : tuple of SeenTrial
        What stacks that ended before this one was submitted had seen.
    """

    model_config = ConfigDict(frozen=True)

    rule: StopRule
    brackets: dict[str, int]
    earlier: tuple[SeenTrial, ...] = ()


class Pruner:
    """Ends trials of a stack by a rule.

    Parameters
    ----------
    goal : Objective
        Whose metric is compared.
    unit : float
        What an RMSE is multiplied with, so that scores are those that MLflow has.
    brackets : sequence of int
        Of each trial of the stack, in its order.
    earlier : sequence of SeenTrial
        Trials outside of the stack, to be compared with.
    state : PruningState, optional
        To go on from.
    """

    def __init__(
        self,
        rule: StopRule,
        goal: Objective,
        brackets: Sequence[int],
        earlier: Sequence[SeenTrial] = (),
        unit: float = 1.0,
        state: PruningState | None = None,
    ) -> None:
        self._rule = rule
        self._goal = goal
        self._unit = unit
        self._earlier = tuple(earlier)
        self._brackets = tuple(brackets)
        self._scores: list[dict[int, Score]] = [{} for _ in brackets]
        if state is not None:
            self._scores = [dict(trial.scores) for trial in state.trials]

    def state(self) -> PruningState:
        """Return what was seen so far."""
        seen = zip(self._brackets, self._scores, strict=True)
        return PruningState(trials=tuple(SeenTrial(bracket=bracket, scores=scores) for bracket, scores in seen))

    def observe(self, report: EpochReport) -> frozenset[int]:
        """Take an epoch's report of the stack; return the places of the trials that are to end with this epoch."""
        diverged = {done.trial for done in report.finished if done.diverged}
        judged = []
        for k, place in enumerate(report.trials):
            if place in diverged or not looks_at(self._rule, self._brackets[place], report.epoch):
                continue
            judged.append(place)
            self._scores[place][report.epoch] = self._goal.sort_key(
                {
                    name: float(values[k]) * (self._unit if name.endswith("/rmse") else 1.0)
                    for name, values in report.metrics.items()
                }
            )
        worse = (
            self._below_median(judged, self._rule, report.epoch)
            if isinstance(self._rule, Median)
            else self._below_the_best(judged, self._rule, report.epoch)
        )
        return worse - {done.trial for done in report.finished}

    def _below_the_best(self, judged: Sequence[int], rule: Halving | Hyperband, epoch: int) -> frozenset[int]:
        """Return who is not among the best of all that are known at this rung of a bracket."""
        ending: set[int] = set()
        for bracket in {self._brackets[place] for place in judged}:
            before = [
                (trial.scores[epoch], -1)
                for trial in self._earlier
                if trial.bracket == bracket and epoch in trial.scores
            ]
            here = [
                (scores[epoch], place)
                for place, scores in enumerate(self._scores)
                if self._brackets[place] == bracket and epoch in scores
            ]
            ranked = sorted(before + here)
            ending.update(place for _, place in ranked[max(1, len(ranked) // rule.factor) :])
        return frozenset(ending.intersection(judged))

    def _below_median(self, judged: Sequence[int], rule: Median, epoch: int) -> frozenset[int]:
        """Return whose best score so far is worse than the median of the others' means of their scores so far.

        The others are all that ever reported, those that have ended with what they had: the median does not rise
        because the worst are gone.
        """
        if epoch < rule.after:
            return frozenset()
        here = {place: _until(epoch, scores) for place, scores in enumerate(self._scores)}
        before = [_until(epoch, trial.scores) for trial in self._earlier]
        means = {place: _mean(scores) for place, scores in here.items() if scores}
        every = sorted([*means.values(), *(_mean(scores) for scores in before if scores)])
        return frozenset(
            place for place in judged if len(every) > 1 and min(here[place]) > _median_without(every, means[place])
        )


def looks_at(rule: StopRule, bracket: int, epoch: int) -> bool:
    """Return whether a rule compares the trials of a bracket after an epoch."""
    return isinstance(rule, Median) or epoch in rungs(rule, bracket, epoch + 1)


def rungs(rule: Halving | Hyperband, bracket: int, epochs: int) -> tuple[int, ...]:
    """Return the epochs below ``epochs`` after which the trials of a bracket are compared."""
    every = takewhile(lambda epoch: epoch < epochs, (rule.first * rule.factor**k for k in count()))
    return tuple(every)[bracket:]


def bracket_sizes(rule: Hyperband, epochs: int) -> tuple[int, ...]:
    """Return how many trials each bracket has in one round of Hyperband with at most ``epochs`` a trial.

    Bracket b leaves out the first b rungs, the last all of them: its trials are never pruned. Sizes are the paper's, so
    that all brackets train for about as many epochs; 81, 34, 15, 8, 5 for 81 epochs and a factor of 3.
    """
    latest = len(rungs(rule, 0, epochs))
    return tuple(-(-(latest + 1) * rule.factor**s // (s + 1)) for s in range(latest, -1, -1))


def deal(trials: Sequence[PlannedTrial], rule: StopRule) -> dict[str, int]:
    """Return the bracket of each trial by its key, all 0 unless the rule is Hyperband.

    Of any number of trials every bracket has its share, and so it has of those that may share a stack. Which trial
    comes into which depends on keys: a grid's own order would give a bracket all of one seed.
    """
    if not isinstance(rule, Hyperband):
        return dict.fromkeys((trial.key for trial in trials), 0)
    shares = bracket_sizes(rule, max(trial.hyperparameters.epochs for trial in trials))
    dealt = [0] * len(shares)
    brackets = {}
    for number, trial in enumerate(sorted(trials, key=_together), start=1):
        lacking = [share * number / sum(shares) - has for share, has in zip(shares, dealt, strict=True)]
        bracket = lacking.index(max(lacking))
        dealt[bracket] += 1
        brackets[trial.key] = bracket
    return brackets


def seen_trial(rule: StopRule, goal: Objective, bracket: int, curves: Mapping[int, Mapping[str, float]]) -> SeenTrial:
    """Return a trial that was trained before, from its metrics by epoch."""
    return SeenTrial(
        bracket=bracket,
        scores={
            epoch: goal.sort_key(metrics)
            for epoch, metrics in curves.items()
            if goal.names <= metrics.keys() and looks_at(rule, bracket, epoch)
        },
    )


def _together(trial: PlannedTrial) -> tuple[str, int, str, str]:
    """Return what sorts trials so that those that may share a stack follow each other."""
    chosen = trial.hyperparameters
    return repr(trial.architecture), chosen.batch_size, chosen.optimizer, trial.key


def _until(epoch: int, scores: Mapping[int, Score]) -> list[float]:
    return [score for at, (score, _) in scores.items() if at <= epoch]


def _mean(scores: Sequence[float]) -> float:
    return sum(scores) / len(scores)


def _median_without(ordered: Sequence[float], one: float) -> float:
    """Return the median of sorted numbers without one of them."""
    left = list(ordered)
    del left[bisect_left(left, one)]
    middle = len(left) // 2
    return left[middle] if len(left) % 2 else (left[middle - 1] + left[middle]) / 2
