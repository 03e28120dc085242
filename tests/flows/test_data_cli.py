"""`backprop data` as a person meets it: real processes, their words and their exit codes."""

import json
import os
import pty
import shutil
import subprocess
from pathlib import Path

import pytest

from flows.data.catalogue import list_datasets
from flows.data.root import open_root
from flows.data.store import DatasetReference
from tests.flows.commands import BACKPROP, Forked, error_of
from tests.flows.data.writing import write, write_with_folds


@pytest.fixture
def data(forked: Forked) -> Forked:
    """`backprop data` in a directory."""
    return lambda directory, *arguments: forked(directory, "data", *arguments)


@pytest.fixture
def wine_and_diabetes(tmp_path: Path) -> tuple[DatasetReference, DatasetReference]:
    """Two datasets where the command looks for them."""
    return write(tmp_path / "datasets", "wine"), write(tmp_path / "datasets", "diabetes")


def test_datasets_are_listed_as_a_table_and_as_json(data, tmp_path, wine_and_diabetes):
    wine, diabetes = wine_and_diabetes
    shown = data(tmp_path, "list")
    assert shown.returncode == 0
    for expected in ("wine", wine.digest[:12], "classification of target", "178", "diabetes", "442"):
        assert expected in shown.stdout
    listed = json.loads(data(tmp_path, "list", "--json").stdout)
    assert [(entry["name"], entry["digest"]) for entry in listed] == [
        ("diabetes", diabetes.digest),
        ("wine", wine.digest),
    ]


def test_where_there_are_none_it_says_so(data, tmp_path):
    shown = data(tmp_path, "list", "--datasets", "elsewhere")
    assert (shown.returncode, shown.stdout.splitlines()) == (
        0,
        ["No datasets in elsewhere: `backprop train` writes them there."],
    )
    assert json.loads(data(tmp_path, "list", "--json").stdout) == []
    assert list(tmp_path.iterdir()) == []


def test_a_dataset_is_shown_by_name_or_digest(data, tmp_path, wine_and_diabetes):
    wine, _ = wine_and_diabetes
    shown = " ".join(data(tmp_path, "show", "wine").stdout.split())
    for expected in ("sklearn:wine", "125 train, 26 validation, 27 test", "alcohol", "double", "numeric", "random"):
        assert expected in shown
    facts = json.loads(data(tmp_path, "show", wine.digest[:8], "--json").stdout)
    assert (facts["path"], facts["rows"]["train"]) == (wine.path, 125)


def test_a_dataset_is_removed_when_it_is_said_so(data, tmp_path, wine_and_diabetes):
    wine, diabetes = wine_and_diabetes
    refused = data(tmp_path, "remove", "wine")
    assert refused.returncode == 2
    assert "add --yes" in error_of(refused.stderr)
    assert Path(wine.path).is_dir()
    removed = data(tmp_path, "remove", "wine", "--yes")
    assert (removed.returncode, removed.stdout.startswith(f"Removed wine ({wine.digest[:12]}, ")) == (0, True)
    assert not Path(wine.path).exists()
    assert Path(diabetes.path).is_dir()


def test_folds_are_a_line_below_their_dataset_and_go_with_it(data, tmp_path, wine_and_diabetes):
    _, diabetes = wine_and_diabetes
    root = open_root(tmp_path / "datasets")
    _, *folds = write_with_folds(tmp_path / "datasets", "wine", folds=3)
    shown = data(tmp_path, "list").stdout
    assert [line.split()[1:4] for line in shown.splitlines() if "folds" in line] == [["3", "folds", "│"]]
    assert not any(fold.digest[:12] in shown for fold in folds)
    facts = [entry.facts()["fold"] for entry in list_datasets(root)]
    assert [fold and fold["number"] for fold in facts] == [None, None, 1, 2, 3]
    assert f"fold 3 of 3: {folds[2].digest[:12]}" in " ".join(data(tmp_path, "show", "wine").stdout.split())
    removed = data(tmp_path, "remove", "wine", "--yes")
    assert removed.returncode == 0, removed.stderr
    assert " and its 3 folds (" in removed.stdout
    assert [entry.digest for entry in list_datasets(root)] == [diabetes.digest]


def test_folds_whose_dataset_somebody_deleted_are_told(data, tmp_path, wine_and_diabetes):
    wine, _ = wine_and_diabetes
    write_with_folds(tmp_path / "datasets", "wine", folds=2)
    shutil.rmtree(wine.path)
    assert f"wine {wine.digest[:12]} (gone): 2 folds" in " ".join(data(tmp_path, "list").stdout.split())


@pytest.mark.parametrize(("answer", "is_left"), [("y", False), ("n", True), ("", True)])
def test_in_a_terminal_it_is_asked_for(answer, is_left, tmp_path, wine_and_diabetes):
    wine, _ = wine_and_diabetes
    terminal, end = pty.openpty()
    process = subprocess.Popen([BACKPROP, "data", "remove", "wine"], cwd=tmp_path, stdin=end, stdout=end, stderr=end)
    os.close(end)
    os.write(terminal, f"{answer}\n".encode())
    assert process.wait(timeout=60) == 0
    os.close(terminal)
    assert Path(wine.path).exists() == is_left


@pytest.mark.parametrize("command", [["show"], ["remove", "--yes"]])
def test_what_names_none_or_more_than_one_is_refused(command, data, tmp_path, wine_and_diabetes):
    absent = data(tmp_path, *command, "wnie")
    assert absent.returncode == 2
    assert "no dataset is called 'wnie'" in error_of(absent.stderr)
    # Of sixteen digits, two beginnings are the same sooner or later: here they are made so.
    wine, diabetes = wine_and_diabetes
    same = wine.digest[:20] + diabetes.digest[20:]
    Path(diabetes.path).rename(Path(diabetes.path).with_name(same))
    several = data(tmp_path, *command, wine.digest[:20])
    assert several.returncode == 2
    assert "is not one dataset but 2" in error_of(several.stderr)
    assert len(json.loads(data(tmp_path, "list", "--json").stdout)) == 2
