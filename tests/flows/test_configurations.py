"""Folds and seeds of a space, and what they ask for.

Seeds repeat a configuration: as many trials, which differ in nothing but the seed.
"""

from pathlib import Path

import pytest

from flows.configurations import configurations
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
