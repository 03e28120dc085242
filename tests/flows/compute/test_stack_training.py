"""What a worker leaves in MLflow after a stack: every trial, every epoch, and an end for every run."""

import inspect
import itertools
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mlflow import MlflowClient
from mlflow.entities import Run

from backprop import Samples, Stack, Training, Trial, load_weights, one_hot, select_backend, train
from backprop.optimizers import Adam, AdamW, Momentum, Nesterov, Optimizer
from backprop.training import histories
from flows.compute.lease import LeaseFiles
from flows.compute.saved_stack import SavedStacks
from flows.compute.stack_training import StackAssignment, StackOutcome, samples_of, train_assignment
from flows.data.store import Dataset, DatasetError, DatasetReference
from flows.parameters import Space
from flows.tracking import tags
from flows.tracking.search_runs import SearchRun, finished_trials, search_run, unfinished_runs
from flows.tracking.store import Tracking
from flows.tracking.trial_delivery import TrialDelivery
from flows.tracking.trial_runs import StackStopped, TrialRuns
from flows.trials import PlannedTrial
from tests.flows.conftest import planned

OTHER_SPACE = Space.model_validate({"grid": {"hidden": [[8]], "learning_rate": [0.2]}})
SPACE = Space.model_validate({"grid": {"hidden": [[8]], "learning_rate": [0.1]}})


def assignment(dataset: Dataset, run: SearchRun, trials: list[PlannedTrial]) -> StackAssignment:
    return StackAssignment(
        name="stack-0",
        dataset=dataset.reference,
        trials=tuple(trials),
        varying=frozenset({"learning_rate", "seed"}),
        run=run,
        device="cpu",
        execution="first",
    )


def train_on(dataset: Dataset, tracking: Tracking, trials: list[PlannedTrial]) -> tuple[StackOutcome, list[Run]]:
    with search_run(tracking, dataset, "space", SPACE) as run:
        outcome = train_assignment(assignment(dataset, run, trials))
    return outcome, children(tracking, run)


def children(tracking: Tracking, run: SearchRun) -> list[Run]:
    where = f"tags.`{tags.PARENT}` = '{run.run_id}'"
    found = tracking.client().search_runs([tracking.experiment_id], where, order_by=["attributes.start_time"])
    return sorted(found, key=lambda child: child.info.run_name or "")


def curve(tracking: Tracking, run: Run, metric: str) -> list[tuple[int, float]]:
    return [(point.step, point.value) for point in tracking.client().get_metric_history(run.info.run_id, metric)]


def test_every_trial_has_its_curves_params_tags_and_weights(wine: Dataset, tracking: Tracking, tmp_path: Path) -> None:
    trials = [planned(wine, learning_rate=0.05), planned(wine, learning_rate=0.1, epochs=2)]

    _, runs = train_on(wine, tracking, trials)

    assert [run.info.status for run in runs] == ["FINISHED", "FINISHED"]
    assert [run.info.run_name for run in runs] == ["lr=0.05 · seed=0", "lr=0.1 · seed=0"]
    for run, trial in zip(runs, trials, strict=True):
        epochs = list(range(1, trial.hyperparameters.epochs + 1))
        for metric in ("train/loss", "val/loss", "val/accuracy"):
            assert [step for step, _ in curve(tracking, run, metric)] == epochs
        assert run.data.tags[tags.TRIAL_KEY] == trial.key
        assert run.data.tags[tags.DATASET_DIGEST] == wine.reference.digest
        assert run.data.params["hidden"] == "8"
        assert float(run.data.params["learning_rate"]) == trial.hyperparameters.learning_rate
        assert run.inputs.dataset_inputs[0].dataset.name == "wine"
        path = tracking.client().download_artifacts(run.info.run_id, "weights.safetensors", str(tmp_path))
        assert load_weights(Path(path))[0] == trial.architecture


def test_the_curves_are_those_of_the_core(wine: Dataset, tracking: Tracking) -> None:
    trials = [planned(wine, seed=3), planned(wine, seed=4)]
    stack = Stack(trials[0].architecture, 16, (Trial(0.1, 4, 3), Trial(0.1, 4, 4)))
    reports = list(train(stack, samples_of(wine.train, wine), samples_of(wine.validation, wine), select_backend("cpu")))

    _, runs = train_on(wine, tracking, trials)

    for run, expected in zip(runs, histories(reports, 2), strict=True):
        for metric, values in expected.items():
            assert [value for _, value in curve(tracking, run, metric)] == values


