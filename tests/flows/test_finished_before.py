"""How many trials of a space `backprop space show` says are finished already."""

import io
from pathlib import Path

import pytest
from rich.console import Console

from flows.compute.pruning import Pruning
from flows.compute.stack_training import StackAssignment, train_assignment
from flows.data.shape import dataset_shape
from flows.data.store import Dataset, open_dataset
from flows.finished_before import FinishedBefore, finished_before
from flows.parameters import Halving, Space, TrainParameters
from flows.spaces import expand
from flows.terminal.space import print_finished
from flows.tracking.search_runs import search_run
from flows.tracking.store import Tracking
from flows.trials import PlannedTrial, plan_trial
from tests.flows.data.writing import write_with_folds

SPACE = Space.model_validate({"grid": {"hidden": [[8]], "learning_rate": [0.1, 0.2, 0.3], "epochs": [2]}})


def train(dataset: Dataset, tracking: Tracking, space: Space, trials: list[PlannedTrial]) -> None:
    """Train some trials of a space's search, which it may prune after one epoch."""
    pruning = Pruning(rule=space.stop, brackets={trial.key: 0 for trial in trials}, earlier=()) if space.stop else None
    with search_run(tracking, dataset, "space", space) as run:
        train_assignment(
            StackAssignment(
                name="stack-0",
                dataset=dataset.reference,
                trials=tuple(trials),
                varying=frozenset(),
                run=run,
                device="cpu",
                execution="first",
                pruning=pruning,
            )
        )


def asked(dataset: Dataset, space: Space, experiment: str = "tests") -> FinishedBefore | None:
    root = Path(dataset.reference.path).parent
    parameters = TrainParameters(data="wine", experiment=experiment, datasets=str(root))
    shape = dataset_shape(dataset.reference.digest, dataset.schema)
    return finished_before(parameters, space, shape, expand(space))


def finished(dataset: Dataset, space: Space, experiment: str = "tests") -> tuple[int | None, int]:
    found = asked(dataset, space, experiment)
    assert found is not None
    return found.finished, found.trials


def test_trials_that_another_space_trained_count_too(wine: Dataset, tracking: Tracking) -> None:
    assert finished(wine, SPACE) == (0, 3)
    train(wine, tracking, SPACE, [plan_trial(wine, one) for one in expand(SPACE)[:2]])

    other = Space.model_validate({"grid": {"hidden": [[8], [9]], "learning_rate": [0.2], "epochs": [2]}})

    assert finished(wine, SPACE) == (2, 3)
    assert finished(wine, other) == (1, 2)
    assert finished(wine, SPACE, "another experiment") == (0, 3)


def test_what_was_pruned_is_finished_for_its_own_search_alone(wine: Dataset, tracking: Tracking) -> None:
    stopped = SPACE.model_copy(update={"stop": Halving(rule="halving", first=1)})
    train(wine, tracking, stopped, [plan_trial(wine, one) for one in expand(SPACE)])

    assert finished(wine, stopped) == (3, 3)
    assert finished(wine, SPACE) == (1, 3)


def test_every_fold_is_counted_and_one_that_was_not_written_holds_nothing(tracking: Tracking, tmp_path: Path) -> None:
    whole, first, _ = (open_dataset(one) for one in write_with_folds(tmp_path / "folds", "wine", folds=2))
    folded = SPACE.model_copy(update={"folds": 2})
    train(first, tracking, folded, [plan_trial(first, one) for one in expand(SPACE)[1:]])

    assert finished(whole, folded) == (2, 6)
    assert finished(whole, SPACE.model_copy(update={"folds": 3})) == (0, 9)


def test_to_ask_makes_no_store(wine: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)

    assert asked(wine, SPACE) is None
    assert list(tmp_path.iterdir()) == []


def test_a_server_that_does_not_answer_is_no_failure(wine: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    # Nothing listens on the discard port.
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")

    assert finished(wine, SPACE) == (None, 3)


@pytest.mark.parametrize(
    ("count", "said"),
    [
        (None, "Which are finished already is not known: MLflow does not answer at here."),
        (0, "0 of 1,200 trials are finished already."),
        (7, "7 of 1,200 trials are finished already, which are not trained again: the estimate is of all."),
        (1200, "All 1,200 are finished already: `backprop train` would train nothing again."),
    ],
)
def test_what_a_person_reads(count: int | None, said: str) -> None:
    console = Console(file=io.StringIO(), width=80)

    print_finished(console, FinishedBefore(finished=count, trials=1200, experiment="wine", uri="here"))

    assert console.file.getvalue() == f"Experiment wine: {said}\n"
