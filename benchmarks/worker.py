"""A contestant's process: ``python -m benchmarks.worker JOB``, with a job as JSON.

It obeys words on its standard input, and imports NumPy and what it races only. Every answer is one line of JSON, on
what was the standard output when it started: whatever a library prints goes to the standard error.
"""

import importlib
import json
import os
import sys
import time
import traceback
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.contestants import Contestant
from benchmarks.task import Task

MISSING, FAILED = "missing", "failed"


def peak_bytes() -> int:
    """Return the most memory this process has held, VmHWM: what getrusage says starts from the parent's."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError("/proc/self/status has no VmHWM: peak memory is measured on Linux only")


def main() -> None:
    """Build the contestant of the job, then train, hand out weights, or tell the peak, as told."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    job = json.loads(sys.argv[1])
    if job["core"] is not None:
        # JAX has no setting for its threads: it takes the cores it may run on.
        os.sched_setaffinity(0, {job["core"]})
    try:
        contestant = _built(job)
        _tell(answers, {"ready": True})
        for line in sys.stdin:
            _tell(answers, _obey(contestant, *line.split()))
    except ModuleNotFoundError as error:
        _tell(answers, {"error": f"{error.name} is not installed: pip install 'backprop[bench]'", "kind": MISSING})
    except Exception as error:  # noqa: BLE001 - whatever a contestant cannot do is a fact of the table
        traceback.print_exc()
        _tell(answers, {"error": f"{type(error).__name__}: {_first_line(error)}", "kind": FAILED})


def _built(job: dict[str, Any]) -> Contestant:
    module = importlib.import_module(f"benchmarks.contestants.{job['contestant']}")
    task = Task.load(Path(job["task"]), job["start"], job["stop"])
    contestant: Contestant = module.build(task, job["variant"], job["threads"])
    return contestant


def _obey(contestant: Contestant, word: str, *arguments: str) -> dict[str, Any]:
    if word == "train":
        epochs, times = map(int, arguments)
        begin = time.perf_counter()
        for _ in range(times):
            contestant.reset()
            contestant.train(epochs)
        return {"begin": begin, "end": time.perf_counter()}
    if word == "weights":
        weights, biases = contestant.weights()
        np.savez(arguments[0], *weights, *biases)
        return {"saved": True}
    return {"peak": peak_bytes(), "threads": len(os.listdir("/proc/self/task"))}  # noqa: PTH208 - a count of threads


def _tell(answers: Any, answer: dict[str, Any]) -> None:
    answers.write(json.dumps(answer) + "\n")
    answers.flush()


def _first_line(error: Exception) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), "no message")[:200]


if __name__ == "__main__":
    main()
