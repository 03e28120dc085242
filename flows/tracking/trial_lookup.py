"""Finding a run by what a person has at hand: its id, a trial key, its name, or a version of a model."""

import re
from collections.abc import Iterator, Sequence

from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.exceptions import MlflowException
from mlflow.store.artifact.utils.models import get_model_name_and_version

from flows.data.sources.files import first_line
from flows.errors import RunError
from flows.tracking import tags
from flows.tracking.outages import passes
from flows.tracking.search_runs import every_run

SHORT = 12
"""Digits of an id or a key that are shown."""

_PREFIX = re.compile(r"[0-9a-f]{4,64}")
_VERSION = re.compile(r"[^@]+@[^@\s]+|.+/\d+")
_MODEL_URI = re.compile(r"models:/[^/@]+(/[^/]+|@[^/@]+)?")
_MOST_SHOWN = 5


def find_trial_run(client: MlflowClient, wanted: str) -> Run:
    """Return the run of a trial, whatever became of it.

    Of several runs of one trial it is one that finished without being pruned, if there is one, and of those the newest.

    Parameters
    ----------
    wanted : str
        What `find_run` takes.

    Raises
    ------
    RunError
        There is none, there are several, or it is not a trial.
    """
    run = find_run(client, wanted)
    if tags.TRIAL_KEY in run.data.tags:
        return run
    who = f"run {run.info.run_id} ({run.info.run_name})"
    if tags.SEARCH_KEY not in run.data.tags:
        raise RunError(f"{who} is not a trial: `backprop train` did not make it")
    winner = winner_of(client, run)
    such_as = f", such as its winner {winner.info.run_id}" if winner is not None else ""
    raise RunError(f"{who} is a search, not a trial: give one of the runs below it{such_as}")


def find_run(client: MlflowClient, wanted: str) -> Run:
    """Return the run that is meant, of a trial, a search or something else.

    Parameters
    ----------
    wanted : str
        A run id, a trial key, the beginning of either (4 digits or more), the name of a run, or a model version
        (``models:/NAME/3``, ``models:/NAME@champion``, either without ``models:/``): the trial that was registered.

    Raises
    ------
    RunError
        There is none, or there are several.
    """
    if wanted.startswith("models:"):
        return _of_version(client, wanted)
    if _PREFIX.fullmatch(wanted.lower()) and (found := _of_digits(client, wanted)) is not None:
        return found
    if _VERSION.fullmatch(wanted):
        return _of_version(client, f"models:/{wanted}")
    return _of_name(client, wanted)


def winner_of(client: MlflowClient, search: Run) -> Run | None:
    """Return the run of the trial that won a search; None if none has, or somebody deleted it."""
    run_id = search.data.tags.get(tags.WINNER_RUN)
    return None if run_id is None else next(runs_anywhere(client, f"attributes.run_id = '{run_id}'"), None)


def _of_version(client: MlflowClient, uri: str) -> Run:
    if not _MODEL_URI.fullmatch(uri):
        raise RunError(f"{uri} names no version of a model; write NAME@ALIAS, such as digits@champion, or NAME/VERSION")
    try:
        named: tuple[str, ...] = get_model_name_and_version(client, uri)  # type: ignore[no-untyped-call]
        if len(named) == 1:
            raise RunError(f"{uri} is a logged model; name a version, such as models:/digits@champion")
        made_by = client.get_model_version(*named).run_id
        if not made_by:
            raise RunError(f"{uri} does not say which run made it; name the run")
        return client.get_run(made_by)
    except MlflowException as error:
        if passes(error):
            # Not that there is no such version: nobody answered.
            raise
        raise RunError(f"{uri} names no version of a model ({first_line(error)})") from error


def _of_digits(client: MlflowClient, wanted: str) -> Run | None:
    digits = wanted.lower()
    by_id = list(runs_anywhere(client, f"attributes.run_id LIKE '{digits}%'"))
    by_key = list(runs_anywhere(client, f"tags.`{tags.TRIAL_KEY}` LIKE '{digits}%'"))
    trials: dict[str, list[Run]] = {}
    for run in by_key:
        trials.setdefault(run.data.tags[tags.TRIAL_KEY], []).append(run)
    # The digits of a key may be those of a run as well, of the same trial or of another.
    others = [run for run in by_id if run.data.tags.get(tags.TRIAL_KEY) not in trials]
    found = [*(max(runs, key=_usefulness) for runs in trials.values()), *others]
    if len(found) > 1:
        raise RunError(f"{wanted!r} is not one run but {len(found)}: {_listed(found)}; give more digits")
    return found[0] if found else None


def _of_name(client: MlflowClient, wanted: str) -> Run:
    quote = '"' if "'" in wanted else "'"
    can_be_asked = wanted and quote not in wanted and "\\" not in wanted
    found = list(runs_anywhere(client, f"attributes.run_name = {quote}{wanted}{quote}")) if can_be_asked else []
    if len(found) > 1:
        raise RunError(f"{wanted!r} is not one run but {len(found)}: {_listed(found)}; give the first digits of its id")
    if found:
        return found[0]
    if _PREFIX.fullmatch(wanted.lower()):
        raise RunError(f"no run and no trial key begins with {wanted!r} in {client.tracking_uri}")
    raise RunError(
        f"{wanted!r} is no run: give the id or the name of one, a trial key, the first 4 digits or more of an id or a "
        f"key, or a model version such as digits@champion; none is called so in {client.tracking_uri}"
    )


def _usefulness(run: Run) -> tuple[bool, bool, int]:
    return run.info.status == "FINISHED", tags.PRUNED not in run.data.tags, run.info.start_time


def _listed(runs: Sequence[Run]) -> str:
    shown = ", ".join(f"{run.info.run_id[:SHORT]} ({run.info.run_name})" for run in runs[:_MOST_SHOWN])
    return shown + (f" and {len(runs) - _MOST_SHOWN} more" if len(runs) > _MOST_SHOWN else "")


def runs_anywhere(client: MlflowClient, where: str) -> Iterator[Run]:
    """Yield the runs that a filter finds, in whichever experiment."""
    return every_run(client, [experiment.experiment_id for experiment in client.search_experiments()], where)
