"""The `select` flow: rank the configurations of a search by validation, measure the winner once on test."""

from typing import Any

import numpy as np
from mlflow.entities import Metric, RunTag
from prefect import flow
from prefect.artifacts import create_table_artifact

from backprop import Network, select_backend
from backprop.training import evaluate as evaluate_stack
from flows.compute.stack_training import samples_of
from flows.data.store import Dataset, DatasetReference, open_dataset
from flows.errors import RunFailedError
from flows.evaluation.networks import read_network
from flows.measures import measure
from flows.parameters import Space
from flows.planning import plan_search
from flows.prediction import outputs_of
from flows.ranking import Candidate, Objective, Selection, objective, rank
from flows.search import SearchEnd
from flows.tracking import tags
from flows.tracking.asked_trials import asked_trials
from flows.tracking.search_runs import SearchRun, TrialRecord, finished_on, log_counts
from flows.trials import HEADS, WarmStart


@flow(name="select", flow_run_name="select {dataset.name}", persist_result=False)
def select(
    dataset: DatasetReference,
    space: Space,
    end: SearchEnd,
    run: SearchRun,
    folds: tuple[DatasetReference, ...] = (),
    warm_start: WarmStart | None = None,
) -> Selection:
    """Rank the configurations of a search and measure the winner on the test rows, which nothing has seen before.

    Raises
    ------
    RunFailedError
        Every configuration diverged or failed, or every one that was not pruned, or the refit of the best.
    """
    opened = open_dataset(dataset)
    goal = objective(opened.task)
    found = finished_on(run.tracking, (dataset, *folds), search=run)
    # Not from the search's outcome: thousands of keys are more than Prefect takes as parameters of a run.
    asked = asked_trials(run) if space.optuna is not None else ()
    plan = plan_search(space, [open_dataset(fold) for fold in folds] or [opened], asked, warm_start)
    keys = [trial.key for trial in plan.trials] + ([] if end.refit is None else [end.refit])
    log_counts(run, [found[key] for key in keys if key in found], failed=len(end.failed))
    candidates = plan.candidates(found)
    if not candidates:
        raise RunFailedError(f"every configuration has a trial that failed: {next(iter(end.failed.values()))}")
    ranked = rank(candidates, goal)
    if not ranked:
        raise RunFailedError(_all_diverged(candidates))
    if end.refit in end.failed:
        raise RunFailedError(f"the refit of {ranked[0].name} failed: {end.failed[end.refit]}")
    winner = found[end.refit] if end.refit is not None else rank(ranked[0].members, goal)[0]
    if winner.diverged_at is not None:
        raise RunFailedError(
            f"{winner.name} diverged, although it did in no fold: the loss stopped being finite; use smaller values of "
            "learning_rate"
        )
    if ranked[0].pruned_at is not None:
        raise RunFailedError(
            f"all trials that were not pruned diverged, and {len(ranked)} that were pruned cannot win: "
            "use smaller values of learning_rate, or a stop rule whose first rung is later"
        )
    test = measure_on_test(run, winner, opened)
    _log_best(run, ranked[0], goal, winner)
    if space.stop is not None:
        _log_epochs(run, candidates)
    _publish(ranked, goal, dataset.name, with_epochs=space.stop is not None)
    return Selection(
        metric=goal.metric,
        ranked=tuple(ranked),
        diverged=tuple(candidate for candidate in candidates if candidate.diverged_at is not None),
        winner=winner,
        test=test,
    )


def _log_epochs(run: SearchRun, candidates: list[Candidate]) -> None:
    """Write on the search's run what its stop rule spared."""
    spent = {"trained": sum(c.epochs_trained for c in candidates), "full": sum(c.most_epochs for c in candidates)}
    metrics = [Metric(f"epochs/{part}", float(epochs), 0, 0) for part, epochs in spent.items()]
    run.tracking.client().log_batch(run.run_id, metrics=metrics)


def _all_diverged(candidates: list[Candidate]) -> str:
    who = "trials diverged" if len(candidates[0].members) == 1 else "configurations diverged in a trial"
    return f"all {len(candidates)} {who}: the loss stopped being finite; use smaller values of learning_rate"


def _log_best(run: SearchRun, best: Candidate, goal: Objective, winner: TrialRecord) -> None:
    """Write on the search's run what its best configuration reached, and which trial stands for it."""
    reached = {f"best/{goal.metric}": best.metrics[goal.metric]}
    if goal.metric in best.deviations:
        reached[f"best/{goal.metric}_sd"] = best.deviations[goal.metric]
    metrics = [Metric(name, value, 0, 0) for name, value in reached.items()]
    run.tracking.client().log_batch(run.run_id, metrics=metrics, tags=[RunTag(tags.WINNER_RUN, winner.run_id)])


def measure_on_test(run: SearchRun, winner: TrialRecord, dataset: Dataset) -> dict[str, float]:
    """Return the winner's test metrics, measured now or, if it won before, read back."""
    measured = {name: value for name, value in winner.metrics.items() if name.startswith("test/")}
    if measured:
        return measured
    client = run.tracking.client()
    architecture, parameters = read_network(run, winner)
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


def _publish(ranked: list[Candidate], goal: Objective, name: str, *, with_epochs: bool) -> None:
    """Put the leaderboard on the Prefect run page."""
    count = len(ranked[0].members)
    rows = [
        {"rank": place, **_row(candidate, goal, with_epochs)} for place, candidate in enumerate(ranked[:100], start=1)
    ]
    several = f"Configurations, each the mean and the sample deviation (n - 1) of {count} trials,"
    create_table_artifact(
        table=rows,
        key="leaderboard",
        description=f"{'Trials' if count == 1 else several} on **{name}** by {goal.metric}; the first is the winner.",
    )


def _row(candidate: Candidate, goal: Objective, with_epochs: bool) -> dict[str, Any]:
    """Return a row of the leaderboard: of one trial its run, of several how they vary and the tag they share."""
    score = candidate.metrics[goal.metric]
    if len(candidate.members) == 1:
        trained = {"trained": candidate.trained} if with_epochs else {}
        return {"trial": candidate.name, goal.metric: score, **trained, "run": candidate.members[0].run_id}
    deviation = candidate.deviations[goal.metric]
    named = {"configuration": candidate.name, goal.metric: score, f"{goal.metric} deviation": deviation}
    return {**named, f"tag {tags.CONFIGURATION}": candidate.key}
