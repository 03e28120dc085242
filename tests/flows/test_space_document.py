"""A space's file is read, or refused with the line and the remedy; an editor is told the same as JSON Schema."""

import json
from pathlib import Path

import pytest
import yaml

from flows.errors import SpaceError
from flows.space_document import parse_space, space_schema
from flows.spaces import bundled_spaces, expand, load_space

GRID = "grid:\n  hidden: [[8]]\n  learning_rate: [0.1]\n"
RANDOM = "random:\n  count: 3\n  hidden: [8]\n"
TRIALS = "trials:\n  - {hidden: [8], learning_rate: 0.1}\n  - hidden: [4]\n    learning_rate: 0.1\n"
OPTUNA = "optuna:\n  count: 20\n  hidden: [8]\n  learning_rate: {uniform: [0.1, 1]}\n"

FAULTS = [
    # text, line, what
    (GRID + "stop: {rule: halvin}\n", 4, "stop.rule is 'halvin'; use one of halving, hyperband, median"),
    (GRID + "stop: {factor: 3}\n", 4, "stop has no rule; use one of halving, hyperband, median"),
    (
        GRID + "stop:\n  rule: halving\n  facto: 3\n",
        6,
        "stop.facto is unknown: did you mean 'factor'? use rule,",
    ),
    (GRID + "stop:\n  rule: median\n  factor: 3\n", 6, "stop.factor is unknown: use rule, after"),
    (GRID + "stop: {rule: hyperband, factor: 1}\n", 4, "stop.factor is 1, which is out of range; use at least 2"),
    (GRID + "stop: {rule: median, after: 0}\n", 4, "stop.after is 0, which is out of range; use at least 1"),
    (GRID + "stop: {rule: halving}\nfolds: 3\n", 1, "a configuration with folds is judged by all of its trials: leave"),
    (GRID + "folds: 1\n", 4, "folds is 1, which is out of range; use at least 2"),
    (GRID + "seeds: 0\n", 4, "seeds is 0, which is out of range; use at least 1"),
    (GRID + "  hiden: [[8]]\n", 4, "grid.hiden is unknown: did you mean 'hidden'? use hidden, activation,"),
    ("\n" + GRID.replace("grid", "grids"), 2, "grids is unknown: did you mean 'grid'? use grid, random, trials"),
    (RANDOM + "  learning_rat: 0.1\n", 4, "random.learning_rat is unknown: did you mean 'learning_rate'?"),
    (TRIALS + "    epoch: 3\n", 5, "trials[1].epoch is unknown: did you mean 'epochs'?"),
    (RANDOM + "  learning_rate: {unifrm: [0, 1]}\n", 4, "random.learning_rate.unifrm is unknown: did you mean 'unifor"),
    (
        RANDOM + "  learning_rate: 0.1\n  epochs: {uniform: [1, 9]}\n",
        5,
        "random.epochs.uniform is unknown: use choice,",
    ),
    (GRID + "  activation: [rleu]\n", 4, "grid.activation[0]: activation 'rleu' is unknown: did you mean 'relu'?"),
    (GRID + "  optimizer:\n    - sgd\n    - adm\n", 6, "grid.optimizer[1]: optimizer 'adm' is unknown: did you mean"),
    (GRID + "  epochs: [many]\n", 4, "grid.epochs[0] is many and has to be a whole number; correct it"),
    (GRID + "  epochs: [1.5]\n", 4, "grid.epochs[0] is 1.5 and has to be a whole number; correct it"),
    (GRID + "  l2: [x]\n", 4, "grid.l2[0] is x and has to be a number; correct it"),
    (GRID + "  l2: [inf]\n", 4, "grid.l2[0] is inf and has to be a finite number; correct it"),
    (GRID + "  activation: [[relu]]\n", 4, "grid.activation[0] is a list and has to be a name; correct it"),
    (GRID + "  l2: 0.1\n", 4, "grid.l2 is 0.1 and has to be a list; write [0.1]"),
    (GRID.replace("[[8]]", "[8]"), 2, "grid.hidden[0] is 8 and has to be a list; write [8]"),
    (
        GRID + "  l2: {uniform: [0, 1]}\n",
        4,
        "grid.l2 is a mapping and has to be a list; give the values: distributions",
    ),
    (
        RANDOM + "  learning_rate: [0.1, 1]\n",
        4,
        "random.learning_rate is a list and has to be a number; give one value,",
    ),
    (
        TRIALS + "    epochs: [3, 4]\n",
        5,
        "trials[1].epochs is a list and has to be a whole number; give one value: lists",
    ),
    (GRID + "  dropout: [0.1, 1]\n", 4, "grid.dropout[1] is 1, which is out of range; use less than 1"),
    (GRID + "  batch_size: [0]\n", 4, "grid.batch_size[0] is 0, which is out of range; use at least 1"),
    (GRID.replace("0.1", "-0.1"), 3, "grid.learning_rate[0] is -0.1, which is out of range; use more than 0"),
    (GRID.replace("[[8]]", "[[8, 2000000]]"), 2, "grid.hidden[0][1] is 2000000, which is out of range; use at most"),
    (RANDOM.replace("3", "0") + "  learning_rate: 1\n", 2, "random.count is 0, which is out of range; use at least 1"),
    (RANDOM + "  learning_rate: {uniform: [0, 1]}\n", 4, "random.learning_rate.uniform[0] is 0, which is out of range"),
    (GRID + "  l2: []\n", 4, "grid.l2 is an empty list, so the space has no trials; give it at least one value"),
    ("trials: []\n", 1, "trials is an empty list, so the space has no trials"),
    (RANDOM + "  learning_rate: {choice: []}\n", 4, "random.learning_rate.choice is an empty list"),
    (
        RANDOM + "  learning_rate: {uniform: [1, 1]}\n",
        4,
        "random.learning_rate.uniform: [1, 1] is an empty range; give",
    ),
    (
        RANDOM + "  learning_rate: 1\n  epochs: {integer: [9, 3]}\n",
        5,
        "random.epochs.integer: [9, 3] is an empty range",
    ),
    (
        RANDOM + "  learning_rate: {uniform: [1]}\n",
        4,
        "uniform is a list and has to be a range; give it two ends, [a, b]",
    ),
    (
        RANDOM + "  learning_rate: {uniform: [1, 2, 3]}\n",
        4,
        "uniform is a list and has to be a range; give it two ends",
    ),
    (RANDOM + "  learning_rate: {uniform: 3}\n", 4, "uniform is 3 and has to be a range; give it two ends, [a, b]"),
    (
        RANDOM + "  learning_rate: 1\n  l2: {log_uniform: [0, 1]}\n",
        5,
        "random.l2.log_uniform: begins at 0, which has no",
    ),
    (RANDOM + "  learning_rate: {}\n", 4, "random.learning_rate: 0 distributions are given; give one: choice,"),
    (GRID + "  hidden: [[4]]\n", 4, "grid.hidden is there twice; remove one"),
    (GRID + GRID, 4, "grid is there twice; remove one"),
    (GRID + "  ? [l2]\n  : [1]\n", 4, "grid has a key that is no name; give it a name"),
    ("grid: [1, 2]\n", 1, "grid is a list and has to be a mapping; write `name: value` below it"),
    ("trials:\n  - 3\n", 2, "trials[0] is 3 and has to be a mapping"),
    ("trials: {hidden: [8]}\n", 1, "trials is a mapping and has to be a list; begin every item with `- `"),
    ("- 1\n", 1, "the space holds no mapping; start it with `grid:`, `random:`, `trials:` or `optuna:`"),
    (
        TRIALS + "    momentum: 0.9\n",
        5,
        "trials[1].momentum: the optimizer sgd has no momentum; remove it, or use mome",
    ),
    (
        TRIALS + "    optimizer: adam\n    weight_decay: 0.1\n",
        6,
        "the optimizer adam has no weight_decay; remove it, or",
    ),
    (GRID + "  optimizer: [sgd, adam]\n  momentum: [0.5]\n", 5, "grid.momentum: the optimizers sgd, adam have no mome"),
    (RANDOM + "  learning_rate: 1\n  momentum: {uniform: [0, 0.9]}\n", 5, "random.momentum: the optimizer sgd has no"),
    (RANDOM + "  learning_rate: 1\n  momentum: 1\n  optimizer: nesterov\n", 5, "random.momentum is 1, which is out of"),
    ("grid:\n\thidden: [[8]]\n", 2, "not valid YAML: a tab where a line is indented; indent with spaces"),
    ("grid: {hidden: [[8]\n", 2, "not valid YAML: expected ',' or ']', but got '<stream end>'; correct it"),
    ("grid: *other\n", 1, "not valid YAML: found undefined alias 'other'; correct it"),
    ("grid: {}\n---\ngrid: {}\n", 2, "not valid YAML: expected a single document in the stream but found another"),
    ("grid:\n  l2: \a\n", 2, "not valid YAML: special characters are not allowed; remove the character"),
    ("grid: &all\n  hidden: *all\n", 1, "grid.hidden contains itself; write it out"),
    ("", 1, "the space holds no mapping; start it with"),
    ("# nothing but a comment\n", 1, "the space holds no mapping; start it with"),
    ("{}\n", 1, "the space has no trials; start it with `grid:`, `random:`, `trials:` or `optuna:`"),
    (GRID + "random:\n", 4, "random has no value; give it one, or remove it"),
    (GRID + "  l2: [0.1, ~]\n", 4, "grid.l2[1] has no value; give it one, or remove it"),
    ("grid:\n  hidden: [[8]]\n", 1, "grid.learning_rate is missing; give it a list of values"),
    (
        "trials:\n  - {hidden: [8], learning_rate: 1}\n  - {hidden: [8]}\n",
        3,
        "trials[1].learning_rate is missing; add it",
    ),
    ("random: {hidden: [8], learning_rate: 1}\n", 1, "random.count is missing; add it"),
    (OPTUNA + "  bach: 3\n", 5, "optuna.bach is unknown: did you mean 'batch'? use count,"),
    (OPTUNA + "  batch: 0\n", 5, "optuna.batch is 0, which is out of range; use at least 1"),
    (OPTUNA + "  epochs: [1, 2]\n", 5, "optuna.epochs is a list and has to be a whole number; give one value, or `{ch"),
    (OPTUNA + "  epochs: {uniform: [1, 9]}\n", 5, "optuna.epochs.uniform is unknown: use choice,"),
    (OPTUNA + "  momentum: 0.5\n", 5, "optuna.momentum: the optimizer sgd has no momentum; remove it, or"),
    (OPTUNA + "  batch: 20\n", 1, "optuna: all 20 trials would be drawn at random, since results count from batch 2"),
    (OPTUNA + "  startup: 17\n", 1, "all 20 trials would be drawn at random, since results count from batch 3 on"),
    (
        OPTUNA.replace("{uniform: [0.1, 1]}", "0.1"),
        1,
        "optuna: every hyperparameter has one value; give at least one",
    ),
    (OPTUNA + "stop: {rule: hyperband}\n", 1, "hyperband deals all trials into brackets before the first is trained"),
    (OPTUNA + "stop: {rule: halving}\nseeds: 2\n", 1, "a configuration with seeds is judged by all of its trials"),
]


