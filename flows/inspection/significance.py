"""Whether one trial is better than another beyond the luck of which rows it was measured on.

Both are measured once more, on the same rows, and a paired bootstrap over these rows gives the interval of the
difference (`flows.retraining.promotion.measure_gain`). Trials are compared on the validation rows: to measure any two
of a search on its test rows would use those up. Winners have been measured there already, once, and are compared there.
"""

from collections.abc import Iterator, Mapping
from typing import Literal

import numpy as np
from mlflow import MlflowClient
from mlflow.entities import Run
from pydantic import BaseModel, ConfigDict

from backprop import WeightsError
from flows.data.catalogue import SHORT
from flows.data.root import open_root
from flows.data.store import Dataset, DatasetReference, open_dataset
from flows.errors import InputError
from flows.evaluation.networks import answers_on, raw_target
from flows.evaluation.paired_metrics import Answers, metric_of
from flows.retraining.promotion import RESAMPLES, measure_gain
from flows.tracking import tags
from flows.tracking.recorded_trial import read_network

Rows = Literal["validation", "test"]

_METRICS = {
    "classification": ("accuracy", "log_loss"),
    "multilabel": ("accuracy", "log_loss"),
    "regression": ("rmse", "mae"),
}
"""What the trials of a task are compared by."""

Verdict = Literal["better", "worse", "unclear"]


class Difference(BaseModel):
    """By how much the second of two trials is better than the first, by one metric; positive is better.

    Attributes
    ----------
    first, second : str
        Letters of the trials.
    first_value, second_value : float
        The metric, in its unit.
    gain : float
        In the same unit.
    low, high : float
        The interval of the gain.
    verdict : str
        Of the second: ``unclear`` where the interval holds 0.
    """

    model_config = ConfigDict(frozen=True)

    metric: str
    first: str
    second: str
    first_value: float
    second_value: float
    gain: float
    low: float
    high: float
    verdict: Verdict


class Significance(BaseModel):
    """What the same rows say of trials, each against the first.

    Attributes
    ----------
    unknown : str or None
        Why nothing can be said.
    rows : str or None
        Which rows they were measured on.
    count : int
        How many these are.
    notes : tuple of str
        What the intervals do not tell.
    """

    model_config = ConfigDict(frozen=True)

    unknown: str | None
    rows: Rows | None = None
    count: int = 0
    confidence: float
    resamples: int = RESAMPLES
    differences: tuple[Difference, ...] = ()
    notes: tuple[str, ...] = ()


class _Unknown(Exception):  # noqa: N818 - an answer, not an error
    """Nothing can be said of the trials; the message says why."""


def significance(
    client: MlflowClient,
    trials: Mapping[str, Run],
    datasets: str,
    rows: Rows | Literal["auto"] = "auto",
    confidence: float = 0.95,
) -> Significance:
    """Measure trials on the same rows and return how sure the differences are, or why that cannot be said.

    Parameters
    ----------
    trials : mapping of str to mlflow.entities.Run
        By the letters that they are called by.
    rows : str
        ``"auto"`` is the test rows if all of them have been measured there, else the validation rows.
    confidence : float
        Of the intervals, two-sided.
    """
    try:
        return _measured(client, trials, datasets, rows, confidence)
    except (_Unknown, InputError) as reason:
        return Significance(unknown=str(reason), confidence=confidence)


