"""Drift: the index against numbers worked out by hand, the tests against SciPy, the verdicts against what is known."""

import math
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from flows.data.drift import ColumnDrift, DriftParameters, DriftReport, measure_drift, stability_index
from flows.data.plan import BooleanPlan, CategoricalPlan, DatePlan, NumericPlan, PreparationPlan

PLAN = PreparationPlan(
    target=("price",),
    task="regression",
    columns={"size": NumericPlan(), "colour": CategoricalPlan(), "sold": BooleanPlan(), "day": DatePlan()},
)


def houses(seed: int, rows: int = 2000, **changes: Callable[[pd.DataFrame], object]) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "size": rng.normal(120.0, 30.0, rows),
            "colour": rng.choice(["red", "white", "blue", "green"], rows, p=[0.5, 0.3, 0.15, 0.05]),
            "sold": rng.random(rows) < 0.3,
            "day": pd.Timestamp("2026-01-01") + pd.to_timedelta(rng.integers(0, 365, rows), unit="D"),
            "price": rng.lognormal(12, 0.3, rows),
        }
    )
    return frame.assign(**changes)


def column(report: DriftReport, name: str) -> ColumnDrift:
    [found] = [column for column in report.columns if column.column == name]
    return found


def test_the_index_of_two_bins_is_what_a_pocket_calculator_says() -> None:
    # Shares 0.6 and 0.4 become 0.5 and 0.5.
    by_hand = (0.5 - 0.6) * math.log(0.5 / 0.6) + (0.5 - 0.4) * math.log(0.5 / 0.4)
    assert by_hand == pytest.approx(0.0405465, abs=1e-7)
    assert stability_index(np.array([60, 40]), np.array([100, 100])) == pytest.approx(by_hand, rel=1e-12)


def test_a_bin_that_is_empty_on_one_side_counts_as_half_a_row() -> None:
    by_hand = (0.5 - 1.0) * math.log(0.5 / 1.0) + (0.5 - 0.5 / 50) * math.log(0.5 / (0.5 / 50))
    assert stability_index(np.array([50, 0, 0]), np.array([20, 20, 0])) == pytest.approx(by_hand, rel=1e-12)


def test_numbers_are_counted_in_the_deciles_of_the_reference() -> None:
    # 1 to 1000, and 501 to 1500: five deciles are empty now, and half of the rows lie above the reference.
    reference = pd.DataFrame({"size": np.arange(1.0, 1001.0)})
    current = reference + 500.0
    found = column(measure_drift(reference, current, PLAN), "size")
    empty, above = (0.0005 - 0.1) * math.log(0.0005 / 0.1), (0.5 - 0.0005) * math.log(0.5 / 0.0005)
    assert found.reference == (0.0, *[0.1] * 10, 0.0, 0.0)
    assert found.current == (0.0, *[0.0] * 5, *[0.1] * 5, 0.5, 0.0)
    assert found.psi == pytest.approx(5 * empty + above, rel=1e-12)
    assert found.bins[0] == "below 1"
    assert found.bins[-2:] == ("above 1,000", "missing")


def test_bins_are_named_by_values_that_a_person_wrote() -> None:
    frame = pd.DataFrame({"size": [0.0, 0.0, 1.0, 12345.678] * 100})
    found = column(measure_drift(frame, frame, PLAN), "size")
    assert found.bins == ("below 0", "0", "0 to 1", "1 to 12,350", "above 12,350", "missing")


def test_the_tests_are_those_of_scipy() -> None:
    reference, current = houses(1), houses(2, rows=700)
    report = measure_drift(reference, current, PLAN)

    ks = stats.ks_2samp(reference["size"], current["size"], method="asymp")
    size = column(report, "size")
    assert (size.test, size.statistic, size.p_value) == ("ks", ks.statistic, pytest.approx(ks.pvalue, rel=1e-12))

    both = pd.concat([reference, current])
    side = np.repeat(["reference", "current"], [2000, 700])
    for name in ("colour", "sold"):
        chi2 = stats.chi2_contingency(pd.crosstab(side, both[name].to_numpy()), correction=False)
        found = column(report, name)
        assert found.test == "chi2"
        assert found.statistic == pytest.approx(chi2.statistic, rel=1e-9)
        assert found.p_value == pytest.approx(chi2.pvalue, rel=1e-9)


def test_a_day_is_the_same_moment_however_it_is_stored() -> None:
    reference, current = houses(1), houses(2)
    as_text = measure_drift(
        reference.assign(day=reference["day"].dt.strftime("%Y-%m-%d")),
        current.assign(day=current["day"].dt.date),
        PLAN,
    )
    assert column(as_text, "day") == column(measure_drift(reference, current, PLAN), "day")


@given(st.lists(st.integers(-5, 5), min_size=100, max_size=300), st.integers(1, 4), st.randoms(use_true_random=False))
def test_the_same_rows_in_another_order_or_several_times_over_have_not_moved(values, times, random) -> None:
    reference = pd.DataFrame({"size": np.array(values, float), "colour": [f"level {value}" for value in values]})
    order = list(range(len(values))) * times
    random.shuffle(order)
    report = measure_drift(reference, reference.iloc[order], PLAN)
    # Not exactly 0 where levels are rare on the smaller side only: the bins do not depend on the side.
    assert [found.psi for found in report.columns] == pytest.approx([0.0, 0.0], abs=1e-12)
    assert {found.verdict for found in report.columns} == {"stable"}


