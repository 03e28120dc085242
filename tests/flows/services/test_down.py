"""Whose process a record names: never one that only got its number."""

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from flows.errors import ServicesError
from flows.services.down import down
from flows.services.state import StartedProcess, StateDirectory, UpRecord
from tests.flows.commands import Forked, error_of


@pytest.fixture
def state(tmp_path: Path) -> StateDirectory:
    state = StateDirectory(tmp_path / "state")
    state.create()
    return state


def record_of(process: StartedProcess, mark: str = "nobody's") -> UpRecord:
    return UpRecord(
        mark=mark, up=process, since=time.time(), prefect_port=1, mlflow_port=2, services={"worker": process}
    )


def test_a_process_is_found_by_its_number_and_its_start() -> None:
    me = StartedProcess.of(os.getpid())

    found = me.find()

    assert found is not None
    assert found.pid == os.getpid()
    assert me.model_copy(update={"started": me.started - 60}).find() is None


def test_a_stranger_that_got_the_number_of_what_ended_is_left_alone(state: StateDirectory) -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as stranger:
        namesake = StartedProcess.of(stranger.pid).model_copy(update={"started": 1.0})
        state.write_record(record_of(namesake))

        ended = down(str(state.path), lambda _: None)

        assert stranger.poll() is None
        assert (ended.processes, ended.killed) == (0, 0)
        assert state.record() is None
        stranger.kill()


def test_what_carries_the_mark_is_ended_though_nothing_names_it(state: StateDirectory) -> None:
    deaf = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(flush=True); time.sleep(600)"
    environment = {**os.environ, "BACKPROP_UP": "this-one"}
    with subprocess.Popen(
        [sys.executable, "-c", deaf], env=environment, stdout=subprocess.PIPE, start_new_session=True
    ) as orphan:
        assert orphan.stdout is not None
        orphan.stdout.readline()
        gone = StartedProcess(pid=orphan.pid, started=1.0)
        state.write_record(record_of(gone, mark="this-one"))

        ended = down(str(state.path), lambda _: None)

        assert orphan.wait(60) == -9
        assert (ended.processes, ended.killed) == (1, 1)


def test_of_two_that_start_at_once_the_second_is_refused(state: StateDirectory) -> None:
    with state.held(), pytest.raises(ServicesError, match="is starting"), state.held():
        pass


def test_without_prefect_yaml_it_says_where_to_run_it(tmp_path: Path, forked: Forked) -> None:
    refused = forked(tmp_path, "up")

    assert refused.returncode == 2
    assert f"there is no prefect.yaml in {tmp_path}" in error_of(refused.stderr)


def test_a_port_that_is_taken_is_named_with_what_to_do(tmp_path: Path, forked: Forked) -> None:
    (tmp_path / "prefect.yaml").touch()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        refused = forked(tmp_path, "up", "--prefect-port", str(port))

    assert refused.returncode == 2
    assert f"port {port} for prefect" in error_of(refused.stderr)
    assert "make up PREFECT_PORT=" in error_of(refused.stderr)


def test_nothing_that_runs_is_no_error(tmp_path: Path, forked: Forked) -> None:
    ended = forked(tmp_path, "down")

    assert ended.returncode == 0
    assert "Nothing runs" in ended.stdout


def test_a_webhook_needs_a_server_that_calls_it(tmp_path: Path, forked: Forked) -> None:
    refused = forked(tmp_path, "notify", "http://127.0.0.1:9/hook")

    assert refused.returncode == 2
    assert "PREFECT_API_URL" in error_of(refused.stderr)
