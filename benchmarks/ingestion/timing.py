"""How long something took in this process, and how much memory the process had at most."""

import json
import time
from collections.abc import Callable
from pathlib import Path


def timed(work: Callable[[], object]) -> None:
    """Do the work and print its seconds and the peak resident bytes of the process, imports included, as JSON."""
    before = peak_bytes()
    started = time.perf_counter()
    work()
    print(  # noqa: T201 - the protocol between the processes
        json.dumps({"seconds": time.perf_counter() - started, "peak_bytes": peak_bytes(), "peak_bytes_before": before})
    )


def peak_bytes() -> int:
    """Return the largest resident memory of this process so far; not ru_maxrss, which a process inherits."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM:")).split()[1]) * 1024