@pytest.mark.parametrize(("text", "line", "said"), FAULTS, ids=[said for _, _, said in FAULTS])
def test_a_fault_is_one_line_with_file_line_and_remedy(text: str, line: int, said: str) -> None:
    with pytest.raises(SpaceError) as caught:
        parse_space(text, "space.yaml")

    message = str(caught.value)
    assert message.startswith(f"space.yaml:{line}: ")
    assert said in message
    assert "\n" not in message


def test_a_file_that_is_no_utf_8_is_refused_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "latin.yaml"
    path.write_bytes(GRID.encode() + "# für später\n".encode("latin-1"))

    with pytest.raises(SpaceError, match=r"latin\.yaml:4: not UTF-8 text; save the file as UTF-8"):
        load_space(str(path))


def test_numbers_may_be_written_as_people_write_them() -> None:
    trials = expand(parse_space("grid: {hidden: [[8]], learning_rate: [1e-3, 1.0e-3, .001], epochs: [20.0]}", "f"))

    assert [(t.learning_rate, t.epochs) for t in trials] == [(0.001, 20)]


def test_values_may_be_named_once_and_used_twice() -> None:
    text = "grid: {hidden: &widths [[8]], learning_rate: [0.1]}\nrandom: {count: 1, hidden: {choice: *widths}, "

    assert len(expand(parse_space(text + "learning_rate: 0.1}", "f"))) == 1


