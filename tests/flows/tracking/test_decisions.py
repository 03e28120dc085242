"""Decisions and aliases in the registry, and what a kill at any moment leaves of them."""

import multiprocessing
import os
import signal
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient

from flows.data.preparation import Preparation
from flows.errors import InputError, RunFailedError
from flows.evaluation.paired_metrics import Answers
from flows.parameters import PromotionParameters
from flows.retraining.promotion import Comparison, Decision, decide
from flows.tracking import tags
from flows.tracking.decisions import (
    LastDecision,
    Pending,
    carry_out,
    finish_pending,
    is_rolled_back,
    last_decision,
    remember,
    roll_back,
    settle_previous,
)
from flows.tracking.registry import CHAMPION, PREVIOUS, RegisteredVersion, version_by_alias
from flows.tracking.store import Tracking

MODEL = "wine"


def decision(promoted: bool) -> Decision:
    preparation = Preparation(task="classification", targets=("kind",), classes=("a", "b"))
    right, wrong = (Answers(np.array([label] * 50, dtype=object)) for label in ("a", "b"))
    target = pd.DataFrame({"kind": ["a"] * 50})
    challenger = right if promoted else wrong
    return decide(Comparison(preparation, target, target, challenger, wrong, None), PromotionParameters())


def versions(tracking: Tracking, count: int) -> list[RegisteredVersion]:
    """Register versions of which nobody asks more than what is written on them."""
    client = tracking.client()
    client.create_registered_model(MODEL)
    made = [client.create_model_version(MODEL, source="mlflow-artifacts:/nowhere") for _ in range(count)]
    return [RegisteredVersion(name=MODEL, version=int(one.version)) for one in made]


def settle(
    tracking: Tracking, challenger: RegisteredVersion, champion: RegisteredVersion | None, promoted: bool = True
) -> None:
    """Carry out a decision on data that is named for the challenger."""
    pending = Pending(
        version=challenger.version,
        replaces=None if champion is None else champion.version,
        digest=f"digest-{challenger.version}",
        request="asked",
        told={"reason": "better"},
    )
    carry_out(tracking, challenger, champion, decision(promoted), pending, "why", lambda: None)


def aliases(tracking: Tracking) -> dict[str, int]:
    return {alias: int(version) for alias, version in tracking.client().get_registered_model(MODEL).aliases.items()}


def test_a_promotion_moves_the_champion_keeps_the_previous_and_remembers_the_data(tracking: Tracking) -> None:
    first, second, third = versions(tracking, 3)
    settle(tracking, first, None)
    assert aliases(tracking) == {CHAMPION: 1}
    settle(tracking, second, first)
    assert aliases(tracking) == {CHAMPION: 2, PREVIOUS: 1}

    settle(tracking, third, second)

    assert aliases(tracking) == {CHAMPION: 3, PREVIOUS: 2}
    assert last_decision(tracking, MODEL) == LastDecision(digest="digest-3", request="asked", champion=3)
    assert tags.RETRAIN_PENDING not in tracking.client().get_registered_model(MODEL).tags


def test_a_refusal_leaves_both_aliases_and_remembers_the_data(tracking: Tracking) -> None:
    first, second = versions(tracking, 2)
    settle(tracking, first, None)

    settle(tracking, second, first, promoted=False)

    assert aliases(tracking) == {CHAMPION: 1}
    assert last_decision(tracking, MODEL) == LastDecision(digest="digest-2", request="asked", champion=1)
    written = tracking.client().get_model_version(MODEL, "2")
    assert written.tags[tags.PROMOTION] == "refused"
    assert written.tags[tags.PROMOTION_REASON].startswith("refused: ")
    assert written.description == "why"


