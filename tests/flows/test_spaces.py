"""A space gives exactly the trials it says, each once, and the same on every machine."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flows.errors import SpaceError
from flows.parameters import Grid, Hyperparameters, RandomTrials, Space
from flows.spaces import bundled_spaces, expand, load_space
from flows.trials import canonical_digest

# On a busy machine models take longer to be made than Hypothesis allows.
unhurried = settings(deadline=None)


def write(directory: Path, text: str) -> str:
    path = directory / "space.yaml"
    path.write_text(text)
    return str(path)


def space_of(**forms: object) -> Space:
    return Space.model_validate(forms)


def drawn(**fields: object) -> list[Hyperparameters]:
    return expand(space_of(random={"count": 50, "hidden": [8], "learning_rate": 0.1, **fields}))


def test_the_product_of_the_lists_is_expanded_in_the_order_of_the_file(tmp_path: Path) -> None:
    space = load_space(write(tmp_path, "grid: {hidden: [[8], [4, 2]], learning_rate: [0.1, 0.2], seed: [3]}"))

    trials = expand(space)

    assert [(t.hidden, t.learning_rate, t.seed) for t in trials] == [
        ((8,), 0.1, 3),
        ((8,), 0.2, 3),
        ((4, 2), 0.1, 3),
        ((4, 2), 0.2, 3),
    ]


def test_a_value_given_twice_is_trained_once(tmp_path: Path) -> None:
    space = load_space(write(tmp_path, "grid: {hidden: [[8], [8]], learning_rate: [0.1, 0.10]}"))

    assert len(expand(space)) == 1


def test_an_empty_list_of_widths_is_a_linear_model(tmp_path: Path) -> None:
    assert expand(load_space(write(tmp_path, "grid: {hidden: [[]], learning_rate: [0.1]}")))[0].hidden == ()


@pytest.mark.parametrize("name", sorted(bundled_spaces()))
def test_every_bundled_space_has_trials(name: str) -> None:
    assert expand(load_space(name))


def test_the_default_space_has_at_least_24_trials() -> None:
    assert len(expand(load_space("quick"))) >= 24


@pytest.mark.parametrize(
    ("name", "digest"),
    [
        ("quick", "931735cb3db2faced9b324d9255fbb6dfefb4adee4c844cbab938da0c394cf85"),
        ("regression", "ad7ac042ce60c16b0433be02ec456bab6e6771ff8d7128538389d733c51b522a"),
    ],
)
def test_a_grid_is_the_search_that_it_was_before_there_were_other_forms(name: str, digest: str) -> None:
    # As `search_run` names a search: of another digest nobody would find the run of an earlier release.
    assert canonical_digest(["d", load_space(name).asked()]) == digest


def test_an_unknown_bundled_name_suggests_the_nearest() -> None:
    with pytest.raises(SpaceError, match="did you mean 'quick'"):
        load_space("quik")


def test_a_trial_that_is_named_has_the_defaults_of_a_grid() -> None:
    named = expand(space_of(trials=[{"hidden": [8], "learning_rate": 0.1}]))

    assert named == expand(space_of(grid={"hidden": [[8]], "learning_rate": [0.1]}))


def test_forms_are_united_in_the_order_of_the_file_each_trial_once(tmp_path: Path) -> None:
    text = """
trials:
  - {hidden: [4], learning_rate: 0.3}
  - {hidden: [8], learning_rate: 0.2}
