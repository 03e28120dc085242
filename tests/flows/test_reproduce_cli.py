"""`backprop reproduce` as a person meets it: its words and its exit codes."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from flows.data.store import Dataset
from flows.tracking.search_runs import TrialRecord
from flows.tracking.store import Tracking
from tests.flows.commands import Forked, error_of
from tests.flows.conftest import winner_on


@pytest.fixture
def trial(wine: Dataset, tracking: Tracking, tmp_path: Path) -> TrialRecord:
    """A trial that was recorded where the command will run, with its dataset where the command looks for it."""
    shutil.copytree(wine.reference.path, tmp_path / "datasets" / wine.reference.digest)
    return winner_on(wine, tracking)


def test_a_trial_that_comes_out_the_same_is_said_to_be_identical(
    tmp_path: Path, trial: TrialRecord, forked: Forked
) -> None:
    ran = forked(tmp_path, "reproduce", trial.key[:10])

    assert (ran.returncode, ran.stderr) == (0, "")
    first, *others = ran.stdout.splitlines()
    assert first.startswith(
        f"Trial {trial.name} on wine (run {trial.run_id[:12]}, key {trial.key[:12]}), trained again"
    )
    assert others[0].startswith("Its weights are identical: every weight is the same to the bit (SHA-256 ")
    assert others[1] == "Its metrics are the same numbers in all 4 epochs."


def test_the_same_as_json(tmp_path: Path, trial: TrialRecord, forked: Forked) -> None:
    ran = forked(tmp_path, "reproduce", trial.run_id, "--json")

    assert (ran.returncode, ran.stderr) == (0, "")
    found = json.loads(ran.stdout)
    assert (found["verdict"], found["run_id"], found["trial_key"]) == ("identical", trial.run_id, trial.key)
    assert found["environment"].keys() == found["recorded_environment"].keys() >= {"numpy", "blas", "cpu", "threads"}


def test_a_trial_that_comes_out_otherwise_is_different_and_ends_with_1(
    tmp_path: Path, trial: TrialRecord, forked: Forked
) -> None:
    [features] = tmp_path.glob("datasets/*/train/features.npy")
    np.save(features, 0 * np.load(features))

    ran = forked(tmp_path, "reproduce", trial.run_id)

    assert (ran.returncode, ran.stderr) == (1, "")
    assert "Its weights are different: the largest difference is " in ran.stdout
    assert "Its metrics differ from epoch 1 on, by at most " in ran.stdout


@pytest.mark.usefixtures("trial")
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["abcdef0123"], "no run and no trial key begins with 'abcdef0123'"),
        (["models:/wine@champion"], "models:/wine@champion names no version of a model"),
        (["digits"], "'digits' is no run"),
    ],
)
def test_what_is_no_trial_ends_with_2_and_one_line(
    tmp_path: Path, forked: Forked, arguments: list[str], said: str
) -> None:
    ran = forked(tmp_path, "reproduce", *arguments)

    assert (ran.returncode, ran.stdout) == (2, "")
    assert said in error_of(ran.stderr)


def test_a_dataset_that_is_gone_ends_with_2(tmp_path: Path, trial: TrialRecord, forked: Forked) -> None:
    shutil.rmtree(tmp_path / "datasets")

    ran = forked(tmp_path, "reproduce", trial.run_id)

    assert ran.returncode == 2
    assert "which is not in datasets; the command that trained it ingests the same data again" in error_of(ran.stderr)


def test_where_nothing_was_recorded_nothing_is_made(tmp_path: Path, forked: Forked) -> None:
    ran = forked(tmp_path, "reproduce", "abcdef")

    assert ran.returncode == 2
    assert "no run was recorded at sqlite:///" in error_of(ran.stderr)
    assert list(tmp_path.iterdir()) == []
