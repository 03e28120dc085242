"""A search with a stop rule: what its runs are, who finds them finished, and who may win."""

from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey
from prefect.client.schemas.sorting import ArtifactSort

from flows.compute.pruning import Pruning, SeenTrial
from flows.compute.stack_training import StackAssignment, StackOutcome, train_assignment
from flows.data.store import Dataset
from flows.errors import RunFailedError
from flows.parameters import Halving, Median, Space, StopRule
from flows.ranking import objective
from flows.search import SearchEnd
from flows.select import select
from flows.terminal.leaderboard import leaderboard
from flows.terminal.train import summary
from flows.tracking import tags
from flows.tracking.search_runs import SearchRun, finished_trials, search_key, search_run
from flows.tracking.store import Tracking
from flows.tracking.trial_delivery import TrialDelivery
from flows.train import TrainReport, train
from flows.trials import DTYPE, SHUFFLE_SEED, PlannedTrial, canonical_digest
from tests.flows.conftest import SPACE, planned

HALVING = Halving(rule="halving", factor=3, first=1)
PRUNED_SPACE = SPACE.model_copy(update={"stop": HALVING})
EPOCHS = 6
GOAL = objective("classification")


def assigned(
    dataset: Dataset, run: SearchRun, trials: list[PlannedTrial], rule: StopRule | None, name: str = "stack-0"
) -> StackAssignment:
    return StackAssignment(
        name=name,
        dataset=dataset.reference,
        trials=tuple(trials),
        varying=frozenset({"learning_rate", "seed"}),
        run=run,
        device="cpu",
        execution="first",
        pruning=Pruning(rule=rule, brackets={trial.key: 0 for trial in trials}) if rule is not None else None,
    )


def several(dataset: Dataset) -> list[PlannedTrial]:
    return [
        planned(dataset, learning_rate=rate, seed=seed, epochs=EPOCHS) for rate in (0.003, 0.03, 0.3) for seed in (0, 1)
    ]


def trained(
    dataset: Dataset, tracking: Tracking, trials: list[PlannedTrial], rule: StopRule | None
) -> tuple[SearchRun, StackOutcome, dict[str, Run]]:
    """Train a stack in a search of its own; return the runs by trial key."""
    space = SPACE.model_copy(update={"stop": rule})
    with search_run(tracking, dataset, "space", space) as run:
        outcome = train_assignment(assigned(dataset, run, trials, rule))
    return run, outcome, runs_of(tracking, run)


def runs_of(tracking: Tracking, run: SearchRun, status: str = "FINISHED") -> dict[str, Run]:
    where = f"tags.`{tags.PARENT}` = '{run.run_id}' and attributes.status = '{status}'"
    found = tracking.client().search_runs([tracking.experiment_id], where)
    return {child.data.tags[tags.TRIAL_KEY]: child for child in found}


def curve(client: MlflowClient, run: Run, metric: str) -> list[float]:
    points = client.get_metric_history(run.info.run_id, metric)
    assert [point.step for point in points] == list(range(1, len(points) + 1))
    return [point.value for point in points]


@pytest.mark.parametrize("rule", [HALVING, Median(rule="median", after=2)])
def test_until_it_is_pruned_a_trial_trains_to_the_same_bits(wine: Dataset, tracking: Tracking, rule: StopRule) -> None:
    trials = several(wine)
    _, _, whole = trained(wine, tracking, trials, None)

    _, outcome, pruned = trained(wine, tracking, trials, rule)

    client = tracking.client()
    ends = {key: int(run.data.tags[tags.PRUNED]) for key, run in pruned.items() if tags.PRUNED in run.data.tags}
    assert 0 < len(ends) < len(trials) == len(pruned)
    for key, run in pruned.items():
        for metric in ("train/loss", "val/loss", "val/accuracy"):
            assert curve(client, run, metric) == curve(client, whole[key], metric)[: ends.get(key, EPOCHS)]
        assert [file.path for file in client.list_artifacts(run.info.run_id)] == ["weights.safetensors"]
    assert len(outcome.seen) == len(trials)
    assert not any(tags.PRUNED in run.data.tags for run in whole.values())


