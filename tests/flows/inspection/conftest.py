"""A store that a person looks at: two searches on wine, one of them with a winner, and one on diabetes."""

import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.entities import Metric

from flows.compute.stack_training import StackAssignment, train_assignment
from flows.data.store import Dataset
from flows.parameters import Space
from flows.ranking import objective, rank
from flows.select import measure_on_test
from flows.tracking import tags
from flows.tracking.registry import register_winner
from flows.tracking.search_runs import (
    SearchRun,
    TrialRecord,
    finished_trials,
    log_command,
    log_counts,
    search_run,
)
from flows.tracking.store import Tracking, open_tracking
from tests.flows.conftest import planned

RATES = (0.3, 0.1, 0.0001, 1e12)
"""Learning rates of the search on wine: two that are good, one that learns nothing, one that diverges."""


@dataclass(frozen=True)
class Looked:
    """What there is to look at.

    Attributes
    ----------
    trials : list of TrialRecord
        Of the search on wine, by learning rate as in `RATES`.
    """

    directory: Path
    tracking: Tracking
    search: str
    trials: list[TrialRecord]
    winner: TrialRecord
    unfinished: str
    diabetes: str

    @property
    def client(self) -> MlflowClient:
        return self.tracking.client()

    @property
    def datasets(self) -> str:
        return str(self.directory / "datasets")


def searched(
    tracking: Tracking, dataset: Dataset, name: str, rates: tuple[float, ...]
) -> tuple[str, list[TrialRecord]]:
    """Train a search in this process, as far as its winner, which is registered."""
    trials = tuple(planned(dataset, learning_rate=rate, epochs=6) for rate in rates)
    space = Space.model_validate({"grid": {"hidden": [[8]], "learning_rate": list(rates)}})
    with search_run(tracking, dataset, name, space) as run:
        log_command(run, f"backprop train --data {dataset.reference.name} --space {name}")
        train_assignment(
            StackAssignment(
                name="stack-0",
                dataset=dataset.reference,
                trials=trials,
                varying=frozenset(("learning_rate",)),
                run=run,
                device="cpu",
                execution="first",
            )
        )
        found = finished_trials(tracking, dataset.reference.digest)
        records = [found[trial.key] for trial in trials]
        log_counts(run, records, failed=0)
        select_winner(run, records, dataset)
    return run.run_id, records


def select_winner(run: SearchRun, records: list[TrialRecord], dataset: Dataset) -> None:
    goal = objective(dataset.task)
    winner = rank(records, goal)[0]
    measure_on_test(run, winner, dataset)
    client = run.tracking.client()
    client.log_batch(run.run_id, metrics=[Metric(f"best/{goal.metric}", winner.metrics[goal.metric], 0, 0)])
    client.set_tag(run.run_id, tags.WINNER_RUN, winner.run_id)
    register_winner(run.tracking, winner, dataset, dataset.reference.name)


@pytest.fixture(scope="session")
def looked(tmp_path_factory: pytest.TempPathFactory, _empty_store: Path, wine: Dataset, diabetes: Dataset) -> Looked:
    """The store, in a directory with its datasets, where the command finds both."""
    import mlflow

    directory = tmp_path_factory.mktemp("looked")
    shutil.copyfile(_empty_store, directory / "mlflow.db")
    for dataset in (wine, diabetes):
        shutil.copytree(dataset.reference.path, directory / "datasets" / dataset.reference.digest)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(directory)
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{directory}/mlflow.db")
        tracking = open_tracking("wines")
        search, records = searched(tracking, wine, "rates", RATES)
        client = tracking.client()
        started = client.create_run(
            tracking.experiment_id,
            run_name="search · more",
            tags={tags.SEARCH_KEY: "more", tags.DATASET: "wine", tags.DATASET_DIGEST: wine.reference.digest},
        )
        other, _ = searched(open_tracking("diabetes"), diabetes, "rates", (0.01, 0.001))
        mlflow.set_tracking_uri(None)
    winner = client.get_run(search).data.tags[tags.WINNER_RUN]
    return Looked(
        directory=directory,
        tracking=tracking,
        search=search,
        trials=records,
        winner=next(record for record in records if record.run_id == winner),
        unfinished=started.info.run_id,
        diabetes=other,
    )


@pytest.fixture
def here(looked: Looked, monkeypatch: pytest.MonkeyPatch) -> Looked:
    """The store, in whose directory the test runs, with nothing said in the environment."""
    monkeypatch.chdir(looked.directory)
    return looked
