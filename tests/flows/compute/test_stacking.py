"""Packing loses no trial, mixes none that cannot share a stack, and leaves no worker idle."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backprop import Architecture
from flows.compute.devices import DeviceFacts
from flows.compute.estimate import makespan
from flows.compute.paces import Paces, family_of, kind_of
from flows.compute.stacking import LEAST_PIECE, LEAST_SECONDS, MOST_APART, families, pack, trial_bytes
from flows.parameters import Hyperparameters
from flows.trials import PlannedTrial, trial_key

FACTS = DeviceFacts(stack_bytes=2**23, stack_trials=24, in_turn=True)
UNMEASURED = Paces()


def alike(trial: PlannedTrial) -> tuple[object, ...]:
    """Return what the trials of a stack have in common: all but their widths, on a CPU."""
    return trial.fold, family_of(kind_of(trial))


def planned(
    hidden: tuple[int, ...],
    batch_size: int,
    epochs: int,
    seed: int,
    inputs: int = 4,
    optimizer: str = "sgd",
    fold: int = 0,
    activation: str = "relu",
) -> PlannedTrial:
    hyperparameters = Hyperparameters(
        hidden=hidden,
        activation=activation,
        optimizer=optimizer,
        learning_rate=0.1,
        batch_size=batch_size,
        epochs=epochs,
        seed=seed,
    )
    architecture = Architecture(inputs, hidden, 3, activation)
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
    stacks = pack(trials, slots, FACTS, UNMEASURED)

    assert Counter(t.key for stack in stacks for t in stack) == Counter(t.key for t in trials)
    assert all(len({alike(t) for t in stack}) == 1 for stack in stacks)
    assert max(map(len, stacks)) <= FACTS.stack_trials


@given(trials=trials, slots=st.integers(1, 9))
def test_the_longest_stack_is_first(trials: list[PlannedTrial], slots: int) -> None:
    work = [
        sum(t.architecture.parameter_count * t.hyperparameters.epochs for t in stack)
        for stack in pack(trials, slots, FACTS, UNMEASURED)
    ]

    assert work == sorted(work, reverse=True)


def test_one_group_is_cut_so_that_every_worker_has_a_stack() -> None:
    stacks = pack([planned((8,), 32, 5, seed) for seed in range(8)], slots=4, facts=FACTS, paces=UNMEASURED)

    assert [len(stack) for stack in stacks] == [2, 2, 2, 2]


def test_stacks_shrink_toward_the_end_so_that_nobody_waits_long() -> None:
    facts = FACTS.model_copy(update={"stack_trials": 64})
    stacks = pack([planned((8,), 32, 5, seed) for seed in range(512)], slots=2, facts=facts, paces=UNMEASURED)

    assert [len(stack) for stack in stacks] == [64] * 7 + [32, 16, 16]


def test_one_worker_waits_for_nobody() -> None:
    facts = FACTS.model_copy(update={"stack_trials": 64})
    stacks = pack([planned((8,), 32, 5, seed) for seed in range(128)], slots=1, facts=facts, paces=UNMEASURED)

    assert [len(stack) for stack in stacks] == [64, 64]


@given(counts=st.lists(st.integers(1, 200), min_size=1, max_size=4), slots=st.integers(2, 9))
def test_no_large_stack_is_more_than_a_workers_share_of_what_is_left(counts: list[int], slots: int) -> None:
    facts = FACTS.model_copy(update={"stack_trials": 64})
    many = [planned((4 * place,), 32, 5, seed) for place, count in enumerate(counts, 1) for seed in range(count)]
    stacks = pack(many, slots, facts, UNMEASURED)
    work = [sum(t.architecture.parameter_count * t.hyperparameters.epochs for t in stack) for stack in stacks]

    assert sorted(t.key for stack in stacks for t in stack) == sorted(t.key for t in many)
    for place, stack in enumerate(stacks):
        assert len(stack) < 2 * LEAST_PIECE or work[place] * slots <= sum(work[place:])


def test_a_stack_of_large_networks_stays_within_its_bytes() -> None:
    stacks = pack(
        [planned((256,), 32, 5, seed, inputs=1024) for seed in range(8)], slots=1, facts=FACTS, paces=UNMEASURED
    )

    assert all(len(stack) * trial_bytes(stack) <= FACTS.stack_bytes for stack in stacks)
    assert len(stacks) > 1


def test_a_network_larger_than_a_stack_may_be_still_trains() -> None:
    assert [
        len(stack) for stack in pack([planned((4096,), 32, 5, 0, inputs=4096)], slots=2, facts=FACTS, paces=UNMEASURED)
    ] == [1]


def test_an_optimiser_with_memories_makes_a_trial_larger() -> None:
    sgd, adam = (trial_bytes([planned((8,), 32, 5, 0, optimizer=name)]) for name in ("sgd", "adam"))

    assert sgd < adam
    assert sgd >= 2 * 4 * planned((8,), 32, 5, 0).architecture.parameter_count


def paced(*kinds: tuple[PlannedTrial, float]) -> Paces:
    """Return so many seconds an epoch for the kinds of some trials."""
    return Paces(measured=tuple((kind_of(trial), seconds) for trial, seconds in kinds))


def seconds(stacks: list[list[PlannedTrial]], paces: Paces) -> list[float]:
    return [sum(paces.work(trial) for trial in stack) for stack in stacks]


def test_seconds_that_were_measured_decide_and_multiplications_do_not() -> None:
    wide = [planned((64,), 256, 10, seed) for seed in range(6)]
    online = [planned((4,), 1, 10, seed) for seed in range(6)]
    paces = paced((wide[0], 0.01), (online[0], 0.05))

    stacks = pack([*wide, *online], 2, FACTS, paces)

    assert [(kind_of(stack[0]).batch_size, len(stack)) for stack in stacks] == [(1, 3), (1, 3), (256, 6)]
    assert [len(stack) for stack in pack([*wide, *online], 2, FACTS, UNMEASURED)] == [3, 3, 6]
    assert pack([*wide, *online], 2, FACTS, UNMEASURED)[0][0].hyperparameters.batch_size == 256


@given(
    kinds=st.lists(st.tuples(st.integers(1, 60), st.floats(1e-3, 10)), min_size=1, max_size=4),
    epochs=st.lists(st.integers(1, 50), min_size=1, max_size=3),
    slots=st.integers(1, 9),
)
def test_workers_wait_for_no_stack_that_could_be_shorter(
    kinds: list[tuple[int, float]], epochs: list[int], slots: int
) -> None:
    groups = [
        [planned((4 * place,), 32, epochs[seed % len(epochs)], seed) for seed in range(count)]
        for place, (count, _) in enumerate(kinds, 1)
    ]
    paces = paced(*((group[0], pace) for group, (_, pace) in zip(groups, kinds, strict=True)))
    many = [trial for group in groups for trial in group]

    stacks = pack(many, slots, FACTS, paces)

    taken = seconds(stacks, paces)
    assert sorted(t.key for stack in stacks for t in stack) == sorted(t.key for t in many)
    assert all(len({alike(t) for t in stack}) == 1 for stack in stacks)
    assert taken == sorted(taken, reverse=True)
    assert max(map(len, stacks)) <= FACTS.stack_trials
    for place, stack in enumerate(stacks):
        # The others are waited for, or it is one trial, or too short for another hand-out.
        assert len(stack) == 1 or taken[place] < 2 * LEAST_SECONDS or taken[place] * slots <= sum(taken[place:]) * 1.001


def test_few_long_trials_are_spread_where_many_short_ones_would_hide_them() -> None:
    slow, quick = [planned((64,), 1, 10, seed) for seed in range(7)], [planned((8,), 32, 10, s) for s in range(96)]
    paces = paced((slow[0], 1.0), (quick[0], 0.01))

    stacks = pack([*slow, *quick], 2, FACTS, paces)

    assert [len(stack) for stack in stacks if stack[0].architecture.hidden == (64,)] == [3, 2, 1, 1]
    assert makespan(seconds(stacks, paces), 2) <= 1.05 * (7 * 10 + 96 * 0.1) / 2


def test_on_a_gpu_a_stack_of_few_trials_is_not_halved_for_it_takes_as_long_as_one_of_many() -> None:
    gpu = DeviceFacts(stack_bytes=2**30, stack_trials=512, in_turn=False)
    trials = [planned((8,), 32, 100, seed) for seed in range(3)] + [planned((16,), 32, 100, s) for s in range(20)]
    paces = paced((trials[0], 0.01), (trials[-1], 1.0))

    assert [len(stack) for stack in pack(trials, 1, gpu, paces)] == [20, 3]


@given(most=st.floats(0.5, 100))
def test_no_stack_takes_longer_than_is_asked_for(most: float) -> None:
    trials = [planned((8,), 32, 1 + seed % 7, seed) for seed in range(60)]
    paces = paced((trials[0], 0.4))

    stacks = pack(trials, 1, FACTS, paces, most_seconds=most)

    longest = max(paces.work(trial) for trial in trials)
    assert max(seconds(stacks, paces)) <= most + longest
    assert sum(map(len, stacks)) == 60


def test_without_seconds_none_can_be_kept_to() -> None:
    trials = [planned((8,), 32, 5, seed) for seed in range(20)]

    assert [len(stack) for stack in pack(trials, 1, FACTS, UNMEASURED, most_seconds=1e-3)] == [20]


def test_what_is_trained_beside_is_a_share_of_the_work_and_begins_when_its_turn_is() -> None:
    trials = [planned((8,), 32, 10, seed) for seed in range(16)]
    paces = paced((trials[0], 0.1))

    # Alone, each of two workers takes half; beside a stack as long as all of them, one takes the 16.
    assert [len(stack) for stack in pack(trials, 2, FACTS, paces)] == [8, 8]
    assert [len(stack) for stack in pack(trials, 2, FACTS, paces, beside=[16.0])] == [16]
    assert [len(stack) for stack in pack(trials, 2, FACTS, paces, beside=[1.0])] == [8, 8]


def test_nothing_is_packed_into_no_stacks() -> None:
    assert pack([], 2, FACTS, UNMEASURED, beside=[1.0]) == []


def hidden(stacks: list[list[PlannedTrial]]) -> list[list[tuple[int, ...]]]:
    return [sorted({trial.architecture.hidden for trial in stack}) for stack in stacks]


def test_widths_with_few_trials_share_a_stack_and_those_with_many_have_their_own() -> None:
    few = [planned((width,), 32, 5, seed) for width in (8, 12, 16) for seed in range(3)]
    many = [planned((10,), 32, 5, seed) for seed in range(20)]

    assert sorted(hidden(pack([*few, *many], 1, FACTS, UNMEASURED))) == [[(8,), (12,), (16,)], [(10,)]]


def test_widths_whose_trials_are_long_have_stacks_of_their_own() -> None:
    trials = [planned((width,), 32, 10, seed) for width in (8, 12, 16) for seed in range(3)]
    paces = paced((trials[0], 0.01), (trials[3], 0.01), (trials[6], LEAST_SECONDS))

    assert hidden(pack(trials, 1, FACTS, paces)) == [[(16,)], [(8,), (12,)]]


def test_a_stack_of_several_widths_is_cut_into_pieces_of_equal_work() -> None:
    trials = [planned((width,), 32, 10, 0) for width in (4, 5, 6, 7, 22)]

    assert hidden(pack(trials, 2, FACTS, UNMEASURED)) == [[(4,), (5,), (6,), (7,)], [(22,)]]


@pytest.mark.parametrize(
    ("other", "why"),
    [
        (planned((12,), 16, 5, 0), "batch size"),
        (planned((12,), 32, 5, 0, optimizer="adam"), "optimiser"),
        (planned((12,), 32, 5, 0, fold=1), "fold"),
        (planned((12, 4), 32, 5, 0), "depth"),
        (planned((12,), 32, 5, 0, activation="tanh"), "activation"),
        (planned((8 * MOST_APART + 8,), 32, 5, 0), "how far the widths are apart"),
    ],
)
def test_what_differs_in_more_than_widths_shares_no_stack(other: PlannedTrial, why: str) -> None:
    assert len(pack([planned((8,), 32, 5, 0), other], 1, FACTS, UNMEASURED)) == 2, why


def test_softmax_layers_of_several_widths_are_not_padded() -> None:
    trials = [planned((width,), 32, 5, 0, activation="softmax") for width in (8, 12)]

    assert len(pack(trials, 1, FACTS, UNMEASURED)) == 2
    assert families(trials, FACTS, UNMEASURED) == {}


def test_on_a_gpu_widths_are_padded_only_if_the_workers_measured_that_it_pays() -> None:
    gpu = DeviceFacts(stack_bytes=2**30, stack_trials=512, in_turn=False)
    trials = [planned((width,), 32, 5, seed) for width in (8, 12) for seed in range(3)]
    paces = paced((trials[0], 0.1), (trials[3], 0.1))

    [(family, mates)] = families(trials, gpu, paces).items()

    assert mates == trials
    assert hidden(pack(trials, 1, gpu, paces)) == [[(8,)], [(12,)]]
    assert hidden(pack(trials, 1, gpu, paces.model_copy(update={"padded": (family,)}))) == [[(8,), (12,)]]


def test_a_stack_of_several_widths_stays_within_its_bytes() -> None:
    facts = FACTS.model_copy(update={"stack_bytes": 6 * trial_bytes([planned((64,), 32, 5, 0)])})
    trials = [planned((width,), 32, 5, seed) for width in (16, 64) for seed in range(5)]

    stacks = pack(trials, 1, facts, UNMEASURED)

    assert all(len(stack) * trial_bytes(stack) <= facts.stack_bytes for stack in stacks)
    assert len(stacks) > 1
