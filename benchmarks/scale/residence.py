"""What of a process is in memory, and giving back pages of a mapped file.

Resident memory has two parts that are not alike. Anonymous pages are the process's own, and nobody can take them from
it. Pages of a mapped file are copies of what is on disk: the system drops them when it needs the memory. Dask counts
both.
"""

import mmap
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

STATUS = Path("/proc/self/status")
FIELDS = {"RssAnon": "anonymous", "RssFile": "mapped", "VmRSS": "resident", "VmHWM": "peak"}
SAMPLE_SECONDS = 0.005


def residence() -> dict[str, int]:
    """Return bytes of this process in memory: anonymous, mapped from files, all, and the most there ever were."""
    found = {}
    for line in STATUS.read_text().splitlines():
        name, _, value = line.partition(":")
        if name in FIELDS:
            found[FIELDS[name]] = int(value.split()[0]) * 1024
    return found


class Watcher:
    """A thread that looks at this process's memory and, where it may, gives back the pages of maps.

    Parameters
    ----------
    maps : sequence of mmap
        Whose pages may be given back: read-only maps of files, which the system reads again when they are missed.
    most : int or None
        Bytes of mapped pages beyond those at the start, above which they are given back; None for never.
    look : callable, optional
        Is called with the peaks at every look.

    Attributes
    ----------
    peaks : dict of str to int
        Most bytes of each kind that were seen.
    released : int
        How often pages were given back.
    """

    def __init__(
        self, maps: Sequence[mmap.mmap], most: int | None, look: Callable[[dict[str, int]], None] | None = None
    ) -> None:
        self._maps, self._most, self._look = maps, most, look
        self._start = residence()["mapped"]
        self.peaks: dict[str, int] = {}
        self.released = 0
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
        while True:
            now = residence()
            self.peaks = {name: max(value, self.peaks.get(name, 0)) for name, value in now.items()}
            if self._look is not None:
                self._look(self.peaks)
            if self._most is not None and now["mapped"] - self._start > self._most:
                for each in self._maps:
                    each.madvise(mmap.MADV_DONTNEED)
                self.released += 1
            if self._ended.wait(SAMPLE_SECONDS):
                return
