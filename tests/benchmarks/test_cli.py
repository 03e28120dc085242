"""The benchmark from its command line to its exit code, on a few samples."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import cli, data
from benchmarks.rows import ROWS, quick

CHECKOUT = Path(__file__).parents[2]
KINDS = {"online", "minibatch", "grid"}


def bench(*arguments, **settings):
    return subprocess.run(
        [sys.executable, "-m", "benchmarks", *arguments],
        cwd=CHECKOUT,
        env={**os.environ, **settings},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.slow
def test_a_row_is_raced_judged_written_and_named_as_the_worst(needs, tmp_path):
    needs("jax")
    ended = bench("--quick", "--rows", "minibatch-digits", "--repeats", "1", "--samples", "100", "--out", str(tmp_path))
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.strip().splitlines()[-1].startswith("worst row: minibatch-digits, ratio ")
    result = json.loads((tmp_path / "latest.json").read_text())
    line, memory = result["lines"]
    assert set(line["values"]) == {"ours", "scikit_learn", "jax_scan"}
    assert line["limit"] > 0
    assert memory["name"] == "memory-minibatch-digits"
    race = result["measured"]["minibatch-digits"]
    assert all(race[name]["deviation"]["most"] < 1e-3 for name in line["values"])
    assert all(race[name]["first_epoch_seconds"] > 0 for name in line["values"])
    assert result["machine"]["cores"] >= 1
    assert (tmp_path / "latest.png").stat().st_size > 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--rows", "minibatch"], "--rows has 'minibatch': use online-digits, "),
        (["--quick", "--set-floors"], "--set-floors takes a full run"),
        (["--repeats", "0"], "--repeats"),
    ],
)
def test_wrong_usage_is_answered_at_once(arguments, said):
    ended = bench(*arguments)
    assert ended.returncode == 2
    assert said in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize("ci", ["true", ""])
def test_missing_data_skip_a_row_with_the_reason_and_fail_where_ci_runs(tmp_path, monkeypatch, capsys, ci):
    monkeypatch.setattr(data, "FASHION", tmp_path / "nowhere")
    monkeypatch.setenv("CI", ci)
    chosen = [row for row in ROWS if row.name == "minibatch-fashion-64"]
    measured, skipped = cli._measured(chosen, 1, all_peers=False)
    assert measured == {}
    assert "no such directory" in skipped["minibatch-fashion-64"]
    with pytest.raises(cli.typer.Exit) as ended:
        cli._conclude([], measured, skipped, tmp_path)
    assert ended.value.exit_code == 1
    out, err = capsys.readouterr()
    assert "minibatch-fashion-64 was skipped: " in err
    assert ("error: minibatch-fashion-64" in err) == (ci == "true")
    assert out.strip().splitlines()[-1].startswith("worst row: ")


def test_a_quick_run_has_every_kind_of_row():
    assert {small.kind for row in ROWS if (small := quick(row))} == KINDS
