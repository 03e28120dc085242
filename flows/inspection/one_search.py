"""One search: what is known of it, its leaderboard, what it cost, and the command that trains it."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from mlflow import MlflowClient
from mlflow.entities import Run

from flows.inspection.searches import (
    ListedSearch,
    goal_of,
    listed_search,
    registered_versions,
    test_metrics,
    trial_runs,
)
from flows.ranking import Candidate, Objective, Selection, rank
from flows.tracking import tags
from flows.tracking.search_runs import trial_record
from flows.tracking.trial_lookup import winner_of

_COST = ("time/", "memory/", "epochs/")


class SearchDetails(ListedSearch):
    """A search with all that `backprop show` says of it.

    Attributes
    ----------
    leaderboard : tuple of dict
        From the best configuration to the worst: ``rank``, ``name``, ``params`` of its first trial, mean ``metrics``
        and their ``deviations``, ``pruned_at_epoch``, ``diverged_at_epoch`` and ``runs``. Those that diverged come last
        and have no rank.
    elsewhere : int
        Finished trials that other searches had trained, which are not in the leaderboard.
    cost : dict of str to float
        Seconds, bytes and epochs, as the search's run has them.
    command : str or None
        What trains it.
    """

    leaderboard: tuple[dict[str, object], ...]
    elsewhere: int
    cost: dict[str, float]
    command: str | None


class OpenedSearch(NamedTuple):
    """What is known of a search, and its configurations from the best to the worst; None where none is finished."""

    details: SearchDetails
    selection: Selection | None


def read_search(client: MlflowClient, run: Run) -> OpenedSearch:
    """Return a search with its leaderboard, which is of the trials that it trained itself and of its winner."""
    trials, winner = list(trial_runs(client, run)), winner_of(client, run)
    winners = {} if winner is None else {winner.info.run_id: winner}
    experiment = client.get_experiment(run.info.experiment_id).name
    models = registered_versions(client) if winners else {}
    facts = listed_search(client, run, experiment, winners, models, trials)
    own = {trial.info.run_id for trial in trials}
    finished = [trial for trial in trials if trial.info.status == "FINISHED"]
    known = [*finished, *(trial for run_id, trial in winners.items() if run_id not in own)]
    selection = _selection(known, winner, are_repeated=_are_repeated(run, known))
    return OpenedSearch(
        SearchDetails(
            **facts.model_dump(),
            leaderboard=() if selection is None else tuple(_rows(selection)),
            elsewhere=max(0, facts.trials.finished - len(known)),
            cost={name: value for name, value in sorted(run.data.metrics.items()) if name.startswith(_COST)},
            command=run.data.tags.get(tags.COMMAND),
        ),
        selection,
    )


def _are_repeated(search: Run, finished: Sequence[Run]) -> bool:
    """Return whether a configuration has several trials, of which it is the mean: folds, or seeds as repetitions.

    Seeds that a grid lists are configurations of their own. A search that has selected its best says how that deviates.
    """
    has_folds = any(run.data.tags.get(tags.FOLD, "0") != "0" for run in finished)
    return has_folds or any(name.startswith("best/") and name.endswith("_sd") for name in search.data.metrics)


def _selection(finished: Sequence[Run], winner: Run | None, are_repeated: bool) -> Selection | None:
    """Return the configurations whose trials are all there, ranked as the search ranks them."""
    goal = next((goal for run in finished if (goal := goal_of(run.data.params)) is not None), None)
    if goal is None:
        return None
    candidates = list(_candidates(finished, goal, are_repeated))
    ranked = rank(candidates, goal)
    if not ranked:
        return None
    return Selection(
        metric=goal.metric,
        ranked=tuple(ranked),
        diverged=tuple(candidate for candidate in candidates if candidate.diverged_at is not None),
        winner=ranked[0].members[0] if winner is None else trial_record(winner),
        test={} if winner is None else test_metrics(winner),
    )


def _candidates(finished: Sequence[Run], goal: Objective, are_repeated: bool) -> Iterable[Candidate]:
    """Yield the configurations: a refit is none, and one of which a trial is missing has no mean yet."""
    members = defaultdict(list)
    for run in finished:
        has_diverged = tags.read(run.data.tags, tags.DIVERGED) is not None
        if tags.REFIT not in run.data.tags and (has_diverged or goal.names <= run.data.metrics.keys()):
            configuration = run.data.tags.get(tags.CONFIGURATION, "")
            members[configuration if are_repeated else run.info.run_id].append(trial_record(run))
    whole = max((len(records) for records in members.values()), default=0)
    for key, records in members.items():
        if len(records) == whole or any(record.pruned_at is not None for record in records):
            records.sort(key=lambda record: (int(record.params["seed"]), int(record.params.get("fold", "0"))))
            yield Candidate(records[0].name, key, tuple(records))


def _rows(selection: Selection) -> Iterable[dict[str, object]]:
    for place, candidate in enumerate((*selection.ranked, *selection.diverged), start=1):
        yield {
            "rank": place if candidate.diverged_at is None else None,
            "name": candidate.name,
            "params": dict(candidate.members[0].params),
            "metrics": candidate.metrics,
            "deviations": candidate.deviations,
            "pruned_at_epoch": candidate.pruned_at,
            "diverged_at_epoch": candidate.diverged_at,
            "runs": [member.run_id for member in candidate.members],
        }
