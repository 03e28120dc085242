"""Every way a person's data can be wrong ends in one line that names the source, the place and the remedy.

The cases of the table go the whole way, from the arguments of the command to its exit code, in this process.
"""

from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from flows.cli import app
from flows.ingest import ingest
from tests.flows.data.bad_inputs import BAD_INPUTS, BadInput
from tests.flows.data.writing import write

# Nothing answers there: nobody is to train.
NO_CLUSTER = ("--scheduler", "tcp://127.0.0.1:9")

Train = Callable[..., Result]


def contents(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


@pytest.fixture
def train(tmp_path: Path, server: None, monkeypatch: pytest.MonkeyPatch, tracking_store: str) -> Train:
    """Run `backprop train` in a directory of its own; of what can be trained on, only the training fails."""

    def train(data: str, *options: str) -> Result:
        return CliRunner().invoke(app, ["train", "--data", data, "--datasets", "store", *NO_CLUSTER, *options])

    return train


def error_line(result: Result) -> str:
    [line] = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert result.stderr.splitlines()[-1] == line
    return line.removeprefix("error: ")


@pytest.mark.parametrize("case", BAD_INPUTS, ids=lambda case: case.name)
def test_bad_input_is_answered_in_one_line_and_leaves_the_store_as_it_was(
    case: BadInput, train: Train, tmp_path: Path
) -> None:
    write(tmp_path / "store", "wine")
    if case.before is not None:
        case.before(tmp_path)
        ingest(case.data, "y", datasets="store")
    if case.write is not None:
        case.write(tmp_path)
    before = contents(tmp_path / "store")

    result = train(case.data, *case.options)

    message = error_line(result)
    print(message)
    assert [part for part in case.says if part not in message] == []
    assert result.exit_code == 2
    assert contents(tmp_path / "store") == before
    assert not (tmp_path / "unpickled").exists()


def test_the_table_is_as_long_as_was_asked_for_and_its_names_differ() -> None:
    assert len({case.name for case in BAD_INPUTS}) == len(BAD_INPUTS) >= 60