def test_optimiser_penalty_and_dropout_of_a_trial_reach_the_core(wine: Dataset, tracking: Tracking) -> None:
    trials = [planned(wine, optimizer="adam", learning_rate=0.01, l2=0.1, dropout=0.2, seed=3)]
    stack = Stack(trials[0].architecture, 16, (Trial(0.01, 4, 3, optimizer=Adam(), l2=0.1, dropout=0.2),))
    reports = train(stack, samples_of(wine.train, wine), samples_of(wine.validation, wine), select_backend("cpu"))

    _, [run] = train_on(wine, tracking, trials)

    [expected] = histories(list(reports), 1)
    assert [value for _, value in curve(tracking, run, "train/loss")] == expected["train/loss"]
    assert run.data.params["optimizer"] == "adam"


@pytest.mark.parametrize(
    ("optimizer", "numbers", "in_the_core", "params"),
    [
        ("momentum", {"momentum": 0.5}, Momentum(momentum=0.5), ("0.5", "0.0")),
        ("momentum", {}, Momentum(), ("0.9", "0.0")),
        ("adamw", {"weight_decay": 0.5}, AdamW(weight_decay=0.5), ("0.0", "0.5")),
    ],
)
def test_a_number_of_the_optimiser_reaches_the_core_and_mlflow(
    optimizer: str,
    numbers: dict[str, float],
    in_the_core: Optimizer,
    params: tuple[str, str],
    wine: Dataset,
    tracking: Tracking,
) -> None:
    trials = [planned(wine, optimizer=optimizer, learning_rate=0.01, **numbers)]
    stack = Stack(trials[0].architecture, 16, (Trial(0.01, 4, 0, optimizer=in_the_core),))
    reports = train(stack, samples_of(wine.train, wine), samples_of(wine.validation, wine), select_backend("cpu"))

    _, [run] = train_on(wine, tracking, trials)

    [expected] = histories(list(reports), 1)
    assert [value for _, value in curve(tracking, run, "train/loss")] == expected["train/loss"]
    assert (run.data.params["momentum"], run.data.params["weight_decay"]) == params


def test_every_trial_has_every_param_as_a_number_that_can_be_drawn(wine: Dataset, tracking: Tracking) -> None:
    train_on(wine, tracking, [planned(wine)])
    _, runs = train_on(wine, tracking, [planned(wine, optimizer="momentum", momentum=0.5)])

    plain, heavy = sorted(runs, key=lambda run: float(run.data.params["momentum"]))
    assert set(plain.data.params) == set(heavy.data.params)
    assert [float(run.data.params["momentum"]) for run in (plain, heavy)] == [0, 0.5]
    assert {float(run.data.params["weight_decay"]) for run in (plain, heavy)} == {0}


def test_trials_of_different_momenta_share_a_stack_and_train_as_alone(wine: Dataset, tracking: Tracking) -> None:
    momenta = (0.5, 0.95)
    trials = [planned(wine, optimizer="nesterov", learning_rate=0.01, momentum=momentum) for momentum in momenta]

    _, runs = train_on(wine, tracking, trials)

    by_momentum = {float(run.data.params["momentum"]): run for run in runs}
    for momentum in momenta:
        alone = Stack(trials[0].architecture, 16, (Trial(0.01, 4, 0, optimizer=Nesterov(momentum=momentum)),))
        reports = train(alone, samples_of(wine.train, wine), samples_of(wine.validation, wine), select_backend("cpu"))
        [expected] = histories(list(reports), 1)
        curve_of_run = curve(tracking, by_momentum[momentum], "train/loss")
        assert [value for _, value in curve_of_run] == pytest.approx(expected["train/loss"], rel=1e-4)


