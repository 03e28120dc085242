"""Folds and seeds of a space, and what they ask for.

Seeds repeat a configuration: as many trials, which differ in nothing but the seed.
"""

import sys
from pathlib import Path

import pytest

from flows.configurations import check_before_data, configurations, rounds
from flows.errors import SpaceError
from flows.parameters import Space
from flows.spaces import expand, load_space
from flows.trials import configuration_key


def space(seeds: int, **grid: object) -> Space:
    return Space.model_validate({"grid": {"hidden": [[8]], "learning_rate": [0.1, 0.2], **grid}, "seeds": seeds})


def test_each_configuration_has_its_own_seed_and_the_next() -> None:
    found = configurations(space(3, seed=[5]))

    assert [[trial.seed for trial in seeded] for seeded in found] == [[5, 6, 7], [5, 6, 7]]
    assert [[trial.learning_rate for trial in seeded] for seeded in found] == [[0.1] * 3, [0.2] * 3]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("folds: 1", "space.yaml:2: folds is 1, which is out of range; use at least 2"),
        ("folds: 101", "space.yaml:2: folds is 101, which is out of range; use at most 100"),
        ("seeds: 0", "space.yaml:2: seeds is 0, which is out of range; use at least 1"),
        ("fold: 3", "fold is unknown: did you mean 'folds'?"),
    ],
)
def test_folds_and_seeds_that_cannot_be_are_one_line(text: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "space.yaml").write_text("grid: {hidden: [[8]], learning_rate: [0.1]}\n" + text)

    with pytest.raises(SpaceError) as raised:
        load_space(str(tmp_path / "space.yaml"))

    assert said in str(raised.value)
    assert "\n" not in str(raised.value)


def test_without_seeds_every_trial_is_a_configuration() -> None:
    asked = space(1, seed=[0, 1])

    assert [trial for (trial,) in configurations(asked)] == expand(asked)


def test_trials_of_a_configuration_share_a_name_that_others_have_not() -> None:
    first, second = configurations(space(2))

    keys = [{configuration_key(trial) for trial in seeded} for seeded in (first, second)]
    assert [len(found) for found in keys] == [1, 1]
    assert keys[0] != keys[1]


def test_seeds_of_what_lists_seeds_are_refused_in_a_line_that_says_what_to_do() -> None:
    with pytest.raises(
        SpaceError, match=r"^seeds: 2 repeats every configuration, .* give grid\.seed one value"
    ) as raised:
        configurations(space(2, seed=[0, 1]))
    assert "\n" not in str(raised.value)


OPTUNA = {
    "count": 7,
    "batch": 3,
    "startup": 3,
    "hidden": [8],
    "learning_rate": {"uniform": [0.1, 1]},
}
LISTED = {"hidden": [4], "learning_rate": 0.1}


def test_what_optuna_asked_for_comes_after_what_the_space_lists_and_once() -> None:
    asked = Space.model_validate({"optuna": OPTUNA, "trials": [LISTED], "seeds": 2})
    [listed] = expand(asked)
    other = listed.model_copy(update={"learning_rate": 0.3})

    found = configurations(asked, [other, listed, other])

    assert [own for own, _ in found] == [listed, other]
    assert [seeded.seed for _, seeded in found] == [1, 1]


def test_listed_seeds_that_optuna_may_ask_for_too_are_refused() -> None:
    asked = Space.model_validate({"optuna": OPTUNA, "trials": [{**LISTED, "seed": 1}], "seeds": 2})

    with pytest.raises(SpaceError, match=r"seeds: 2 repeats .* the space lists some with another seed"):
        configurations(asked)


def test_draws_stand_for_what_optuna_will_ask_for_batch_by_batch() -> None:
    asked = Space.model_validate({"optuna": OPTUNA, "trials": [LISTED], "seeds": 2})

    found = rounds(asked)

    assert [len(together) for together in found] == [1 + 3, 3, 1]
    assert len({seeded for together in found for seeds in together for seeded in seeds}) == 2 * 8
    assert rounds(space(2)) == [configurations(space(2))]


def test_a_space_for_optuna_is_refused_before_data_is_read_where_it_is_not_installed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = Space.model_validate({"optuna": OPTUNA})
    check_before_data(asked)
    monkeypatch.setitem(sys.modules, "optuna", None)

    with pytest.raises(SpaceError, match=r"pip install 'backprop\[optuna\]'"):
        check_before_data(asked)
    check_before_data(space(1))
