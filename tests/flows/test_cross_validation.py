"""A search over folds and seeds, as a person starts it: what it trains, ranks, shows, registers, and finds again."""

import io
import json
import shutil
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pytest
from mlflow.entities import Run
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey
from prefect.client.schemas.sorting import ArtifactSort
from rich.console import Console
from sklearn.datasets import load_wine
from sklearn.model_selection import StratifiedKFold, cross_val_score
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from flows.errors import RunFailedError
from flows.parameters import TrainParameters
from flows.terminal.train import run_train
from flows.train import TrainReport
from flows.train import train as train_flow
from tests.flows.commands import Store, train

pytestmark = pytest.mark.slow

FOLDS, SEEDS, RATES = 3, 2, (0.1, 0.3, 1e30)
TRIALS = FOLDS * SEEDS * len(RATES)
# The largest rate diverges, in every trial.
SPACE = f"grid: {{hidden: [[8]], learning_rate: {list(RATES)}, epochs: [15]}}\nfolds: {FOLDS}\nseeds: {SEEDS}\n"


@dataclass(frozen=True)
class Searched:
    """A cross-validation on wine that was run twice: what each run printed, and which runs had ended when by then."""

    store: Store
    printed: tuple[str, str]
    ended: tuple[dict[str, int], dict[str, int]]


@pytest.fixture(scope="module")
def searched(cluster: str, prefect_server: str, tmp_path_factory: pytest.TempPathFactory) -> Searched:
    """Run the command as a person does, and once more what it runs, in this process."""
    directory = tmp_path_factory.mktemp("searched")
    (directory / "space.yaml").write_text(SPACE)
    store = Store(directory)
    console = Console(file=io.StringIO(), width=160)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PREFECT_API_URL", prefect_server)
        first = train(directory, "--data", "wine", "--space", "space.yaml", "--workers", "1")
        assert first.returncode == 0, first.stderr
        before = ended(store)
        patch.chdir(directory)
        run_train(TrainParameters(data="wine", space="space.yaml", compute={"scheduler": cluster}), console)
        mlflow.set_tracking_uri(None)
    return Searched(store, (first.stdout, console.file.getvalue()), (before, ended(store)))


def ended(store: Store) -> dict[str, int]:
    return {run.info.run_id: run.info.end_time for run in store.runs()}


@pytest.fixture
def store(searched: Searched) -> Store:
    return searched.store


def members(store: Store) -> dict[str, list[Run]]:
    """Return the trials of each configuration by the rate that it has."""
    found = defaultdict(list)
    for child in store.children():
        if "refit" not in child.data.tags:
            found[child.data.params["learning_rate"]].append(child)
    return found


def refit_of(store: Store) -> Run:
    [refit] = [child for child in store.children() if "refit" in child.data.tags]
    return refit


def test_every_configuration_is_trained_with_every_seed_on_every_fold(store: Store) -> None:
    found = members(store)
    assert set(found) == {str(rate) for rate in RATES}
    for trials in found.values():
        assert sorted((trial.data.params["fold"], trial.data.params["seed"]) for trial in trials) == [
            (str(fold), str(seed)) for fold in range(1, FOLDS + 1) for seed in range(SEEDS)
        ]
        assert len({trial.data.tags["configuration"] for trial in trials}) == 1
        assert all(trial.data.params["fold"] == trial.data.tags["fold"] for trial in trials)
    assert len({trials[0].data.tags["configuration"] for trials in found.values()}) == len(RATES)
    assert store.statuses() == {"FINISHED": TRIALS + 1}


def test_a_trial_names_its_fold_and_the_rows_it_saw(store: Store) -> None:
    digests = defaultdict(set)
    for trials in members(store).values():
        for trial in trials:
            fold = trial.data.params["fold"]
            assert trial.info.run_name.endswith(f" · fold {fold}")
            inputs = [found.dataset for found in trial.inputs.dataset_inputs]
            assert {found.name for found in inputs} == {f"wine, fold {fold} of {FOLDS}"}
            assert {found.digest[:32] for found in inputs} == {trial.data.tags["dataset.digest"][:32]}
            digests[fold].add(trial.data.tags["dataset.digest"])
    assert [len(found) for found in digests.values()] == [1] * FOLDS
    assert len(set.union(*digests.values())) == FOLDS


