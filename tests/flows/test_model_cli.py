"""`backprop score`, `evaluate` and `export` as a person meets them: their words and their exit codes."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from sklearn.datasets import load_wine

from flows.data.sources import open_source
from flows.tracking.registry import register_winner
from flows.tracking.store import open_tracking
from tests.flows.commands import Forked, error_of
from tests.flows.conftest import winner_on, written


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory, _empty_store: Path) -> Iterator[tuple[Path, str]]:
    """A directory with wines.csv and a model of it, and the run of the trial that is registered."""
    directory = tmp_path_factory.mktemp("models")
    shutil.copyfile(_empty_store, directory / "mlflow.db")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(directory)
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{directory}/mlflow.db")
        tracking = open_tracking("wines")
        load_wine(as_frame=True).frame.to_csv("wines.csv", index=False)
        dataset = written(open_source("wines.csv"), directory / "datasets", ("target",))
        winner = winner_on(dataset, tracking)
        register_winner(tracking, winner, dataset, "wines")
        yield directory, winner.run_id
        import mlflow

        mlflow.set_tracking_uri(None)


@pytest.mark.slow
@pytest.mark.usefixtures("server")
def test_what_is_scored_is_told_as_json(checkout: tuple[Path, str], forked: Forked, tmp_path: Path) -> None:
    directory, _ = checkout
    to = tmp_path / "scores.csv"
    ran = forked(
        directory,
        "score",
        "wines@challenger",
        "--data",
        "wines.csv",
        "--to",
        str(to),
        "--bare",
        "--workers",
        "1",
        "--json",
    )

    assert ran.returncode == 0, ran.stderr
    told = json.loads(ran.stdout)
    assert (told["rows"], told["model"], told["version"], told["to"]) == (178, "wines", 1, str(to))
    assert list(pd.read_csv(to)) == [
        "prediction", "probability_0", "probability_1", "probability_2", "model", "version",
    ]  # fmt: skip


@pytest.mark.slow
@pytest.mark.usefixtures("server")
def test_an_evaluation_is_a_table_of_measures(checkout: tuple[Path, str], forked: Forked) -> None:
    ran = forked(checkout[0], "evaluate", "wines/1")

    assert ran.returncode == 0, ran.stderr
    assert "wines version 1 on" in ran.stdout
    assert "constant answer" in ran.stdout


def test_a_model_is_exported_with_its_version_in_the_files_name(
    checkout: tuple[Path, str], forked: Forked, tmp_path: Path
) -> None:
    directory, run_id = checkout
    ran = forked(directory, "export", "wines@challenger")
    again = forked(directory, "export", "wines@challenger")
    trial = forked(directory, "export", run_id, "--output", str(tmp_path / "trial.onnx"))

    assert ran.returncode == 0, ran.stderr
    assert "wines version 1 written to wines-1.onnx" in ran.stdout
    assert "gives label (int64), probabilities (float)" in ran.stdout
    assert again.returncode == 2
    assert "wines-1.onnx: there is one already" in error_of(again.stderr)
    assert trial.returncode == 0, trial.stderr
    assert "wines" not in trial.stdout.splitlines()[0].partition(" written to ")[0]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["score", "wines@challenger", "--data", "no.csv", "--to", "a.csv"], "no.csv: no such file"),
        (
            ["score", "wines@challenger", "--data", "wines.csv", "--to", "a.txt"],
            "cannot tell what to write by its name",
        ),
        (["score", "wines@challenger", "--data", "wines.csv", "--to", "wines.csv"], "wines.csv: there is one already"),
        (["score", "wines@challenger", "--data", "wines.csv", "--to", "a.csv", "--workers", "0"], "compute.workers"),
        (["evaluate", "wines@challenger", "--confidence", "2"], "confidence: Input should be less than 1"),
        (["export", "wine@challenger"], "has no model 'wine'; did you mean wines?"),
        (["export", "f" * 32], "has no such run; copy its id from MLflow"),
    ],
)
def test_what_is_wrong_is_told_in_one_line_before_anything_starts(
    checkout: tuple[Path, str], forked: Forked, arguments: list[str], told: str
) -> None:
    before = sorted(checkout[0].iterdir())
    ran = forked(checkout[0], *arguments)

    assert ran.returncode == 2
    assert told in error_of(ran.stderr)
    assert sorted(checkout[0].iterdir()) == before