def test_trials_of_different_widths_share_a_stack_and_train_as_alone(
    wine: Dataset, tracking: Tracking, tmp_path: Path
) -> None:
    widths = ([8], [3], [16])
    trials = [planned(wine, hidden=hidden, seed=seed) for seed, hidden in enumerate(widths)]
    with search_run(tracking, wine, "elsewhere", OTHER_SPACE) as alone:
        for place, trial in enumerate(trials):
            train_assignment(assignment(wine, alone, [trial]).model_copy(update={"name": f"stack-{place}"}))

    with search_run(tracking, wine, "space", SPACE) as run:
        train_assignment(assignment(wine, run, trials))

    # On a CPU to the last bit: a search that goes on may find other trials to pack together.
    assert curves(tracking, run) == curves(tracking, alone)
    assert len(children(tracking, run)) == len(trials)
    for child in children(tracking, run):
        path = tracking.client().download_artifacts(child.info.run_id, "weights.safetensors", str(tmp_path))
        architecture, parameters = load_weights(Path(path))
        own = int(child.data.params["width"])
        assert architecture.hidden == (own,)
        assert [w.shape for w in parameters.weights] == [(1, 13, own), (1, own, 3)]


def test_an_error_is_reported_in_the_unit_of_the_target(diabetes: Dataset, tracking: Tracking, tmp_path: Path) -> None:
    _, [run] = train_on(diabetes, tracking, [planned(diabetes, learning_rate=0.01)])

    path = tracking.client().download_artifacts(run.info.run_id, "weights.safetensors", str(tmp_path))
    architecture, weights = load_weights(Path(path))
    h = np.maximum(diabetes.validation.features @ weights.weights[0][0] + weights.biases[0][0], 0)
    predicted = h @ weights.weights[1][0] + weights.biases[1][0]
    restore = diabetes.preparation.restore_target
    errors = restore(predicted.astype(float)) - restore(np.asarray(diabetes.validation.target, float))
    assert run.data.metrics["val/rmse"] == pytest.approx(np.sqrt(np.mean(errors**2)), rel=1e-5)
    assert run.data.metrics["val/rmse"] > 10
    assert architecture.loss == "mse"


def test_a_diverging_trial_is_tagged_and_the_others_go_on(diabetes: Dataset, tracking: Tracking) -> None:
    trials = [planned(diabetes, learning_rate=1e6), planned(diabetes, learning_rate=0.01)]

    _, runs = train_on(diabetes, tracking, trials)

    by_rate = {float(run.data.params["learning_rate"]): run for run in runs}
    assert by_rate[1e6].data.tags[tags.DIVERGED] == "1"
    assert tags.DIVERGED not in by_rate[0.01].data.tags
    assert len(curve(tracking, by_rate[0.01], "val/loss")) == 4
    # Infinity would be stored as 1.8e308 and flatten every chart it is on.
    assert all(np.isfinite(value) and value < 1e300 for run in runs for value in run.data.metrics.values())
    found = finished_trials(tracking, diabetes.reference.digest)
    assert found[trials[0].key].diverged_at == 1


def test_losses_appear_while_the_stack_trains(
    wine: Dataset, tracking: Tracking, monkeypatch: pytest.MonkeyPatch
) -> None:
    every_epoch(monkeypatch)
    trials = [planned(wine, epochs=50)]
    with search_run(tracking, wine, "space", SPACE) as run:
        stack = Stack(trials[0].architecture, 16, (Trial(0.1, 50, 0),))
        reports = train(stack, samples_of(wine.train, wine), samples_of(wine.validation, wine), select_backend("cpu"))
        with TrialRuns(run, "stack-0", wine, trials, frozenset()) as runs:
            runs.record(next(reports))
            wait_for(lambda: steps_of_only_child(tracking, run) == [1])
            [child] = children(tracking, run)
            assert child.info.status == "RUNNING"
            for report in reports:
                runs.record(report)
    [child] = children(tracking, run)
    assert [step for step, _ in curve(tracking, child, "train/loss")] == list(range(1, 51))


def wait_for(condition: Callable[[], bool]) -> None:
    """Wait for what the thread that delivers will do."""
    deadline = time.monotonic() + 60
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError
        time.sleep(0.02)


def steps_of_only_child(tracking: Tracking, run: SearchRun) -> list[int]:
    return [step for child in children(tracking, run) for step, _ in curve(tracking, child, "train/loss")]


