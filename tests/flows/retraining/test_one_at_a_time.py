"""One retraining of a model at a time: real processes, which live and die."""

import json
import multiprocessing
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from flows.data.root import open_root
from flows.errors import RetrainingRunningError
from flows.retraining.one_at_a_time import OneAtATime


def hold(root: str, entered: Any, leave: Any) -> None:
    with OneAtATime(open_root(root), "wine"):
        entered.set()
        leave.wait()


def compete(root: str, start: Any, answers: Any) -> None:
    """Say whether this process got it, and hold it until all have tried."""
    start.wait()
    try:
        with OneAtATime(open_root(root), "wine"):
            answers.put("held")
            start.wait()
    except RetrainingRunningError:
        answers.put("busy")
        start.wait()


def claims(root: Path) -> list[Path]:
    return sorted((root / "retraining").rglob("*.json"))


@pytest.fixture
def processes() -> Any:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.flows.test_one_at_a_time"])
    return context


def test_another_process_is_told_who_holds_it_and_has_it_when_that_one_was_killed(
    tmp_path: Path, processes: Any
) -> None:
    entered, leave = processes.Event(), processes.Event()
    holder = processes.Process(target=hold, args=(str(tmp_path), entered, leave))
    holder.start()
    assert entered.wait(60)

    with (
        pytest.raises(RetrainingRunningError, match=rf"'wine' is being retrained already: .* process {holder.pid} on "),
        OneAtATime(open_root(tmp_path), "wine"),
    ):
        pass
    with OneAtATime(open_root(tmp_path), "beer"):
        pass
    os.kill(holder.pid, signal.SIGKILL)
    holder.join()
    with OneAtATime(open_root(tmp_path), "wine"):
        [mine] = claims(tmp_path)
        assert json.loads(mine.read_text())["pid"] == os.getpid()

    assert claims(tmp_path) == []


def test_of_many_that_begin_at_once_at_most_one_goes_on(tmp_path: Path, processes: Any) -> None:
    count = 6
    start, answers = processes.Barrier(count), processes.Queue()
    started = [processes.Process(target=compete, args=(str(tmp_path), start, answers)) for _ in range(count)]
    for process in started:
        process.start()
    said = [answers.get(timeout=60) for _ in started]
    for process in started:
        process.join()

    assert said.count("held") <= 1
    assert claims(tmp_path) == []


def test_what_is_no_claim_holds_nobody_up(tmp_path: Path) -> None:
    (tmp_path / "retraining" / "wine").mkdir(parents=True)
    (tmp_path / "retraining" / "wine" / "of-the-future.json").write_text('{"holder": 1}')

    with OneAtATime(open_root(tmp_path), "wine"):
        pass
