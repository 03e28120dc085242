from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from flows.data import staging, text_columns
from flows.data.fitting import fit_preparation
from flows.data.inference import infer_plan
from flows.data.plan import BooleanPlan, CategoricalPlan, DatePlan, NumericPlan, PreparationPlan
from flows.data.staging import Staged
from flows.errors import TableError
from tests.flows.data.tables import staged_table

ROWS = 240
RNG = np.random.default_rng(11)
DAYS = pd.Series(pd.date_range("2019-03-01", periods=ROWS, freq="5D"))
WORDS = np.array(["river", "stone", "amber", "field", "cloud", "night", "paper", "glass"])
PROSE = [" ".join(RNG.choice(WORDS, 9)) for _ in range(ROWS)]


def inferred(column: object, tmp_path: Path, name: str = "a") -> PreparationPlan:
    with staged_table({name: column, "y": [0, 1] * (ROWS // 2)}, tmp_path) as staged:
        return infer_plan(staged, ("y",))


DATE = DatePlan(parts=("year", "month", "day", "weekday", "elapsed"))
KINDS = {
    "whole numbers": (range(ROWS), NumericPlan()),
    "codes": (np.arange(ROWS) % 3, NumericPlan()),
    "fractions": (RNG.normal(size=ROWS), NumericPlan()),
    "one number": ([7.0] * ROWS, NumericPlan()),
    "truth values": (RNG.random(ROWS) < 0.5, BooleanPlan()),
    "truth in words": (["True", "False"] * (ROWS // 2), BooleanPlan()),
    "few texts": (RNG.choice(WORDS, ROWS), CategoricalPlan()),
    "few long texts": (RNG.choice(PROSE[:15], ROWS), CategoricalPlan()),
    "few numbers as text": (RNG.choice(["1", "2", "3+"], ROWS), CategoricalPlan()),
    "years as text": (RNG.choice(["2019", "2020"], ROWS), CategoricalPlan()),
    "numbers and a word": ([*map(str, range(ROWS - 1)), "unknown"], NumericPlan()),
    "days": (DAYS, DATE),
    "days of one year": (
        DAYS.head(60).sample(ROWS, replace=True, random_state=1),
        DATE.model_copy(update={"parts": DATE.parts[1:]}),
    ),
    "months": (pd.date_range("2000-01-01", periods=ROWS, freq="MS"), DatePlan(parts=("year", "month", "elapsed"))),
    "hours": (
        pd.date_range("2020-01-01", periods=ROWS, freq="h"),
        DatePlan(parts=("day", "weekday", "hour", "elapsed")),
    ),
    "one day": ([pd.Timestamp("2026-07-31")] * ROWS, DatePlan(parts=("elapsed",))),
    "days as text": (DAYS.dt.strftime("%Y-%m-%d"), DATE),
    "days as text, few of them": (
        ["2026-07-30", "2026-08-01"] * (ROWS // 2),
        DatePlan(parts=("month", "day", "weekday", "elapsed")),
    ),
    "days of America": (DAYS.dt.strftime("%m/%d/%Y"), DATE.model_copy(update={"format": "%m/%d/%Y"})),
    "days of Europe": (DAYS.dt.strftime("%d.%m.%Y"), DATE.model_copy(update={"format": "%d.%m.%Y"})),
    "days in words": (DAYS.dt.strftime("%b %d %Y"), DATE.model_copy(update={"format": "%b %d %Y"})),
    "moments as text": (
        (DAYS + pd.to_timedelta(np.arange(ROWS), unit="h")).dt.strftime("%d/%m/%Y %H:%M"),
        DatePlan(parts=("year", "month", "day", "weekday", "hour", "elapsed"), format="%d/%m/%Y %H:%M"),
    ),
    "moments with a time zone": (
        [f"2020-0{1 + place % 9}-1{place % 10}T0{place % 7}:00:00+02:00" for place in range(ROWS)],
        DatePlan(parts=("month", "day", "weekday", "hour", "elapsed")),
    ),
}


@pytest.mark.parametrize(("values", "plan"), KINDS.values(), ids=KINDS)
def test_the_kind_of_a_column_follows_from_its_type_and_values(values, plan, tmp_path):
    found = inferred(list(values), tmp_path)
    assert found.columns == {"a": plan}
    assert found.drop == ()


@pytest.mark.parametrize("kind", [name for name in KINDS if name != "numbers and a word"])
def test_what_was_inferred_can_be_fitted(kind, tmp_path):
    with staged_table({"a": list(KINDS[kind][0]), "y": [0, 1] * (ROWS // 2)}, tmp_path) as staged:
        preparation = fit_preparation(staged, infer_plan(staged, ("y",)), np.arange(ROWS) % 5 > 0)
        inputs = np.concatenate([preparation.transform_features(chunk) for chunk in staged.chunks()])
    assert inputs.shape == (ROWS, preparation.inputs)
    assert np.abs(inputs).max() < 10


DROPPED = {
    "no value": ([None] * ROWS, "no value in any row"),
    "not a number": ([np.nan] * ROWS, "no value in any row"),
    "no truth": (pd.array([None] * ROWS, "boolean"), "no value in any row"),
    "no date": ([pd.NaT] * ROWS, "no value in any row"),
    "names": ([f"user-{place:05}" for place in range(ROWS)], "240 different values in 240 rows: it names the rows"),
    "nearly names": (
        [f"{place % 200:05x}-b" for place in range(ROWS)],
        "200 different values in 240 rows: it names the rows",
    ),
    "addresses": (
        [f"{place} W. {place % 9} St." for place in range(ROWS)],
        "240 different values in 240 rows: it names the rows",
    ),
    "rare levels": (
        [f"level {place // 2}" for place in range(ROWS)],
        "120 different values, none of them in 1% of the rows",
    ),
}


@pytest.mark.parametrize(("values", "note"), DROPPED.values(), ids=DROPPED)
def test_a_column_that_says_nothing_is_dropped_and_noted(values, note, tmp_path):
    found = inferred(values, tmp_path)
    assert (found.columns, found.drop, found.notes) == ({}, ("a",), {"a": note})


def test_rare_levels_are_kept_where_it_matters_whether_there_is_one(tmp_path):
    cabins = [f"C{place}" if place < 100 else None for place in range(ROWS)]
    found = inferred([f"C{place // 2}" if place < 100 else None for place in range(ROWS)], tmp_path)
    assert found.columns == {"a": CategoricalPlan()}
    assert inferred(cabins, tmp_path).drop == ("a",)  # a different one in each row that has one


REFUSED = {
    "prose": (PROSE, r"column 'a' is free text \(240 different values, such as '\w+ "),
    "long strings": (["x" * 40 + str(place) for place in range(ROWS)], "column 'a' is free text"),
}


@pytest.mark.parametrize(("values", "message"), REFUSED.values(), ids=REFUSED)
def test_text_is_refused_with_what_to_do(values, message, tmp_path):
    with pytest.raises(TableError, match=message) as caught:
        inferred(values, tmp_path)
    assert str(caught.value).startswith("t.csv: ")
    assert str(caught.value).endswith(
        "leave it out with `drop: [a]` in the file given as --preparation, or declare it there as `{kind: categorical}`"
    )


def test_ten_thousand_levels_are_refused_unless_they_are_declared(tmp_path):
    towns = [f"town {place % 10_000}" for place in range(30_000)]
    with staged_table({"town": towns, "y": np.arange(30_000) % 2}, tmp_path) as staged:
        with pytest.raises(TableError, match="column 'town' has 10,000 different values, too many for cat"):
            infer_plan(staged, ("y",))
        declared = PreparationPlan(columns={"town": CategoricalPlan()})
        assert infer_plan(staged, ("y",), declared=declared).columns == declared.columns


def test_every_text_column_is_named_at_once(tmp_path):
    with (
        staged_table({"title": PROSE, "n": range(ROWS), "body": PROSE, "y": [0, 1] * 120}, tmp_path) as staged,
        pytest.raises(TableError, match=r"column 'title' is .*; column 'body' is .*drop: \[title, body\]"),
    ):
        infer_plan(staged, ("y",))


@pytest.mark.parametrize(("share", "indicated"), [(0.004, False), (0.02, True)])
def test_gaps_are_indicated_where_there_are_enough_to_learn_from(share, indicated, tmp_path):
    gaps = np.arange(1000) < share * 1000
    columns = {
        "number": np.where(gaps, np.nan, np.arange(1000) / 7),
        "count": pa.array(np.arange(1000), mask=gaps),
        "truth": pa.array(np.arange(1000) % 2 == 0, mask=gaps),
        "day": pa.array(np.datetime64("2020-01-01") + np.arange(1000), mask=gaps),
        "y": np.arange(1000) % 2,
    }
    with staged_table(pa.table(columns), tmp_path) as staged:
        plan = infer_plan(staged, ("y",))
    assert {name: column.indicator for name, column in plan.columns.items()} == dict.fromkeys(
        list(columns)[:4], indicated
    )
    assert set(plan.notes.values()) == {f"missing in {gaps.sum()} of 1,000 rows"}


def test_a_date_that_could_be_read_in_two_ways_is_noted(tmp_path):
    days = [f"0{1 + place % 9}/0{1 + place % 7}/2020" for place in range(ROWS)]
    found = inferred(days, tmp_path)
    assert found.columns["a"].format == "%m/%d/%Y"
    assert found.notes == {"a": "could also be format: '%d/%m/%Y'; change it if it is"}


def test_a_column_is_counted_only_as_far_as_its_decision_needs(tmp_path, monkeypatch):
    monkeypatch.setattr(text_columns, "COUNTED_ROWS", 2000)
    names = [f"user-{place}" for place in range(5000)]
    # Within the first two thousand minutes the month does not change.
    minutes = pd.date_range("2020-03-01", periods=5000, freq="min").strftime("%Y-%m-%d %H:%M")
    with staged_table({"name": names, "minute": minutes, "y": np.arange(5000) % 2}, tmp_path) as staged:
        plan = infer_plan(staged, ("y",))
    assert plan.notes == {"name": "more than 2,000 different values in 2,000 rows: it names the rows"}
    assert plan.columns == {"minute": DatePlan(parts=("year", "month", "day", "weekday", "hour", "elapsed"))}


def test_what_is_read_in_pieces_is_inferred_as_the_whole(tmp_path, monkeypatch):
    columns = {name: list(values) for name, (values, _) in KINDS.items()} | {"y": [0, 1] * (ROWS // 2)}
    with staged_table(columns, tmp_path) as staged:
        whole = infer_plan(staged, ("y",))
        monkeypatch.setattr(staging, "CHUNK_BYTES", 8 * 17)
        assert infer_plan(staged, ("y",)) == whole


# What is declared


@contextmanager
def small(tmp_path: Path) -> Iterator[Staged]:
    columns = {"id": [f"u{place}" for place in range(40)], "age": np.arange(40.0), "zip": [8001, 8002] * 20}
    with staged_table({**columns, "price": np.arange(40) / 3, "sold": [True, False] * 20}, tmp_path) as staged:
        yield staged


def test_a_declaration_is_kept_and_the_other_columns_are_inferred(tmp_path):
    declared = PreparationPlan(
        target="price", target_scale="none", columns={"zip": CategoricalPlan(rare=0)}, drop=("sold", "gone")
    )
    with small(tmp_path) as staged:
        plan = infer_plan(staged, declared=declared)
    assert (plan.target, plan.task, plan.target_scale) == (("price",), "regression", "none")
    assert plan.columns == {"age": NumericPlan(), "zip": CategoricalPlan(rare=0)}
    assert list(plan.columns) == ["age", "zip"]
    assert plan.drop == ("sold", "gone", "id")


def test_a_plan_that_was_inferred_and_declared_again_is_the_same_and_keeps_its_notes(tmp_path):
    with small(tmp_path) as staged:
        plan = infer_plan(staged, ("sold",))
        assert infer_plan(staged, declared=plan) == plan


def test_the_targets_and_the_task_asked_for_come_before_the_declared(tmp_path):
    with small(tmp_path) as staged:
        before = infer_plan(staged, ("price",))
        plan = infer_plan(staged, ("sold",), "regression", before)
        assert (plan.target, plan.task) == (("sold",), "regression")
        assert set(plan.columns) == {"age", "zip", "price"}
        dropped = infer_plan(staged, ("price",), declared=PreparationPlan(drop=("price", "sold")))
        assert dropped.drop == ("sold", "id")


def test_a_target_is_never_a_feature(tmp_path):
    with small(tmp_path) as staged:
        plan = infer_plan(staged, ("price", "age"))
    assert (plan.task, list(plan.columns)) == ("regression", ["zip", "sold"])


@pytest.mark.parametrize(
    ("targets", "declared", "message"),
    [
        (("prize",), {}, r"there are no columns \['prize'\]: did you mean 'price'\? it has id, age, zip, price, sold"),
        (
            ("price",),
            {"columns": {"Age": NumericPlan(), "b": NumericPlan()}},
            r"there are no columns \['Age', 'b'\]: did you mean 'age'\?",
        ),
        (("id", "age"), {}, "target 'id' is str; several targets must all be numbers"),
        (("age", "price"), {"task": "classification"}, "a classification has one target"),
    ],
)
def test_a_declaration_that_does_not_fit_the_table_is_refused(targets, declared, message, tmp_path):
    with small(tmp_path) as staged, pytest.raises(TableError, match=f"^t.csv: {message}"):
        infer_plan(staged, targets, declared=PreparationPlan(**declared))


@pytest.mark.parametrize("task", ["auto", "classification", "regression"])
def test_a_date_is_no_target(task, tmp_path):
    with (
        staged_table({"a": range(ROWS), "day": DAYS}, tmp_path) as staged,
        pytest.raises(TableError, match=r"t.csv: target 'day' is a date, which is neither a class nor a quantity"),
    ):
        infer_plan(staged, ("day",), task)


def test_the_columns_of_images_are_not_named(tmp_path):
    table = {"p1": [0, 1], "p2": [3, 4], "digit": ["x", "y"]}
    with staged_table(table, tmp_path, pixels=True) as staged:
        plan = infer_plan(staged, ("digit",))
        assert plan == PreparationPlan(target="digit", task="classification", pixels=True)
        declared = PreparationPlan(columns={"p1": NumericPlan(scale="minmax")})
        assert infer_plan(staged, ("digit",), declared=declared).columns == {
            "p1": NumericPlan(scale="minmax"),
            "p2": NumericPlan(),
        }
