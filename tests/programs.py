"""Programs that tests start beside themselves, and end with all that those have started."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn, TypeVar

import pytest

T = TypeVar("T")

PATIENCE = 240
"""Seconds until something that hangs fails its test, on a busy machine; nothing is measured by it."""


def missing(reason: str) -> NoReturn:
    """Skip the test on a machine that lacks what it needs; CI has to have it."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


def program(name: str) -> str:
    """Return the path of a program of this environment."""
    path = Path(sys.executable).with_name(name)
    if not path.exists():
        missing(f"{path} is not there: install the project into this environment")
    return str(path)


def system_program(name: str, package: str) -> str:
    """Return the path of a program of the system, which a Debian package brings."""
    found = shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
    return found or missing(f"no {name} is installed (Debian package {package})")


def eventually(found: Callable[[], T], what: str) -> T:
    """Return what is found, as soon as there is something."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if result := found():
            return result
        time.sleep(0.2)
    raise TimeoutError(what)


def free_port() -> int:
    """Return a port of this machine that nobody listens at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def heed_interrupts() -> None:
    """Let a program that is started heed SIGINT, a `preexec_fn`: what a shell runs in the background ignores it."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@contextmanager
def running(command: list[str], directory: Path, environment: dict[str, str], log: Path) -> Iterator[None]:
    """Run a program that stays, in a session of its own, and write what it prints to a file."""
    with log.open("ab") as output:
        process = subprocess.Popen(
            command,
            cwd=directory,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield
    finally:
        end(process)


def end(process: subprocess.Popen[bytes]) -> None:
    """Ask a program to end, and kill what it leaves behind: flow runs and their Dask workers."""
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(30)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return
