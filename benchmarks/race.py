"""A row's race: everyone is warmed up, then measured in turns."""

import math
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from benchmarks.entrants import LABELS, OURS, Way, limit, ways
from benchmarks.losses import Deviation, deviations, training_losses
from benchmarks.rows import Row
from benchmarks.task import Task
from benchmarks.team import Team, UnavailableError

SHORTEST_SECONDS = 0.3
"""A measurement repeats the training until it takes this long."""

SLOW = 10
"""How many times slower than the fastest is slow."""

SLOW_REPEATS = 2
"""Repeats of the slow: their place is clear, and they take the time of all others."""

Tell = Callable[[str], None]


@dataclass
class Measurement:
    """What was measured of a contestant in a row.

    Attributes
    ----------
    way : str
        The fastest way: variant, processes x threads.
    tried : dict of str to float
        Speed of every way in its first training after the warm-up.
    speeds : list of float
        Samples x trials per second, one a repeat.
    first_epoch_seconds : float
        The first epoch of its processes: with compiling and first calls.
    peak_bytes : int
        Of the process that took most.
    deviation : Deviation or None
        Of its training losses.
    wrong : bool
    unavailable : str or None
        Why it did not race.
    missing : bool
        It did not because its library is not installed.
    """

    way: str = ""
    tried: dict[str, float] = field(default_factory=dict)
    speeds: list[float] = field(default_factory=list)
    first_epoch_seconds: float = 0.0
    peak_bytes: int = 0
    deviation: Deviation | None = None
    wrong: bool = False
    unavailable: str | None = None
    missing: bool = False

    @property
    def speed(self) -> float | None:
        """Return the median, None if there is no valid one."""
        return median(self.speeds) if self.speeds and not self.wrong else None


def race(row: Row, task: Task, names: Sequence[str], repeats: int, tell: Tell) -> dict[str, Measurement]:
    """Return the measurements of us, of the peers named, and of the row's limit."""
    entrants = [OURS, *names, limit(row)]
    with ExitStack() as alive, tempfile.TemporaryDirectory(prefix="backprop-bench-") as directory:
        files = Path(directory) / "task"
        task.save(files)
        measured: dict[str, Measurement] = {}
        teams: dict[str, Team] = {}
        for name in entrants:
            tell(f"{row.name}: {LABELS[name]} warms up")
            measured[name], team = _heat(name, row, task, files, Path(directory) / "caches", alive)
            if team is not None:
                teams[name] = team
        _take_turns(row, task, teams, measured, repeats, tell)
        for name, team in teams.items():
            measured[name].peak_bytes = team.peak_bytes()
        _judge(task, teams, measured, limit(row))
    return measured


def _heat(
    name: str, row: Row, task: Task, files: Path, caches: Path, alive: ExitStack
) -> tuple[Measurement, Team | None]:
    """Try every way, and return what was measured with the processes of the fastest."""
    result, best, reasons = Measurement(), None, []
    for way in ways(name, row):
        try:
            team, first, speed = _tried(name, way, row, task, files, caches)
        except UnavailableError as error:
            reasons.append(str(error))
            result.missing |= error.missing
            continue
        result.tried[str(way)] = speed
        if speed < max(result.tried.values()):
            team.close()
            continue
        if best is not None:
            best.close()
        best, result.way, result.first_epoch_seconds = team, str(way), first
    if best is None:
        result.unavailable = reasons[0]
    else:
        alive.enter_context(best)
    return result, best


def _tried(name: str, way: Way, row: Row, task: Task, files: Path, caches: Path) -> tuple[Team, float, float]:
    """Return a warm team, the seconds of its first epoch, and its speed after."""
    team = Team(
        name,
        way,
        files,
        trials=task.trials,
        layers=len(task.weights),
        caches=caches / f"{name}-{way.variant}-{way.processes}-{way.threads}",
    )
    try:
        first = team.train(1)
        return team, first, _work(row, task) / team.train(row.epochs)
    except BaseException:
        team.close()
        raise


def _take_turns(
    row: Row, task: Task, teams: dict[str, Team], measured: dict[str, Measurement], repeats: int, tell: Tell
) -> None:
    expected = {name: max(measured[name].tried.values()) for name in teams}
    contenders = [speed for name, speed in expected.items() if name != limit(row)]
    for repeat in range(repeats):
        tell(f"{row.name}: {repeat + 1} of {repeats}")
        for name, team in teams.items():
            if repeat >= SLOW_REPEATS and expected[name] * SLOW < max(contenders):
                continue
            times = max(1, math.ceil(SHORTEST_SECONDS * expected[name] / _work(row, task)))
            measured[name].speeds.append(_work(row, task) / team.train(row.epochs, times))


def _judge(task: Task, teams: dict[str, Team], measured: dict[str, Measurement], limit_name: str) -> None:
    losses = {name: training_losses(task, team.weights()) for name, team in teams.items() if name != limit_name}
    for name, deviation in deviations(losses).items():
        measured[name].deviation, measured[name].wrong = deviation, deviation.is_wrong


def _work(row: Row, task: Task) -> int:
    """Return the samples x trials of a training."""
    return len(task.x) * task.trials * row.epochs
