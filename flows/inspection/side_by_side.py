"""Trials beside each other: what differs between them, how they went, and whether the difference is more than luck."""

import json
import string
from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

from mlflow import MlflowClient
from mlflow.entities import Run
from pydantic import BaseModel, ConfigDict

from flows.errors import RunError
from flows.inspection.one_trial import Curve, curves_of, outcome
from flows.inspection.significance import Rows, Significance, significance
from flows.tracking import tags
from flows.tracking.trial_lookup import find_run, winner_of

MOST = 8
"""Trials that can be told apart in one plot."""

Differing = dict[str, tuple[str | None, ...]]
"""What is not the same in all trials, by name, with the value of each; None where it has none."""


class ComparedTrial(BaseModel):
    """One of the trials.

    Attributes
    ----------
    letter : str
        What it is called in tables and plots.
    asked_as : str
        How it was named.
    search : str or None
        The run of the search that was named, whose winner it is; None where the trial was.
    outcome : str
        How it ended.
    """

    model_config = ConfigDict(frozen=True)

    letter: str
    asked_as: str
    run_id: str
    name: str
    trial_key: str
    search: str | None
    status: str
    outcome: str
    dataset: str
    dataset_digest: str


class SideBySide(BaseModel):
    """What a comparison found.

    Attributes
    ----------
    params, data, environment : dict
        What differs, with the value of each trial.
    is_environment_known : bool
        Whether any of them says where it was trained.
    common : dict of str to str
        Params that are the same in all of them.
    metrics : dict of str to tuple
        Of the last epoch, and what was measured on the test rows; None where a trial has none.
    curves : dict of str to tuple
        The metrics of every epoch, of each trial.
    """

    model_config = ConfigDict(frozen=True)

    trials: tuple[ComparedTrial, ...]
    params: Differing
    common: dict[str, str]
    data: Differing
    environment: Differing
    is_environment_known: bool
    metrics: dict[str, tuple[float | None, ...]]
    curves: dict[str, tuple[Curve, ...]]
    significance: Significance


class Asked(NamedTuple):
    """A trial that is meant, and the search that it won if that was named instead."""

    asked_as: str
    trial: Run
    search: Run | None


def compare(
    client: MlflowClient,
    wanted: Sequence[str],
    datasets: str,
    rows: Rows | Literal["auto"] = "auto",
    confidence: float = 0.95,
) -> SideBySide:
    """Compare trials, and of searches their winners.

    Parameters
    ----------
    wanted : sequence of str
        Two or more of what `find_run` takes.
    datasets : str
        Where the prepared datasets are: the rows on which the trials are measured once more.

    Raises
    ------
    RunError
        One is not there, is neither a trial nor a search, or is a search without a winner; or there are too many.
    """
    if not 2 <= len(wanted) <= MOST:
        raise RunError(f"{len(wanted)} runs cannot be compared; give 2 to {MOST}")
    asked = [trial_meant(client, each) for each in wanted]
    runs = [each.trial for each in asked]
    letters = string.ascii_uppercase[: len(runs)]
    curves = [curves_of(client, run) for run in runs]
    names = sorted({name for each in curves for name in each})
    params = [run.data.params for run in runs]
    return SideBySide(
        trials=tuple(map(_compared, letters, asked)),
        params=_differing(params),
        common={
            name: value for name, value in sorted(params[0].items()) if all(one.get(name) == value for one in params)
        },
        data=_differing([_data(run) for run in runs]),
        environment=_differing([_environment(run) for run in runs]),
        is_environment_known=any(tags.ENVIRONMENT in run.data.tags for run in runs),
        metrics=_metrics(runs),
        curves={name: tuple(each.get(name, ()) for each in curves) for name in names},
        significance=significance(client, dict(zip(letters, runs, strict=True)), datasets, rows, confidence),
    )


def trial_meant(client: MlflowClient, wanted: str) -> Asked:
    """Return the trial that is named, or the winner of the search that is.

    Raises
    ------
    RunError
        It is neither, or the search has no winner.
    """
    run = find_run(client, wanted)
    if tags.TRIAL_KEY in run.data.tags:
        return Asked(wanted, run, None)
    who = f"run {run.info.run_id} ({run.info.run_name})"
    if tags.SEARCH_KEY not in run.data.tags:
        raise RunError(f"{who} is neither a trial nor a search: `backprop train` did not make it")
    winner = winner_of(client, run)
    if winner is None:
        why = f" ({run.data.tags[tags.FAILURE]})" if tags.FAILURE in run.data.tags else ""
        raise RunError(
            f"{who} is a search without a winner, {run.info.status}{why}: let its `backprop train` run to its end, or "
            "give one of its trials"
        )
    return Asked(wanted, winner, run)


def _compared(letter: str, asked: Asked) -> ComparedTrial:
    found, info = asked.trial.data.tags, asked.trial.info
    return ComparedTrial(
        letter=letter,
        asked_as=asked.asked_as,
        run_id=info.run_id,
        name=info.run_name or info.run_id,
        trial_key=found[tags.TRIAL_KEY],
        search=None if asked.search is None else asked.search.info.run_id,
        status=info.status,
        outcome=outcome(asked.trial),
        dataset=tags.read(found, tags.DATASET) or "",
        dataset_digest=found.get(tags.DATASET_DIGEST, ""),
    )


def _data(run: Run) -> dict[str, str]:
    found = run.data.tags
    names = {"dataset": tags.DATASET, "digest": tags.DATASET_DIGEST, "began with": tags.WARM_START}
    # That a trial is of no fold is nothing to be said.
    fold = {"fold": found[tags.FOLD]} if found.get(tags.FOLD, "0") != "0" else {}
    said = {name: tags.read(found, tag) for name, tag in names.items()}
    return {name: value for name, value in said.items() if value is not None} | fold


def _environment(run: Run) -> dict[str, str]:
    """Return where a trial was trained; of one that was gone on with elsewhere, where it began."""
    text = run.data.tags.get(tags.ENVIRONMENT)
    return {} if text is None else {name: str(value) for name, value in json.loads(text).items()}


def _differing(facts: Sequence[Mapping[str, str]]) -> Differing:
    names = dict.fromkeys(name for each in facts for name in each)
    found = {name: tuple(each.get(name) for each in facts) for name in names}
    return {name: values for name, values in found.items() if len(set(values)) > 1}


def _metrics(runs: Sequence[Run]) -> dict[str, tuple[float | None, ...]]:
    """Return the metrics of all, those that no trial has left out; validation first, for it is what ranks."""
    names = {name for run in runs for name in run.data.metrics}
    order = ("val/", "test/", "train/")
    parts = {name: next((place for place, part in enumerate(order) if name.startswith(part)), 3) for name in names}
    return {
        name: tuple(run.data.metrics.get(name) for run in runs)
        for name in sorted(names, key=lambda name: (parts[name], name))
    }
