"""`backprop space` as a person meets it: real processes, their words and their exit codes."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from flows.data.sources import open_source
from flows.space_document import space_schema
from flows.spaces import expand, load_space
from flows.trials import plan_trial
from tests.flows.commands import BACKPROP, error_of
from tests.flows.conftest import written

MIXED = """
random:
  count: 25
  hidden: {choice: [[8], [4, 4]]}
  optimizer: {choice: [sgd, momentum]}
  learning_rate: {log_uniform: [0.01, 0.1]}
  momentum: {uniform: [0.5, 0.9]}
trials:
  - {hidden: [], learning_rate: 0.1, epochs: 3}
"""


def space(directory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "COLUMNS": "120"}
    command = [BACKPROP, "space", *arguments]
    return subprocess.run(command, cwd=directory, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture
def mixed(tmp_path: Path) -> Path:
    path = tmp_path / "mixed.yaml"
    path.write_text(MIXED)
    return path


@pytest.mark.usefixtures("mixed")
def test_the_trials_are_shown_and_what_is_missing_for_more(tmp_path: Path) -> None:
    shown = space(tmp_path, "show", "mixed.yaml")

    assert shown.returncode == 0, shown.stderr
    lines = shown.stdout.splitlines()
    assert lines[0] == "Space mixed.yaml: 26 trials"
    assert "6 trials more; --all shows all." in lines
    assert "All of them: activation relu, batch_size 32, seed 0, l2 0, dropout 0" in lines
    assert lines[-1] == "Stacks, time and memory depend on the data: name it with --data."
    assert [line.split()[1] for line in lines if line.startswith("│")] == [str(place) for place in range(1, 21)]


@pytest.mark.usefixtures("mixed")
def test_all_trials_are_shown_when_they_are_asked_for(tmp_path: Path) -> None:
    shown = space(tmp_path, "show", "mixed.yaml", "--all").stdout

    assert "│ 26 │ linear │" in shown
    assert "more" not in shown


def test_a_space_of_one_trial_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "one.yaml").write_text("trials: [{hidden: [8], learning_rate: 0.1, optimizer: nesterov}]")

    assert "one trial, hidden 8, activation relu, optimizer nesterov, learning_rate 0.1," in (
        space(tmp_path, "show", "one.yaml").stdout
    )


@pytest.mark.usefixtures("mixed")
def test_with_data_stacks_time_and_memory_are_shown_and_nothing_is_written(tmp_path: Path) -> None:
    before = set(tmp_path.iterdir())

    shown = space(tmp_path, "show", "mixed.yaml", "--data", "wine", "--workers", "3")

    assert shown.returncode == 0, shown.stderr
    words = " ".join(shown.stdout.split())
    for expected in (
        "On wine (read now: it was not ingested like this yet): classification, 13 inputs, 3 outputs, 125 rows",
        "13-4-4-3 relu",
        "of training on 3 workers, measured on a few minibatches of each kind of stack",
        "for the stacks that train at a time",
    ):
        assert expected in words
    assert set(tmp_path.iterdir()) == before


def test_as_json_it_is_the_search_that_would_be_trained(tmp_path: Path, mixed: Path) -> None:
    dataset = written(open_source("wine"), tmp_path / "datasets")
    trials = expand(load_space(str(mixed)))

    shown = json.loads(space(tmp_path, "show", "mixed.yaml", "--data", "wine", "--json").stdout)

    assert [trial["key"] for trial in shown["trials"]] == [plan_trial(dataset, trial).key for trial in trials]
    assert shown["count"] == sum(stack["trials"] for stack in shown["estimate"]["stacks"]) == 26
    assert shown["dataset"]["digest"] == dataset.reference.digest
    assert shown["estimate"]["seconds"] > 0
    assert all(("momentum" in trial) == (trial["optimizer"] == "momentum") for trial in shown["trials"])


def test_without_data_json_has_the_trials_alone(tmp_path: Path) -> None:
    shown = json.loads(space(tmp_path, "show", "quick", "--json").stdout)

    assert set(shown) == {"space", "count", "trials"}
    assert (shown["count"], shown["trials"][0]["hidden"]) == (24, [64])


def test_of_trials_that_optuna_will_ask_for_their_number_and_an_estimate_are_shown(tmp_path: Path) -> None:
    (tmp_path / "tpe.yaml").write_text(
        "optuna: {count: 20, batch: 8, hidden: {choice: [[8], [4, 4]]}, learning_rate: {log_uniform: [0.01, 1]}}\n"
    )

    shown = space(tmp_path, "show", "tpe.yaml", "--data", "wine", "--workers", "1")

    assert shown.returncode == 0, shown.stderr
    words = " ".join(shown.stdout.split())
    for expected in (
        "Space tpe.yaml: Optuna asks for 20 trials, in 3 batches of at most 8: 16 at random, the others by what",
        "learning_rate │ log_uniform │ 0.01 to 1",
        "hidden │ choice │ 8, 4-4",
        "All of them: activation relu, optimizer sgd, batch_size 32, epochs 20, seed 0, l2 0, dropout 0",
        "stacks, time and memory are of as many random draws from the same distributions.",
    ):
        assert expected in words

    told = json.loads(space(tmp_path, "show", "tpe.yaml", "--data", "wine", "--workers", "1", "--json").stdout)
    assert (told["count"], told["trials"]) == (20, [])
    assert (told["optuna"]["batches"], told["optuna"]["at_random"], told["optuna"]["batch"]) == (3, 16, 8)
    assert sum(stack["trials"] for stack in told["estimate"]["stacks"]) == 20
    # One worker trains what each batch comes to, and no stack spans two.
    assert told["estimate"]["seconds"] == pytest.approx(sum(one["seconds"] for one in told["estimate"]["stacks"]))


def test_the_schema_is_printed_as_an_editor_takes_it(tmp_path: Path) -> None:
    assert space(tmp_path, "schema").stdout == space_schema()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["quik"], "did you mean 'quick'"),
        (["wrong.yaml"], "wrong.yaml:2: grid.hiden is unknown: did you mean 'hidden'"),
        (["quick", "--target", "y"], "--target says what is in the data, and there is none; name it with --data"),
        (["quick", "--data", "digit"], "did you mean digits"),
        (["quick", "--data", "digits", "--device", "gpu"], "this machine cannot train on device 'gpu'"),
        (["quick", "--data", "digits", "--workers", "0"], "compute.workers: "),
        (["quick", "--data", "digits", "--datasets", "gopher://hole"], "gopher://hole: "),
    ],
)
def test_bad_usage_is_one_line(tmp_path: Path, arguments: list[str], said: str) -> None:
    (tmp_path / "wrong.yaml").write_text("grid:\n  hiden: [[8]]\n")
    before = set(tmp_path.iterdir())

    refused = space(tmp_path, "show", *arguments)

    assert refused.returncode == 2
    assert said in error_of(refused.stderr)
    assert set(tmp_path.iterdir()) == before
