"""Training a recorded trial again: what comes out the same, what does not, and what is said of it."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from backprop import Backend, load_weights, save_weights, select_backend, train
from backprop.backend import Device
from flows.compute.core_stack import stack_of
from flows.compute.pruning import Pruning
from flows.compute.stack_training import StackAssignment, samples_of, train_assignment
from flows.data.store import Dataset, open_dataset
from flows.environment import Environment, environment_of
from flows.errors import DatasetError, RunError
from flows.parameters import Halving, Space
from flows.reproduction import Reproduction, reproduce
from flows.tracking import tags
from flows.tracking.artifacts import local_directory
from flows.tracking.search_runs import SearchRun, log_command, search_run, stack_runs
from flows.tracking.store import Tracking
from flows.tracking.trial_delivery import WEIGHTS_FILE, file_digest
from flows.tracking.trial_runs import TrialRuns
from flows.trials import PlannedTrial
from tests.flows.conftest import planned
from tests.flows.data.writing import write, write_with_folds

SPACE = Space.model_validate({"grid": {"hidden": [[8]], "learning_rate": [0.1]}})


def recorded(dataset: Dataset, tracking: Tracking, *trials: PlannedTrial, pruning: Pruning | None = None) -> list[str]:
    """Train trials in one stack as a worker does; return their runs."""
    with search_run(tracking, dataset, "space", SPACE) as run:
        train_assignment(
            StackAssignment(
                name="stack-0",
                dataset=dataset.reference,
                trials=trials,
                varying=frozenset({"seed"}),
                run=run,
                device="cpu",
                execution="first",
                pruning=pruning,
            )
        )
        runs = stack_runs(run, "stack-0")
    return [runs[trial.key].run_id for trial in trials]


def again(dataset: Dataset, wanted: str, device: Device = "auto") -> Reproduction:
    return reproduce(wanted, str(Path(dataset.reference.path).parent), device)


def what_differs(found: Reproduction) -> set[str]:
    return {each.what for each in found.differences}


def weights_file(tracking: Tracking, run_id: str) -> Path:
    directory = local_directory(tracking.client().get_run(run_id).info.artifact_uri)
    assert directory is not None
    return directory / WEIGHTS_FILE


@pytest.mark.parametrize(
    "changes",
    [
        {"activation": "tanh", "optimizer": "adamw", "weight_decay": 0.03, "learning_rate": 0.01},
        {"optimizer": "nesterov", "momentum": 0.5, "l2": 0.001, "dropout": 0.2, "batch_size": 7},
        {"hidden": [], "batch_size": 1, "epochs": 2},
        {"hidden": [6, 5], "learning_rate": 1 / 3},
    ],
)
def test_a_trial_of_a_stack_comes_out_the_same_alone(
    wine: Dataset, tracking: Tracking, changes: dict[str, object]
) -> None:
    trials = [planned(wine, seed=seed, **changes) for seed in (3, 4, 5)]
    _, run_id, _ = recorded(wine, tracking, *trials)

    found = again(wine, run_id)

    assert found.verdict == "identical"
    assert found.trial_key == trials[1].key
    assert found.weights.sha256 == file_digest(weights_file(tracking, run_id))
    assert found.weights.largest_difference == 0
    assert found.curves.first_difference is None
    assert found.curves.epochs == found.curves.recorded_epochs == trials[1].hyperparameters.epochs
    assert set(found.curves.largest) == {"train/loss", "val/loss", "val/accuracy"}
    assert found.differences == ()
    assert found.circumstances == ("it was trained in a stack of 3 trials, and now alone",)


def test_the_errors_of_a_regression_are_compared_in_the_unit_in_which_they_were_recorded(
    diabetes: Dataset, tracking: Tracking
) -> None:
    [run_id] = recorded(diabetes, tracking, planned(diabetes, learning_rate=0.01))

    found = again(diabetes, run_id)

    assert found.verdict == "identical"
    assert found.curves.first_difference is None
    assert found.curves.largest["val/rmse"] == 0


def test_other_arithmetic_is_equal_within_the_tolerance_or_different_and_the_epoch_is_named(
    wine: Dataset, tracking: Tracking, monkeypatch: pytest.MonkeyPatch
) -> None:
    """NumPy sums in another order than the compiled loops."""
    monkeypatch.setattr("flows.compute.stack_training.select_backend", lambda _: Backend(np))
    [run_id] = recorded(wine, tracking, planned(wine))

    found = again(wine, run_id)

    assert found.verdict == "equal"
    assert found.weights.largest_difference is not None
    assert 0 < found.weights.largest_difference < 1e-5
    assert found.weights.sha256 != found.weights.recorded_sha256
    assert found.curves.first_difference is not None
    assert found.curves.first_beyond is None


def spoilt(dataset: Dataset, root: Path, factor: float) -> Dataset:
    """Return a copy of a dataset, a feature of which somebody multiplied afterwards."""
    place = root / dataset.reference.digest
    shutil.copytree(dataset.reference.path, place)
    features = np.load(place / "train" / "features.npy")
    features[:, 0] *= factor
    np.save(place / "train" / "features.npy", features)
    return open_dataset(dataset.reference.model_copy(update={"path": str(place)}))


def test_data_that_were_changed_make_another_trial_and_no_version_is_blamed(
    wine: Dataset, tracking: Tracking, tmp_path: Path
) -> None:
    [run_id] = recorded(wine, tracking, planned(wine))

    found = again(spoilt(wine, tmp_path, 0.0), run_id)

    assert found.verdict == "different"
    assert found.curves.first_beyond == 1
    assert found.differences == ()


def test_a_trial_that_a_stop_rule_ended_is_trained_as_far_again(wine: Dataset, tracking: Tracking) -> None:
    trials = [planned(wine, seed=seed, epochs=6) for seed in range(4)]
    pruning = Pruning(
        rule=Halving(rule="halving", factor=2, first=2), brackets={trial.key: 0 for trial in trials}, earlier=()
    )
    runs = recorded(wine, tracking, *trials, pruning=pruning)
    client = tracking.client()
    pruned = {run: found for run in runs if (found := client.get_run(run).data.tags.get(tags.PRUNED))}
    assert set(pruned.values()) >= {"2"}

    for run_id, epoch in pruned.items():
        found = again(wine, run_id)
        assert found.verdict == "identical"
        assert found.epochs == int(epoch)
        assert f"a stop rule ended it after epoch {epoch}, and now it was trained as far" in found.circumstances


def test_a_trial_that_diverged_diverges_again(diabetes: Dataset, tracking: Tracking) -> None:
    [run_id] = recorded(diabetes, tracking, planned(diabetes, learning_rate=1e6))

    found = again(diabetes, run_id)

    assert found.verdict == "identical"
    assert found.epochs == 1
    assert found.circumstances == ("its loss stopped being finite in epoch 1",)


def test_a_trial_that_diverges_no_more_is_different(diabetes: Dataset, tracking: Tracking, tmp_path: Path) -> None:
    changed = spoilt(diabetes, tmp_path, 1e20)
    [run_id] = recorded(changed, tracking, planned(changed, learning_rate=0.01))

    found = again(diabetes, run_id)

    assert found.verdict == "different"
    assert found.weights.largest_difference is None
    assert found.weights.incomparable == "some are finite in only one of the two"
    assert [(each.what, each.then, each.now) for each in found.differences] == [("diverged in epoch", "1", "none")]


def test_a_fold_and_a_refit_are_found_and_named(tracking: Tracking, tmp_path: Path) -> None:
    whole, *folds = (open_dataset(one) for one in write_with_folds(tmp_path / "folds", "wine", folds=2))
    refit = planned(whole).model_copy(update={"refit": True})
    [on_fold] = recorded(folds[1], tracking, planned(folds[1]))
    [run_id] = recorded(whole, tracking, refit)

    assert again(whole, on_fold).circumstances == ("it is a trial on fold 2 of 2",)
    assert again(whole, run_id).circumstances == ("it is the refit of the winner of a cross-validation",)
    assert again(whole, on_fold).verdict == again(whole, run_id).verdict == "identical"


def test_another_version_of_something_is_named_whatever_came_out(wine: Dataset, tracking: Tracking) -> None:
    [run_id] = recorded(wine, tracking, planned(wine))
    then = environment_of(select_backend("cpu")).model_copy(update={"numpy": "1.0", "blas": "mkl 2026", "threads": 1})
    tracking.client().set_tag(run_id, tags.ENVIRONMENT, then.model_dump_json(exclude_none=True))

    found = again(wine, run_id)

    assert found.verdict == "identical"
    assert {(each.what, each.then) for each in found.differences} == {("numpy", "1.0"), ("blas", "mkl 2026")}


def test_a_trial_of_a_gpu_is_trained_on_what_there_is(wine: Dataset, tracking: Tracking) -> None:
    [run_id] = recorded(wine, tracking, planned(wine))
    then = environment_of(select_backend("cpu")).model_copy(
        update={"backend": "cupy", "cupy": "14.2", "cuda": "12", "device": "NVIDIA H100"}
    )
    tracking.client().set_tag(run_id, tags.ENVIRONMENT, then.model_dump_json(exclude_none=True))

    found = again(wine, run_id, "cpu")

    assert found.environment.backend == "numpy"
    assert {"backend", "device", "cupy", "cuda"} <= what_differs(found)


def test_a_training_that_went_on_elsewhere_says_where(wine: Dataset, tracking: Tracking) -> None:
    trial = planned(wine)
    here = environment_of(select_backend("cpu"))
    there = here.model_copy(update={"numpy": "1.0"})
    [run_id] = interrupted(wine, tracking, trial, there, here)

    found = again(wine, run_id)

    assert found.recorded_environment == there
    assert found.circumstances == (
        f"it was interrupted, and gone on with where this was another: numpy 1.0, then {here.numpy}",
    )


def interrupted(
    dataset: Dataset, tracking: Tracking, trial: PlannedTrial, began: Environment, ended: Environment
) -> list[str]:
    """Record a trial whose first attempt broke off; return its runs."""
    samples = (samples_of(part, dataset) for part in (dataset.train, dataset.validation))
    reports = list(train(stack_of([trial], dataset.task), *samples, select_backend("cpu")))

    def attempt(run: SearchRun, unfinished: dict[str, str], environment: Environment, epochs: int) -> None:
        with TrialRuns(run, "stack-0", dataset, [trial], frozenset(), unfinished, (), environment) as runs:
            for report in reports[:epochs]:
                runs.record(report)
            if epochs < len(reports):
                raise KeyboardInterrupt

    with search_run(tracking, dataset, "space", SPACE) as run:
        with pytest.raises(KeyboardInterrupt):
            attempt(run, {}, began, 2)
        left = {key: found.run_id for key, found in stack_runs(run, "stack-0").items()}
        attempt(run, left, ended, len(reports))
    return list(left.values())


def test_weights_that_are_gone_are_known_by_their_digest(wine: Dataset, tracking: Tracking) -> None:
    [run_id] = recorded(wine, tracking, planned(wine))
    weights_file(tracking, run_id).unlink()

    found = again(wine, run_id)

    assert found.verdict == "identical"
    assert found.weights.largest_difference is None


@pytest.mark.parametrize("is_kept", [True, False])
def test_of_weights_that_are_not_what_was_written_the_losses_tell(
    wine: Dataset, tracking: Tracking, monkeypatch: pytest.MonkeyPatch, is_kept: bool
) -> None:
    monkeypatch.setattr("flows.compute.stack_training.select_backend", lambda _: Backend(np))
    [run_id] = recorded(wine, tracking, planned(wine))
    file = weights_file(tracking, run_id)
    if is_kept:
        architecture, parameters = load_weights(file)
        save_weights(file, architecture, replace(parameters, biases=[b + 1 for b in parameters.biases]))
    else:
        file.unlink()

    found = again(wine, run_id)

    assert found.verdict == "equal"
    assert found.weights.incomparable is not None
    assert ("is not the file that was written" if is_kept else "is not with the run any more") in (
        found.weights.incomparable
    )


# What cannot be reproduced


def test_a_dataset_that_is_gone_is_named_with_the_command_that_ingests_it(
    wine: Dataset, tracking: Tracking, tmp_path: Path
) -> None:
    [run_id] = recorded(wine, tracking, planned(wine))
    parent = tracking.client().get_run(run_id).data.tags[tags.PARENT]
    log_command(SearchRun(tracking=tracking, run_id=parent), "backprop train --data wine --space quick")
    other = write(tmp_path / "others", "wine", declared=None, split=wine.schema.split.model_copy(update={"seed": 1}))

    with pytest.raises(DatasetError) as error:
        reproduce(run_id, str(tmp_path / "others"))

    said = str(error.value)
    assert f"wine {wine.reference.digest[:12]}, which is not in {tmp_path / 'others'}" in said
    assert f"which has wine as {other.digest[:12]}" in said
    assert said.endswith("ingests the same data again: backprop train --data wine --space quick")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda client, run: client.set_terminated(run, "KILLED"), "is KILLED, not finished"),
        (lambda client, run: client.delete_tag(run, tags.ENVIRONMENT), f"has no tag {tags.ENVIRONMENT}: an older"),
        (lambda client, run: client.delete_tag(run, tags.WEIGHTS_DIGEST), f"has no tag {tags.WEIGHTS_DIGEST}: an old"),
        (lambda client, run: client.set_tag(run, tags.ENVIRONMENT, "{}"), "of another version of backprop: backprop:"),
    ],
)
def test_a_run_that_does_not_hold_what_it_takes_says_why(
    wine: Dataset, tracking: Tracking, change: Callable[..., None], said: str
) -> None:
    [run_id] = recorded(wine, tracking, planned(wine))
    change(tracking.client(), run_id)

    with pytest.raises(RunError, match=said):
        again(wine, run_id)


def test_nothing_is_made_where_nothing_was_recorded(
    wine: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)

    with pytest.raises(RunError, match="no run was recorded at sqlite:///"):
        again(wine, "abcdef")

    assert list(tmp_path.iterdir()) == []
