"""`backprop runs`, `show` and `compare` as a person and a program meet them: words, JSON and exit codes."""

import io
import json
import sqlite3
from pathlib import Path
from typing import Any, NoReturn

import pytest
from rich.console import Console

from flows.inspection.searches import Wanted
from flows.terminal.compare import run_compare
from flows.terminal.runs import run_runs
from flows.terminal.show import run_show
from flows.tracking import tags
from tests.flows.commands import Forked, error_of
from tests.flows.inspection.conftest import Looked
from tests.programs import free_port


def strict(text: str) -> Any:
    """Read JSON as RFC 8259 has it: Python reads NaN and Infinity too."""

    def refuse(constant: str) -> NoReturn:
        raise AssertionError(f"{constant} is no JSON")

    return json.loads(text, parse_constant=refuse)


def narrow() -> Console:
    """Return a terminal of 80 columns with colours."""
    return Console(file=io.StringIO(), width=80, force_terminal=True, color_system="truecolor", record=True)


def commands(looked: Looked) -> list[list[str]]:
    pair = [looked.trials[0].run_id, looked.trials[2].run_id]
    return [["runs"], ["show", looked.search], ["show", looked.trials[0].run_id], ["compare", *pair]]


def test_into_a_pipe_goes_no_colour(looked: Looked, forked: Forked) -> None:
    for command in commands(looked):
        ran = forked(looked.directory, *command)

        assert (ran.returncode, ran.stderr) == (0, ""), command
        assert "\x1b" not in ran.stdout
        assert ran.stdout.strip()


def test_the_searches_are_a_table_and_the_same_as_json(looked: Looked, forked: Forked) -> None:
    shown = forked(looked.directory, "runs", "--experiment", "wines").stdout
    listed = strict(forked(looked.directory, "runs", "--experiment", "wines", "--json").stdout)

    assert [each["run_id"] for each in listed] == [looked.unfinished, looked.search]
    found = listed[1]
    for said in (found["run_id"][:8], "rates on wine", "4 finished", "1 diverged", f"accuracy {found['best']:.4f}"):
        assert said in shown
    assert f"test {found['test']['test/accuracy']:.4f}" in shown
    assert found["models"] == [{"name": "wine", "version": 1, "aliases": ["challenger"]}]
    assert "@challenger" in shown
    assert listed[0]["winner"] is None


def test_a_search_is_shown_with_its_leaderboard_its_winner_and_its_command(looked: Looked, forked: Forked) -> None:
    shown = forked(looked.directory, "show", looked.search[:10]).stdout
    found = strict(forked(looked.directory, "show", looked.search[:10], "--json").stdout)

    assert "Leaderboard: wine" in shown
    assert f"{looked.winner.name} (run {looked.winner.run_id[:12]})" in shown
    assert "Train it again or go on: backprop train --data wine --space rates" in shown
    ranks = [(each["rank"], each["runs"]) for each in found["leaderboard"]]
    assert ranks[0] == (1, [looked.winner.run_id])
    assert ranks[-1] == (None, [looked.trials[3].run_id])
    rows = [line.split("│")[2].strip() for line in shown.splitlines() if line.startswith("│")]
    assert rows == [f"{float(each['params']['learning_rate']):.4g}" for each in found["leaderboard"][:3]]


def test_a_trial_is_shown_with_params_curves_and_the_command_that_trains_it_again(
    looked: Looked, forked: Forked
) -> None:
    shown = forked(looked.directory, "show", "wine@challenger").stdout
    found = strict(forked(looked.directory, "show", "models:/wine/1", "--json").stdout)

    assert found["run_id"] == looked.winner.run_id
    words = " ".join(shown.split())
    assert f"learning_rate {found['params']['learning_rate']}," in words
    assert found["weights_sha256"] in words
    assert found["environment"]["backend"] == "numpy"
    assert "it was trained for all of its 6 epochs" in words
    assert f"backprop reproduce {found['run_id'][:12]}" in words
    assert [epoch for epoch, _ in found["curves"]["train/loss"]] == [1, 2, 3, 4, 5, 6]
    assert any("⠀" < character <= "⣿" for character in shown)


def test_a_trial_that_diverged_says_so_and_no_nan_is_in_any_json(looked: Looked, forked: Forked) -> None:
    run_id = looked.trials[3].run_id
    shown = " ".join(forked(looked.directory, "show", run_id).stdout.split())
    assert "it diverged: its loss stopped being finite in epoch " in shown

    # What another program may have logged.
    client = looked.client
    copied = client.create_run(looked.tracking.experiment_id, tags={tags.TRIAL_KEY: "f" * 64, tags.DATASET: "wine"})
    client.log_metric(copied.info.run_id, "val/loss", float("nan"), step=1)
    try:
        found = strict(forked(looked.directory, "show", copied.info.run_id, "--json").stdout)
        assert (found["metrics"]["val/loss"], found["curves"]["val/loss"]) == (None, [[1, None]])
        assert forked(looked.directory, "show", copied.info.run_id).returncode == 0
    finally:
        client.delete_run(copied.info.run_id)