def test_mean_and_sample_deviation_are_those_of_the_trials_in_mlflow(store: Store, searched: Searched) -> None:
    printed = searched.printed[0]
    scores = {
        rate: np.array([trial.data.metrics["val/accuracy"] for trial in trials])
        for rate, trials in members(store).items()
        if rate != "1e+30"
    }
    for found in scores.values():
        assert len(found) == FOLDS * SEEDS
        assert f"{found.mean():.4f} ± {found.std(ddof=1):.4f}" in printed
    [parent] = store.parents()
    best = max(scores.values(), key=np.mean)
    assert parent.data.metrics["best/val/accuracy"] == pytest.approx(best.mean())
    assert parent.data.metrics["best/val/accuracy_sd"] == pytest.approx(best.std(ddof=1))
    assert "mean ± sample standard deviation (n - 1) of 6 trials: 2 seeds x 3 folds" in printed


@pytest.mark.filterwarnings("ignore:Stochastic Optimizer")
def test_the_mean_is_about_what_scikit_learn_finds(store: Store) -> None:
    rows = load_wine()
    network = MLPClassifier((8,), solver="sgd", momentum=0, alpha=0, learning_rate_init=0.1, batch_size=32, max_iter=15)
    pipeline = make_pipeline(StandardScaler(), network.set_params(random_state=0))
    expected = cross_val_score(
        pipeline, rows.data, rows.target, cv=StratifiedKFold(FOLDS, shuffle=True, random_state=0)
    )
    found = [trial.data.metrics["val/accuracy"] for trial in members(store)["0.1"]]
    assert np.mean(found) == pytest.approx(expected.mean(), abs=0.06)
    assert np.mean(found) > 0.9


def test_a_configuration_that_diverged_has_no_rank_and_is_told(searched: Searched) -> None:
    printed = searched.printed[0]
    assert "1 diverged (loss no longer finite): lr=1e+30 at epoch 1" in printed
    assert "1e+30" not in printed.split("Trained")[0]


def test_the_best_is_trained_again_on_all_training_rows_tested_once_and_registered(store: Store) -> None:
    refit = refit_of(store)
    [parent] = store.parents()
    best = max(
        (trials for rate, trials in members(store).items() if rate != "1e+30"),
        key=lambda trials: (
            np.mean([trial.data.metrics["val/accuracy"] for trial in trials]),
            -np.mean([trial.data.metrics["val/loss"] for trial in trials]),
        ),
    )
    assert refit.data.params["learning_rate"] == best[0].data.params["learning_rate"]
    assert (refit.data.params["fold"], refit.data.params["seed"]) == ("0", "0")
    assert refit.data.tags["mlflow.parentRunId"] == parent.info.run_id
    assert refit.data.tags["dataset.digest"] == parent.data.tags["dataset.digest"]
    assert refit.data.tags["configuration"] == best[0].data.tags["configuration"]
    assert parent.data.tags["search.winner"] == refit.info.run_id
    tested = [run for run in store.runs() if any(name.startswith("test/") for name in run.data.metrics)]
    assert [run.info.run_id for run in tested] == [refit.info.run_id]
    assert store.client.get_model_version_by_alias("wine", "challenger").run_id == refit.info.run_id
    mlflow.set_tracking_uri(f"sqlite:///{store.directory}/mlflow.db")
    try:
        model = mlflow.pyfunc.load_model("models:/wine@challenger")
    finally:
        mlflow.set_tracking_uri(None)
    rows = load_wine(as_frame=True)
    assert np.mean(model.predict(rows.data) == rows.target_names[rows.target]) > 0.95