def _measured(
    client: MlflowClient, trials: Mapping[str, Run], datasets: str, rows: Rows | Literal["auto"], confidence: float
) -> Significance:
    _require_comparable(trials)
    dataset = _dataset(next(iter(trials.values())), datasets)
    are_tested = all(any(name.startswith("test/") for name in run.data.metrics) for run in trials.values())
    if rows == "auto":
        rows = "test" if are_tested else "validation"
    count = dataset.rows[rows]
    if count < 2:
        raise _Unknown(f"their dataset has {count or 'no'} {rows} row{'s' * (count != 1)}")
    preparation = dataset.preparation
    part = dataset.test if rows == "test" else dataset.validation
    target = raw_target(preparation, np.asarray(part.target))
    answers = {letter: _answers(client, run, letter, dataset, rows) for letter, run in trials.items()}
    first, *others = trials
    differences = []
    for name in _METRICS[preparation.task]:
        metric = metric_of(name, preparation.task)
        statistics = {letter: metric.statistics(preparation, target, each) for letter, each in answers.items()}
        for other in others:
            gain = measure_gain(metric, statistics[other], statistics[first], confidence)
            low, high = gain.interval
            differences.append(
                Difference(
                    metric=metric.title,
                    first=first,
                    second=other,
                    first_value=gain.other,
                    second_value=gain.challenger,
                    gain=gain.value,
                    low=low,
                    high=high,
                    verdict="better" if low > 0 else "worse" if high < 0 else "unclear",
                )
            )
    return Significance(
        unknown=None,
        rows=rows,
        count=count,
        confidence=confidence,
        differences=tuple(differences),
        notes=tuple(_notes(trials, rows, are_tested)),
    )


def _require_comparable(trials: Mapping[str, Run]) -> None:
    """Raise _Unknown if the trials have no answers, or were not measured on the same rows."""
    for letter, run in trials.items():
        found = run.data.tags
        if run.info.status != "FINISHED":
            raise _Unknown(f"{letter} is {run.info.status}, not finished: it has no weights")
        if tags.read(found, tags.DIVERGED) is not None:
            raise _Unknown(f"{letter} diverged: what its weights say is no number")
        if tags.WEIGHTS_DIGEST not in found:
            raise _Unknown(f"an older version of backprop recorded {letter}, without the digest of its weights")
    digests = {letter: run.data.tags.get(tags.DATASET_DIGEST, "none")[:SHORT] for letter, run in trials.items()}
    if len(set(digests.values())) > 1:
        listed = ", ".join(f"{letter} on {digest}" for letter, digest in digests.items())
        raise _Unknown(
            f"they were trained on different datasets ({listed}), so they were measured on different rows; "
            "`backprop evaluate MODEL --data FILE` measures registered models on rows of yours"
        )


def _dataset(run: Run, datasets: str) -> Dataset:
    """Return the dataset of all of the trials."""
    name, digest = tags.read(run.data.tags, tags.DATASET) or "", run.data.tags[tags.DATASET_DIGEST]
    root = open_root(datasets)
    if not root.has(digest):
        raise _Unknown(f"their dataset {name} {digest[:SHORT]} is not in {datasets}; say where it is with --datasets")
    return open_dataset(DatasetReference(name=name, digest=digest, path=root.place(digest)))


def _answers(client: MlflowClient, run: Run, letter: str, dataset: Dataset, rows: Rows) -> Answers:
    try:
        network = read_network(client, run.info.run_id, run.data.tags[tags.WEIGHTS_DIGEST])
    except WeightsError as error:
        raise _Unknown(f"{letter} has no weights to measure: {error}") from error
    return answers_on(network, dataset, dataset.test if rows == "test" else dataset.validation)


def _notes(trials: Mapping[str, Run], rows: Rows, are_tested: bool) -> Iterator[str]:
    """Yield what a reader must know besides the intervals."""
    yield "an interval tells of other rows, not of other seeds: what other first weights would change is extra"
    winners = [letter for letter, run in trials.items() if tags.WINNER in run.data.tags]
    if rows == "validation" and winners:
        yield f"{' and '.join(winners)} won a search on these very rows, which flatter a winner"
    if rows == "test" and not are_tested:
        yield "the test rows are used up by every look: choose on the validation rows, and look here once"
    if len(trials) > 2:
        yield f"each of the {len(trials) - 1} comparisons has its own interval; that one of them errs is likelier"
    pruned = [letter for letter, run in trials.items() if tags.PRUNED in run.data.tags]
    if pruned:
        yield f"a stop rule ended {' and '.join(pruned)}: measured is how far that training came"
