"""Numbers, times and counts as the terminal says them."""

import math
from datetime import datetime

from flows.durations import readable_seconds
from flows.inspection.searches import TrialCounts

SHORT = 8
"""Digits of a run's id in a table: enough to name it by."""


def number(value: float | None) -> str:
    """Return a metric with four digits; nothing where there is none."""
    if value is None:
        return ""
    if not math.isfinite(value):
        return str(value)
    return f"{value:.4f}" if 0.001 <= abs(value) < 1000 or value == 0 else f"{value:.4g}"


def local(when: datetime) -> str:
    """Return a time of this machine's clock, to the minute."""
    return f"{when.astimezone():%Y-%m-%d %H:%M}"


def lasted(started: datetime, ended: datetime | None) -> str:
    """Return when something was, and how long it took."""
    took = "" if ended is None else f", {readable_seconds((ended - started).total_seconds())}"
    return f"{local(started)}{took}"


def counted(trials: TrialCounts) -> list[str]:
    """Return what became of trials, the finished first, and nothing of what did not happen."""
    rest = {"pruned": trials.pruned, "diverged": trials.diverged, "failed": trials.failed, "running": trials.running}
    return [f"{trials.finished} finished", *(f"{count} {what}" for what, count in rest.items() if count)]
