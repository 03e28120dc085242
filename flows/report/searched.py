"""What a report is made of: a search that has just ended, or one that is read back from its run."""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

from mlflow.exceptions import MlflowException
from pydantic import BaseModel, ConfigDict, ValidationError

from flows.compute.stack_training import StackOutcome
from flows.data.drift import DriftReport
from flows.data.sources.files import first_line
from flows.data.store import Dataset, DatasetReference, open_dataset
from flows.errors import RunError
from flows.parameters import describe_validation_error
from flows.planning import Members
from flows.ranking import Candidate, Objective, objective
from flows.tracking.data_reports import DRIFT_FILE, DRIFT_PAGE
from flows.tracking.registry import RegisteredVersion
from flows.tracking.search_runs import SearchRun, TrialRecord, finished_on

FACTS_FILE = "report/search.json"


class SearchFacts(BaseModel):
    """What MLflow does not say of a search otherwise, kept beside its report so that it can be made again.

    Attributes
    ----------
    space : str
        What the space is called.
    ranked, diverged : tuple of Members
        The configurations from the best to the worst, and those that have no rank.
    winner : str
        Key of the trial that was tested and registered.
    failed : dict of str to str
        Why a trial has no result, by its key.
    stacks : tuple of StackOutcome
        What training cost, those of earlier runs of the same search included that came to their end.
    seconds : dict of str to float
        Wall time of the parts of a run, of all its runs that came to their end.
    """

    model_config = ConfigDict(frozen=True)

    space: str
    dataset: DatasetReference
    folds: tuple[DatasetReference, ...] = ()
    ranked: tuple[Members, ...]
    diverged: tuple[Members, ...] = ()
    winner: str
    failed: dict[str, str] = {}
    registered: RegisteredVersion
    stacks: tuple[StackOutcome, ...] = ()
    seconds: dict[str, float] = {}


@dataclass(frozen=True)
class Searched:
    """A search that ended, with the records of its trials and the datasets they were trained on.

    Attributes
    ----------
    ranked, diverged : tuple of Candidate
        The configurations from the best to the worst, and those that have no rank.
    winner : TrialRecord
        The trial that was tested and registered.
    drift : DriftReport or None
        If it was measured.
    """

    run: SearchRun
    facts: SearchFacts
    dataset: Dataset
    folds: tuple[Dataset, ...]
    ranked: tuple[Candidate, ...]
    diverged: tuple[Candidate, ...]
    winner: TrialRecord
    drift: DriftReport | None = None

    @classmethod
    def of(
        cls,
        run: SearchRun,
        facts: SearchFacts,
        ranked: Sequence[Candidate],
        diverged: Sequence[Candidate],
        winner: TrialRecord,
        drift: DriftReport | None,
    ) -> Self:
        """Return a search whose datasets are those that its facts name.

        Raises
        ------
        DatasetError
            One of them is gone.
        """
        dataset, folds = open_dataset(facts.dataset), tuple(open_dataset(fold) for fold in facts.folds)
        return cls(run, facts, dataset, folds, tuple(ranked), tuple(diverged), winner, drift)

    @property
    def goal(self) -> Objective:
        """What ranked the configurations."""
        return objective(self.dataset.task)

    @property
    def best(self) -> Candidate:
        """The configuration that won."""
        return self.ranked[0]

    @property
    def trials(self) -> list[TrialRecord]:
        """All finished trials, the best configuration's first; the refit of a cross-validation is not among them."""
        return [member for candidate in (*self.ranked, *self.diverged) for member in candidate.members]

    @property
    def has_members(self) -> bool:
        """Whether configurations have several trials, of seeds or folds."""
        return any(len(candidate.members) > 1 for candidate in self.ranked)

    def kept(self) -> str:
        """Return the facts as the JSON that is logged."""
        return self.facts.model_dump_json(exclude={"stacks": {"__all__": {"seen"}}})


def members_of(candidates: Sequence[Candidate]) -> tuple[Members, ...]:
    """Return configurations by the keys of their trials."""
    return tuple(
        Members(name=one.name, key=one.key, trial_keys=tuple(member.key for member in one.members))
        for one in candidates
    )


def with_earlier_stacks(searched: Searched) -> Searched:
    """Return a search with what its earlier runs cost: a run that found all trials finished has no stacks."""
    if FACTS_FILE not in _files(searched.run, "report"):
        return searched
    earlier, facts = read_facts(searched.run), searched.facts
    known = {stack.name for stack in facts.stacks}
    before = tuple(stack for stack in earlier.stacks if stack.name not in known)
    spent = {part: earlier.seconds.get(part, 0.0) + now for part, now in facts.seconds.items()}
    return replace(searched, facts=facts.model_copy(update={"stacks": (*before, *facts.stacks), "seconds": spent}))


def read_facts(run: SearchRun) -> SearchFacts:
    """Return what was kept of a search.

    Raises
    ------
    RunError
        Nothing was kept: no report was made of it, or by another version of this project.
    """
    text = _artifact(run, FACTS_FILE)
    if text is None:
        raise RunError(
            f"run {run.run_id} has no {FACTS_FILE}: it is not a search that ended, or one of an earlier version; "
            "run its `backprop train` command again, which trains nothing that is finished"
        )
    try:
        return SearchFacts.model_validate_json(text)
    except ValidationError as error:
        raise RunError(
            f"{FACTS_FILE} of run {run.run_id} is of another version: "
            f"{describe_validation_error(list(error.errors()))}; run its `backprop train` command again"
        ) from error


def read_search(run: SearchRun) -> Searched:
    """Return a search that ended, from what its run and its datasets hold.

    Raises
    ------
    RunError
        Nothing was kept of it, or trials of it were deleted.
    DatasetError
        Its dataset is gone.
    """
    facts = read_facts(run)
    found = finished_on(run.tracking, (facts.dataset, *facts.folds), search=run)
    missing = {key for one in (*facts.ranked, *facts.diverged) for key in one.trial_keys} - found.keys()
    if missing or facts.winner not in found:
        raise RunError(
            f"{max(1, len(missing))} trials of run {run.run_id} are not in MLflow any more; "
            "run its `backprop train` command again"
        )
    ranked, diverged = ([one.candidate(found) for one in each] for each in (facts.ranked, facts.diverged))
    return Searched.of(run, facts, ranked, diverged, found[facts.winner], read_drift(run))


def read_drift(run: SearchRun) -> DriftReport | None:
    """Return the drift that was measured before a search, from its run; None if none was."""
    text = _artifact(run, DRIFT_FILE)
    return None if text is None else DriftReport.model_validate_json(text)


def has_drift_page(run: SearchRun) -> bool:
    """Return whether the run has a page of its own about drift."""
    return DRIFT_PAGE in _files(run, "data")


def _artifact(run: SearchRun, path: str) -> str | None:
    """Return the text of an artifact of the run, None if it has none of that path."""
    if path not in _files(run, path.rpartition("/")[0]):
        return None
    try:
        with tempfile.TemporaryDirectory(prefix="backprop-") as directory:
            return Path(run.tracking.client().download_artifacts(run.run_id, path, directory)).read_text("utf-8")
    except (MlflowException, OSError) as error:
        raise RunError(f"{path} of run {run.run_id} cannot be read ({first_line(error)})") from error


def _files(run: SearchRun, directory: str) -> set[str]:
    return {str(file.path) for file in run.tracking.client().list_artifacts(run.run_id, directory)}