def every_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a delivery be due after every epoch: those of these small stacks last a millisecond."""
    monkeypatch.setattr("flows.tracking.trial_runs.FLUSH_SECONDS", 0.0)
    monkeypatch.setattr("flows.tracking.trial_runs.FLUSH_SHARE", float("inf"))


def test_params_appear_while_the_first_epoch_lasts(
    wine: Dataset, tracking: Tracking, monkeypatch: pytest.MonkeyPatch
) -> None:
    every_epoch(monkeypatch)
    with (
        search_run(tracking, wine, "space", SPACE) as run,
        TrialRuns(run, "stack-0", wine, [planned(wine)], frozenset()),
    ):
        wait_for(lambda: any(child.data.params for child in children(tracking, run)))
        [child] = children(tracking, run)
    assert child.info.status == "RUNNING"
    assert child.data.params["learning_rate"] == "0.1"


def test_a_stack_that_breaks_leaves_params_and_the_curves_so_far(wine: Dataset, tracking: Tracking) -> None:
    trials = [planned(wine, epochs=50)]
    stack = Stack(trials[0].architecture, 16, (Trial(0.1, 50, 0),))
    reports = train(stack, samples_of(wine.train, wine), samples_of(wine.validation, wine), select_backend("cpu"))

    def break_after_an_epoch(run: SearchRun) -> None:
        with TrialRuns(run, "stack-0", wine, trials, frozenset()) as runs:
            runs.record(next(reports))
            raise RuntimeError("because")

    with search_run(tracking, wine, "space", SPACE) as run, pytest.raises(RuntimeError):
        break_after_an_epoch(run)

    [child] = children(tracking, run)
    assert child.info.status == "FAILED"
    assert child.data.tags[tags.FAILURE] == "RuntimeError: because"
    assert child.data.params["learning_rate"] == "0.1"
    assert [step for step, _ in curve(tracking, child, "train/loss")] == [1]


def test_a_trial_costs_four_calls_to_mlflow(wine: Dataset, tracking: Tracking, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: Counter[str] = Counter()
    for name, method in inspect.getmembers(MlflowClient, inspect.isfunction):
        if not name.startswith("_"):
            monkeypatch.setattr(MlflowClient, name, counted(calls, name, method))

    def cost(trials: int) -> Counter[str]:
        calls.clear()
        chosen = [planned(wine, seed=seed, epochs=3, learning_rate=0.01 * trials) for seed in range(trials)]
        with search_run(tracking, wine, "space", SPACE) as run:
            train_assignment(assignment(wine, run, chosen))
        return Counter(calls)

    cost(1)  # makes the search's own run
    few, many = cost(4), cost(12)

    assert many - few == dict.fromkeys(("create_run", "log_inputs", "log_batch", "set_terminated"), 8)
    # What a stack costs besides: what an earlier attempt left of it, and the search's own run.
    assert few - Counter(dict.fromkeys(many - few, 4)) == {"search_runs": 2, "get_run": 1}


def counted(calls: Counter[str], name: str, method: Callable[..., object]) -> Callable[..., object]:
    def called(*given: object, **named: object) -> object:
        calls[name] += 1
        return method(*given, **named)

    return called


def test_runs_whose_weights_cannot_be_written_end_as_failed_with_the_reason(
    wine: Dataset, tracking: Tracking, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("where a directory should be")
    broken = tracking.model_copy(
        update={"experiment_id": tracking.client().create_experiment("broken", f"file://{tmp_path}/file/artifacts")}
    )

    with pytest.raises(NotADirectoryError):
        train_on(wine, broken, [planned(wine), planned(wine, seed=1)])

    runs = broken.client().search_runs([broken.experiment_id])
    assert {run.info.status for run in runs} == {"FAILED"}
    assert all("NotADirectoryError" in run.data.tags[tags.FAILURE] for run in runs)


def test_a_dataset_that_is_gone_starts_no_run(wine: Dataset, tracking: Tracking, tmp_path: Path) -> None:
    gone = DatasetReference(name="wine", digest="0" * 64, path=str(tmp_path / "gone"))

    with search_run(tracking, wine, "space", SPACE) as run:
        lost = assignment(wine, run, [planned(wine)]).model_copy(update={"dataset": gone})
        with pytest.raises(DatasetError, match="missing or damaged"):
            train_assignment(lost)

    assert children(tracking, run) == []


def test_a_stack_that_a_dead_worker_left_is_taken_over(wine: Dataset, tracking: Tracking) -> None:
    trials = [planned(wine), planned(wine, seed=1), planned(wine, seed=2)]
    with search_run(tracking, wine, "space", SPACE) as run:
        # The dead worker finished the first trial and left the others open.
        train_assignment(assignment(wine, run, trials[:1]))
        left = TrialDelivery(run, "stack-0", wine, trials, frozenset(), {})
        for place in (1, 2):
            left.open(place)

        outcome = train_assignment(assignment(wine, run, trials))

    found = children(tracking, run)
    assert outcome.trials == 2
    assert [child.info.status for child in found] == ["FINISHED"] * 3
    assert {child.data.tags[tags.TRIAL_KEY] for child in found} == {trial.key for trial in trials}


def stop_in_epoch(monkeypatch: pytest.MonkeyPatch, epoch: int) -> None:
    """Let a search be interrupted after some epochs of a stack."""
    looks = itertools.count(1)

    def check(_: object) -> None:
        if next(looks) == epoch:
            raise StackStopped("the search was interrupted")

    monkeypatch.setattr("flows.compute.stack_training._StopFlag.check", check)


CURVES = ("train/loss", "val/accuracy", "layer/1/weight_norm", "layer/1/dead_share")


def curves(tracking: Tracking, run: SearchRun) -> dict[str, list[list[tuple[int, float]]]]:
    return {
        child.data.tags[tags.TRIAL_KEY]: [curve(tracking, child, name) for name in CURVES]
        for child in children(tracking, run)
    }


def layer_curves(tracking: Tracking, run: Run) -> dict[str, list[tuple[int, float]]]:
    return {name: curve(tracking, run, name) for name in run.data.metrics if name.startswith("layer/")}


def test_a_trial_has_the_numbers_of_its_layers_at_five_epochs_and_with_gradients_at_ten(
    wine: Dataset, tracking: Tracking
) -> None:
    trials = [planned(wine, hidden=[8, 4], epochs=20), planned(wine, hidden=[6, 3], epochs=3)]
    steps = {"8-4": [1, 3, 5, 7, 9, 11, 13, 15, 17, 20], "6-3": [1, 2, 3]}
    found = {}
    for watch, space in (("nothing", SPACE), ("layers", OTHER_SPACE), ("gradients", SPACE)):
        with search_run(tracking, wine, watch, space) as run:
            watching = assignment(wine, run, trials).model_copy(update={"watch": watch, "name": f"stack-{watch}"})
            train_assignment(watching)
        runs = [r for r in children(tracking, run) if r.data.tags[tags.STACK] == f"stack-{watch}"]
        found[watch] = {r.data.params["hidden"]: layer_curves(tracking, r) for r in runs}

    assert found["nothing"] == {"8-4": {}, "6-3": {}}
    norms = [f"layer/{layer}/{number}" for layer in (1, 2, 3) for number in ("weight_norm", "gradient_norm")]
    names = [*norms, "layer/1/dead_share", "layer/2/dead_share"]
    for hidden, layers in found["gradients"].items():
        epochs = {name: [step for step, _ in points] for name, points in layers.items()}
        assert epochs == dict.fromkeys(names, steps[hidden])
        unasked = found["layers"][hidden]
        assert set(unasked) == {name for name in names if "gradient" not in name}
        for name, points in unasked.items():
            assert [step for step, _ in points] == {"8-4": [1, 5, 10, 15, 20], "6-3": [1, 2, 3]}[hidden]
            assert {point for point in points if point[0] != 10} <= set(layers[name])


def test_a_stack_that_was_stopped_goes_on_from_there_in_the_same_runs(
    wine: Dataset, tracking: Tracking, monkeypatch: pytest.MonkeyPatch
) -> None:
    trials = [planned(wine, epochs=9), planned(wine, seed=1, epochs=3), planned(wine, seed=2, epochs=9, dropout=0.2)]
    with search_run(tracking, wine, "elsewhere", OTHER_SPACE) as undisturbed:
        train_assignment(assignment(wine, undisturbed, trials))
    with search_run(tracking, wine, "space", SPACE) as run:
        with monkeypatch.context() as context:
            stop_in_epoch(context, 5)
            with pytest.raises(StackStopped):
                train_assignment(assignment(wine, run, trials))
        stopped = children(tracking, run)
        epochs = epochs_trained(monkeypatch)
        train_assignment(assignment(wine, run, trials))

    assert [child.info.status for child in stopped] == ["KILLED", "FINISHED", "KILLED"]
    assert [child.info.run_id for child in children(tracking, run)] == [child.info.run_id for child in stopped]
    assert {child.info.status for child in children(tracking, run)} == {"FINISHED"}
    assert curves(tracking, run) == curves(tracking, undisturbed)
    assert epochs == [6, 7, 8, 9]


def test_a_stack_whose_search_has_an_heir_makes_no_run(wine: Dataset, tracking: Tracking) -> None:
    with search_run(tracking, wine, "space", SPACE) as run:
        LeaseFiles(wine.reference, run).take_over("second", print)

        with pytest.raises(StackStopped, match="the search was started again"):
            train_assignment(assignment(wine, run, [planned(wine)]))

        assert children(tracking, run) == []


def epochs_trained(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return a list that fills with the epochs that the core trains."""
    trained: list[int] = []
    epoch = Training.epoch

    def counted(self: Training, *given: Any, **named: Any) -> Any:
        report = epoch(self, *given, **named)
        trained.append(report.epoch)
        return report

    monkeypatch.setattr(Training, "epoch", counted)
    return trained


