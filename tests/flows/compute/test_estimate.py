"""What a search will cost is put together from what was measured, whatever is trained."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backprop import select_backend
from flows.compute.estimate import (
    SearchEstimate,
    StackEstimate,
    estimate_search,
    makespan,
    one_after_another,
    paces_here,
)
from flows.compute.stacking import trial_bytes
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


def test_rounds_wait_for_each_other() -> None:
    on = planned(shape())
    stacks = [
        StackEstimate(
            architecture=on.architecture,
            widths=1,
            batch_size=1,
            optimizer="sgd",
            trials=1,
            epochs=1,
            seconds=seconds,
            memory_bytes=1,
        )
        for seconds in (3, 2, 2, 1)
    ]
    whole = SearchEstimate(stacks=tuple(stacks), slots=2, seconds=4, memory_bytes=2, samples_bytes=1)

    assert one_after_another(whole, [4]).seconds == 4
    assert one_after_another(whole, [1, 3]).seconds == 3 + 3


def test_stacks_cost_what_their_trials_and_epochs_do() -> None:
    on = shape()
    short = [planned(on, seed=seed, epochs=5) for seed in range(3)]
    long = [planned(on, seed=seed, epochs=10) for seed in range(6)]
    other = [planned(on, hidden=[16, 16], optimizer="adam", epochs=2)]

    paces = paces_here([*long, *short, *other], on, CPU, 8)
    estimate = estimate_search([long, short, other], on, 2, paces)

    first, second, third = estimate.stacks
    assert first.seconds == pytest.approx(4 * second.seconds)
    assert [(stack.trials, stack.epochs, stack.optimizer) for stack in estimate.stacks] == [
        (6, 10, "sgd"),
        (3, 5, "sgd"),
        (1, 2, "adam"),
    ]
    assert third.architecture.hidden == (16, 16)
    assert [stack.memory_bytes for stack in estimate.stacks] == [
        6 * trial_bytes(long),
        3 * trial_bytes(short),
        trial_bytes(other),
    ]
    assert estimate.memory_bytes == sum(sorted(stack.memory_bytes for stack in estimate.stacks)[-2:])
    assert estimate.samples_bytes == (90 + 20) * 4 * 4
    assert estimate.seconds == makespan([stack.seconds for stack in estimate.stacks], 2)
