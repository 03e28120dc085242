"""The `backprop` command as a test starts it, and what a run of it leaves."""

import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from mlflow import MlflowClient
from mlflow.entities import Run

from flows.tracking import tags

CHECKOUT = Path(__file__).parents[2]
BACKPROP = Path(sys.executable).with_name("backprop")


@dataclass(frozen=True)
class Store:
    """What a run of the command left in its directory."""

    directory: Path

    @property
    def client(self) -> MlflowClient:
        return MlflowClient(tracking_uri=f"sqlite:///{self.directory}/mlflow.db")

    def runs(self) -> list[Run]:
        experiments = [experiment.experiment_id for experiment in self.client.search_experiments()]
        return list(self.client.search_runs(experiments, max_results=1000))

    def parents(self) -> list[Run]:
        return [run for run in self.runs() if tags.SEARCH_KEY in run.data.tags]

    def children(self) -> list[Run]:
        return [run for run in self.runs() if tags.TRIAL_KEY in run.data.tags]

    def statuses(self) -> Counter[str]:
        return Counter(run.info.status for run in self.children())


def make_demo(directory: Path) -> subprocess.CompletedProcess[str]:
    """Run `make demo` in a directory that looks like a checkout whose .venv is this environment."""
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(CHECKOUT / name, directory)
    programs = directory / ".venv" / "bin"
    programs.mkdir(parents=True)
    (programs / "python").symlink_to(sys.executable)
    (programs / "backprop").symlink_to(BACKPROP)
    (directory / ".venv" / ".installed").touch()
    environment = {name: value for name, value in os.environ.items() if name != "PREFECT_HOME"}
    return subprocess.run(
        ["make", "demo"],  # noqa: S607 - the make that a newcomer would run
        cwd=directory,
        env={**environment, "COLUMNS": "160"},
        capture_output=True,
        text=True,
        check=False,
    )


def error_of(stderr: str) -> str:
    """Return the one line in which a command says what was wrong.

    On a busy machine the libraries below may say something too, of a server that answers late; a traceback never.
    """
    assert "Traceback" not in stderr
    [line] = [line for line in stderr.splitlines() if line.startswith("error:")]
    return line


def train(directory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [BACKPROP, "train", *arguments]
    environment = {**os.environ, "COLUMNS": "160"}
    return subprocess.run(command, cwd=directory, env=environment, capture_output=True, text=True, check=False)


FORKING = """
import atexit, json, os, sys
import flows.terminal.data, flows.terminal.compare, flows.reproduction, sklearn.datasets
from flows.cli import main

for line in sys.stdin:
    asked = json.loads(line)
    child = os.fork()
    if child == 0:
        os.chdir(asked["directory"])
        os.environ.update(asked["environment"])
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

Forked = Callable[..., subprocess.CompletedProcess[str]]


OF_A_TEST = ("MLFLOW_TRACKING_URI", "PREFECT_API_URL")
"""What a command finds in the environment as it is when it is run."""


@contextmanager
def forking(scratch: Path) -> Iterator[Forked]:
    """Import the command once; what is given runs it with arguments in a directory, in a process of its own each time.

    For what takes a moment, such as a refusal, after the two seconds that the imports take.
    """
    outputs = [scratch / name for name in ("stdout", "stderr")]
    command = [sys.executable, "-c", FORKING]
    # Whichever test asks first: where its own store and server are is not where those of the next are.
    kept = {name: value for name, value in os.environ.items() if name not in OF_A_TEST}
    with subprocess.Popen(
        command, env={**kept, "COLUMNS": "120"}, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
    ) as parent:
        assert parent.stdin is not None
        assert parent.stdout is not None
        asking, answers = parent.stdin, parent.stdout

        def run(
            directory: Path, *arguments: str, environment: Mapping[str, str] = MappingProxyType({})
        ) -> subprocess.CompletedProcess[str]:
            asked = {
                "directory": str(directory),
                "streams": ["/dev/null", *map(str, outputs)],
                "arguments": arguments,
                "environment": {
                    **{name: os.environ[name] for name in OF_A_TEST if name in os.environ},
                    **environment,
                },
            }
            asking.write(json.dumps(asked) + "\n")
            code = int(answers.readline())
            return subprocess.CompletedProcess(["backprop", *arguments], code, *(each.read_text() for each in outputs))

        yield run
