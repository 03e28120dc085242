"""The searches of a store: what each is of, what became of its trials, and what won."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from difflib import get_close_matches
from typing import Literal

from mlflow import MlflowClient
from mlflow.entities import Run
from pydantic import BaseModel, ConfigDict, Field

from flows.errors import RunError
from flows.ranking import Objective, objective, rank
from flows.tracking import tags
from flows.tracking.search_runs import COUNTS, NAME_BEGINS, every_run, trial_record
from flows.tracking.trial_lookup import runs_anywhere
from flows.trials import HEADS

Status = Literal["RUNNING", "FINISHED", "FAILED", "KILLED", "SCHEDULED"]

_BEST, _TEST = "best/", "test/"
_PAGE = 1000
_MOST_IDS = 100
"""Runs that are asked for by their ids at once, which stand in an address where the store is a server."""


class Wanted(BaseModel):
    """Which searches are listed: the newest of those that fit."""

    model_config = ConfigDict(frozen=True)

    experiment: str | None = None
    dataset: str | None = None
    status: Status | None = None
    limit: int = Field(default=20, ge=1, le=10_000)


class TrialCounts(BaseModel):
    """What became of the trials of a search; those that were pruned or diverged are finished too."""

    model_config = ConfigDict(frozen=True)

    finished: int
    pruned: int
    diverged: int
    failed: int
    running: int = 0


class ModelVersion(BaseModel):
    """A version of a registered model, with its aliases."""

    model_config = ConfigDict(frozen=True)

    name: str
    version: int
    aliases: tuple[str, ...] = ()

    def __str__(self) -> str:
        return " ".join([self.name, str(self.version), *(f"@{alias}" for alias in self.aliases)])


class ListedSearch(BaseModel):
    """A search as a list shows it.

    Attributes
    ----------
    metric : str or None
        What ranks its trials; None as long as nothing is known of them.
    best, best_deviation : float or None
        What the best configuration reached on the validation rows: of several trials the mean, and how they deviate.
    winner : str or None
        The run of the trial that won.
    test : dict of str to float
        What the winner reached on the test rows.
    models : tuple of ModelVersion
        That the winner was registered as.
    failure : str or None
        Why it did not finish.
    """

    model_config = ConfigDict(frozen=True)

    run_id: str
    experiment: str
    experiment_id: str
    space: str
    dataset: str
    dataset_digest: str
    status: str
    started: datetime
    ended: datetime | None
    trials: TrialCounts
    metric: str | None
    best: float | None
    best_deviation: float | None
    winner: str | None
    winner_name: str | None
    test: dict[str, float]
    models: tuple[ModelVersion, ...]
    failure: str | None

    @property
    def tested(self) -> float | None:
        """What the winner reached on the test rows by the metric that ranks."""
        return None if self.metric is None else self.test.get(self.metric.replace("val/", _TEST, 1))


def list_searches(client: MlflowClient, wanted: Wanted) -> list[ListedSearch]:
    """Return the searches of a store, newest first.

    A search that finished is known from its own run, in a few calls for all of them; the trials of one that did not,
    or that an older version recorded, are counted a thousand a call.

    Raises
    ------
    RunError
        There is no such experiment.
    """
    experiments = {found.experiment_id: found.name for found in client.search_experiments()}
    within = list(experiments)
    if wanted.experiment is not None:
        within = [number for number, name in experiments.items() if name == wanted.experiment]
        if not within:
            raise RunError(_no_experiment(client, wanted.experiment, list(experiments.values())))
    where = [f"tags.`{tags.SEARCH_KEY}` != ''"]
    if wanted.status is not None:
        where.append(f"attributes.status = '{wanted.status}'")
    found = _newest_of(client, within, where, wanted)
    winners = _runs(client, [run.data.tags[tags.WINNER_RUN] for run in found if tags.WINNER_RUN in run.data.tags])
    models = registered_versions(client) if winners else {}
    return [listed_search(client, run, experiments[run.info.experiment_id], winners, models) for run in found]


def _newest_of(client: MlflowClient, within: list[str], where: list[str], wanted: Wanted) -> list[Run]:
    """Return the runs of the newest searches; those of a dataset whichever version of this project named it."""
    asked = [where]
    if wanted.dataset is not None:
        quote = '"' if "'" in wanted.dataset else "'"
        asked = [[*where, f"tags.`{name}` = {quote}{wanted.dataset}{quote}"] for name in tags.names(tags.DATASET)]
    newest = ["attributes.start_time DESC"]
    # By id: a search that was begun by an earlier version and finished by this one has both names.
    found = {
        run.info.run_id: run
        for each in asked
        for run in client.search_runs(within, " and ".join(each), max_results=wanted.limit, order_by=newest)
    }
    return sorted(found.values(), key=lambda run: -run.info.start_time)[: wanted.limit]


def listed_search(
    client: MlflowClient,
    run: Run,
    experiment: str,
    winners: Mapping[str, Run],
    models: Mapping[str, tuple[ModelVersion, ...]],
    trials: Sequence[Run] | None = None,
) -> ListedSearch:
    """Return what is known of a search.

    Parameters
    ----------
    winners, models
        Runs of winners by their ids, and what trials were registered as by the ids of their runs.
    trials : sequence of mlflow.entities.Run, optional
        Its trials' runs; they are read if the search's own run does not say what became of them.
    """
    found, metrics = run.data.tags, run.data.metrics
    counts = _recorded_counts(run)
    if counts is None:
        trials = list(trial_runs(client, run)) if trials is None else trials
        counts = _counted(trials)
    metric = next((name.removeprefix(_BEST) for name in metrics if _is_best(name)), None)
    best = None if metric is None else metrics[f"{_BEST}{metric}"]
    if metric is None and trials:
        metric, best = _best_so_far(trials)
    winner = winners.get(found.get(tags.WINNER_RUN, ""))
    return ListedSearch(
        run_id=run.info.run_id,
        experiment=experiment,
        experiment_id=run.info.experiment_id,
        space=str(run.info.run_name).removeprefix(NAME_BEGINS),
        dataset=tags.read(found, tags.DATASET) or "",
        dataset_digest=found.get(tags.DATASET_DIGEST, ""),
        status=run.info.status,
        started=moment(run.info.start_time),
        ended=moment(run.info.end_time) if run.info.end_time else None,
        trials=counts,
        metric=metric,
        best=best,
        best_deviation=metrics.get(f"{_BEST}{metric}_sd"),
        winner=None if winner is None else winner.info.run_id,
        winner_name=None if winner is None else winner.info.run_name,
        test={} if winner is None else test_metrics(winner),
        models=() if winner is None else models.get(winner.info.run_id, ()),
        failure=found.get(tags.FAILURE),
    )


def trial_runs(client: MlflowClient, search: Run) -> Iterator[Run]:
    """Yield the runs of a search's own trials; not of those that another search had trained before."""
    below = every_run(client, [search.info.experiment_id], f"tags.`{tags.PARENT}` = '{search.info.run_id}'")
    return (run for run in below if tags.TRIAL_KEY in run.data.tags)