random: {count: 2, hidden: [2], learning_rate: 0.1}
grid: {hidden: [[8]], learning_rate: [0.1, 0.2]}
"""
    trials = expand(load_space(write(tmp_path, text)))

    assert [(t.hidden, t.learning_rate) for t in trials] == [((4,), 0.3), ((8,), 0.2), ((2,), 0.1), ((8,), 0.1)]


def test_a_number_of_an_optimizer_multiplies_its_own_trials_only() -> None:
    grid = {
        "hidden": [[8]],
        "learning_rate": [0.1],
        "optimizer": ["sgd", "momentum", "adamw"],
        "momentum": [0.5, 0.9],
        "weight_decay": [0.1, 0.2, 0.3],
    }

    trials = expand(space_of(grid=grid))

    assert [(t.optimizer, t.optimizer_numbers) for t in trials] == [
        ("sgd", {}),
        ("momentum", {"momentum": 0.5}),
        ("momentum", {"momentum": 0.9}),
        ("adamw", {"weight_decay": 0.1}),
        ("adamw", {"weight_decay": 0.2}),
        ("adamw", {"weight_decay": 0.3}),
    ]


@unhurried
@given(
    optimizers=st.lists(st.sampled_from(["sgd", "momentum", "nesterov", "adam", "adamw"]), min_size=1, unique=True),
    momenta=st.lists(st.sampled_from([0.0, 0.5, 0.9, 0.99]), min_size=1, unique=True),
)
def test_a_product_collapses_where_a_number_does_not_apply(optimizers: list[str], momenta: list[float]) -> None:
    heavy = {"momentum", "nesterov"} & set(optimizers)
    numbers = {"momentum": momenta} if heavy else {}

    trials = expand(space_of(grid={"hidden": [[8]], "learning_rate": [0.1], "optimizer": optimizers, **numbers}))

    assert len(trials) == len(set(trials)) == len(heavy) * len(momenta) + len(optimizers) - len(heavy)


def test_a_number_that_its_optimizer_has_anyway_makes_no_other_trial() -> None:
    plain = {"hidden": [8], "learning_rate": 0.1, "optimizer": "momentum"}

    assert len(expand(space_of(trials=[plain, {**plain, "momentum": 0.9}, {**plain, "momentum": 0.8}]))) == 2


@unhurried
@given(seed=st.integers(0, 2**70), count=st.integers(1, 20))
def test_the_same_seed_draws_the_same_trials_and_a_larger_count_adds_to_them(seed: int, count: int) -> None:
    fields = {"seed": seed, "hidden": {"choice": [[8], [4]]}, "learning_rate": {"log_uniform": [1e-5, 1]}}

    trials = drawn(**fields, count=count)

    assert trials == drawn(**fields, count=count)
    assert drawn(**fields, count=count + 5)[: len(trials)] == trials


def test_what_a_seed_draws_is_the_same_in_every_release() -> None:
    # Another value would train every random search anew: nothing on the way from seed to trial may change.
    trials = drawn(
        seed=7,
        count=3,
        hidden={"choice": [[8], [4, 2]]},
        learning_rate={"log_uniform": [1e-4, 1]},
        epochs={"integer": [1, 100]},
        optimizer={"choice": ["sgd", "momentum"]},
        momentum={"uniform": [0.5, 0.99]},
    )

    assert [(t.hidden, t.learning_rate, t.epochs, t.optimizer_numbers) for t in trials] == [
        ((4, 2), 0.0002102, 81, {"momentum": 0.853616}),
        ((4, 2), 0.00411183, 25, {"momentum": 0.84274}),
        ((4, 2), 0.0169421, 71, {"momentum": 0.64536}),
    ]


def test_another_seed_draws_other_trials() -> None:
    rates = {"learning_rate": {"uniform": [0.1, 0.2]}}

    assert not set(drawn(seed=0, **rates)) & set(drawn(seed=1, **rates))


def test_another_range_of_one_hyperparameter_changes_no_other() -> None:
    before = drawn(learning_rate={"uniform": [0.1, 0.2]}, dropout={"uniform": [0, 0.5]})
    after = drawn(learning_rate={"uniform": [0.1, 0.2]}, dropout={"uniform": [0, 0.1]}, epochs={"integer": [1, 9]})

    assert [t.learning_rate for t in before] == [t.learning_rate for t in after]


def test_draws_of_different_hyperparameters_have_nothing_to_do_with_each_other() -> None:
    trials = drawn(count=2000, learning_rate={"uniform": [0.1, 0.9]}, dropout={"uniform": [0.1, 0.9]})

    low = [t.dropout < 0.5 for t in trials if t.learning_rate < 0.5]
    # Half of them, to five standard deviations of a binomial.
    assert abs(sum(low) / len(low) - 0.5) < 5 * 0.5 / len(low) ** 0.5


def test_draws_that_are_equal_are_trained_once() -> None:
    assert len(drawn(count=50, hidden={"choice": [[8], [4]]}, batch_size={"choice": [16, 32]})) == 4


def test_a_number_is_drawn_for_the_optimizers_that_have_it() -> None:
    trials = drawn(optimizer={"choice": ["sgd", "nesterov"]}, momentum={"uniform": [0.1, 0.2]})

    assert {t.optimizer for t in trials} == {"sgd", "nesterov"}
    assert all((t.momentum is None) == (t.optimizer == "sgd") for t in trials)
    # As without a momentum, all draws of sgd are one trial.
    assert sum(t.optimizer == "sgd" for t in trials) == 1


def test_every_form_can_say_every_hyperparameter() -> None:
    # All that a trial has but its own seed can be drawn, and all of it can be in a grid.
    assert set(Grid.model_fields) == set(Hyperparameters.model_fields)
    assert set(RandomTrials.model_fields) == {*Hyperparameters.model_fields, "count"}


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_a_number_without_an_optimizer_that_has_it_is_refused(optimizer: str) -> None:
    with pytest.raises(ValueError, match=f"the optimizer {optimizer} has no momentum"):
        Hyperparameters(hidden=(8,), learning_rate=0.1, optimizer=optimizer, momentum=0.5)
