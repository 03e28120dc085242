"""The committed ratios below which a row fails."""

import json
from collections.abc import Iterable
from pathlib import Path

from benchmarks.verdicts import Line

FLOORS = Path(__file__).with_name("floors.json")
MARGIN = 0.9
"""A floor is a tenth under what was measured: two runs on one machine differ by less."""


def load_floors(path: Path = FLOORS) -> dict[str, float]:
    """Return the floor of every row that has one."""
    floors: dict[str, float] = json.loads(path.read_text())["floors"]
    return floors


def save_floors(lines: Iterable[Line], measured_on: str, path: Path = FLOORS) -> None:
    """Write the floors that these lines give, and where they were measured."""
    floors = {line.name: round(line.ratio * MARGIN, 3) for line in lines if line.ratio is not None}
    path.write_text(json.dumps({"measured_on": measured_on, "floors": floors}, indent=2) + "\n")
