"""The leaderboard as a person reads it, in a narrow terminal and in a wide one."""

import io
from collections.abc import Iterator
from itertools import product
from typing import Any

import pytest
from rich.console import Console

from flows.parameters import Hyperparameters
from flows.ranking import Candidate, Selection
from flows.terminal.leaderboard import SHOWN, print_leaderboard
from flows.tracking.search_runs import TrialRecord
from flows.trials import widths

LOSS, ACCURACY = "val/loss", "val/accuracy"


def record(place: int, accuracy: float, **changes: Any) -> TrialRecord:
    """Return a trial as MLflow holds one."""
    chosen = Hyperparameters.model_validate({"hidden": (64, 32), "learning_rate": 0.1, **changes})
    numbers = {"momentum": 0.0, "weight_decay": 0.0, **chosen.optimizer_numbers}
    params = {**chosen.model_dump(), **numbers, "hidden": widths(chosen.hidden)}
    return TrialRecord(
        key=f"{place:064x}",
        run_id=f"{place:032x}",
        name=f"trial {place}",
        params={name: str(value) for name, value in params.items()},
        metrics={ACCURACY: accuracy, LOSS: 1 - accuracy / 2, "train/loss": 0.1},
        diverged_at=None,
    )


def selected(records: list[TrialRecord], trials: int = 1) -> Selection:
    groups = [tuple(records[start : start + trials]) for start in range(0, len(records), trials)]
    ranked = tuple(Candidate(group[0].name, str(place), group) for place, group in enumerate(groups))
    test = {"test/loss": 0.2, "test/accuracy": 0.97531, "test/rmse/height": 3.0}
    return Selection(metric=ACCURACY, ranked=ranked, diverged=(), winner=records[0], test=test)


def printed(selection: Selection, width: int, **options: bool) -> str:
    console = Console(file=io.StringIO(), width=width)
    print_leaderboard(console, selection, "digits", **options)
    return console.file.getvalue()


def headings(text: str) -> list[str]:
    return [heading.strip() for heading in next(line for line in text.splitlines() if "rank" in line).split("┃")[1:-1]]


def rows(text: str) -> Iterator[list[str]]:
    for line in text.splitlines():
        if line.startswith("│"):
            yield [cell.strip() for cell in line.split("│")[1:-1]]


def quick() -> list[TrialRecord]:
    """Return trials as the bundled space `quick` has them."""
    grid = product(((64, 32), (64,)), ("relu", "tanh"), (0.3, 0.1, 0.03), (0, 1))
    return [
        record(place, 0.99 - place / 100, hidden=hidden, activation=activation, learning_rate=rate, seed=seed)
        for place, (hidden, activation, rate, seed) in enumerate(grid)
    ]


def everything() -> list[TrialRecord]:
    """Return trials that differ in all there is."""
    return [
        record(
            place,
            0.98 - place / 1000,
            hidden=(100 + place, 32, 16),
            activation="leaky_relu" if place % 2 else "softplus",
            optimizer=optimizer,
            learning_rate=0.0123456789 / (place + 1),
            batch_size=2 ** (place + 2),
            epochs=20 + place,
            seed=place,
            l2=0.000123456 * (place + 1),
            dropout=0.0123456 * (place + 1),
            **numbers,
        )
        for place, (optimizer, numbers) in enumerate(
            [("momentum", {"momentum": 0.123456}), ("adamw", {"weight_decay": 0.0123456}), ("sgd", {})]
        )
    ]


@pytest.mark.parametrize("width", [80, 160])
def test_what_differs_is_a_column_and_the_rest_is_said_once(width: int) -> None:
    text = printed(selected(quick()), width)

    assert headings(text) == ["rank", "hidden", "activation", "lr", "seed", ACCURACY, LOSS]
    assert len(list(rows(text))) == SHOWN
    assert next(rows(text)) == ["1", "64-32", "relu", "0.3", "0", "0.9900", "0.5050"]
    assert "…" not in text
    after = text[text.index("└") :].splitlines()[1:]
    assert after == [
        "All of them: optimizer sgd, batch_size 32, epochs 20",
        "The winner on the test rows: test/accuracy 0.9753",
    ]


@pytest.mark.parametrize("width", [80, 100, 160])
def test_no_score_is_cut_whatever_differs(width: int) -> None:
    text = printed(selected(everything()), width, with_epochs=True)

    assert all(len(line) <= width for line in text[: text.index("└")].splitlines())
    assert "…" not in text
    assert all(score in text for score in ("0.9800", "0.9790", "0.9780"))
    assert ACCURACY in headings(text)
    assert ("configuration" in headings(text)) == (width < 160)
    assert [row[0] for row in rows(text) if row[0]] == ["1", "2", "3"]


def test_a_metric_that_does_not_rank_is_left_out_before_the_hyperparameters_lose_their_columns() -> None:
    records = [
        record(
            place, 0.9, hidden=(64, 32), learning_rate=rate, dropout=rate / 2, activation=activation, batch_size=size
        )
        for place, (rate, activation, size) in enumerate(product((0.1234, 0.4321), ("relu", "leaky_relu"), (32, 64)))
    ]

    assert headings(printed(selected(records), 80))[-2:] == [ACCURACY, LOSS]
    assert headings(printed(selected(records), 70))[-2:] == ["dropout", ACCURACY]
    assert headings(printed(selected(records), 58)) == ["rank", "configuration", ACCURACY, LOSS]


def test_the_numbers_of_an_optimiser_stand_only_with_it() -> None:
    text = printed(selected(everything()), 160)

    places = [headings(text).index(name) for name in ("optimizer", "momentum", "decay")]
    assert [[row[place] for place in places] for row in rows(text)] == [
        ["momentum", "0.1235", ""],
        ["adamw", "", "0.01235"],
        ["sgd", "", ""],
    ]


@pytest.mark.parametrize("width", [80, 160])
def test_several_trials_are_their_mean_and_deviation(width: int) -> None:
    records = [
        record(place, 0.9 + place / 100, seed=place % 3, learning_rate=(0.1, 0.3)[place // 3]) for place in range(6)
    ]

    text = printed(selected(records, trials=3), width)

    assert headings(text) == ["rank", "lr", ACCURACY, LOSS]
    assert [row[2] for row in rows(text)] == ["0.9100 ± 0.0100", "0.9400 ± 0.0100"]
    assert "mean ± sample standard deviation (n - 1) of 3 trials: 3 seeds\n" in text
    assert "seed 0 to 2" in text


def test_a_single_configuration_is_said_in_words() -> None:
    text = printed(selected([record(0, 1.0, optimizer="momentum")]), 80)

    assert list(rows(text)) == [["1", "1.0000", "0.5000"]]
    assert (
        "It has: hidden 64-32, activation relu, optimizer momentum, learning_rate 0.1, momentum 0.9, batch_size 32, "
        "epochs 20, seed 0\n"
    ) in text