def test_a_comparison_is_told_in_words_and_the_same_as_json(looked: Looked, forked: Forked) -> None:
    good, _, bad, _ = looked.trials
    shown = forked(looked.directory, "compare", good.run_id, bad.run_id).stdout
    found = strict(forked(looked.directory, "compare", good.run_id, bad.run_id, "--json").stdout)

    assert f"A  {good.name} (run {good.run_id[:8]})" in shown
    assert "Is it real? Measured once more on the same 26 validation rows" in shown
    accuracy = found["significance"]["differences"][0]
    assert accuracy["verdict"] == "worse"
    assert f"B is worse than A: accuracy {accuracy['second_value']:.4f} against {accuracy['first_value']:.4f}" in shown
    assert found["params"]["learning_rate"] == ["0.3", "0.0001"]


def test_at_80_columns_no_table_and_no_plot_is_wider(here: Looked) -> None:
    for run in (
        lambda console: run_runs(console, Wanted(), as_json=False),
        lambda console: run_show(console, here.search, as_json=False),
        lambda console: run_show(console, here.winner.run_id, as_json=False),
        lambda console: run_compare(
            console, [trial.run_id for trial in here.trials[:3]], "datasets", "auto", 0.95, as_json=False
        ),
    ):
        console = narrow()
        run(console)
        drawn = [
            line.rstrip()
            for line in console.export_text().splitlines()
            if any(character in line for character in "│┃┤━─⠀⣀⠉⠒⠤")
        ]
        assert drawn
        assert max(map(len, drawn)) <= 80


def test_each_run_has_a_colour_and_a_letter(here: Looked) -> None:
    console = narrow()

    run_compare(console, [trial.run_id for trial in here.trials[:2]], "datasets", "auto", 0.95, as_json=False)

    styled = console.export_text(styles=True, clear=False)
    # Okabe and Ito's blue and vermilion.
    assert "38;2;0;114;178" in styled
    assert "38;2;213;94;0" in styled
    plots = console.export_text().split("val/loss", 2)[2]
    assert {"A", "B"} <= set(plots)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["show", "abcdef0123"], "no run and no trial key begins with 'abcdef0123'"),
        (["show", "search · rates"], "'search · rates' is not one run but 2: "),
        (["show", "wine@champion"], "models:/wine@champion names no version of a model"),
        (["compare", "wine@challenger", "search · more"], "is a search without a winner, RUNNING"),
        (["compare", "wine@challenger"], "1 runs cannot be compared; give 2 to 8"),
        (["runs", "--experiment", "wine"], "has no experiment 'wine'; did you mean wines?"),
        (["runs", "--status", "done"], "status: "),
        (["runs", "--limit", "0"], "limit: "),
        (["open", "abcdef0123", "--no-browser"], "no run and no trial key begins with 'abcdef0123'"),
    ],
)
def test_what_is_not_there_ends_with_2_and_one_line(
    looked: Looked, forked: Forked, arguments: list[str], said: str
) -> None:
    ran = forked(looked.directory, *arguments)

    assert (ran.returncode, ran.stdout) == (2, "")
    assert said in error_of(ran.stderr)


@pytest.mark.parametrize("command", [["runs"], ["show", "abcdef"], ["compare", "abcdef", "abcde0"], ["open"]])
def test_where_nothing_was_recorded_nothing_is_made(tmp_path: Path, forked: Forked, command: list[str]) -> None:
    ran = forked(tmp_path, *command)

    assert ran.returncode == 2
    assert "no run was recorded at sqlite:///" in error_of(ran.stderr)
    assert list(tmp_path.iterdir()) == []


def test_a_server_that_does_not_answer_is_said_to_be_away(tmp_path: Path, forked: Forked) -> None:
    address = f"http://127.0.0.1:{free_port()}"
    ran = forked(tmp_path, "runs", environment={"MLFLOW_TRACKING_URI": address})

    assert ran.returncode == 2
    assert f"MLflow at {address} does not answer" in error_of(ran.stderr)
    assert "start it, or set MLFLOW_TRACKING_URI" in error_of(ran.stderr)


def test_nothing_is_written_to_the_store(looked: Looked, forked: Forked) -> None:
    def content() -> list[str]:
        with sqlite3.connect(looked.directory / "mlflow.db") as database:
            return list(database.iterdump())

    before = content()
    for command in commands(looked):
        forked(looked.directory, *command)

    assert content() == before
