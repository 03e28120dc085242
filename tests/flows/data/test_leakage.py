"""Features that give the target away are told of, and honest ones are not."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from flows.data.inference import infer_plan
from flows.data.leakage import leaks
from tests.flows.data.tables import staged_table

ROWS = 300


def found(frame: pd.DataFrame, target: str, directory: Path, task: str = "auto") -> list[str]:
    with staged_table(frame, directory) as staged:
        return list(leaks(staged, infer_plan(staged, (target,), task)))


def honest(rows: int = ROWS) -> pd.DataFrame:
    rng = np.random.default_rng(3)
    level = rng.normal(size=rows)
    return pd.DataFrame(
        {
            "signal": level + 0.3 * rng.normal(size=rows),
            "noise": rng.normal(size=rows),
            "group": rng.choice(["a", "b", "c"], rows),
            "name": [f"plant {place}" for place in range(rows)],
            "constant": 1,
            "price": level,
            "kind": np.where(level > 0, "tall", "short"),
            "grade": np.digitize(level, [-1, 0, 1]),
        }
    )


PLACE = np.arange(ROWS)


def is_tall(frame: pd.DataFrame) -> pd.Series:
    return frame["kind"] == "tall"


def days(numbers: pd.Series) -> pd.Series:
    return pd.Timestamp("2026-01-01") + pd.to_timedelta(numbers, unit="D")


CLASSES = {
    "the same under another name": (lambda frame: frame["kind"], "one value of the target"),
    "a code of it": (lambda frame: frame["kind"].map({"tall": 7, "short": 3}), "stretch of its range"),
    "true where it is one of them": (is_tall, "one value of the target"),
    "several values for one of them": (lambda frame: np.where(is_tall(frame), PLACE % 3, 9), "stretch of its range"),
    "values that alternate": (
        lambda frame: np.where(is_tall(frame), 2, 1 + 2 * (PLACE % 2)),
        "one value of the target",
    ),
    "a threshold that was never crossed": (lambda frame: frame["price"], "stretch of its range"),
    "a date set when it happened": (lambda frame: days(is_tall(frame) * 40 + PLACE % 20), "stretch of its range"),
    "a copy with gaps": (lambda frame: frame["kind"].where(PLACE % 3 > 0), "one value of the target"),
}


@pytest.mark.parametrize(("leak", "why"), CLASSES.values(), ids=CLASSES)
def test_a_feature_that_gives_a_class_away_is_named(leak, why, tmp_path) -> None:
    frame = honest().drop(columns=["price", "grade"]).assign(leak=leak(honest()))
    [line] = found(frame, "kind", tmp_path)
    assert line.startswith("t.csv: column 'leak' gives the target 'kind' away: ")
    assert why in line
    assert "leave it out (drop: [leak])" in line


QUANTITIES = {
    "a copy": (lambda price: price, "it is a copy"),
    "another unit": (lambda price: 1.8 * price + 32, "straight line"),
    "its opposite": (lambda price: -price, "straight line"),
    "a copy that was rounded by float32": (lambda price: price.astype("float32").astype("float64") * 4, None),
    "nearly the same": (lambda price: price + 1e-3 * np.sin(np.arange(len(price))), None),
    "a curve of it": (lambda price: price**3, None),
}


@pytest.mark.parametrize(("leak", "why"), QUANTITIES.values(), ids=QUANTITIES)
def test_a_feature_that_is_the_quantity_is_named(leak, why, tmp_path) -> None:
    frame = honest().drop(columns=["kind", "grade"])
    lines = found(frame.assign(leak=leak(frame["price"])), "price", tmp_path)
    assert [why in line for line in lines] == ([True] if why else [])


def test_a_level_that_sets_the_quantity_is_named(tmp_path) -> None:
    frame = honest().drop(columns=["kind", "grade"])
    frame["price"] = frame["group"].map({"a": 10.5, "b": 20.25, "c": 3.0})
    [line] = found(frame, "price", tmp_path, "regression")
    assert "column 'group' gives the target 'price' away" in line


@pytest.mark.parametrize("target", ["price", "kind", "grade"])
def test_honest_features_are_not_named(target, tmp_path) -> None:
    frame = honest()[["signal", "noise", "group", "name", "constant", target]]
    assert found(frame, target, tmp_path) == []


def test_one_row_that_speaks_against_it_is_enough_wherever_it_stands(tmp_path) -> None:
    for row in (0, 150, ROWS - 1):
        frame = honest().drop(columns=["price", "grade"])
        frame["leak"] = frame["kind"]
        frame.loc[row, "leak"] = "short" if frame["kind"][row] == "tall" else "tall"
        assert found(frame, "kind", tmp_path) == []


def test_far_down_counts_too(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("flows.data.leakage.SCREENED_ROWS", 50)
    monkeypatch.setattr("flows.data.staging.CHUNK_BYTES", 8 * 64 * 6)
    frame = honest().drop(columns=["price", "grade"])
    frame["leak"] = frame["kind"] == "tall"
    assert len(found(frame, "kind", tmp_path)) == 1
    frame.loc[ROWS - 1, "leak"] ^= True
    assert found(frame, "kind", tmp_path) == []


def test_values_seen_once_or_twice_are_chance(tmp_path) -> None:
    rows = 12
    frame = pd.DataFrame(
        {"a": np.arange(rows), "b": [f"v{row // 2}" for row in range(rows)], "y": np.arange(rows) // 2 % 3}
    )
    assert found(frame, "y", tmp_path, "classification") == []
