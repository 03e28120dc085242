"""One search at a time: a second is refused while the first lives, and waits for what a killed one left."""

import multiprocessing
import os
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from flows.compute import lease
from flows.compute.lease import SEARCH, Lease, LeaseFacts, LeaseFiles
from flows.data.store import DatasetReference
from flows.errors import ClusterError, SearchRunningError
from flows.tracking.search_runs import SearchRun
from flows.tracking.store import Tracking

RUN = SearchRun(tracking=Tracking(uri="sqlite:///x.db", experiment_id="1", experiment="e"), run_id="r1")


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "BEAT_SECONDS", 0.05)


@pytest.fixture
def dataset(tmp_path: Path) -> DatasetReference:
    return DatasetReference(name="d", digest="0" * 64, path=str(tmp_path / "datasets" / ("0" * 64)))


@pytest.fixture
def files(dataset: DatasetReference) -> LeaseFiles:
    return LeaseFiles(dataset, RUN)


def take_over(files: LeaseFiles, execution: str) -> None:
    files.take_over(execution, print)


def facts(**changes: object) -> LeaseFacts:
    mine = {
        "execution": "old",
        "role": "stack",
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "process_started": psutil.Process().create_time(),
        "since": time.time(),
        "renewed": time.time(),
    }
    return LeaseFacts.model_validate({**mine, **changes})


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_second_search_is_refused_while_the_first_lives(dataset: DatasetReference, files: LeaseFiles) -> None:
    take_over(files, "first")
    with Lease(dataset, RUN, "first", SEARCH) as first:
        with pytest.raises(SearchRunningError, match=rf"running already: since .*, process {os.getpid()} on "):
            take_over(files, "second")

        assert files.fence() == "first"
        assert not first.is_lost
    take_over(files, "second")
    assert files.fence() == "second"


def test_a_search_that_was_killed_is_succeeded_at_once(files: LeaseFiles) -> None:
    process = multiprocessing.get_context("spawn").Process(target=time.sleep, args=(60,))
    process.start()
    assert process.pid is not None
    started = psutil.Process(process.pid).create_time()
    files.write(SEARCH, facts(role="search", pid=process.pid, process_started=started))
    with pytest.raises(SearchRunningError):
        take_over(files, "new")

    process.kill()
    process.join()

    take_over(files, "new")
    assert files.fence() == "new"


def test_a_process_that_has_the_number_of_a_dead_one_is_another(files: LeaseFiles) -> None:
    files.write(SEARCH, facts(role="search", process_started=psutil.Process().create_time() - 100))

    take_over(files, "new")

    assert files.fence() == "new"


def test_workers_of_a_killed_search_are_told_to_stop_and_waited_for(
    dataset: DatasetReference, files: LeaseFiles
) -> None:
    take_over(files, "old")
    stopped = []

    def train() -> None:
        with Lease(dataset, RUN, "old", "stack-0") as held:
            wait_for(lambda: held.is_lost)
            stopped.append(time.monotonic())

    worker = threading.Thread(target=train)
    worker.start()
    wait_for(lambda: files._root.files("checkpoints/r1/leases") == ["stack-0.json"])

    take_over(files, "new")

    assert stopped
    worker.join()


def test_workers_that_do_not_stop_are_named(files: LeaseFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "LETTING_GO_SECONDS", 0.1)
    files.write("stack-0", facts())

    with pytest.raises(ClusterError, match=rf"do not stop: process {os.getpid()} on .*; end them"):
        take_over(files, "new")


def test_a_holder_on_another_machine_lives_as_long_as_it_renews() -> None:
    there = {"host": "elsewhere", "pid": 1}

    assert facts(**there).is_alive
    assert not facts(**there, renewed=time.time() - lease.SILENT_SECONDS - 1).is_alive


def test_a_worker_that_begins_after_its_search_was_succeeded_knows_at_once(
    dataset: DatasetReference, files: LeaseFiles
) -> None:
    take_over(files, "old")
    take_over(files, "new")

    with Lease(dataset, RUN, "old", "stack-0") as held:
        assert held.is_lost
    with Lease(dataset, RUN, "new", "stack-0") as held:
        assert not held.is_lost


def test_a_lease_is_renewed_while_it_is_held_and_goes_with_its_holder(
    dataset: DatasetReference, files: LeaseFiles
) -> None:
    with Lease(dataset, RUN, "first", "stack-0"):
        [before] = files._others("second")
        wait_for(lambda: files._others("second")[0].renewed > before.renewed)

    assert files._others("second") == []
