"""What a search trains: the trials of each configuration, one for each seed and fold."""

from collections.abc import Mapping, Sequence

from pydantic import BaseModel, ConfigDict

from flows.configurations import configurations
from flows.data.store import Dataset
from flows.parameters import Space
from flows.ranking import Candidate
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
    """The trials of a search, configuration by configuration, and the hyperparameters that differ among them."""

    model_config = ConfigDict(frozen=True)

    configurations: tuple[Members, ...]
    trials: tuple[PlannedTrial, ...]
    varying: frozenset[str]

    def candidates(self, finished: Mapping[str, TrialRecord]) -> list[Candidate]:
        """Return every configuration of which all trials are finished, with what they reached."""
        return [members.candidate(finished) for members in self.configurations if members.are_in(finished)]

    def refit(self, winner: Candidate, dataset: Dataset) -> PlannedTrial:
        """Return the trial of a configuration, with its own seed, on the dataset that was cut into folds."""
        own = next(trial for trial in self.trials if trial.key == winner.members[0].key)
        return plan_trial(dataset, own.hyperparameters, refit=True)


def plan_search(space: Space, datasets: Sequence[Dataset], warm_start: WarmStart | None = None) -> SearchPlan:
    """Plan each configuration of a space with each of its seeds on each dataset: the folds, or the one there is.

    A warm start is a configuration more, of one trial, and never one of a cross-validation: on each fold the weights
    that it begins with have seen rows that validate.

    Raises
    ------
    SpaceError
        The space has no trials, or repeats seeds that are there already.
    """
    chosen = configurations(space)
    names = varying_names([own for own, *_ in chosen])
    planned = [[plan_trial(dataset, seeded) for seeded in seeds for dataset in datasets] for seeds in chosen]
    if warm_start is not None:
        if len(datasets) > 1:
            raise ValueError("warm_start is given and there are folds, whose validation rows its weights have seen")
        planned.append([plan_warm_start(datasets[0], warm_start)])
    return SearchPlan(
        configurations=tuple(_members(trials, names) for trials in planned),
        trials=tuple(trial for trials in planned for trial in trials),
        varying=varying_names([seeded for seeds in chosen for seeded in seeds]),
    )


def _members(trials: Sequence[PlannedTrial], varying: frozenset[str]) -> Members:
    first = trials[0]
    return Members(
        name=describe(first.hyperparameters, varying),
        key=configuration_key(first.hyperparameters, first.start),
        trial_keys=tuple(trial.key for trial in trials),
    )
