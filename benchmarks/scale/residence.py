"""What of a process is in memory.

Resident memory has two parts that are not alike. Anonymous pages are the process's own, and nobody can take them from
it. Pages of a mapped file are copies of what is on disk: the system drops them when it needs the memory. Dask counts
both.
"""

import contextlib
import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

STATUS = Path("/proc/self/status")
FIELDS = {"RssAnon": "anonymous", "RssFile": "mapped", "VmRSS": "resident", "VmHWM": "peak"}
SAMPLE_SECONDS = 0.01


def residence() -> dict[str, int]:
    """Return bytes of this process in memory: anonymous, mapped from files, all, and the most there ever were."""
    found = {}
    for line in STATUS.read_text().splitlines():
        name, _, value = line.partition(":")
        if name in FIELDS:
            found[FIELDS[name]] = int(value.split()[0]) * 1024
    return found


def forget_peak() -> None:
    """Let the peak begin anew from what is resident now, where the system can do that."""
    with contextlib.suppress(OSError):
        (STATUS.parent / "clear_refs").write_text("5")


class Watcher:
    """A thread that looks at this process's memory.

    Parameters
    ----------
    look : callable
        Is called with the peaks at every look.

    Attributes
    ----------
    peaks : dict of str to int
        Most bytes of each kind that were seen.
    """

    def __init__(self, look: Callable[[dict[str, int]], None]) -> None:
        self.peaks: dict[str, int] = {}
        self._look = look
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        ended = False
        while not ended:
            ended = self._ended.wait(SAMPLE_SECONDS)
            self.peaks = {name: max(value, self.peaks.get(name, 0)) for name, value in residence().items()}
            self._look(self.peaks)
