"""What is wrong with a table is found in it, and of a table that is well nothing is said."""

import numpy as np
import pandas as pd
import pytest

from flows.diagnosis.classes import check_classes
from flows.diagnosis.columns import check_columns
from flows.diagnosis.finding import Finding
from flows.diagnosis.inputs import check_inputs
from flows.diagnosis.leaking import check_leaks
from flows.diagnosis.table import Table
from flows.diagnosis.twins import check_twins
from tests.flows.diagnosis.conftest import Read, cancer_frame

UNSCALED = "columns: {mean area: {kind: numeric, scale: none}, worst area: {kind: numeric, scale: none}}"


def only(findings: list[Finding]) -> Finding:
    [finding] = findings
    return finding


@pytest.mark.parametrize("check", [check_inputs, check_columns, check_leaks, check_classes, check_twins])
@pytest.mark.parametrize("data", ["digits", "wine", "breast_cancer", "diabetes"])
def test_the_data_sets_that_come_along_are_well(read: Read, data: str, check: object) -> None:
    findings = check(read(data))  # type: ignore[operator]

    assert all(finding.severity == "ok" for finding in findings), findings


def test_a_preparation_that_does_not_scale_is_a_problem_that_names_its_line(read: Read) -> None:
    finding = only(check_inputs(read(cancer_frame(), UNSCALED)))

    assert finding.severity == "problem"
    assert finding.evidence["columns"] == ["mean area", "worst area"]
    assert finding.evidence["raw_maximum"] == pytest.approx(4254.0)
    assert "worst area: {kind: numeric, scale: standard}" in finding.remedy


def test_a_value_far_from_all_others_is_a_hint(read: Read) -> None:
    frame = cancer_frame()
    frame["mean area"] = frame["mean area"].where(frame.index != 100, 1e6)
    table = read(frame)
    if 100 not in table.raw.index[table.trains]:
        pytest.fail("the split has changed: put the value into a row that trains")

    finding = only(check_inputs(table))

    assert (finding.severity, finding.evidence["columns"]) == ("hint", ["mean area"])


def test_targets_in_their_own_unit_are_a_problem(read: Read) -> None:
    frame = cancer_frame().drop(columns="y").rename(columns={"worst area": "y"})

    finding = only(check_inputs(read(frame, "target_scale: none")))

    assert finding.severity == "problem"
    assert "target_scale: standard" in finding.remedy


def test_constant_columns_and_copies_in_another_unit_are_named(read: Read) -> None:
    frame = cancer_frame().assign(country=7, radius_in_inches=lambda frame: frame["mean radius"] / -25.4)

    constant, copies = check_columns(read(frame))

    assert constant.evidence["columns"] == ["country"]
    assert copies.evidence["copies"] == ["radius_in_inches of mean radius"]


def test_a_column_that_gives_the_target_away_in_every_row_is_a_problem(read: Read) -> None:
    frame = cancer_frame()

    finding = only(check_leaks(read(frame.assign(code=frame["y"].map({"malignant": "A", "benign": "B"})))))

    assert finding.severity == "problem"
    assert "'code'" in str(finding.evidence["found"])


def test_a_column_that_gives_the_target_away_in_nearly_every_row_is_a_warning(read: Read) -> None:
    frame = cancer_frame()
    code = (frame["y"] == "malignant").astype(float)
    code[::120] = 1 - code[::120]

    finding = only(check_leaks(read(frame.assign(treated=code))))

    assert (finding.severity, finding.evidence["column"]) == ("warning", "treated")
    assert finding.evidence["balanced_accuracy"] > 0.98


def test_a_quantity_with_a_nearly_perfect_column_is_a_warning(read: Read) -> None:
    noise = np.random.default_rng(0).normal(size=569)
    frame = cancer_frame().drop(columns="y").rename(columns={"worst area": "y"})

    finding = only(check_leaks(read(frame.assign(invoice=frame["y"] * 1.19 + noise))))

    assert (finding.severity, finding.evidence["column"]) == ("warning", "invoice")


@pytest.mark.parametrize(("rows", "severity"), [(40, "hint"), (12, "warning")])
def test_a_rare_class_is_told_with_its_share(read: Read, rows: int, severity: str) -> None:
    frame = cancer_frame()
    rare = frame[frame["y"] == "malignant"].head(rows)

    finding = only(check_classes(read(pd.concat([frame[frame["y"] == "benign"], rare], ignore_index=True))))

    assert (finding.severity, finding.evidence["rarest"]) == (severity, "malignant")
    assert finding.evidence["share"] == pytest.approx(rows / (357 + rows), rel=0.1)


@pytest.mark.parametrize(("task", "severity"), [("classification", "hint"), ("regression", "warning")])
def test_equal_rows_with_different_targets_are_counted(read: Read, task: str, severity: str) -> None:
    frame = cancer_frame() if task == "classification" else cancer_frame().assign(y=lambda frame: frame["mean area"])
    twins = frame.head(20).copy()
    twins["y"] = np.where(twins["y"] == "benign", "malignant", "benign") if task == "classification" else twins["y"] * 3
    if task == "regression":
        twins["mean area"] = frame["mean area"].head(20)

    table = read(pd.concat([frame, twins], ignore_index=True))
    finding = only(check_twins(table))

    # Of two classes one may be right about a pair, of two quantities none. Some of the rows test.
    assert finding.severity == severity
    assert 10 <= finding.evidence["rows"] <= 40
    assert len(finding.evidence["example"]) == 2


def test_of_many_rows_a_few_thousand_are_looked_at_and_equal_rows_stay_together(read: Read) -> None:
    frame = pd.concat([cancer_frame()] * 30, ignore_index=True)
    table = read(frame)

    assert len(table.target) == pytest.approx(5000, abs=2)
    copies = pd.Series(map(bytes, table.inputs)).value_counts()
    assert (copies == 30).mean() > 0.98
    assert table.trains.mean() == pytest.approx(0.7 / 0.85, abs=0.02)


def test_the_rows_are_those_that_train_and_validate_as_prepared_for_training(wine: Table) -> None:
    assert len(wine.target) == wine.shape.rows["train"] + wine.shape.rows["validation"]
    np.testing.assert_allclose(wine.inputs[wine.trains].mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(wine.inputs[wine.trains].std(axis=0), 1, atol=1e-5)
