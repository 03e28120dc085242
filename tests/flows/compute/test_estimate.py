"""What a search will cost is put together from what was measured, whatever is trained."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backprop import select_backend
from flows.compute.devices import DeviceFacts
from flows.compute.estimate import estimate_search, makespan, seconds_an_epoch
from flows.compute.stacking import pack, trial_bytes
from flows.data.preparation import Task
from flows.data.shape import DatasetShape
from flows.parameters import Hyperparameters
from flows.trials import PlannedTrial, plan_trial_on

FACTS = DeviceFacts(stack_bytes=2**30, stack_trials=8)
CPU = select_backend("cpu")


def shape(task: Task = "classification", train: int = 90, validation: int = 20, outputs: int = 3) -> DatasetShape:
    rows = {"train": train, "validation": validation, "test": 20}
    return DatasetShape(name="d", digest="d", task=task, inputs=4, outputs=outputs, item_bytes=4, rows=rows)


def planned(on: DatasetShape, **changes: object) -> PlannedTrial:
    chosen = {"hidden": (8,), "learning_rate": 0.1, "batch_size": 16, **changes}
    return plan_trial_on(on, Hyperparameters.model_validate(chosen))


@given(seconds=st.lists(st.floats(0, 1e6), min_size=1), slots=st.integers(1, 9))
def test_jobs_take_as_long_as_the_longest_and_as_all_of_them_shared_out_evenly(
    seconds: list[float], slots: int
) -> None:
    taken = makespan(seconds, slots)

    assert max(max(seconds), sum(seconds) / slots) <= taken * (1 + 1e-9)
    assert taken <= sum(seconds) * (1 + 1e-9)


def test_a_job_begins_when_the_first_slot_is_free() -> None:
    assert makespan([3, 2, 2, 1], 2) == 4
    assert makespan([3, 2, 2], 1) == 7


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

    assert 0 < seconds_an_epoch([planned(on, **changes)], on, CPU, budget_seconds=0) < float("inf")


@pytest.mark.parametrize(("train", "validation"), [(1, 1), (7, 3), (1000, 1)])
def test_few_rows_are_enough(train: int, validation: int) -> None:
    on = shape(train=train, validation=validation)

    assert seconds_an_epoch([planned(on)], on, CPU, budget_seconds=0.05) > 0


def test_stacks_cost_what_their_trials_and_epochs_do() -> None:
    on = shape()
    short = [planned(on, seed=seed, epochs=5) for seed in range(3)]
    long = [planned(on, seed=seed, epochs=10) for seed in range(6)]
    other = [planned(on, hidden=[16, 16], optimizer="adam", epochs=2)]

    estimate = estimate_search([long, short, other], on, 2, CPU)

    first, second, third = estimate.stacks
    assert first.seconds == pytest.approx(4 * second.seconds)
    assert [(stack.trials, stack.epochs, stack.optimizer) for stack in estimate.stacks] == [
        (6, 10, "sgd"),
        (3, 5, "sgd"),
        (1, 2, "adam"),
    ]
    assert third.architecture.hidden == (16, 16)
    assert [stack.memory_bytes for stack in estimate.stacks] == [
        6 * trial_bytes(long[0]),
        3 * trial_bytes(short[0]),
        trial_bytes(other[0]),
    ]
    assert estimate.memory_bytes == sum(sorted(stack.memory_bytes for stack in estimate.stacks)[-2:])
    assert estimate.samples_bytes == (90 + 20) * 4 * 4
    assert estimate.seconds == makespan([stack.seconds for stack in estimate.stacks], 2)


def test_the_stacks_are_those_that_are_packed() -> None:
    on = shape()
    trials = [planned(on, seed=seed, optimizer=name, epochs=1) for seed in range(20) for name in ("sgd", "adam")]

    estimate = estimate_search(pack(trials, 2, FACTS), on, 2, CPU)

    assert sum(stack.trials for stack in estimate.stacks) == 40
    assert max(stack.trials for stack in estimate.stacks) <= FACTS.stack_trials
