"""Whatever can be trained can be probed, on a few minibatches and in a small part of the time of its training."""

import numpy as np
import pytest

from backprop import Samples, one_hot, select_backend
from flows.compute import probe
from flows.compute.probe import DatasetRows, NoiseRows, is_worth_it, seconds_an_epoch
from flows.data.preparation import Task
from flows.data.shape import DatasetShape
from flows.parameters import Hyperparameters
from flows.trials import PlannedTrial, plan_trial_on

CPU = select_backend("cpu")


def shape(task: Task = "classification", train: int = 90, validation: int = 20, outputs: int = 3) -> DatasetShape:
    rows = {"train": train, "validation": validation, "test": 20}
    return DatasetShape(name="d", digest="d", task=task, inputs=4, outputs=outputs, item_bytes=4, rows=rows)


def planned(on: DatasetShape, **changes: object) -> PlannedTrial:
    chosen = {"hidden": (8,), "learning_rate": 0.1, "batch_size": 16, **changes}
    return plan_trial_on(on, Hyperparameters.model_validate(chosen))


@pytest.mark.parametrize("task", ["classification", "regression", "multilabel"])
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"hidden": ()},
        {"batch_size": 1},
        {"batch_size": 100_000},
        {"optimizer": "momentum", "momentum": 0.5},
        {"optimizer": "adamw", "dropout": 0.5, "l2": 0.1},
        # What makes a training diverge at once makes none of its probe.
        {"learning_rate": 1e30},
    ],
)
def test_whatever_can_be_trained_can_be_probed(task: Task, changes: dict[str, object]) -> None:
    on = shape(task)

    assert 0 < seconds_an_epoch([planned(on, **changes)], NoiseRows(on), CPU, budget_seconds=0) < float("inf")


@pytest.mark.parametrize(("train", "validation"), [(1, 1), (7, 3), (1000, 1)])
def test_few_rows_are_enough(train: int, validation: int) -> None:
    on = shape(train=train, validation=validation)

    assert seconds_an_epoch([planned(on)], NoiseRows(on), CPU, budget_seconds=0.05) > 0


@pytest.fixture
def timed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The sizes of the probes, each of which is taken to last a second a row."""
    sizes: list[int] = []

    def second_a_row(_trials: object, _rows: object, size: int, _backend: object) -> float:
        sizes.append(size)
        return float(size)

    monkeypatch.setattr(probe, "_time_epoch", second_a_row)
    return sizes


def test_a_probe_grows_while_there_is_time(timed: list[int]) -> None:
    on = shape(train=100_000)

    assert seconds_an_epoch([planned(on)], NoiseRows(on), CPU, budget_seconds=3000) == 100_000
    assert timed == [64, 64, 64, 256, 256, 1024, 1024]


def test_a_probe_takes_no_more_than_a_small_part_of_what_is_planned(timed: list[int]) -> None:
    on = shape(train=100_000)

    # A twentieth of an epoch is 5,000 rows: twice 4,096 do not fit.
    assert seconds_an_epoch([planned(on)], NoiseRows(on), CPU, budget_seconds=1e9, planned_epochs=1) == 100_000
    assert timed == [64, 64, 64, 256, 256, 1024, 1024]


def test_the_rows_of_a_dataset_are_its_first() -> None:
    x = np.arange(40, dtype="float32").reshape(10, 4)
    y = one_hot(np.zeros(10, int), 2)
    rows = DatasetRows("classification", Samples(x, y, shift=3, scale=2), Samples(x[:5], y[:5]))

    training, validation = rows.take(4)

    np.testing.assert_array_equal(training.x, x[:4])
    assert (rows.count, len(validation), training.shift, training.scale) == (10, 2, 3, 2)
    assert np.shares_memory(training.x, x)


def test_only_several_kinds_that_train_for_long_are_worth_a_probe() -> None:
    on = shape()
    many = [planned(on, hidden=[width], epochs=500, seed=seed) for width in (8, 16) for seed in range(5)]

    assert is_worth_it(many, rows=1000)
    assert not is_worth_it(many[:5], rows=1000)
    assert not is_worth_it([planned(on, hidden=[width], epochs=2) for width in (8, 16)], rows=1000)