def test_a_champion_that_was_moved_meanwhile_stays_where_it_was_moved_to(tracking: Tracking) -> None:
    first, second, third = versions(tracking, 3)
    settle(tracking, first, None)
    tracking.client().set_registered_model_alias(MODEL, CHAMPION, "3")

    with pytest.raises(RunFailedError, match="wine@champion is version 3 and was version 1 when version 2"):
        settle(tracking, second, first)

    assert aliases(tracking) == {CHAMPION: third.version}
    last = last_decision(tracking, MODEL)
    assert last is not None
    assert last.digest == "digest-1"


def test_a_rollback_swaps_champion_and_previous_and_a_second_one_swaps_them_back(tracking: Tracking) -> None:
    first, second = versions(tracking, 2)
    settle(tracking, first, None)
    settle(tracking, second, first)

    moved = roll_back(tracking, MODEL)

    assert moved.model_dump() == {"model": MODEL, "champion": 1, "previous": 2}
    assert aliases(tracking) == {CHAMPION: 1, PREVIOUS: 2}
    assert is_rolled_back(tracking, second)
    assert not is_rolled_back(tracking, first)

    roll_back(tracking, MODEL)

    assert aliases(tracking) == {CHAMPION: 2, PREVIOUS: 1}
    assert is_rolled_back(tracking, first)
    assert not is_rolled_back(tracking, second)


def test_a_rollback_says_what_there_is_not(tracking: Tracking) -> None:
    with pytest.raises(InputError, match="model 'wine': there is none in sqlite"):
        roll_back(tracking, MODEL)
    first, _ = versions(tracking, 2)
    with pytest.raises(InputError, match="model 'wine' has no @champion"):
        roll_back(tracking, MODEL)
    settle(tracking, first, None)
    with pytest.raises(InputError, match="model 'wine' has no @previous: version 1 is its first champion"):
        roll_back(tracking, MODEL)


def test_a_previous_version_that_was_deleted_is_not_gone_back_to(tracking: Tracking) -> None:
    first, second = versions(tracking, 2)
    settle(tracking, first, None)
    settle(tracking, second, first)
    tracking.client().delete_model_version(MODEL, "1")

    with pytest.raises(InputError, match="no @previous"):
        roll_back(tracking, MODEL)

    assert version_by_alias(tracking, MODEL, CHAMPION) == second


WRITES = (
    "set_registered_model_tag",
    "delete_registered_model_tag",
    "set_registered_model_alias",
    "set_model_version_tag",
    "update_model_version",
)
"""What a promotion writes with; it is broken off after each of its calls in turn."""

AFTER = {"pending": 8, "previous": 9, "champion": 10, "everything": 14}
"""Calls after which the tag of what is about to be done is written, and each alias moved; and all of them."""


class Died(BaseException):
    """What no code of the project catches, as a process that is no more catches nothing."""


def break_off() -> None:
    raise Died


def kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def promote_third(tracking: Tracking, calls: int, end: Callable[[], None], patch: pytest.MonkeyPatch) -> int:
    """Carry out the promotion of version 3 over 2, ending it after so many writes; return how many there were."""
    made = 0

    def counted(call: Any) -> Any:
        def called(*arguments: Any, **named: Any) -> Any:
            nonlocal made
            answer = call(*arguments, **named)
            made += 1
            if made == calls:
                end()
            return answer

        return called

    for name in WRITES:
        patch.setattr(MlflowClient, name, counted(getattr(MlflowClient, name)))
    settle(tracking, RegisteredVersion(name=MODEL, version=3), RegisteredVersion(name=MODEL, version=2))
    return made


def promote_and_die(tracking: Tracking, calls: int) -> None:
    """What a process of its own does, which does not live to its end."""
    promote_third(tracking, calls, kill, pytest.MonkeyPatch())


def two_promotions(tracking: Tracking) -> None:
    """Register three versions, of which the second is champion and the first was."""
    first, second, _ = versions(tracking, 3)
    settle(tracking, first, None)
    settle(tracking, second, first)


