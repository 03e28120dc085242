"""`backprop open`: the right page, whoever serves it, and nothing left behind."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import urlopen

import psutil
import pytest
from playwright.sync_api import Page, expect

from flows.errors import RunError
from flows.inspection.pages import find_place
from flows.services.state import StartedProcess, StateDirectory, UpRecord
from tests.flows.commands import BACKPROP, Forked
from tests.flows.inspection.conftest import Looked
from tests.programs import eventually


def test_a_run_and_a_model_have_their_pages(here: Looked) -> None:
    experiment = here.tracking.experiment_id

    def path(wanted: str | None) -> str:
        return find_place(wanted, None).path

    assert path(here.search[:10]) == f"/#/experiments/{experiment}/runs/{here.search}"
    assert path(here.winner.name) == f"/#/experiments/{experiment}/runs/{here.winner.run_id}"
    assert path("wine") == "/#/models/wine"
    assert path("models:/wine@challenger") == path("wine/1") == path("wine@challenger") == "/#/models/wine/versions/1"
    # Of the newest search, which is on diabetes.
    assert path(None) == f"/#/experiments/{here.client.get_run(here.diabetes).info.experiment_id}/runs"
    with pytest.raises(RunError, match="'nothing' is no run"):
        path("nothing")


@dataclass(frozen=True)
class Opened:
    """An `open` that runs: what it told, and the process."""

    told: dict[str, object]
    process: subprocess.Popen[str]

    @property
    def address(self) -> str:
        return str(self.told["address"])

    @property
    def base(self) -> str:
        return self.address.split("/#")[0]


def below(process: subprocess.Popen[str]) -> list[psutil.Process]:
    """Return the processes that one has started, at whatever remove."""
    return psutil.Process(process.pid).children(recursive=True)


@contextmanager
def opening(looked: Looked, directory: Path) -> Iterator[Opened]:
    """Run `backprop open --json` on the search on wine."""
    log = (directory / "stderr").open("w+")
    process = subprocess.Popen(
        [BACKPROP, "open", looked.search, "--json"],
        cwd=looked.directory,
        stdout=subprocess.PIPE,
        stderr=log,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    told = ""
    while not told.endswith("}\n"):
        line = process.stdout.readline()
        assert line, Path(log.name).read_text()
        told += line
    yield Opened(json.loads(told), process)
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        process.wait(60)
    process.stdout.close()
    log.close()


@pytest.fixture(scope="module")
def opened(looked: Looked, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Opened]:
    """An `open` whose server the tests of this file share."""
    with opening(looked, tmp_path_factory.mktemp("open")) as found:
        yield found


def runs(process: psutil.Process) -> bool:
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE


@pytest.mark.slow
def test_the_address_that_is_told_shows_the_search_in_a_browser(opened: Opened, looked: Looked, page: Page) -> None:
    assert (opened.told["started"], opened.told["prefect"]) == (True, None)
    assert urlsplit(opened.base).hostname == "127.0.0.1"

    page.goto(opened.address)

    expect(page.get_by_text("search · rates").first).to_be_visible(timeout=60_000)
    expect(page.get_by_text(looked.search).first).to_be_visible(timeout=60_000)


@pytest.mark.slow
def test_a_server_that_is_named_is_opened_in_the_browser_and_none_is_started(
    opened: Opened, looked: Looked, forked: Forked, tmp_path: Path
) -> None:
    browser = tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\necho "$1" > {tmp_path}/opened\n')
    browser.chmod(0o755)
    environment = {"MLFLOW_TRACKING_URI": opened.base, "BROWSER": f"{browser} %s"}

    ran = forked(tmp_path, "open", "wine@challenger", environment=environment)

    assert (ran.returncode, ran.stderr) == (0, "")
    address = f"{opened.base}/#/models/wine/versions/1"
    assert ran.stdout == f"Model wine version 1: {address}\n"
    assert eventually(lambda: (tmp_path / "opened").exists() and (tmp_path / "opened").read_text(), "opened") == (
        f"{address}\n"
    )
    quiet = forked(tmp_path, "open", looked.search, "--no-browser", environment=environment)
    assert quiet.stdout.strip().endswith(f"runs/{looked.search}")


@pytest.mark.slow
def test_a_backprop_up_that_runs_is_known(opened: Opened, looked: Looked, forked: Forked, tmp_path: Path) -> None:
    state = StateDirectory(tmp_path / ".backprop")
    state.create()
    port = urlsplit(opened.base).port
    assert port is not None
    me = StartedProcess.of(os.getpid())
    state.write_record(UpRecord(mark="m", up=me, since=time.time(), prefect_port=4200, mlflow_port=port))

    told = json.loads(forked(tmp_path, "open", looked.search, "--json").stdout)

    assert (told["address"], told["started"], told["prefect"]) == (opened.address, False, "http://127.0.0.1:4200")
    # Of one that was killed nothing is expected.
    gone = StartedProcess(pid=me.pid, started=me.started - 1000)
    state.write_record(UpRecord(mark="m", up=gone, since=time.time(), prefect_port=4200, mlflow_port=port))
    assert forked(tmp_path, "open", looked.search, "--json").returncode == 2


@pytest.mark.slow
def test_after_ctrl_c_no_process_is_left_and_the_store_is_one_file(opened: Opened, looked: Looked) -> None:
    with urlopen(f"{opened.base}/health") as answer:  # noqa: S310 - the server of this test
        assert answer.status == 200
    files = set(looked.directory.iterdir())
    started = below(opened.process)
    assert started

    opened.process.send_signal(signal.SIGINT)

    assert opened.process.wait(60) == 0
    assert not [process for process in started if runs(process)]
    assert set(looked.directory.iterdir()) <= files
    assert not list(looked.directory.glob("mlflow.db-*"))
    assert not (looked.directory / "mlartifacts").exists()


@pytest.mark.slow
def test_killed_it_leaves_no_server(looked: Looked, tmp_path: Path) -> None:
    with opening(looked, tmp_path) as opened:
        started = below(opened.process)
        assert len(started) > 1

        opened.process.kill()
        opened.process.wait()

        assert eventually(lambda: not [process for process in started if runs(process)], "no process is left")
