"""Finding the run of a trial by what a person has at hand: a run id, a trial key, or a version of a model."""

import re
from collections.abc import Iterator, Sequence

from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.exceptions import MlflowException
from mlflow.store.artifact.utils.models import get_model_name_and_version

from flows.data.sources.files import first_line
from flows.errors import RunError
from flows.tracking import tags

SHORT = 12
"""Digits of an id or a key that are shown."""

_PREFIX = re.compile(r"[0-9a-f]{4,64}")
_MOST_SHOWN = 5
_PAGE = 1000


def find_trial_run(client: MlflowClient, wanted: str) -> Run:
    """Return the run of a trial, whatever became of it.

    Of several runs of one trial it is one that finished without being pruned, if there is one, and of those the newest.

    Parameters
    ----------
    wanted : str
        A run id, a trial key, the beginning of either (4 digits or more), or a model version (``models:/NAME/3``,
        ``models:/NAME@champion``).

    Raises
    ------
    RunError
        There is none, there are several, or it is not a trial.
    """
    return _trial(client, _of_version(client, wanted) if wanted.startswith("models:") else _of_digits(client, wanted))


def _of_version(client: MlflowClient, uri: str) -> Run:
    try:
        named: tuple[str, ...] = get_model_name_and_version(client, uri)  # type: ignore[no-untyped-call]
        if len(named) == 1:
            raise RunError(f"{uri} is a logged model; name a version, such as models:/digits@champion")
        made_by = client.get_model_version(*named).run_id
        if not made_by:
            raise RunError(f"{uri} does not say which run made it; name the run")
        return client.get_run(made_by)
    except MlflowException as error:
        raise RunError(f"{uri} names no version of a model ({first_line(error)})") from error


def _of_digits(client: MlflowClient, wanted: str) -> Run:
    digits = wanted.lower()
    if not _PREFIX.fullmatch(digits):
        raise RunError(
            f"{wanted!r} is no run: give the id of a trial's run, its trial key, the first 4 digits or more of either, "
            "or a model version such as models:/digits@champion"
        )
    by_id = list(_search(client, f"attributes.run_id LIKE '{digits}%'"))
    by_key = list(_search(client, f"tags.`{tags.TRIAL_KEY}` LIKE '{digits}%'"))
    trials: dict[str, list[Run]] = {}
    for run in by_key:
        trials.setdefault(run.data.tags[tags.TRIAL_KEY], []).append(run)
    # The digits of a key may be those of a run as well, of the same trial or of another.
    others = [run for run in by_id if run.data.tags.get(tags.TRIAL_KEY) not in trials]
    found = [*(max(runs, key=_usefulness) for runs in trials.values()), *others]
    if not found:
        raise RunError(f"no run and no trial key begins with {wanted!r} in {client.tracking_uri}")
    if len(found) > 1:
        raise RunError(f"{wanted!r} is not one run but {len(found)}: {_listed(found)}; give more digits")
    return found[0]


def _usefulness(run: Run) -> tuple[bool, bool, int]:
    return run.info.status == "FINISHED", tags.PRUNED not in run.data.tags, run.info.start_time


def _listed(runs: Sequence[Run]) -> str:
    shown = ", ".join(f"{run.info.run_id[:SHORT]} ({run.info.run_name})" for run in runs[:_MOST_SHOWN])
    return shown + (f" and {len(runs) - _MOST_SHOWN} more" if len(runs) > _MOST_SHOWN else "")


def _trial(client: MlflowClient, run: Run) -> Run:
    if tags.TRIAL_KEY in run.data.tags:
        return run
    who = f"run {run.info.run_id} ({run.info.run_name})"
    if tags.SEARCH_KEY not in run.data.tags:
        raise RunError(f"{who} is not a trial: `backprop train` did not make it")
    winner = run.data.tags.get(tags.WINNER_RUN)
    such_as = f", such as its winner {winner}" if winner is not None and _is_there(client, winner) else ""
    raise RunError(f"{who} is a search, not a trial: give one of the runs below it{such_as}")


def _is_there(client: MlflowClient, run_id: str) -> bool:
    return any(_search(client, f"attributes.run_id = '{run_id}'"))


def _search(client: MlflowClient, where: str) -> Iterator[Run]:
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    token = None
    while True:
        page = client.search_runs(experiments, where, max_results=_PAGE, page_token=token)
        yield from page
        token = page.token
        if not token:
            return
