"""A space file gives exactly the trials it says, or one line that names what is wrong in it."""

from pathlib import Path

import pytest

from flows.errors import SpaceError
from flows.spaces import bundled_spaces, expand, load_space


def write(directory: Path, text: str) -> str:
    path = directory / "space.yaml"
    path.write_text(text)
    return str(path)


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
    ("text", "said"),
    [
        ("grid: {hiden: [[8]], learning_rate: [0.1]}", "grid.hiden is unknown: did you mean 'hidden'?"),
        ("grids: {hidden: [[8]]}", "grids is unknown: did you mean 'grid'?"),
        ("grid: {hidden: [[8]], learning_rate: [fast]}", "grid.learning_rate[0]"),
        ("grid: {hidden: [[8]], learning_rate: [-0.1]}", "grid.learning_rate[0]"),
        ("grid: {hidden: [[8]], learning_rate: [.inf]}", "grid.learning_rate[0]"),
        ("grid: {hidden: [[0]], learning_rate: [0.1]}", "grid.hidden[0][0]"),
        ("grid: {hidden: [8], learning_rate: [0.1]}", "grid.hidden[0]"),
        ("grid: {hidden: [[8]], learning_rate: [0.1], activation: [rleu]}", "did you mean 'relu'?"),
        ("grid: {hidden: [[8]], learning_rate: [0.1], optimizer: [adm]}", "did you mean 'adam'?"),
        ("grid: {hidden: [[8]], learning_rate: [0.1], dropout: [1]}", "grid.dropout[0]"),
        ("grid: {hidden: [[8]], learning_rate: [0.1], l2: [-1]}", "grid.l2[0]"),
        ("grid: {hidden: [[8]], learning_rate: [0.1], batch_size: [0]}", "grid.batch_size[0]"),
        ("grid: {hidden: [[8]], learning_rate: [0.1], epochs: [1.5]}", "grid.epochs[0]"),
        ("grid: {hidden: [[8]]}", "grid.learning_rate"),
        ("grid: {hidden: [[8]], learning_rate: [0.1]}\nstop: {rule: halvin}", "'halving', 'hyperband', 'median'"),
        (
            "grid: {hidden: [[8]], learning_rate: [0.1]}\nstop: {rule: halving, facto: 3}",
            "stop.halving.facto is unknown: did you mean 'factor'? use rule, factor, first",
        ),
        ("grid: {hidden: [[8]], learning_rate: [0.1]}\nstop: {rule: hyperband, factor: 1}", "stop.hyperband.factor"),
        ("grid: {hidden: [[8]], learning_rate: [0.1]}\nstop: {rule: median, after: 0}", "stop.median.after"),
        ("grid: [1, 2]", "grid"),
        ("- 1", "holds no mapping"),
        ("", "holds no mapping"),
        ("grid: {hidden: [[8]", "not valid YAML"),
    ],
)
def test_a_wrong_space_is_one_line_that_names_file_and_field(tmp_path: Path, text: str, said: str) -> None:
    path = write(tmp_path, text)

    with pytest.raises(SpaceError) as caught:
        load_space(path)

    message = str(caught.value)
    assert path in message
    assert said in message
    assert "\n" not in message


def test_a_grid_of_no_trials_names_the_empty_list(tmp_path: Path) -> None:
    space = load_space(write(tmp_path, "grid: {hidden: [[8]], learning_rate: []}"))

    with pytest.raises(SpaceError, match=r"no trials: grid\.learning_rate is an empty list"):
        expand(space)


def test_an_unknown_bundled_name_suggests_the_nearest() -> None:
    with pytest.raises(SpaceError, match="did you mean 'quick'"):
        load_space("quik")
