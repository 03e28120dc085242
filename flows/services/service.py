"""A service that runs: its process, and what it says."""

import subprocess
from pathlib import Path

import httpx

from flows.services.definitions import ServiceDefinition
from flows.services.state import StartedProcess

LAST_LINES = 20


class Service:
    """A process in a session of its own, which Ctrl-C does not reach; it writes into a file, which outlives us."""

    def __init__(self, definition: ServiceDefinition, environment: dict[str, str], logs: Path) -> None:
        self.definition = definition
        self.name = definition.name
        self.log = logs / f"{self.name}.log"
        if self.log.exists():
            self.log.replace(self.log.with_suffix(".log.1"))
        with self.log.open("wb") as output:
            self._process = subprocess.Popen(  # noqa: S603 - a program of this interpreter's environment
                definition.command,
                env=environment,
                # Never written to: it is closed by our end.
                stdin=subprocess.PIPE if definition.tied else subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.started = StartedProcess.of(self._process.pid)
        self._read = self.log.open(errors="replace")
        self._begun = ""

    @property
    def exit_code(self) -> int | None:
        """How it ended, negative for a signal; None while it runs."""
        return self._process.poll()

    def new_lines(self) -> list[str]:
        """Return the lines that it wrote since this was asked last."""
        *whole, self._begun = (self._begun + self._read.read()).split("\n")
        return [line for line in whole if line.strip()]

    def last_lines(self) -> list[str]:
        """Return the last lines that it wrote."""
        return [line for line in self.log.read_text(errors="replace").splitlines() if line.strip()][-LAST_LINES:]

    def wait(self) -> None:
        """Take note of its end, so that it is no zombie."""
        self._process.wait()
        self._read.close()
        if self._process.stdin is not None:
            self._process.stdin.close()


def answers(address: str) -> bool:
    """Return whether a server answers well at an address, at once."""
    try:
        return httpx.get(address, timeout=2).is_success
    except httpx.TransportError:
        return False
