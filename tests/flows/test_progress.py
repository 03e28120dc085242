"""What is said of a search while it runs."""

from typing import Any

import pytest

from flows.compute.worker_news import WorkerNews
from flows.progress import ProgressCount, SearchProgress
from flows.ranking import OBJECTIVES

BEGIN = SearchProgress(metric="val/accuracy", total=10, found_finished=2, finished=2, best=0.5)


class Heard:
    """Remembers what a listener is told."""

    def __init__(self) -> None:
        self.progress: list[SearchProgress] = []

    def warned(self, text: str) -> None:
        raise AssertionError(text)

    def search_advanced(self, progress: SearchProgress) -> None:
        self.progress.append(progress)

    def search_ended(self) -> None:
        raise AssertionError


def event(**news: Any) -> tuple[float, dict[str, Any]]:
    return 0.0, WorkerNews(**news).model_dump(mode="json")


@pytest.fixture
def heard() -> Heard:
    return Heard()


@pytest.fixture
def count(heard: Heard) -> ProgressCount:
    return ProgressCount(heard, BEGIN, OBJECTIVES["classification"], work=1000)


def test_what_several_stacks_announce_is_added_up(heard: Heard, count: ProgressCount) -> None:
    count.stacks_changed({"a", "b", "c", "d"}, failed=0)
    count.hear(event(work=100, best=0.7))
    count.hear(event(work=150, finished=("a", "b"), diverged=("b",), best=0.6))

    told = heard.progress[-1]
    assert (told.finished, told.running, told.diverged, told.best) == (4, 2, 1, 0.7)
    assert told.share == 0.25


def test_a_trial_that_is_announced_twice_counts_once(heard: Heard, count: ProgressCount) -> None:
    count.hear(event(work=600, finished=("a",)))
    count.hear(event(work=600, finished=("a", "b")))

    assert heard.progress[-1].finished == 4
    assert heard.progress[-1].share == 1.0


def test_a_worse_score_is_not_the_best(heard: Heard) -> None:
    count = ProgressCount(heard, BEGIN, OBJECTIVES["regression"], work=1)

    count.hear(event(best=0.9))
    assert heard.progress[-1].best == 0.5
    count.hear(event(best=0.1))
    assert heard.progress[-1].best == 0.1


def test_what_is_planned_later_is_counted_on_top(heard: Heard) -> None:
    """Two batches of four trials, and two trials that were found finished."""
    count = ProgressCount(heard, BEGIN, OBJECTIVES["classification"], work=1000, part=0.5)
    count.stacks_changed({"a", "b"}, failed=1)
    count.hear(event(work=500, finished=("a",), best=0.7))
    assert (heard.progress[-1].share, heard.progress[-1].finished) == (0.25, 3)

    count.go_on(BEGIN.model_copy(update={"failed": 1, "best": 0.8}), work=3000, part=1.0)
    told = heard.progress[-1]
    assert (told.share, told.finished, told.failed, told.running, told.best) == (0.5, 3, 1, 0, 0.8)

    count.hear(event(work=1500))
    assert heard.progress[-1].share == 0.75
    count.hear(event(work=1500, finished=("c",)))
    assert (heard.progress[-1].share, heard.progress[-1].finished) == (1.0, 4)


def test_the_listener_hears_of_the_begin(heard: Heard, count: ProgressCount) -> None:
    assert count is not None
    assert heard.progress == [BEGIN]


def test_time_left_and_throughput_follow_from_the_share_of_the_work() -> None:
    half = BEGIN.model_copy(update={"share": 0.25, "seconds": 10.0, "finished": 3, "running": 4, "failed": 1})

    assert half.seconds_left == 30
    assert half.trials_per_second == 0.2
    assert half.describe() == (
        "3 of 10 trials finished · 4 running · 1 failed · best val/accuracy 0.5 · 0.2 trials/s · about 30 s left"
    )


def test_nothing_is_estimated_before_there_is_anything_to_go_by() -> None:
    assert BEGIN.seconds_left is None
    assert "left" not in BEGIN.describe()
