"""The MLflow run of a search, and what can be read back of its trials."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple

from mlflow import MlflowClient
from mlflow.entities import Metric, Run
from pydantic import BaseModel, ConfigDict

from flows.data.store import Dataset, DatasetReference
from flows.errors import SearchRunningError
from flows.parameters import Space
from flows.tracking import tags
from flows.tracking.inputs import dataset_inputs
from flows.tracking.sqlite import fold_log
from flows.tracking.store import Tracking
from flows.trials import DTYPE, SHUFFLE_SEED, WarmStart, canonical_digest

NAME_BEGINS = "search · "
"""How the name of a search's run begins; the space follows."""

COUNTS = ("finished", "pruned", "diverged", "failed")
"""What the trials of a search are counted by, as the metrics `trials/...` of its run."""

_PAGE = 1000


class SearchRun(BaseModel):
    """The parent run of a search; small and JSON-able."""

    model_config = ConfigDict(frozen=True)

    tracking: Tracking
    run_id: str


class TrialRun(NamedTuple):
    """A trial's run, and whether it finished."""

    run_id: str
    finished: bool


@dataclass(frozen=True)
class TrialRecord:
    """A finished trial as MLflow holds it.

    Attributes
    ----------
    metrics : dict of str to float
        Values of the last epoch.
    diverged_at : int or None
        The epoch in which its loss stopped being finite.
    pruned_at : int or None
        The epoch after which a stop rule ended it.
    stack : str
        The stack that it was trained in, at last.
    start : str
        The registered version whose weights it began with; empty for weights of its own.
    """

    key: str
    run_id: str
    name: str
    params: dict[str, str]
    metrics: dict[str, float]
    diverged_at: int | None
    pruned_at: int | None = None
    stack: str = ""
    start: str = ""

    @property
    def epochs_trained(self) -> int:
        """How many epochs it was trained for."""
        return self.pruned_at or self.diverged_at or self.most_epochs

    @property
    def most_epochs(self) -> int:
        """How many epochs it would have been trained for if nothing had ended it."""
        return int(self.params["epochs"])


@contextmanager
def search_run(
    tracking: Tracking, dataset: Dataset, space_name: str, space: Space, warm_start: WarmStart | None = None
) -> Iterator[SearchRun]:
    """Open the parent run of a search and see it, and every run under it, to an end.

    The same space on the same dataset, with the same warm start if any, is the same search: its run is found and used
    again. If the block raises, the run and what still runs below it end as FAILED; if it is interrupted, as KILLED.
    """
    client = tracking.client()
    key = search_key(dataset, space, warm_start)
    run_id = find_run(tracking, tags.SEARCH_KEY, key) or _create(client, tracking, dataset, space_name, key)
    run = SearchRun(tracking=tracking, run_id=run_id)
    try:
        yield run
    except SearchRunningError:
        # The run is that of the search that is running.
        raise
    except BaseException as error:
        status = "FAILED" if isinstance(error, Exception) else "KILLED"
        reason = f"{type(error).__name__}: {error}"
        end_running_trials(run, status, reason)
        client.set_tag(run_id, tags.FAILURE, reason[:500])
        client.set_terminated(run_id, status=status)
        fold_log(tracking.uri)
        raise
    _end_as_finished(client, run_id)
    fold_log(tracking.uri)


def _end_as_finished(client: MlflowClient, run_id: str) -> None:
    """End a search's run as FINISHED; one that was finished before keeps the time of its end.

    One that failed between its last trial and its end had nothing to train now, and was not set to RUNNING again.
    """
    found = client.get_run(run_id)
    if tags.FAILURE in found.data.tags:
        client.delete_tag(run_id, tags.FAILURE)
    if found.info.status != "FINISHED":
        client.set_terminated(run_id, status="FINISHED")


def search_key(dataset: Dataset, space: Space, warm_start: WarmStart | None = None) -> str:
    """Return what is the same for the same space and warm start on the same dataset, 64 hexadecimal digits."""
    begins = [] if warm_start is None else [warm_start.digest]
    return canonical_digest([dataset.reference.digest, space.asked(), SHUFFLE_SEED, DTYPE, *begins])


def log_command(run: SearchRun, command: str) -> None:
    """Write on a search's run the command that trains it, which also ingests its data again."""
    run.tracking.client().set_tag(run.run_id, tags.COMMAND, command)


def log_counts(run: SearchRun, finished: Sequence[TrialRecord], failed: int) -> None:
    """Write on a search's run what became of its trials, so that nobody has to read all of them to know.

    Those that were pruned or diverged are finished too; some may have been trained by other searches.
    """
    pruned = sum(trial.pruned_at is not None for trial in finished)
    diverged = sum(trial.diverged_at is not None for trial in finished)
    counted = zip(COUNTS, (len(finished), pruned, diverged, failed), strict=True)
    metrics = [Metric(f"trials/{name}", float(count), 0, 0) for name, count in counted]
    run.tracking.client().log_batch(run.run_id, metrics=metrics)


def reopen(run: SearchRun) -> None:
    """Set a search's run to RUNNING: it has trials to train, perhaps after it ended once."""
    client = run.tracking.client()
    found = client.get_run(run.run_id)
    if found.info.status != "RUNNING":
        client.update_run(run.run_id, status="RUNNING")
    if tags.FAILURE in found.data.tags:
        client.delete_tag(run.run_id, tags.FAILURE)


