"""The command line as a person meets it: real processes, their words and their exit codes."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.flows.commands import error_of

BACKPROP = Path(sys.executable).with_name("backprop")


def backprop(directory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([BACKPROP, *arguments], cwd=directory, capture_output=True, text=True, check=False)


FORKING = """
import atexit, json, os, sys
import sklearn.datasets
from flows.cli import main

for line in sys.stdin:
    asked = json.loads(line)
    child = os.fork()
    if child == 0:
        os.chdir(asked["directory"])
        for stream, path in enumerate(asked["streams"]):
            os.dup2(os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC), stream)
        sys.argv = ["backprop", *asked["arguments"]]
        try:
            main()
        except SystemExit as end:
            atexit._run_exitfuncs()
            sys.stdout.flush()
            sys.stderr.flush()
            # To take apart all that was imported would take longer than what is tested.
            os._exit(end.code)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""
"""A process that has imported the command and its data sets, and forks one that runs it for every line it reads."""


@pytest.fixture(scope="module")
def forked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., subprocess.CompletedProcess[str]]]:
    """The command in a process of its own, without the two seconds that it takes to import it."""
    outputs = [tmp_path_factory.mktemp("outputs") / name for name in ("stdout", "stderr")]
    with subprocess.Popen(
        [sys.executable, "-c", FORKING], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
    ) as parent:
        assert parent.stdin is not None
        assert parent.stdout is not None

        def run(directory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
            streams = ["/dev/null", *map(str, outputs)]
            asked = {"directory": str(directory), "streams": streams, "arguments": arguments}
            parent.stdin.write(json.dumps(asked) + "\n")
            code = int(parent.stdout.readline())
            return subprocess.CompletedProcess(["backprop", *arguments], code, *(each.read_text() for each in outputs))

        yield run


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
        (["--space", "misspelt.yaml"], "misspelt.yaml: grid.hiden is unknown: did you mean 'hidden'"),
        (["--space", "none.yaml"], "none.yaml: the space has no trials"),
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
    tmp_path: Path, forked: Callable[..., subprocess.CompletedProcess[str]], arguments: list[str], said: str
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
    line = error_of(refused.stderr)
    assert line.startswith("error: gaps.csv:")
    assert "'label'" in line
    assert "line 9" in line
    assert not (tmp_path / "datasets").exists()
