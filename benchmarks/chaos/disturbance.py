"""A search with everything around it, and what is killed of it."""

import math
import os
import random
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from benchmarks.chaos.services import DaskScheduler, DaskWorkers, MlflowServer, PrefectServer

TARGETS = ("worker", "scheduler", "flow", "mlflow", "prefect")
"""What is killed, each as often as the others."""

SPACE = """
grid:
  hidden: [[{width}, 32]]
  activation: [relu]
  learning_rate: [{rates}]
  batch_size: [32]
  epochs: [{epochs}]
  seed: [{seeds}]
  dropout: [0.0, 0.1]
"""

_TRIALS = """
select keys.value, runs.run_uuid, runs.status from runs
join tags as keys on keys.run_uuid = runs.run_uuid and keys.key = 'trial.key'
"""
_SEARCHES = """
select runs.status from runs join tags as keys on keys.run_uuid = runs.run_uuid and keys.key = 'search.key'
"""
_POINTS = """
select keys.value, metrics.key, metrics.step, metrics.value from metrics
join tags as keys on keys.run_uuid = metrics.run_uuid and keys.key = 'trial.key'
where metrics.key like 'train/%' or metrics.key like 'val/%'
"""

Curves = dict[tuple[str, str], list[tuple[int, float]]]
"""Points in the order of their steps, by trial key and metric; a step that is there twice is in it twice."""


