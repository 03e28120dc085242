"""What the tests of the flows share: a small dataset and an MLflow store, both real."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from flows.compute.clusters import start_local_cluster
from flows.compute.stack_training import StackAssignment, train_assignment
from flows.data.plan import RequestedTask
from flows.data.sources import Source, open_source
from flows.data.splitting import SplitParameters
from flows.data.store import Dataset, open_dataset
from flows.parameters import Hyperparameters, Space
from flows.tracking.search_runs import TrialRecord, finished_trials, search_run
from flows.tracking.store import Tracking, open_tracking
from flows.trials import PlannedTrial, plan_trial
from tests.flows.commands import Forked, Store, forking, make_demo
from tests.flows.data.writing import write
from tests.flows.searched_pages import SearchPages, searched_pages

SPACE = Space.model_validate({"grid": {"hidden": [[8]], "learning_rate": [0.1]}})


@pytest.fixture(scope="session")
def wine(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Three classes, 13 features, 178 rows."""
    return written(open_source("wine"), tmp_path_factory.mktemp("datasets"))


@pytest.fixture(scope="session")
def diabetes(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """A regression target of 25 to 346, 10 features, 442 rows."""
    return written(open_source("diabetes"), tmp_path_factory.mktemp("datasets"))


def written(
    source: Source,
    root: Path,
    targets: tuple[str, ...] = (),
    task: RequestedTask = "auto",
    split: SplitParameters = SplitParameters(),  # noqa: B008 - immutable
) -> Dataset:
    """Prepare a source as inference finds it and write the dataset."""
    return open_dataset(write(root, source, targets, task=task, split=split))


@pytest.fixture
def tracking(tracking_store: str) -> Tracking:
    """Return an experiment in a store of the test's own."""
    found = open_tracking("tests")
    assert found.uri == tracking_store
    return found


@pytest.fixture
def server(prefect_server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the command report to a server that runs already, which saves each test the start of its own."""
    monkeypatch.setenv("PREFECT_API_URL", prefect_server)


@pytest.fixture(scope="session")
def cluster(prefect_server: str) -> Iterator[str]:
    """The address of one Dask scheduler with a worker, for tests that would each wait for one to start."""
    assert prefect_server
    with start_local_cluster(workers=1) as started:
        yield started.scheduler_address


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> tuple[Store, str]:
    """What `make demo` leaves in a checkout that is set up, and what it printed."""
    directory = tmp_path_factory.mktemp("demo")
    ran = make_demo(directory)
    assert ran.returncode == 0, ran.stderr
    return Store(directory), ran.stdout


@pytest.fixture(scope="session")
def search_pages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SearchPages]:
    """The pages of MLflow and Prefect that show a search of 64 trials on digits, and what it reported."""
    with searched_pages(tmp_path_factory.mktemp("pages")) as pages:
        yield pages


@pytest.fixture(scope="session")
def forked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Forked]:
    """The command in processes of its own, imported once for all of them."""
    with forking(tmp_path_factory.mktemp("outputs")) as run:
        yield run


def planned(dataset: Dataset, **changes: object) -> PlannedTrial:
    """Return a trial on a dataset; every hyperparameter has a default."""
    chosen: dict[str, object] = {
        "hidden": (8,),
        "activation": "relu",
        "learning_rate": 0.1,
        "batch_size": 16,
        "epochs": 4,
        "seed": 0,
    }
    return plan_trial(dataset, Hyperparameters.model_validate({**chosen, **changes}))


def winner_on(dataset: Dataset, tracking: Tracking, **changes: object) -> TrialRecord:
    """Train one trial in this process and return its record."""
    trial = planned(dataset, **changes)
    with search_run(tracking, dataset, "space", SPACE) as run:
        train_assignment(
            StackAssignment(
                name="stack-0",
                dataset=dataset.reference,
                trials=(trial,),
                varying=frozenset(),
                run=run,
                device="cpu",
                execution="first",
            )
        )
    return finished_trials(tracking, dataset.reference.digest)[trial.key]
