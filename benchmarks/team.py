"""A contestant at work: its processes, which train the parts of a task at the same time."""

import json
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from benchmarks.contestants import Weights
from benchmarks.entrants import Way, core, environment


class UnavailableError(RuntimeError):
    """A contestant cannot race here; the message says why."""

    def __init__(self, message: str, *, missing: bool = False) -> None:
        super().__init__(message)
        self.missing = missing


class Team:
    """The processes of a contestant, alive from start to `close`, waiting while others are measured.

    Parameters
    ----------
    name : str
        Its module in `benchmarks.contestants`.
    task : Path
        Directory of a saved task.
    trials, layers : int
        Of the task.
    caches : Path
        Where it may keep compiled code.

    Raises
    ------
    UnavailableError
        Its library is not installed, or it could not be built.
    """

    def __init__(self, name: str, way: Way, task: Path, *, trials: int, layers: int, caches: Path) -> None:
        self.name, self.way, self._layers = name, way, layers
        self._closing = ExitStack()
        bounds = np.linspace(0, trials, way.processes + 1).astype(int)
        try:
            self._processes = [
                self._start(
                    {
                        "contestant": name,
                        "task": str(task),
                        "start": int(bounds[k]),
                        "stop": int(bounds[k + 1]),
                        "variant": way.variant,
                        "threads": way.threads,
                        "core": core(name, way, k),
                    },
                    caches,
                )
                for k in range(way.processes)
            ]
            self._answers()
        except BaseException:
            self.close()
            raise

    def train(self, epochs: int, times: int = 1) -> float:
        """Train the task, each time from the initial weights; return the seconds from first start to last end.

        All processes wait for the word and get it together. Putting back the initial weights is included.
        """
        answers = self._ask(f"train {epochs} {times}")
        begin, end = min(float(a["begin"]) for a in answers), max(float(a["end"]) for a in answers)
        return (end - begin) / times

    def weights(self) -> Weights:
        """Return the weights of all trials as last trained."""
        with tempfile.TemporaryDirectory(prefix="backprop-bench-") as directory:
            paths = [Path(directory) / f"{k}.npz" for k in range(len(self._processes))]
            for process, path in zip(self._processes, paths, strict=True):
                self._say(process, f"weights {path}")
            self._answers()
            parts = [np.load(path) for path in paths]
            arrays = [np.concatenate([part[f"arr_{k}"] for part in parts]) for k in range(2 * self._layers)]
        return arrays[: self._layers], arrays[self._layers :]

    def peak_bytes(self) -> int:
        """Return the peak memory of the process that took most."""
        return max(int(answer["peak"]) for answer in self._ask("peak"))

    def close(self) -> None:
        """End the processes."""
        self._closing.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _start(self, job: dict[str, Any], caches: Path) -> subprocess.Popen[str]:
        log = self._closing.enter_context(tempfile.TemporaryFile("w+"))  # noqa: SIM115 - it is closed with the rest
        process = subprocess.Popen(  # noqa: S603 - our own module
            [sys.executable, "-m", "benchmarks.worker", json.dumps(job)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            bufsize=1,
            env=environment(self.name, self.way, str(caches)),
        )
        self._closing.callback(_end, process)
        return process

    def _ask(self, words: str) -> list[dict[str, Any]]:
        for process in self._processes:
            self._say(process, words)
        return self._answers()

    def _say(self, process: subprocess.Popen[str], words: str) -> None:
        if process.stdin is not None and process.poll() is None:
            process.stdin.write(words + "\n")

    def _answers(self) -> list[dict[str, Any]]:
        return [self._answer(process) for process in self._processes]

    def _answer(self, process: subprocess.Popen[str]) -> dict[str, Any]:
        line = process.stdout.readline() if process.stdout is not None else ""
        if not line:
            raise UnavailableError(f"its process ended with exit code {process.wait()} and no word")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise UnavailableError(answer["error"], missing=answer["kind"] == "missing")
        return answer


def _end(process: subprocess.Popen[str]) -> None:
    """End a process and wait for it: closing its input ends its loop, a kill what does not listen."""
    if process.stdin is not None:
        process.stdin.close()
    try:
        process.wait(timeout=5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if process.stdout is not None:
        process.stdout.close()