@given(st.integers(0, 2**32), st.integers(0, 2**32))
def test_a_report_does_not_depend_on_the_order_of_the_rows(seed, shuffle) -> None:
    reference, current = houses(seed, 150), houses(seed + 1, 120)
    rng = np.random.default_rng(shuffle)
    shuffled = measure_drift(reference.iloc[rng.permutation(150)], current.iloc[rng.permutation(120)], PLAN)
    assert shuffled == measure_drift(reference, current, PLAN)


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50)), min_size=1, max_size=12))
def test_the_index_is_never_negative_and_the_same_both_ways(counts) -> None:
    reference, current = np.array([(1 + r, 1 + c) for r, c in counts]).T
    index = stability_index(reference, current)
    assert index >= 0
    assert index == pytest.approx(stability_index(current, reference), rel=1e-9, abs=1e-15)


def test_rows_of_one_distribution_are_not_called_drifted() -> None:
    reports = [measure_drift(houses(seed, 200), houses(1000 + seed, 200), PLAN) for seed in range(40)]
    assert [report.drifted for report in reports] == [()] * 40


DRIFTS = {
    "a unit changed": ("size", {"size": lambda frame: frame["size"] / 3.28}),
    "values spread": ("size", {"size": lambda frame: 120 + 3 * (frame["size"] - 120)}),
    "a constant now": ("size", {"size": lambda _: 120.0}),
    "gaps appear in numbers": ("size", {"size": lambda frame: frame["size"].where(frame["sold"])}),
    "nothing left": ("size", {"size": lambda _: np.nan}),
    "a new level takes over": ("colour", {"colour": lambda frame: frame["colour"].replace("white", "ivory")}),
    "gaps appear in levels": ("colour", {"colour": lambda frame: frame["colour"].replace("white", None)}),
    "a share changes": ("sold", {"sold": lambda frame: frame["size"] > 110}),
    "the target moves": ("price", {"price": lambda frame: frame["price"] * 1.5}),
}


@pytest.mark.parametrize(("name", "changes"), DRIFTS.values(), ids=DRIFTS)
def test_a_column_that_moved_is_the_one_that_is_named(name, changes) -> None:
    report = measure_drift(houses(1), houses(2, **changes), PLAN)
    assert [found.column for found in report.drifted] == [name]
    assert report.columns[0].column == name
    assert f"'{name}' (PSI " in report.summary


def test_a_constant_that_becomes_another_has_drifted() -> None:
    reference, current = houses(1, size=lambda _: 1.0), houses(2, size=lambda _: 0.0)
    assert [found.column for found in measure_drift(reference, current, PLAN).drifted] == ["size"]


def test_time_passes_without_being_drift() -> None:
    report = measure_drift(houses(1), houses(2, day=lambda frame: frame["day"] + pd.Timedelta(days=365)), PLAN)
    assert column(report, "day").psi > 1
    assert column(report, "day").verdict == "warning"
    assert report.drifted == ()


def test_a_difference_that_is_certain_and_small_is_a_warning() -> None:
    reference, current = houses(1, 50_000), houses(2, 50_000, size=lambda frame: frame["size"] + 2)
    found = column(measure_drift(reference, current, PLAN), "size")
    assert found.psi < 0.02
    assert found.p_value < 1e-6
    assert found.verdict == "warning"


def test_a_difference_that_may_be_luck_is_never_more_than_a_warning() -> None:
    reference, current = houses(1, 100), houses(2, 100, size=lambda frame: frame["size"] + 4)
    found = column(measure_drift(reference, current, PLAN, DriftParameters(psi_warning=0.01, psi_stop=0.02)), "size")
    assert found.psi > 0.02
    assert found.p_value > 0.01
    assert found.verdict == "warning"


def test_with_more_columns_a_test_must_be_surer() -> None:
    frames = [pd.DataFrame({"size": np.arange(400.0) + shift}) for shift in (0, 60)]
    others = pd.DataFrame({f"other {place}": np.arange(400.0) for place in range(200)})
    crowd = PLAN.model_copy(update={"columns": {**PLAN.columns, **dict.fromkeys(others, NumericPlan())}})
    alone = column(measure_drift(*frames, PLAN), "size")
    crowded = column(measure_drift(*(pd.concat([frame, others], axis=1) for frame in frames), crowd), "size")
    assert alone.p_value == crowded.p_value
    assert (alone.verdict, crowded.verdict) == ("drifted", "warning")


def test_too_few_rows_measure_nothing_and_say_so() -> None:
    report = measure_drift(houses(1), houses(2, 99), PLAN)
    assert report.columns == ()
    assert report.summary == "2,000 and 99 rows are too few to measure drift"


def test_what_is_ignored_or_not_in_the_reference_is_listed_and_not_measured() -> None:
    parameters = DriftParameters(ignore=("size",))
    report = measure_drift(houses(1).drop(columns="colour"), houses(2), PLAN, parameters)
    assert {found.column for found in report.columns} == {"sold", "day", "price"}
    assert report.unmeasured == ("size", "colour")


def test_rare_levels_share_a_bin() -> None:
    levels = ["common"] * 900 + [f"rare {place}" for place in range(100)]
    frame = pd.DataFrame({"colour": levels})
    found = column(measure_drift(frame, frame.replace("rare 7", "never seen"), PLAN), "colour")
    assert found.bins == ("common", "other levels", "missing")
    assert found.psi == 0


def test_a_whole_number_is_the_same_level_whether_or_not_there_are_gaps_beside_it() -> None:
    plan = PLAN.model_copy(update={"columns": {"floor": CategoricalPlan()}})
    reference = pd.DataFrame({"floor": [1, 2] * 300})
    current = pd.DataFrame({"floor": [1.0, 2.0] * 299 + [np.nan, np.nan]})
    found = column(measure_drift(reference, current, plan), "floor")
    assert found.bins == ("1", "2", "other levels", "missing")
    assert found.verdict == "stable"
