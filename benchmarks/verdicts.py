"""What a row's measurements come to: ratios, what was reached of targets and limits, floors, the worst row."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from benchmarks.entrants import GEMM_LIMIT, OURS, UPDATE_LIMIT
from benchmarks.race import Measurement
from benchmarks.rows import FASTEST, LIMIT, Target

LIMITS = (GEMM_LIMIT, UPDATE_LIMIT)

Unit = Literal["samples x trials per second", "bytes, peak of a process"]


@dataclass(frozen=True)
class Reached:
    """A target, and the ratio measured; None if what it is measured against did not race."""

    target: Target
    ratio: float | None

    @property
    def share(self) -> float | None:
        """Return the part of the target that is reached, 1 and more where it is met."""
        return None if self.ratio is None else self.ratio / self.target.ratio


@dataclass(frozen=True)
class Line:
    """A row of the table.

    Attributes
    ----------
    values : dict of str to float
        Of us and of each valid peer; see `unit`.
    spreads : dict of str to (float, float)
        Smallest and largest.
    notes : dict of str to str
        Why a contestant has no value: ``WRONG`` and by how much, or why it did not race.
    ratio : float or None
        Ours over the best peer's; of memory the best peer's over ours. More is better.
    best : str or None
        The best peer.
    limit, fraction : float or None
        What cannot be passed, and the part of it that we reach.
    reached : tuple of Reached
    floor : float or None
        The ratio below which the row fails.
    """

    name: str
    unit: Unit
    values: dict[str, float]
    notes: dict[str, str] = field(default_factory=dict)
    spreads: dict[str, tuple[float, float]] = field(default_factory=dict)
    ratio: float | None = None
    best: str | None = None
    limit: float | None = None
    fraction: float | None = None
    reached: tuple[Reached, ...] = ()
    floor: float | None = None

    @property
    def is_under_floor(self) -> bool:
        """Whether the ratio is below the floor."""
        return self.floor is not None and self.ratio is not None and self.ratio < self.floor


def speed_line(name: str, targets: Iterable[Target], measured: Mapping[str, Measurement], floor: float | None) -> Line:
    """Return the line of a row that was raced."""
    runners = {runner: m for runner, m in measured.items() if runner not in LIMITS}
    values = {runner: m.speed for runner, m in runners.items() if m.speed is not None}
    rivals = {runner: value for runner, value in values.items() if runner != OURS}
    best = max(rivals, key=rivals.__getitem__, default=None)
    own = values.get(OURS)
    limit = next((m.speed for runner, m in measured.items() if runner in LIMITS), None)
    against = {**rivals, **({FASTEST: rivals[best]} if best else {}), **({LIMIT: limit} if limit else {})}
    return Line(
        name,
        "samples x trials per second",
        values,
        {runner: note for runner, m in runners.items() if (note := _note(m))},
        {runner: (min(m.speeds), max(m.speeds)) for runner, m in measured.items() if m.speeds},
        own / rivals[best] if own and best else None,
        best,
        limit,
        own / limit if own and limit else None,
        tuple(Reached(t, own / against[t.against] if own and t.against in against else None) for t in targets),
        floor,
    )


def memory_line(name: str, measured: Mapping[str, Measurement], floor: float | None) -> Line:
    """Return the line of the memory that a race took."""
    values = {
        runner: float(m.peak_bytes)
        for runner, m in measured.items()
        if runner not in LIMITS and m.peak_bytes and not m.wrong
    }
    rivals = {runner: value for runner, value in values.items() if runner != OURS}
    best = min(rivals, key=rivals.__getitem__, default=None)
    own = values.get(OURS)
    ratio = rivals[best] / own if own and best else None
    return Line(name, "bytes, peak of a process", values, ratio=ratio, best=best, floor=floor)


def worst(lines: Iterable[Line]) -> tuple[Line, Reached] | None:
    """Return the line, and its target, of which the smallest part is reached; None if nothing was measured."""
    measured = [(r.share, line, r) for line in lines for r in line.reached if r.share is not None]
    if not measured:
        return None
    _, line, reached = min(measured, key=lambda entry: entry[0])
    return line, reached


def failures(lines: Iterable[Line], measured: Mapping[str, Mapping[str, Measurement]]) -> list[str]:
    """Return what makes the benchmark fail, a sentence each: wrong losses, rows under their floors, we missing."""
    found = []
    for row, runners in measured.items():
        for runner, m in runners.items():
            if m.wrong and m.deviation is not None:
                found.append(
                    f"{row}: {runner} is WRONG, its loss differs by {m.deviation.most:.1e}: look at its training"
                )
            if m.unavailable and runner == OURS:
                found.append(f"{row}: we did not race: {m.unavailable}")
    under = [line for line in lines if line.is_under_floor]
    return found + [f"{line.name}: ratio {line.ratio:.2f} is under its floor of {line.floor:.2f}" for line in under]


def _note(measurement: Measurement) -> str | None:
    if measurement.wrong and measurement.deviation is not None:
        return f"WRONG (loss differs by {measurement.deviation.most:.1e})"
    return measurement.unavailable