def end_running_trials(run: SearchRun, status: str, reason: str, stack: str | None = None) -> int:
    """End the trials of a search (or of one of its stacks) that are still RUNNING; return how many there were.

    For when their worker cannot do it any more, because it is dead.
    """
    client = run.tracking.client()
    where = f"tags.`{tags.PARENT}` = '{run.run_id}' and attributes.status = 'RUNNING'"
    if stack is not None:
        where += f" and tags.`{tags.STACK}` = '{stack}'"
    stranded = list(_search(client, run.tracking, where))
    for trial in stranded:
        client.set_tag(trial.info.run_id, tags.FAILURE, reason[:500])
        client.set_terminated(trial.info.run_id, status=status)
    return len(stranded)


def unfinished_runs(run: SearchRun) -> dict[str, str]:
    """Return the runs of a search's trials that did not finish, by trial key: training goes on in them."""
    where = f"tags.`{tags.PARENT}` = '{run.run_id}' and attributes.status != 'FINISHED'"
    found = _search(run.tracking.client(), run.tracking, where)
    return {trial.data.tags[tags.TRIAL_KEY]: str(trial.info.run_id) for trial in found}


def stack_runs(run: SearchRun, stack: str) -> dict[str, TrialRun]:
    """Return the runs of a stack's trials by trial key, whatever became of them.

    A scheduler of the user's own may hand a dead worker's task to another without telling us, so this is asked by
    whoever starts a stack.
    """
    where = f"tags.`{tags.PARENT}` = '{run.run_id}' and tags.`{tags.STACK}` = '{stack}'"
    return {
        trial.data.tags[tags.TRIAL_KEY]: TrialRun(str(trial.info.run_id), trial.info.status == "FINISHED")
        for trial in _search(run.tracking.client(), run.tracking, where)
    }


def finished_trials(tracking: Tracking, digest: str, search: SearchRun | None = None) -> dict[str, TrialRecord]:
    """Return the finished trials of an experiment on a dataset, by trial key.

    One that was pruned counts for its own search alone: it was worse than the others there, which says nothing of
    other spaces and rules. If it was trained to its end as well, that is the record returned.
    """
    where = f"tags.`{tags.DATASET_DIGEST}` = '{digest}' and attributes.status = 'FINISHED'"
    found: dict[str, TrialRecord] = {}
    for trial in _search(tracking.client(), tracking, where):
        if tags.TRIAL_KEY not in trial.data.tags:
            continue
        record = trial_record(trial)
        is_own = search is not None and trial.data.tags.get(tags.PARENT) == search.run_id
        if record.pruned_at is None or (is_own and record.key not in found):
            found[record.key] = record
    return found


def metric_curves(tracking: Tracking, run_id: str, names: Iterable[str]) -> dict[int, dict[str, float]]:
    """Return by epoch what a trial's run has of some metrics."""
    curves: dict[int, dict[str, float]] = defaultdict(dict)
    for name in names:
        for point in tracking.client().get_metric_history(run_id, name):
            curves[point.step][name] = point.value
    return dict(curves)


def finished_on(
    tracking: Tracking, datasets: Iterable[DatasetReference], search: SearchRun | None = None
) -> dict[str, TrialRecord]:
    """Return the finished trials of an experiment on any of some datasets, by trial key, as `finished_trials` does."""
    found: dict[str, TrialRecord] = {}
    for dataset in datasets:
        found |= finished_trials(tracking, dataset.digest, search)
    return found


def trial_record(trial: Run) -> TrialRecord:
    """Return a finished trial as its run has it."""
    diverged_at, pruned_at = (tags.read(trial.data.tags, name) for name in (tags.DIVERGED, tags.PRUNED))
    return TrialRecord(
        key=trial.data.tags[tags.TRIAL_KEY],
        run_id=trial.info.run_id,
        name=trial.info.run_name or trial.info.run_id,
        params=dict(trial.data.params),
        metrics=dict(trial.data.metrics),
        diverged_at=int(diverged_at) if diverged_at else None,
        pruned_at=int(pruned_at) if pruned_at else None,
        stack=trial.data.tags.get(tags.STACK, ""),
        start=trial.data.tags.get(tags.WARM_START, ""),
    )


def every_run(client: MlflowClient, experiment_ids: Sequence[str], where: str) -> Iterator[Run]:
    """Yield the runs of some experiments that a filter finds, a thousand a call."""
    token = None
    while True:
        page = client.search_runs(list(experiment_ids), where, max_results=_PAGE, page_token=token)
        yield from page
        token = page.token
        if not token:
            return


def _search(client: MlflowClient, tracking: Tracking, where: str) -> Iterator[Run]:
    return every_run(client, [tracking.experiment_id], where)


def find_run(tracking: Tracking, tag: str, value: str) -> str | None:
    """Return the run of an experiment that has a tag of this value, or None."""
    for run in _search(tracking.client(), tracking, f"tags.`{tag}` = '{value}'"):
        return str(run.info.run_id)
    return None


def _create(client: MlflowClient, tracking: Tracking, dataset: Dataset, space_name: str, key: str) -> str:
    run = client.create_run(
        tracking.experiment_id,
        run_name=f"{NAME_BEGINS}{space_name}",
        tags={
            tags.SEARCH_KEY: key,
            tags.DATASET: dataset.reference.name,
            tags.DATASET_DIGEST: dataset.reference.digest,
        },
    )
    client.log_inputs(run.info.run_id, dataset_inputs(dataset, ("training", "validation", "test")))
    return str(run.info.run_id)