def test_the_schema_in_the_repository_is_that_of_the_models() -> None:
    written = next(iter(bundled_spaces().values())).with_name("space.schema.json")

    # `backprop space schema > deployments/spaces/space.schema.json` writes it.
    assert written.read_text(encoding="utf-8") == space_schema()


@pytest.mark.parametrize("path", bundled_spaces().values(), ids=list(bundled_spaces()))
def test_a_bundled_space_names_its_schema_for_editors(path: Path) -> None:
    first = path.read_text(encoding="utf-8").splitlines()[0]

    assert first == "# yaml-language-server: $schema=space.schema.json"
    assert (path.parent / first.partition("=")[2]).is_file()
    assert faults_by_schema(path.read_text(encoding="utf-8")) == []


def faults_by_schema(text: str) -> list[str]:
    """Return what an editor would mark, by the validator that Prefect brings."""
    jsonschema = pytest.importorskip("jsonschema")
    validator = jsonschema.Draft202012Validator(json.loads(space_schema()))
    return [error.message for error in validator.iter_errors(yaml.safe_load(text))]


@pytest.mark.parametrize(
    "text",
    [
        GRID,
        TRIALS + "    optimizer: momentum\n    momentum: 0.5\n",
        RANDOM
        + "  learning_rate: {log_uniform: [0.001, 1]}\n  optimizer: {choice: [sgd, adamw]}\n  weight_decay: 0.1\n",
        GRID + RANDOM + "  learning_rate: 0.1\n  epochs: {integer: [1, 9]}\n" + TRIALS,
        TRIALS + OPTUNA + "  batch: 5\n  startup: 5\n  optimizer: {choice: [sgd, adamw]}\n  weight_decay: 0.1\n",
    ],
)
def test_an_editor_marks_nothing_in_what_is_right(text: str) -> None:
    assert expand(parse_space(text, "f"))
    assert faults_by_schema(text) == []


@pytest.mark.parametrize(
    "text",
    [
        "{}",
        GRID + "  hiden: [[8]]\n",
        GRID + "  activation: [rleu]\n",
        GRID + "  dropout: [1]\n",
        GRID + "  l2: []\n",
        GRID + "  l2: [~]\n",
        GRID + "random:\n",
        RANDOM + "  learning_rate: {}\n",
        RANDOM + "  learning_rate: {uniform: [1, 2], choice: [1]}\n",
        RANDOM + "  learning_rate: {uniform: [1]}\n",
        TRIALS + "    momentum: 0.9\n",
        TRIALS + "    optimizer: adam\n    weight_decay: 0.1\n",
    ],
)
def test_an_editor_marks_what_is_refused(text: str) -> None:
    with pytest.raises(SpaceError):
        parse_space(text, "f")
    assert faults_by_schema(text)