@dataclass(frozen=True)
class Size:
    """How large a search is.

    Attributes
    ----------
    trials : int
        A multiple of 20.
    """

    trials: int
    width: int = 64
    epochs: int = 60

    def space(self) -> str:
        """Return the YAML of the space."""
        rates = ", ".join(f"{0.01 * 1.5**power:.5f}" for power in range(5))
        seeds = ", ".join(map(str, range(self.trials // 10)))
        return SPACE.format(width=self.width, rates=rates, epochs=self.epochs, seeds=seeds)


@dataclass
class SearchUnderTest:
    """The command on servers of its own, in a directory of its own."""

    directory: Path
    size: Size
    checkpoint_seconds: float = 1.0
    kills: Counter[str] = field(default_factory=Counter)
    attempts: int = 0

    def __post_init__(self) -> None:
        self.directory.mkdir(parents=True)
        (self.directory / "space.yaml").write_text(self.size.space())
        self._mlflow = MlflowServer(self.directory)
        self._prefect = PrefectServer(self.directory)
        self._scheduler = DaskScheduler(self.directory)
        self._workers = DaskWorkers(self.directory, self._scheduler)
        self._flow: subprocess.Popen[bytes] | None = None
        self._most_kills: int | None = None

    def run(
        self,
        chance: random.Random | None = None,
        pause: tuple[float, float] = (5.0, 20.0),
        most_kills: int | None = None,
    ) -> None:
        """Run the command until it succeeds, killing something every few seconds if there is a chance generator."""
        self._most_kills = most_kills
        services = (self._prefect, self._mlflow, self._scheduler, self._workers)
        try:
            for service in services:
                service.start()
            while True:
                self._start_flow()
                if self._flow_succeeds(chance, pause):
                    return
        finally:
            if self._flow is not None and self._flow.poll() is None:
                self._flow.kill()
                self._flow.wait()
            for service in reversed(services):
                service.kill()

    def statuses(self) -> dict[str, list[str]]:
        """Return the status of every run of every trial, by trial key."""
        found: dict[str, list[str]] = {}
        for key, _, status in self._read(_TRIALS):
            found.setdefault(key, []).append(status)
        return found

    def searches(self) -> list[str]:
        """Return the status of the run of every search."""
        return [status for (status,) in self._read(_SEARCHES)]

    def running(self) -> int:
        """Return how many runs are RUNNING, the search's own included."""
        return int(self._read("select count(*) from runs where status = 'RUNNING'")[0][0])

    def curves(self) -> Curves:
        """Return what MLflow shows of every trial."""
        found: Curves = {}
        for key, metric, step, value in sorted(self._read(_POINTS)):
            found.setdefault((key, metric), []).append((step, value))
        return found

    def _start_flow(self) -> None:
        self.attempts += 1
        environment = {
            **os.environ,
            "PREFECT_HOME": str(self.directory / "prefect"),
            "MLFLOW_TRACKING_URI": self._mlflow.address,
            "PREFECT_API_URL": self._prefect.address,
        }
        command = [str(Path(sys.executable).with_name("backprop")), "train", "--data", "digits"]
        command += ["--space", "space.yaml", "--scheduler", self._scheduler.address]
        command += ["--checkpoint-seconds", str(self.checkpoint_seconds)]
        with (self.directory / "flow.log").open("ab") as log:
            self._flow = subprocess.Popen(  # noqa: S603 - our own command
                command, cwd=self.directory, stdout=log, stderr=log, env=environment
            )

    def _flow_succeeds(self, chance: random.Random | None, pause: tuple[float, float]) -> bool:
        assert self._flow is not None  # noqa: S101 - the caller started it
        while True:
            try:
                enough = self.kills.total() >= (self._most_kills or math.inf)
                code = self._flow.wait(None if chance is None or enough else chance.uniform(*pause))
            except subprocess.TimeoutExpired:
                if chance is not None:
                    self._disturb(chance)
                continue
            self._mend()
            return code == 0

    def _disturb(self, chance: random.Random) -> None:
        target = chance.choice(TARGETS)
        self.kills[target] += 1
        if target == "worker":
            workers = self._workers.workers()
            if workers:
                _kill(chance.choice(workers))
        elif target == "flow" and self._flow is not None:
            self._flow.kill()
        elif target in ("mlflow", "prefect"):
            server = self._mlflow if target == "mlflow" else self._prefect
            server.kill()
            time.sleep(chance.uniform(0, 5))
            server.start()
        elif target == "scheduler":
            self._scheduler.kill()
            self._mend()

    def _mend(self) -> None:
        """Start what is not running: workers end with their scheduler."""
        if not self._scheduler.is_running:
            self._workers.kill()
            self._scheduler.start()
        if not self._workers.is_running:
            self._workers.start()

    def _read(self, query: str) -> list[tuple[Any, ...]]:
        with sqlite3.connect(f"file:{self.directory}/mlflow.db?mode=ro", uri=True) as database:
            return list(database.execute(query))


def differences(disturbed: SearchUnderTest, undisturbed: SearchUnderTest) -> list[str]:
    """Return in words what a disturbed search left otherwise than one that nobody disturbed; nothing if all is well."""
    found = []
    statuses, wanted = disturbed.statuses(), undisturbed.statuses()
    if statuses.keys() != wanted.keys():
        found.append(f"{len(statuses.keys() ^ wanted.keys())} trials are in one search only")
    several = sum(ends.count("FINISHED") != 1 for ends in statuses.values())
    if several:
        found.append(f"{several} trials have not one FINISHED run: {Counter(map(str, statuses.values()))}")
    others = Counter(end for ends in statuses.values() for end in ends if end != "FINISHED")
    if others:
        found.append(f"runs that did not finish: {dict(others)}")
    if (searches := disturbed.searches()) != ["FINISHED"]:
        found.append(f"the search's own run is not one that is FINISHED: {searches}")
    if running := disturbed.running():
        found.append(f"{running} runs are RUNNING")
    curves, smooth = disturbed.curves(), undisturbed.curves()
    differing = [place for place in smooth if curves.get(place) != smooth[place]]
    if differing:
        place = differing[0]
        found.append(f"{len(differing)} curves differ, such as {place}: {_first(curves.get(place), smooth[place])}")
    return found


def _first(curve: list[tuple[int, float]] | None, wanted: list[tuple[int, float]]) -> str:
    if curve is None:
        return "it is missing"
    if [step for step, _ in curve] != [step for step, _ in wanted]:
        steps = Counter(step for step, _ in curve)
        twice = [step for step, times in steps.items() if times > 1]
        missing = [step for step, _ in wanted if step not in steps]
        return f"steps {twice} are there more than once, steps {missing} are missing"
    return next(f"{one} and not {other}" for one, other in zip(curve, wanted, strict=True) if one != other)


def _kill(process: psutil.Process) -> None:
    try:
        process.kill()
    except psutil.NoSuchProcess:
        return
