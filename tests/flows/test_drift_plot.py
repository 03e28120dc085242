"""The page of drift: all that was measured is on it, and nothing that it shows can harm it."""

import pandas as pd
import pytest

from flows.data.drift import DriftParameters, measure_drift
from flows.data.plan import CategoricalPlan, NumericPlan, PreparationPlan
from flows.drift_plot import MOST_BARS, MOST_SHOWN, drift_page, figure
from tests.flows.data.test_drift import PLAN, houses


def test_the_plot_has_a_bar_a_column_and_both_sides_of_the_most_moved() -> None:
    report = measure_drift(houses(1), houses(2, size=lambda frame: frame["size"] * 2), PLAN)
    bars, *shares = figure(report).data
    assert list(bars.x) == [column.psi for column in report.columns]
    assert bars.y[0] == "size"
    assert [(bar.name, sum(bar.y)) for bar in shares] == [
        ("reference", pytest.approx(1)),
        ("now", pytest.approx(1)),
    ] * 5
    page = drift_page(report)
    for column in report.columns:
        assert f"<td>{column.column}</td>" in page


def test_of_many_columns_the_most_moved_are_drawn_and_all_are_listed() -> None:
    plan = PreparationPlan(columns={f"c{i}": NumericPlan() for i in range(60)})
    frame = pd.DataFrame({f"c{i}": range(200) for i in range(60)})
    report = measure_drift(frame, frame, plan)
    assert len(figure(report).data[0].y) == MOST_BARS
    assert len(figure(report).data) == 1 + 2 * MOST_SHOWN
    assert drift_page(report).count("<tr>") == 61


def test_names_and_values_are_text_on_the_page() -> None:
    name = "<script>alert(1)</script>"
    frame = pd.DataFrame({name: ["<b>a</b>", "b"] * 100})
    page = drift_page(measure_drift(frame, frame, PreparationPlan(columns={name: CategoricalPlan()})))
    assert "<script>alert" not in page
    assert "<td>&lt;script&gt;alert(1)&lt;/script&gt;</td>" in page


def test_too_few_rows_are_a_page_without_a_plot() -> None:
    page = drift_page(measure_drift(houses(1), houses(2, 20), PLAN, DriftParameters()))
    assert "too few to measure drift" in page
    assert len(page) < 2000
