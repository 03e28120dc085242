"""The Prefect server of one command: there when asked for, and gone with the command, however that ends."""

import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from flows.compute.temporary_server import TemporaryServer

pytestmark = pytest.mark.slow


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A Prefect home of the test's own, and no server in the environment."""
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path))
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    return tmp_path


def gone(process: psutil.Process) -> bool:
    deadline = time.monotonic() + 60
    while process.is_running() and process.status() != psutil.STATUS_ZOMBIE and time.monotonic() < deadline:
        time.sleep(0.1)
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


@pytest.mark.usefixtures("home")
def test_it_answers_when_its_address_is_known_and_stops_when_told() -> None:
    server = TemporaryServer()
    process = psutil.Process(server.pid)
    try:
        url = server.api_url()
        assert url is not None
        with urllib.request.urlopen(f"{url}/health") as answer:  # noqa: S310 - an address of ours
            assert answer.status == 200
    finally:
        server.stop()
    assert gone(process)


@pytest.mark.usefixtures("home")
def test_it_ends_with_a_command_that_is_killed() -> None:
    program = (
        "from flows.compute.temporary_server import TemporaryServer as S; s = S(); print(s.pid, s.api_url()); input()"
    )
    command = subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert command.stdout is not None
    pid, url = command.stdout.readline().split()
    process = psutil.Process(int(pid))
    assert url.startswith("http://127.0.0.1:")

    command.kill()
    command.wait()

    assert gone(process)


def test_a_server_in_the_environment_needs_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:4200/api")

    assert TemporaryServer.if_needed() is None


def test_a_server_in_the_profile_needs_no_other(home: Path) -> None:
    (home / "profiles.toml").write_text(
        'active = "mine"\n[profiles.mine]\nPREFECT_API_URL = "http://127.0.0.1:4200/api"\n'
    )
    server = TemporaryServer()
    process = psutil.Process(server.pid)

    assert server.api_url() is None
    assert gone(process)
    server.stop()
    assert os.environ.get("PREFECT_API_URL") is None