def go_on(tracking: Tracking) -> None:
    """Do what the same retraining does when it is run again, whether or not the promotion had begun."""
    pending = finish_pending(tracking, MODEL)
    if pending is not None:
        assert pending.told == {"reason": "better"}
        remember(tracking, MODEL, LastDecision(digest=pending.digest, request=pending.request, champion=3))
    settle_previous(tracking, MODEL)
    last = last_decision(tracking, MODEL)
    if last is None or last.digest != "digest-3":
        settle(tracking, RegisteredVersion(name=MODEL, version=3), RegisteredVersion(name=MODEL, version=2))


def assert_decided(tracking: Tracking) -> None:
    """Hold that no alias is at a version that was not decided on, or was never champion."""
    left = aliases(tracking)
    champion = tracking.client().get_model_version(MODEL, str(left[CHAMPION]))
    assert champion.tags[tags.PROMOTION] == "promoted"
    assert left[PREVIOUS] in (1, 2)


def assert_done(tracking: Tracking) -> None:
    assert aliases(tracking) == {CHAMPION: 3, PREVIOUS: 2}
    assert last_decision(tracking, MODEL) == LastDecision(digest="digest-3", request="asked", champion=3)
    assert tags.RETRAIN_PENDING not in tracking.client().get_registered_model(MODEL).tags


@pytest.mark.parametrize("calls", range(1, AFTER["everything"] + 1))
def test_a_promotion_that_is_broken_off_after_any_of_its_writes_is_finished_by_the_next(
    tracking: Tracking, calls: int
) -> None:
    two_promotions(tracking)

    with pytest.raises(Died), pytest.MonkeyPatch.context() as patch:
        promote_third(tracking, calls, break_off, patch)

    assert_decided(tracking)
    go_on(tracking)
    assert_done(tracking)


def test_those_are_all_the_writes_of_a_promotion(tracking: Tracking, monkeypatch: pytest.MonkeyPatch) -> None:
    two_promotions(tracking)

    assert promote_third(tracking, 1000, break_off, monkeypatch) == AFTER["everything"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("moment", "left"),
    [
        ("pending", {CHAMPION: 2, PREVIOUS: 1}),
        ("previous", {CHAMPION: 2, PREVIOUS: 2}),
        ("champion", {CHAMPION: 3, PREVIOUS: 2}),
    ],
)
def test_a_process_that_is_killed_around_the_moves_of_the_aliases_leaves_what_the_next_one_finishes(
    tracking: Tracking, moment: str, left: dict[str, int]
) -> None:
    two_promotions(tracking)

    process = multiprocessing.get_context("spawn").Process(target=promote_and_die, args=(tracking, AFTER[moment]))
    process.start()
    process.join()

    assert process.exitcode == -signal.SIGKILL
    assert aliases(tracking) == left
    assert_decided(tracking)
    go_on(tracking)
    assert_done(tracking)


def test_a_rollback_of_a_promotion_that_was_broken_off_takes_it_back(tracking: Tracking) -> None:
    first, second = versions(tracking, 2)
    settle(tracking, first, None)
    pending = Pending(version=second.version, replaces=first.version, digest="digest-2", request="asked")
    tracking.client().set_registered_model_tag(MODEL, tags.RETRAIN_PENDING, pending.model_dump_json())

    moved = roll_back(tracking, MODEL)

    assert (moved.champion, moved.previous) == (1, 2)
    assert finish_pending(tracking, MODEL) is None


def test_a_person_who_moved_the_champion_wins_over_a_promotion_that_was_broken_off(tracking: Tracking) -> None:
    first, second, _ = versions(tracking, 3)
    settle(tracking, first, None)
    pending = Pending(version=second.version, replaces=first.version, digest="digest-2", request="asked")
    tracking.client().set_registered_model_tag(MODEL, tags.RETRAIN_PENDING, pending.model_dump_json())
    tracking.client().set_registered_model_alias(MODEL, CHAMPION, "3")

    assert finish_pending(tracking, MODEL) is None
    assert aliases(tracking) == {CHAMPION: 3}