@pytest.mark.parametrize("widths", [[8, 8, 8, 8], [8, 4, 12, 4]], ids=["one width", "several widths"])
def test_the_pieces_of_a_stack_go_on_from_where_it_was_saved(
    wine: Dataset, tracking: Tracking, monkeypatch: pytest.MonkeyPatch, widths: list[int]
) -> None:
    trials = [planned(wine, hidden=[width], seed=seed, epochs=8) for seed, width in enumerate(widths)]
    with search_run(tracking, wine, "elsewhere", OTHER_SPACE) as undisturbed:
        train_assignment(assignment(wine, undisturbed, trials))
    with search_run(tracking, wine, "space", SPACE) as run:
        with monkeypatch.context() as context:
            stop_in_epoch(context, 5)
            with pytest.raises(StackStopped):
                train_assignment(assignment(wine, run, trials))
        epochs = epochs_trained(monkeypatch)
        for place in (0, 1):
            piece = assignment(wine, run, trials[place::2]).model_copy(
                update={"name": f"stack-0.{place}", "origins": ("stack-0",), "unfinished": unfinished_runs(run)}
            )
            train_assignment(piece)

    assert epochs == [6, 7, 8] * 2
    assert len(children(tracking, run)) == 4
    assert {child.info.status for child in children(tracking, run)} == {"FINISHED"}
    assert curves(tracking, run) == curves(tracking, undisturbed)