def test_a_pruned_trial_is_finished_for_its_own_search_alone_and_a_full_one_for_all(
    wine: Dataset, tracking: Tracking
) -> None:
    trials = several(wine)
    own, _, runs = trained(wine, tracking, trials, HALVING)
    other, _, _ = trained(wine, tracking, [], Median(rule="median"))
    full = {key for key, run in runs.items() if tags.PRUNED not in run.data.tags}
    assert len(full) == 1

    def found(search: SearchRun | None) -> set[str]:
        return set(finished_trials(tracking, wine.reference.digest, search))

    assert found(own) == {trial.key for trial in trials}
    assert found(other) == found(None) == full

    trained(wine, tracking, trials, None)
    records = finished_trials(tracking, wine.reference.digest, own)
    assert all(record.pruned_at is None for record in records.values())


def test_a_stack_taken_over_is_compared_with_those_that_the_dead_worker_pruned(
    wine: Dataset, tracking: Tracking
) -> None:
    trials = several(wine)
    rule = Halving(rule="halving", factor=2, first=1)
    _, _, expected = trained(wine, tracking, trials, rule)
    ends = {key: run.data.tags.get(tags.PRUNED) for key, run in expected.items()}
    first = [trial for trial in trials if ends[trial.key] == "1"]
    left = [trial for trial in trials if ends[trial.key] != "1"]
    assert first
    assert len(left) > 2
    with search_run(tracking, wine, "space", SPACE.model_copy(update={"stop": HALVING})) as run:
        # The worker pruned what it did at the first rung, and died.
        earlier = tuple(SeenTrial(scores={1: (-2.0, 0.0)}) for _ in first)
        doomed = assigned(wine, run, first, rule)
        assert doomed.pruning is not None
        pruning = doomed.pruning.model_copy(update={"earlier": earlier})
        train_assignment(doomed.model_copy(update={"pruning": pruning}))
        delivery = TrialDelivery(run, "stack-0", wine, left, frozenset(), {})
        for place in range(len(left)):
            delivery.open(place)

        outcome = train_assignment(assigned(wine, run, trials, rule))

    runs = runs_of(tracking, run)
    assert {key: run.data.tags.get(tags.PRUNED) for key, run in runs.items()} == ends
    assert outcome.trials == len(left)
    assert len(outcome.seen) == len(trials)


def test_a_search_without_a_rule_has_the_key_that_it_always_had(wine: Dataset) -> None:
    always = canonical_digest([wine.reference.digest, {"grid": SPACE.asked()["grid"]}, SHUFFLE_SEED, DTYPE])
    rules: list[StopRule] = [HALVING, Halving(rule="halving", factor=4), Median(rule="median")]

    keys = [search_key(wine, SPACE.model_copy(update={"stop": rule})) for rule in rules]

    assert search_key(wine, SPACE) == always
    assert len({always, *keys}) == 4


@pytest.mark.usefixtures("prefect_server")
def test_a_pruned_trial_does_not_win_though_all_others_diverged(wine: Dataset, tracking: Tracking) -> None:
    run, _, runs = trained(wine, tracking, several(wine), HALVING)
    [full] = [run for run in runs.values() if tags.PRUNED not in run.data.tags]
    tracking.client().set_tag(full.info.run_id, tags.DIVERGED, "5")
    grid = {
        "hidden": [[8]],
        "learning_rate": [0.003, 0.03, 0.3],
        "batch_size": [16],
        "epochs": [EPOCHS],
        "seed": [0, 1],
    }
    space = Space.model_validate({"grid": grid, "stop": HALVING})

    with pytest.raises(RunFailedError, match="all trials that were not pruned diverged, and 5 that were pruned"):
        select(wine.reference, space, SearchEnd(), run)


SPACE_FILE = """
grid:
  hidden: [[16]]
  batch_size: [16, 32]
  learning_rate: [0.003, 0.03, 0.3]
  epochs: [9]
  seed: [0, 1, 2, 3]
stop: {rule: halving, factor: 3, first: 1}
"""


@pytest.fixture
def searched(cluster: str, tracking_store: str, tmp_path: Path) -> tuple[TrainReport, MlflowClient]:
    """What `train` makes of two stacks, one after the other on a single worker."""
    return run_train(cluster, tmp_path, SPACE_FILE), MlflowClient(tracking_uri=tracking_store)


