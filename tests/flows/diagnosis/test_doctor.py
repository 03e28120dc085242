"""`backprop doctor` as a person meets it: what it prints, as words and as JSON, and its exit codes."""

import io
import json
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from flows.diagnosis.doctor import diagnose
from flows.diagnosis.table import Table
from flows.spaces import load_space
from flows.terminal.doctor import print_diagnosis
from tests.flows.commands import CHECKOUT, Forked, error_of
from tests.flows.diagnosis.conftest import cancer_frame

TOO_HIGH = "grid: {hidden: [[16]], learning_rate: [1.0e+30], epochs: [10]}"
"""All that it asks for diverges."""


def test_digits_with_the_space_that_comes_along_are_well(digits: Table) -> None:
    said: list[str] = []
    found = diagnose(digits, load_space("quick"), "quick", said.append)

    assert {finding.severity for finding in found.findings} == {"ok"}, found.findings
    assert not found.has_problem
    assert found.networks == ("64 · relu · sgd", "64-32 · relu · sgd", "64-32 · tanh · sgd")
    # Every check has its say, and once.
    checks = [finding.check for finding in found.findings]
    assert len(checks) == len(set(checks)) == 13
    assert "looking for labels in doubt" in said
    console = Console(width=80, record=True, file=io.StringIO())
    print_diagnosis(console, found)
    printed = console.export_text().splitlines()
    assert printed[-1] == "All is well."
    assert max(map(len, printed)) <= 80


def test_a_problem_is_told_with_its_numbers_and_its_remedy(forked: Forked, tmp_path: Path) -> None:
    (tmp_path / "space.yaml").write_text(TOO_HIGH)

    ran = forked(tmp_path, "doctor", "wine", "--space", "space.yaml")

    assert ran.returncode == 0, ran.stderr
    first = ran.stdout[ran.stdout.index("problem") :].split("\n\n")[0].splitlines()
    assert first[0] == "problem  learning rate"
    assert "every rate of the space is too high: at 1e+30 training diverged in epoch 1" in " ".join(first)
    assert first[-1].strip().startswith("do: learning_rate: [")
    assert "problem" in ran.stdout.splitlines()[-1]
    # Nothing was written.
    assert [path.name for path in tmp_path.iterdir()] == ["space.yaml"]


def test_strict_ends_with_1_where_there_is_a_problem_and_with_0_where_there_is_none(
    forked: Forked, tmp_path: Path
) -> None:
    (tmp_path / "space.yaml").write_text(TOO_HIGH)
    (tmp_path / "good.yaml").write_text(TOO_HIGH.replace("1.0e+30", "0.3"))

    bad = forked(tmp_path, "doctor", "wine", "--space", "space.yaml", "--strict", "--json")
    good = forked(tmp_path, "doctor", "wine", "--space", "good.yaml", "--strict", "--json")

    assert (bad.returncode, good.returncode) == (1, 0)
    assert bad.stderr == ""
    severities = {f["severity"] for f in json.loads(bad.stdout, parse_constant=pytest.fail)["findings"]}
    assert "problem" in severities
    told = json.loads(good.stdout)
    assert (told["data"], told["task"], told["rows"], told["of_rows"]) == ("wine", "classification", 151, 151)
    assert all(set(f) == {"check", "severity", "what", "evidence", "remedy"} for f in told["findings"])


def test_data_of_ones_own_is_read_with_its_target_and_its_preparation(forked: Forked, tmp_path: Path) -> None:
    cancer_frame().to_csv(tmp_path / "cancer.csv", index=False)
    plan = tmp_path / "plan.yaml"
    plan.write_text("columns: {worst area: {kind: numeric, scale: none}}")
    before = plan.read_text()

    ran = forked(tmp_path, "doctor", "cancer.csv", "--target", "y", "--preparation", "plan.yaml", "--json")

    assert ran.returncode == 0, ran.stderr
    [scale] = [f for f in json.loads(ran.stdout)["findings"] if f["check"] == "input scale"]
    assert (scale["severity"], scale["evidence"]["columns"]) == ("problem", ["worst area"])
    assert plan.read_text() == before


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["absent.csv", "--target", "y"], "absent.csv"),
        (["digits", "--space", "quik"], "did you mean 'quick'?"),
        (["digits", "--task", "guess"], "task"),
    ],
)
def test_what_is_wrong_with_the_command_is_told_in_one_line(
    forked: Forked, tmp_path: Path, arguments: list[str], said: str
) -> None:
    ran = forked(tmp_path, "doctor", *arguments)

    assert ran.returncode == 2
    assert said in error_of(ran.stderr)


def test_nothing_of_prefect_dask_and_mlflow_is_imported_for_it() -> None:
    code = "import flows.cli.doctor, flows.terminal.doctor, sys; print(*sys.modules)"
    ran = subprocess.run([sys.executable, "-c", code], cwd=CHECKOUT, capture_output=True, text=True, check=True)

    assert {"prefect", "distributed", "dask", "mlflow"}.isdisjoint(ran.stdout.split())
