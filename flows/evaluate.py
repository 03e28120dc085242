"""The `evaluate` flow: rank the trials of a search by validation, measure the winner once on test."""

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from mlflow.entities import Metric, RunTag
from prefect import flow
from prefect.artifacts import create_table_artifact
from pydantic import BaseModel, ConfigDict

from backprop import Network, Parameters, Samples, load_weights, select_backend
from backprop.training import evaluate as evaluate_stack
from flows.compute.stack_training import samples_of
from flows.data.store import Dataset, DatasetReference, open_dataset
from flows.errors import RunFailedError
from flows.measures import measure
from flows.ranking import Objective, objective, rank
from flows.search import SearchOutcome
from flows.tracking import tags
from flows.tracking.search_runs import SearchRun, TrialRecord, finished_trials
from flows.tracking.trial_runs import WEIGHTS_FILE
from flows.trials import HEADS

ROWS_AT_ONCE = 2**14
"""Test rows that go through a network together."""


class Evaluation(BaseModel):
    """The trials of a search from the best to the worst.

    Attributes
    ----------
    ranked : tuple of TrialRecord
        The first is the winner. Those that were pruned come last.
    diverged : tuple of TrialRecord
        Trials whose loss stopped being finite; they have no rank.
    test : dict of str to float
        What the winner reached on the test rows.
    """

    model_config = ConfigDict(frozen=True)

    metric: str
    ranked: tuple[TrialRecord, ...]
    diverged: tuple[TrialRecord, ...]
    test: dict[str, float]

    @property
    def winner(self) -> TrialRecord:
        """The best trial by validation."""
        return self.ranked[0]


@flow(name="evaluate", flow_run_name="evaluate {dataset.name}", persist_result=False)
def evaluate(dataset: DatasetReference, outcome: SearchOutcome, run: SearchRun) -> Evaluation:
    """Rank the trials of a search and measure the winner on the test rows, which nothing has seen before.

    Raises
    ------
    RunFailedError
        Every trial diverged, or every one that was not pruned.
    """
    opened = open_dataset(dataset)
    goal = objective(opened.task)
    found = finished_trials(run.tracking, dataset.digest, search=run)
    records = [found[key] for key in outcome.trial_keys]
    ranked = rank(records, goal)
    if not ranked:
        raise RunFailedError(
            f"all {len(records)} trials diverged: the loss stopped being finite; use smaller values of learning_rate"
        )
    if ranked[0].pruned_at is not None:
        raise RunFailedError(
            f"all trials that were not pruned diverged, and {len(ranked)} that were pruned cannot win: "
            "use smaller values of learning_rate, or a stop rule whose first rung is later"
        )
    test = measure_on_test(run, ranked[0], opened)
    client = run.tracking.client()
    best = [Metric(f"best/{goal.metric}", ranked[0].metrics[goal.metric], 0, 0)]
    if outcome.stop is not None:
        spent = {"trained": sum(r.epochs_trained for r in records), "full": sum(r.most_epochs for r in records)}
        best += [Metric(f"epochs/{part}", float(epochs), 0, 0) for part, epochs in spent.items()]
    client.log_batch(run.run_id, metrics=best, tags=[RunTag(tags.WINNER_RUN, ranked[0].run_id)])
    _publish(ranked, goal, dataset.name, with_epochs=outcome.stop is not None)
    return Evaluation(
        metric=goal.metric,
        ranked=tuple(ranked),
        diverged=tuple(record for record in records if record.diverged_at is not None),
        test=test,
    )


def measure_on_test(run: SearchRun, winner: TrialRecord, dataset: Dataset) -> dict[str, float]:
    """Return the winner's test metrics, measured now or, if it won before, read back."""
    measured = {name: value for name, value in winner.metrics.items() if name.startswith("test/")}
    if measured:
        return measured
    client = run.tracking.client()
    with tempfile.TemporaryDirectory() as directory:
        architecture, parameters = load_weights(Path(client.download_artifacts(winner.run_id, WEIGHTS_FILE, directory)))
    backend = select_backend("cpu")
    network = Network(architecture, backend)
    samples = samples_of(dataset.test, dataset)
    loss = evaluate_stack(network, parameters, samples, HEADS[dataset.task].measured_as, prefix="test")["test/loss"][0]
    outputs = outputs_of(network, parameters, samples)
    target = np.asarray(dataset.test.target)
    measured = {"test/loss": float(loss), **measure(dataset.preparation, target, outputs)}
    step = int(winner.params["epochs"])
    client.log_batch(
        winner.run_id,
        metrics=[Metric(name, value, 0, step) for name, value in measured.items()],
        tags=[RunTag(tags.WINNER, "true")],
    )
    return measured


def outputs_of(network: Network, parameters: Parameters, samples: Samples) -> np.ndarray:
    """Return what a network says of samples, (N, C), some rows at a time: there may be more than memory holds."""
    dtype = parameters.biases[0].dtype
    pieces = []
    for start in range(0, len(samples), ROWS_AT_ONCE):
        rows = slice(start, start + ROWS_AT_ONCE)
        x = network.backend.gather(samples.x, rows, dtype, shift=samples.shift, scale=samples.scale)
        pieces.append(network.predict(parameters, x)[0])
    return np.concatenate(pieces)


def _publish(ranked: list[TrialRecord], goal: Objective, name: str, *, with_epochs: bool) -> None:
    """Put the leaderboard on the Prefect run page."""
    rows: list[dict[str, Any]] = [
        {
            "rank": place,
            "trial": record.name,
            goal.metric: record.metrics[goal.metric],
            **({"trained": record.trained} if with_epochs else {}),
            "run": record.run_id,
        }
        for place, record in enumerate(ranked[:100], start=1)
    ]
    create_table_artifact(
        table=rows,
        key="leaderboard",
        description=f"Trials on **{name}** by {goal.metric}; the first is the winner.",
    )
