"""The command line as a person meets it: real processes, their words and their exit codes."""

import subprocess
import sys
from pathlib import Path

import httpx
import pytest
import typer

from flows.cli.exits import Exits
from tests.flows.commands import Forked, error_of

BACKPROP = Path(sys.executable).with_name("backprop")


def backprop(directory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([BACKPROP, *arguments], cwd=directory, capture_output=True, text=True, check=False)


def test_help_shows_what_to_start_with_and_the_exit_codes(tmp_path: Path) -> None:
    shown = backprop(tmp_path, "--help")

    assert shown.returncode == 0
    assert "backprop train" in shown.stdout
    assert "Exit codes" in shown.stdout


def test_help_of_train_names_every_bundled_space(tmp_path: Path) -> None:
    shown = backprop(tmp_path, "train", "--help").stdout

    assert all(name in shown for name in ("quick", "fashion-mnist", "regression"))


def test_the_version_is_that_of_the_package(tmp_path: Path) -> None:
    import backprop as package

    assert backprop(tmp_path, "--version").stdout.strip() == f"backprop {package.__version__}"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--data", "missing.csv", "--target", "y"], "missing.csv: no such file"),
        (["--data", "empty.csv", "--target", "y"], "empty.csv: the file is empty"),
        (["--data", "table.csv"], "--target COLUMN"),
        (["--data", "table.csv", "--target", "z"], "no column 'z'"),
        (["--data", "table.csv", "--target", "a:b:y"], "no column 'a:b:y'"),
        (["--data", "digit"], "did you mean digits"),
        (["--data", "idx:nowhere"], "idx:nowhere: no such directory"),
        (["--space", "quik"], "did you mean 'quick'"),
        (["--space", "misspelt.yaml"], "misspelt.yaml:1: grid.hiden is unknown: did you mean 'hidden'"),
        (["--space", "none.yaml"], "none.yaml:1: grid.learning_rate is an empty list, so the space has no trials"),
        (["--task", "clustering"], "task: "),
        (["--workers", "0"], "compute.workers: "),
        (["--workers", "many"], "Invalid value for '--workers'"),
        (["--worker-memory", "lots"], "compute.worker_memory: "),
        (["--split-seed", "-1"], "split.seed: "),
        (["--validation", "0.6", "--test", "0.6"], "must sum to less than 1"),
        (["--split-by", "group"], "a split by group needs a column"),
        (["--split-by", "folds"], "split.by: "),
        (
            ["--data", "table.csv", "--target", "y", "--split-by", "time", "--split-column", "t"],
            "no column 't' to split",
        ),
        (["--data", "table.csv", "--target", "y", "--preparation", "misspelt.yaml"], "misspelt.yaml: line 1: "),
        (["--datasets", "gopher://hole"], "gopher://hole: "),
        (["--device", "tpu"], "compute.device: "),
        (["--no-such-option"], "No such option"),
    ],
)
def test_bad_usage_is_told_before_anything_starts(
    tmp_path: Path, forked: Forked, arguments: list[str], said: str
) -> None:
    (tmp_path / "empty.csv").touch()
    (tmp_path / "table.csv").write_text("x,y\n1,2\n")
    (tmp_path / "misspelt.yaml").write_text("grid: {hiden: [[8]], learning_rate: [0.1]}")
    (tmp_path / "none.yaml").write_text("grid: {hidden: [[8]], learning_rate: []}")
    before = set(tmp_path.iterdir())

    refused = forked(tmp_path, "train", *arguments)

    assert refused.returncode == 2
    assert said in " ".join(refused.stderr.split())
    assert "Traceback" not in refused.stderr
    if "error:" in refused.stderr:
        assert len(refused.stderr.strip().splitlines()) == 1
    assert set(tmp_path.iterdir()) == before


@pytest.mark.slow
def test_a_table_that_cannot_be_trained_on_is_one_line_and_leaves_nothing(tmp_path: Path) -> None:
    rows = "\n".join(f"{row},{row % 5},{'' if row == 7 else row % 2}" for row in range(40))
    (tmp_path / "gaps.csv").write_text(f"a,b,label\n{rows}\n")

    refused = backprop(tmp_path, "train", "--data", "gaps.csv", "--target", "label")

    assert refused.returncode == 2
    told = "gaps.csv: target 'label' has 1 missing value, the first at line 9; fill it in or remove the row"
    assert error_of(refused.stderr) == f"error: {told}"
    assert not (tmp_path / "datasets").exists()


def test_a_prefect_server_that_is_gone_is_named_with_what_is_kept(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit) as ended, Exits(verbose=False):
        raise httpx.ConnectError("[Errno 111] Connection refused")

    assert ended.value.exit_code == 1
    said = "Prefect's server does not answer any more ([Errno 111] Connection refused); what was finished is kept"
    assert said in capsys.readouterr().err
