"""A trial's key is its identity: whatever could change the result changes it, and nothing else does."""

from dataclasses import replace

import pytest

from backprop import Architecture
from flows.parameters import Hyperparameters
from flows.trials import describe, trial_key, varying_names

ARCHITECTURE = Architecture(4, (8,), 3)
HYPERPARAMETERS = Hyperparameters(hidden=(8,), activation="relu", learning_rate=0.1, batch_size=32, epochs=5, seed=0)


def test_the_key_is_stable_between_machines_and_releases() -> None:
    # A change of this value retrains every trial of every user: it must be meant, and CORE_VERSION says so.
    assert (
        trial_key("d" * 64, ARCHITECTURE, HYPERPARAMETERS)
        == "1ea8100afd80cb6eea665d1ddd4b6da025c898302ce6b9eafb017bc81f95e9ad"
    )


@pytest.mark.parametrize(
    "change",
    [
        {"learning_rate": 0.2},
        {"batch_size": 16},
        {"epochs": 6},
        {"seed": 1},
        {"activation": "tanh"},
        {"hidden": (9,)},
        {"optimizer": "adam"},
        {"optimizer": "momentum", "momentum": 0.5},
        {"optimizer": "adamw", "weight_decay": 0.5},
        {"l2": 0.1},
        {"dropout": 0.1},
    ],
)
def test_every_hyperparameter_is_part_of_the_key(change: dict[str, object]) -> None:
    other = HYPERPARAMETERS.model_copy(update=change)

    assert trial_key("d", ARCHITECTURE, other) != trial_key("d", ARCHITECTURE, HYPERPARAMETERS)


@pytest.mark.parametrize(("optimizer", "numbers"), [("momentum", {"momentum": 0.9}), ("adamw", {"weight_decay": 0.01})])
def test_a_number_that_is_what_it_would_be_anyway_changes_no_key(optimizer: str, numbers: dict[str, float]) -> None:
    # A trial of an earlier release, which had no such number, is found finished by whoever names it now.
    plain = Hyperparameters.model_validate({**HYPERPARAMETERS.model_dump(), "optimizer": optimizer})
    named = Hyperparameters.model_validate({**plain.model_dump(), **numbers})

    assert trial_key("d", ARCHITECTURE, named) == trial_key("d", ARCHITECTURE, plain)
    assert named.optimizer_numbers == numbers


def test_data_and_architecture_are_part_of_the_key() -> None:
    key = trial_key("d", ARCHITECTURE, HYPERPARAMETERS)

    assert trial_key("e", ARCHITECTURE, HYPERPARAMETERS) != key
    assert trial_key("d", replace(ARCHITECTURE, loss="mse"), HYPERPARAMETERS) != key


def test_a_core_that_gives_other_numbers_gives_other_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    key = trial_key("d", ARCHITECTURE, HYPERPARAMETERS)
    monkeypatch.setattr("flows.trials.CORE_VERSION", "next")

    assert trial_key("d", ARCHITECTURE, HYPERPARAMETERS) != key


def test_a_trial_is_named_by_what_differs_from_its_siblings() -> None:
    trials = [HYPERPARAMETERS, HYPERPARAMETERS.model_copy(update={"learning_rate": 0.03, "hidden": (64, 32)})]

    assert describe(trials[1], varying_names(trials)) == "lr=0.03 · 64-32"


def test_a_number_is_named_where_it_varies_and_its_optimizer_has_it() -> None:
    heavy = [
        Hyperparameters.model_validate({**HYPERPARAMETERS.model_dump(), "optimizer": "momentum", "momentum": momentum})
        for momentum in (0.5, 0.9)
    ]
    varying = varying_names([HYPERPARAMETERS, *heavy])

    assert [describe(trial, varying) for trial in (HYPERPARAMETERS, *heavy)] == [
        "sgd",
        "momentum · momentum=0.5",
        "momentum · momentum=0.9",
    ]


def test_a_single_trial_has_a_name_too() -> None:
    assert describe(HYPERPARAMETERS, varying_names([HYPERPARAMETERS])) == "lr=0.1 · 8 · relu"