def run_train(cluster: str, directory: Path, space: str) -> TrainReport:
    (directory / "space.yaml").write_text(space)
    compute: dict[str, Any] = {"scheduler": cluster}
    return train(data="wine", space="space.yaml", compute=compute)


@pytest.mark.slow
def test_a_search_prunes_within_and_across_its_stacks_and_says_what_it_saved(
    searched: tuple[TrainReport, MlflowClient], cluster: str, tmp_path: Path
) -> None:
    report, client = searched
    experiment = report.run.tracking.experiment_id
    children = client.search_runs([experiment], f"tags.`{tags.PARENT}` = '{report.run.run_id}'")
    ends = {child.info.run_id: int(child.data.tags.get(tags.PRUNED, 9)) for child in children}
    assert len(children) == 24
    assert {child.info.status for child in children} == {"FINISHED"}
    for child in children:
        for metric in ("train/loss", "val/loss", "val/accuracy"):
            assert len(curve(client, child, metric)) == ends[child.info.run_id]

    # The smaller minibatches are the longer stack and go first: 12 trials, 4, 1. The others are compared with them too.
    first = [child for child in children if child.data.tags[tags.STACK].endswith("-0")]
    second = [child for child in children if child.data.tags[tags.STACK].endswith("-1")]
    assert sorted(ends[child.info.run_id] for child in first) == [1] * 8 + [3] * 3 + [9]
    at_first_rung = {
        child.info.run_id: (-curve(client, child, "val/accuracy")[0], curve(client, child, "val/loss")[0])
        for child in children
    }
    best = sorted(at_first_rung, key=lambda run_id: at_first_rung[run_id])[: 24 // 3]
    assert {run.info.run_id for run in second if ends[run.info.run_id] > 1} == set(best) & {
        run.info.run_id for run in second
    }

    spent = sum(ends.values())
    parent = client.get_run(report.run.run_id)
    pruned = sum(end < 9 for end in ends.values())
    assert (parent.data.metrics["epochs/trained"], parent.data.metrics["epochs/full"]) == (spent, 24 * 9)
    counted = {name: parent.data.metrics[f"trials/{name}"] for name in ("finished", "pruned", "diverged", "failed")}
    assert counted == {"finished": 24, "pruned": pruned, "diverged": len(report.selection.diverged), "failed": 0}
    assert f"{pruned} pruned, {spent} of 216 epochs trained." in summary(report, 1.0)
    assert report.selection.winner.pruned_at is None
    ranked = [record.pruned_at is not None for record in report.selection.ranked]
    assert ranked == sorted(ranked)
    table = leaderboard(report.selection, "wine", ["val/accuracy"], with_epochs=True)
    [trained_column] = [list(column.cells) for column in table.columns if column.header == "trained"]
    assert trained_column[0] == "9"
    assert "3, pruned" in trained_column
    with get_client(sync_client=True) as prefect:
        wanted = ArtifactFilter(key=ArtifactFilterKey(any_=["leaderboard"]))
        [shown] = prefect.read_artifacts(artifact_filter=wanted, sort=ArtifactSort.CREATED_DESC, limit=1)
    assert '"trained": "1, pruned"' in shown.data

    before = {run.info.run_id: run.info.end_time for run in client.search_runs([experiment])}
    again = run_train(cluster, tmp_path, SPACE_FILE)
    assert again.outcome.trained == 0
    assert {run.info.run_id: run.info.end_time for run in client.search_runs([experiment])} == before
    assert [one.key for one in again.selection.ranked] == [one.key for one in report.selection.ranked]
    assert again.selection.test == report.selection.test

    full = run_train(cluster, tmp_path, SPACE_FILE.partition("stop:")[0])
    assert full.run.run_id != report.run.run_id
    assert full.outcome.trained == pruned
    assert "epochs/trained" not in client.get_run(full.run.run_id).data.metrics
    assert not any("epochs trained" in line for line in summary(full, 1.0))
    assert all(record.pruned_at is None for record in full.selection.ranked)


def test_a_space_with_a_rule_reads_as_the_documents_say() -> None:
    space = Space.model_validate(
        {"grid": {"hidden": [[8]], "learning_rate": [0.1]}, "stop": {"rule": "halving", "factor": 3, "first": 1}}
    )

    assert space.stop == HALVING
