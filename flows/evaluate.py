"""The `evaluate` flow: rank the trials of a search by validation, measure the winner once on test."""

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from mlflow.entities import Metric, RunTag
from prefect import flow
from prefect.artifacts import create_table_artifact
from pydantic import BaseModel, ConfigDict
from sklearn import metrics

from backprop import Network, load_weights, select_backend
from backprop.training import evaluate as evaluate_stack
from flows.compute.stack_training import samples_of
from flows.data.store import Dataset, DatasetReference, open_dataset
from flows.errors import RunFailedError
from flows.ranking import Objective, objective, rank
from flows.search import SearchOutcome
from flows.tracking import tags
from flows.tracking.search_runs import SearchRun, TrialRecord, finished_trials
from flows.tracking.trial_runs import WEIGHTS_FILE


class Evaluation(BaseModel):
    """The trials of a search from the best to the worst.

    Attributes
    ----------
    ranked : tuple of TrialRecord
        The first is the winner.
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
        Every trial diverged.
    """
    opened = open_dataset(dataset)
    goal = objective(opened.task)
    found = finished_trials(run.tracking, dataset.digest)
    records = [found[key] for key in outcome.trial_keys]
    ranked = rank(records, goal)
    if not ranked:
        raise RunFailedError(
            f"all {len(records)} trials diverged: the loss stopped being finite; use smaller values of learning_rate"
        )
    test = measure_on_test(run, ranked[0], opened)
    client = run.tracking.client()
    best = [Metric(f"best/{goal.metric}", ranked[0].metrics[goal.metric], 0, 0)]
    client.log_batch(run.run_id, metrics=best, tags=[RunTag(tags.WINNER_RUN, ranked[0].run_id)])
    _publish(ranked, goal, dataset.name)
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
    parameters = parameters.to_device(backend)
    samples = samples_of(dataset.test, dataset)
    loss = evaluate_stack(network, parameters, samples, dataset.task, prefix="test")["test/loss"][0]
    outputs = backend.to_host(network.predict(parameters, samples.x))[0]
    measured = {"test/loss": float(loss), **test_metrics(dataset, outputs)}
    step = int(winner.params["epochs"])
    client.log_batch(
        winner.run_id,
        metrics=[Metric(name, value, 0, step) for name, value in measured.items()],
        tags=[RunTag(tags.WINNER, "true")],
    )
    return measured


def test_metrics(dataset: Dataset, outputs: np.ndarray) -> dict[str, float]:
    """Return scikit-learn's measures of (N, C) probabilities, or of (N, 1) standardised values, on the test rows."""
    target = np.asarray(dataset.test.target)
    preparation = dataset.preparation
    if preparation.classes is not None:
        predicted = outputs.argmax(axis=1)
        return {
            "test/accuracy": float(metrics.accuracy_score(target, predicted)),
            "test/f1_macro": float(metrics.f1_score(target, predicted, average="macro")),
        }
    # float64 before the unit is restored: float32 would round a target of large numbers.
    true, predicted = (preparation.restore_target(values.astype(np.float64)) for values in (target, outputs))
    return {
        "test/rmse": float(metrics.root_mean_squared_error(true, predicted)),
        "test/r2": float(metrics.r2_score(true, predicted)),
        "test/mae": float(metrics.mean_absolute_error(true, predicted)),
    }


def _publish(ranked: list[TrialRecord], goal: Objective, name: str) -> None:
    """Put the leaderboard on the Prefect run page."""
    rows: list[dict[str, Any]] = [
        {"rank": place, "trial": record.name, goal.metric: record.metrics[goal.metric], "run": record.run_id}
        for place, record in enumerate(ranked[:100], start=1)
    ]
    create_table_artifact(
        table=rows,
        key="leaderboard",
        description=f"Trials on **{name}** by {goal.metric}; the first is the winner.",
    )
