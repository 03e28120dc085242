"""What a search trains: the trials of each configuration, one for each seed and fold."""

from collections.abc import Mapping, Sequence

from pydantic import BaseModel, ConfigDict

from flows.configurations import configurations
from flows.data.store import Dataset
from flows.parameters import Hyperparameters, Space
from flows.ranking import Candidate
from flows.spaces import expand
from flows.tracking.search_runs import TrialRecord
from flows.trials import (
    PlannedTrial,
    WarmStart,
    configuration_key,
    describe,
    plan_trial,
    plan_warm_start,
    varying_names,
)


class Members(BaseModel):
    """The trials of one configuration, by their keys.

    Attributes
    ----------
    name : str
        What differs from the other configurations.
    key : str
        The tag ``configuration`` of all of its trials.
    trial_keys : tuple of str
        Seed by seed, and fold by fold; the first is of the configuration's own seed.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    key: str
    trial_keys: tuple[str, ...]

    def are_in(self, finished: Mapping[str, TrialRecord]) -> bool:
        """Return whether all of the trials are finished: one that failed leaves its configuration without a mean."""
        return all(key in finished for key in self.trial_keys)

    def candidate(self, finished: Mapping[str, TrialRecord]) -> Candidate:
        """Return the configuration with what its trials reached, all of which are finished."""
        records = tuple(finished[key] for key in self.trial_keys)
        return Candidate(self.name if len(records) > 1 else records[0].name, self.key, records)


class SearchPlan(BaseModel):
    """The trials of a search, configuration by configuration, as far as they are known.

    Attributes
    ----------
    varying : frozenset of str
        The hyperparameters that differ among them.
    to_come : int
        Trials that Optuna has not asked for yet: as many at most.
    repeated : int
        Configurations that Optuna asked for though it had asked for them before, or the space lists them.
    """

    model_config = ConfigDict(frozen=True)

    configurations: tuple[Members, ...]
    trials: tuple[PlannedTrial, ...]
    varying: frozenset[str]
    to_come: int = 0
    repeated: int = 0

    def candidates(self, finished: Mapping[str, TrialRecord]) -> list[Candidate]:
        """Return every configuration of which all trials are finished, with what they reached."""
        return [members.candidate(finished) for members in self.configurations if members.are_in(finished)]

    def reached(
        self, configurations: Sequence[Hyperparameters], finished: Mapping[str, TrialRecord]
    ) -> list[Candidate | None]:
        """Return what configurations of the plan, given with their own seed, reached; None where a trial failed."""
        # A warm start may have the hyperparameters of one that was asked for, and is no answer to that.
        own = {trial.key: trial.hyperparameters for trial in self.trials if trial.start is None}
        members = {own[found.trial_keys[0]]: found for found in self.configurations if found.trial_keys[0] in own}
        return [members[one].candidate(finished) if members[one].are_in(finished) else None for one in configurations]

    def refit(self, winner: Candidate, dataset: Dataset) -> PlannedTrial:
        """Return the trial of a configuration, with its own seed, on the dataset that was cut into folds."""
        own = next(trial for trial in self.trials if trial.key == winner.members[0].key)
        return plan_trial(dataset, own.hyperparameters, refit=True)


def plan_search(
    space: Space,
    datasets: Sequence[Dataset],
    asked: Sequence[Hyperparameters] = (),
    warm_start: WarmStart | None = None,
) -> SearchPlan:
    """Plan each configuration of a space with each of its seeds on each dataset: the folds, or the one there is.

    A warm start is a configuration more, of one trial, and never one of a cross-validation: on each fold the weights
    that it begins with have seen rows that validate.

    Parameters
    ----------
    asked : sequence of Hyperparameters
        What Optuna asked for so far, if the space leaves trials to it.

    Raises
    ------
    SpaceError
        The space repeats seeds that are there already.
    """
    chosen = configurations(space, asked)
    # What Optuna varies differs in the end, though it may not among the first that it asks for.
    drawn = frozenset(space.optuna.distributions if space.optuna is not None else ())
    names = varying_names([own for own, *_ in chosen]) | drawn
    planned = [[plan_trial(dataset, seeded) for seeded in seeds for dataset in datasets] for seeds in chosen]
    if warm_start is not None:
        if len(datasets) > 1:
            raise ValueError("warm_start is given and there are folds, whose validation rows its weights have seen")
        planned.append([plan_warm_start(datasets[0], warm_start)])
    return SearchPlan(
        configurations=tuple(_members(trials, names) for trials in planned),
        trials=tuple(trial for trials in planned for trial in trials),
        varying=varying_names([seeded for seeds in chosen for seeded in seeds]) | drawn,
        to_come=(space.optuna.count - len(asked)) * space.seeds * len(datasets) if space.optuna is not None else 0,
        repeated=len(expand(space)) + len(asked) - len(chosen),
    )


def _members(trials: Sequence[PlannedTrial], varying: frozenset[str]) -> Members:
    first = trials[0]
    return Members(
        name=describe(first.hyperparameters, varying),
        key=configuration_key(first.hyperparameters, first.start),
        trial_keys=tuple(trial.key for trial in trials),
    )