def registered_versions(client: MlflowClient) -> dict[str, tuple[ModelVersion, ...]]:
    """Return all registered versions by the run that made them, newest first."""
    aliases: dict[tuple[str, str], list[str]] = {}
    token = None
    while True:
        page = client.search_registered_models(max_results=_PAGE, page_token=token)
        for model in page:
            for alias, version in model.aliases.items():
                aliases.setdefault((model.name, str(version)), []).append(alias)
        token = page.token
        if not token:
            break
    found: dict[str, list[ModelVersion]] = {}
    while True:
        versions = client.search_model_versions(max_results=_PAGE, page_token=token)
        for each in versions:
            named = tuple(sorted(aliases.get((each.name, str(each.version)), ())))
            version = ModelVersion(name=each.name, version=int(each.version), aliases=named)
            found.setdefault(str(each.run_id), []).append(version)
        token = versions.token
        if not token:
            return {
                run_id: tuple(sorted(made, key=lambda one: one.version, reverse=True)) for run_id, made in found.items()
            }


def goal_of(params: Mapping[str, str]) -> Objective | None:
    """Return what ranks the trials of which one has these params; None if it has none yet."""
    ends = params.get("output_activation"), params.get("loss")
    tasks = (task for task, head in HEADS.items() if (head.output_activation, head.loss) == ends)
    return next(map(objective, tasks), None)


def test_metrics(run: Run) -> dict[str, float]:
    """Return what a run has of the test rows."""
    return {name: value for name, value in sorted(run.data.metrics.items()) if name.startswith(_TEST)}


def moment(milliseconds: int) -> datetime:
    """Return a time as MLflow has it."""
    return datetime.fromtimestamp(milliseconds / 1000, tz=UTC)


def _is_best(name: str) -> bool:
    return name.startswith(_BEST) and not name.endswith("_sd")


def _recorded_counts(run: Run) -> TrialCounts | None:
    """Return what the search has counted itself; None where it did not finish, or an older version recorded it."""
    recorded = {name: run.data.metrics.get(f"trials/{name}") for name in COUNTS}
    if run.info.status != "FINISHED" or None in recorded.values():
        return None
    return TrialCounts.model_validate(recorded)


def _counted(trials: Sequence[Run]) -> TrialCounts:
    finished = [run for run in trials if run.info.status == "FINISHED"]
    return TrialCounts(
        finished=len(finished),
        pruned=sum(tags.PRUNED in run.data.tags for run in finished),
        diverged=sum(tags.read(run.data.tags, tags.DIVERGED) is not None for run in finished),
        failed=sum(run.info.status in ("FAILED", "KILLED") for run in trials),
        running=sum(run.info.status == "RUNNING" for run in trials),
    )


def _best_so_far(trials: Sequence[Run]) -> tuple[str | None, float | None]:
    """Return the metric that ranks and what the best trial that finished reached, which is no winner yet."""
    finished = [run for run in trials if run.info.status == "FINISHED"]
    goal = next((goal for run in trials if (goal := goal_of(run.data.params)) is not None), None)
    if goal is None:
        return None, None
    records = [trial_record(run) for run in finished]
    ranked = rank([record for record in records if goal.names <= record.metrics.keys()], goal)
    return goal.metric, ranked[0].metrics[goal.metric] if ranked else None


def _runs(client: MlflowClient, run_ids: Sequence[str]) -> dict[str, Run]:
    """Return the runs of some ids, of which some may have been deleted."""
    found = {}
    for start in range(0, len(run_ids), _MOST_IDS):
        listed = ", ".join(f"'{run_id}'" for run_id in run_ids[start : start + _MOST_IDS])
        for run in runs_anywhere(client, f"attributes.run_id IN ({listed})"):
            found[run.info.run_id] = run
    return found


def _no_experiment(client: MlflowClient, name: str, known: Sequence[str]) -> str:
    close = get_close_matches(name, known, n=1)
    meant = f"did you mean {close[0]}?" if close else f"there are {', '.join(sorted(known)[:8]) or 'none'}"
    return f"{client.tracking_uri} has no experiment {name!r}; {meant}"