def test_a_stack_is_saved_as_often_as_asked_and_its_file_goes_with_its_end(
    wine: Dataset, tracking: Tracking, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved: list[str] = []
    save = SavedStacks.save
    monkeypatch.setattr(SavedStacks, "save", lambda self, name, *given: (saved.append(name), save(self, name, *given)))
    monkeypatch.setattr("flows.compute.stack_training.SAVE_SHARE", float("inf"))

    with search_run(tracking, wine, "space", SPACE) as run:
        often = assignment(wine, run, [planned(wine, epochs=4)]).model_copy(update={"checkpoint_seconds": 1e-9})
        train_assignment(often)
        train_assignment(assignment(wine, run, [planned(wine, seed=1, epochs=4)]).model_copy(update={"name": "seldom"}))

    assert saved == ["stack-0"] * 4
    assert SavedStacks(wine.reference, run).all() == []


def test_the_outcome_counts_what_the_stack_cost(wine: Dataset, tracking: Tracking) -> None:
    outcome, _ = train_on(wine, tracking, [planned(wine), planned(wine, seed=1)])

    assert outcome.trials == 2
    assert 0 < outcome.training_seconds < outcome.seconds
    # A Python process with NumPy and MLflow is somewhere between 50 MB and 20 GB: the unit is bytes.
    assert 50e6 < outcome.peak_bytes < 20e9


@pytest.mark.parametrize("task", ["classification", "regression"])
def test_samples_of_a_part_are_mapped_features_and_the_cores_targets(request: pytest.FixtureRequest, task: str) -> None:
    dataset: Dataset = request.getfixturevalue("wine" if task == "classification" else "diabetes")

    samples: Samples = samples_of(dataset.test, dataset)

    assert np.shares_memory(samples.x, dataset.test.features)
    expected: Callable[[], np.ndarray] = lambda: (  # noqa: E731 - one expression in two forms
        one_hot(np.asarray(dataset.test.target), 3) if task == "classification" else np.asarray(dataset.test.target)
    )
    np.testing.assert_array_equal(samples.y, expected())