def test_the_same_search_again_trains_nothing(store: Store, searched: Searched) -> None:
    first, second = searched.printed
    assert f"Trained {TRIALS + 1} of {TRIALS + 1} trials" in first
    assert f"All {TRIALS + 1} trials were found finished by their key; nothing was trained" in second
    assert searched.ended[0] == searched.ended[1]
    # The same leaderboard, and the same model.
    boards = [printed[printed.index("Leaderboard") : printed.index(" trials: ")] for printed in searched.printed]
    assert [line.rstrip() for line in boards[0].splitlines()] == [line.rstrip() for line in boards[1].splitlines()]
    assert len(store.client.search_model_versions("name = 'wine'")) == 1


def test_what_was_lost_is_trained_again_and_nothing_else(
    store: Store, cluster: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(store.directory / "mlflow.db", tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    copy = Store(tmp_path)
    lost = refit_of(copy)
    for run in (lost, members(copy)["0.1"][0]):
        copy.client.delete_run(run.info.run_id)

    report = search(cluster, tmp_path, SPACE, datasets=str(store.directory / "datasets"))

    assert report.outcome.trained == 2
    assert copy.statuses() == {"FINISHED": TRIALS + 1}
    [parent], [before] = copy.parents(), store.parents()
    assert parent.info.run_id == before.info.run_id
    for metric in ("best/val/accuracy", "best/val/accuracy_sd"):
        assert parent.data.metrics[metric] == pytest.approx(before.data.metrics[metric])
    again = refit_of(copy)
    assert again.info.run_id != lost.info.run_id
    assert again.data.metrics["test/accuracy"] == pytest.approx(lost.data.metrics["test/accuracy"])


def search(cluster: str, directory: Path, text: str, data: str = "wine", **changes: Any) -> TrainReport:
    """Run the flow in this process, on the cluster that the session has."""
    (directory / "space.yaml").write_text(text)
    try:
        return train_flow(data, space=str(directory / "space.yaml"), compute={"scheduler": cluster}, **changes)
    finally:
        # The registry sets the process's store, which would outlive the test.
        mlflow.set_tracking_uri(None)


@pytest.mark.usefixtures("tracking_store")
def test_of_seeds_alone_the_best_trial_of_the_best_configuration_is_registered(cluster: str, tmp_path: Path) -> None:
    space = "grid: {hidden: [[4]], learning_rate: [0.01, 0.03], epochs: [4]}\nseeds: 3\n"

    report = search(cluster, tmp_path, space, data="diabetes")

    best, other = report.selection.ranked
    assert report.outcome.trained == 6
    assert report.outcome.refit is None
    assert best.metrics["val/rmse"] < other.metrics["val/rmse"]
    assert report.selection.winner.metrics["val/rmse"] == min(member.metrics["val/rmse"] for member in best.members)
    assert {member.params["fold"] for member in best.members} == {"0"}
    version = report.run.tracking.client().get_model_version("diabetes", str(report.registered.version))
    assert version.run_id == report.selection.winner.run_id
    with get_client(sync_client=True) as prefect:
        wanted = ArtifactFilter(key=ArtifactFilterKey(any_=["leaderboard"]))
        [table] = prefect.read_artifacts(artifact_filter=wanted, sort=ArtifactSort.CREATED_DESC, limit=1)
    assert "sample deviation (n - 1) of 3 trials" in (table.description or "")
    rows = json.loads(str(table.data))
    assert rows[0]["val/rmse deviation"] == pytest.approx(best.deviations["val/rmse"])
    # One more seed trains what is new.
    assert search(cluster, tmp_path, space.replace("3\n", "4\n"), data="diabetes").outcome.trained == 2


@pytest.mark.usefixtures("tracking_store")
def test_where_every_configuration_diverges_it_fails_and_trains_no_refit(cluster: str, tmp_path: Path) -> None:
    with pytest.raises(
        RunFailedError, match=r"all 1 configurations diverged in a trial: .* smaller values of learning_"
    ):
        search(cluster, tmp_path, "grid: {hidden: [[4]], learning_rate: [1.0e+30], epochs: [2]}\nfolds: 2\n")
