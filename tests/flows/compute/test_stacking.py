"""Packing loses no trial, mixes none that cannot share a stack, and leaves no worker idle."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from backprop import Architecture
from flows.compute.devices import DeviceFacts
from flows.compute.stacking import LEAST_PIECE, pack, trial_bytes
from flows.parameters import Hyperparameters
from flows.trials import PlannedTrial, trial_key

FACTS = DeviceFacts(stack_bytes=2**23, stack_trials=24)


def alike(trial: PlannedTrial) -> tuple[object, ...]:
    return trial.fold, trial.architecture, trial.hyperparameters.batch_size, trial.hyperparameters.optimizer


def planned(
    hidden: tuple[int, ...],
    batch_size: int,
    epochs: int,
    seed: int,
    inputs: int = 4,
    optimizer: str = "sgd",
    fold: int = 0,
) -> PlannedTrial:
    hyperparameters = Hyperparameters(
        hidden=hidden,
        activation="relu",
        optimizer=optimizer,
        learning_rate=0.1,
        batch_size=batch_size,
        epochs=epochs,
        seed=seed,
    )
    architecture = Architecture(inputs, hidden, 3)
    return PlannedTrial(
        key=trial_key("d", architecture, hyperparameters),
        hyperparameters=hyperparameters,
        architecture=architecture,
        fold=fold,
    )


trials = st.lists(
    st.builds(
        planned,
        hidden=st.sampled_from([(), (8,), (8, 4)]),
        batch_size=st.sampled_from([1, 32]),
        epochs=st.integers(1, 5),
        seed=st.integers(0, 20),
        optimizer=st.sampled_from(["sgd", "adam"]),
        fold=st.integers(0, 2),
    ),
    min_size=1,
    max_size=200,
)


@given(trials=trials, slots=st.integers(1, 9))
def test_every_trial_is_in_exactly_one_stack_with_its_like(trials: list[PlannedTrial], slots: int) -> None:
    stacks = pack(trials, slots, FACTS)

    assert Counter(t.key for stack in stacks for t in stack) == Counter(t.key for t in trials)
    assert all(len({alike(t) for t in stack}) == 1 for stack in stacks)
    assert max(map(len, stacks)) <= FACTS.stack_trials


@given(trials=trials, slots=st.integers(1, 9))
def test_the_longest_stack_is_first(trials: list[PlannedTrial], slots: int) -> None:
    work = [
        sum(t.architecture.parameter_count * t.hyperparameters.epochs for t in stack)
        for stack in pack(trials, slots, FACTS)
    ]

    assert work == sorted(work, reverse=True)


def test_one_group_is_cut_so_that_every_worker_has_a_stack() -> None:
    stacks = pack([planned((8,), 32, 5, seed) for seed in range(8)], slots=4, facts=FACTS)

    assert [len(stack) for stack in stacks] == [2, 2, 2, 2]


def test_stacks_shrink_toward_the_end_so_that_nobody_waits_long() -> None:
    facts = FACTS.model_copy(update={"stack_trials": 64})
    stacks = pack([planned((8,), 32, 5, seed) for seed in range(512)], slots=2, facts=facts)

    assert [len(stack) for stack in stacks] == [64] * 7 + [32, 16, 16]


def test_one_worker_waits_for_nobody() -> None:
    facts = FACTS.model_copy(update={"stack_trials": 64})
    stacks = pack([planned((8,), 32, 5, seed) for seed in range(128)], slots=1, facts=facts)

    assert [len(stack) for stack in stacks] == [64, 64]


@given(counts=st.lists(st.integers(1, 200), min_size=1, max_size=4), slots=st.integers(2, 9))
def test_no_large_stack_is_more_than_a_workers_share_of_what_is_left(counts: list[int], slots: int) -> None:
    facts = FACTS.model_copy(update={"stack_trials": 64})
    many = [planned((4 * place,), 32, 5, seed) for place, count in enumerate(counts, 1) for seed in range(count)]
    stacks = pack(many, slots, facts)
    work = [sum(t.architecture.parameter_count * t.hyperparameters.epochs for t in stack) for stack in stacks]

    assert sorted(t.key for stack in stacks for t in stack) == sorted(t.key for t in many)
    for place, stack in enumerate(stacks):
        assert len(stack) < 2 * LEAST_PIECE or work[place] * slots <= sum(work[place:])


def test_a_stack_of_large_networks_stays_within_its_bytes() -> None:
    stacks = pack([planned((256,), 32, 5, seed, inputs=1024) for seed in range(8)], slots=1, facts=FACTS)

    assert all(len(stack) * trial_bytes(stack[0]) <= FACTS.stack_bytes for stack in stacks)
    assert len(stacks) > 1


def test_a_network_larger_than_a_stack_may_be_still_trains() -> None:
    assert [len(stack) for stack in pack([planned((4096,), 32, 5, 0, inputs=4096)], slots=2, facts=FACTS)] == [1]


def test_an_optimiser_with_memories_makes_a_trial_larger() -> None:
    sgd, adam = (trial_bytes(planned((8,), 32, 5, 0, optimizer=name)) for name in ("sgd", "adam"))

    assert sgd < adam
    assert sgd >= 2 * 4 * planned((8,), 32, 5, 0).architecture.parameter_count
