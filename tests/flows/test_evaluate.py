"""A registered model measured: on its own test rows as when it was selected, and on labelled rows of any source."""

import io
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient
from rich.console import Console
from sklearn import metrics
from sklearn.datasets import load_wine

from flows.data.sources import open_source
from flows.data.store import Dataset, raw_test_rows
from flows.errors import ModelError, TableError
from flows.evaluate import EvaluationReport, evaluate
from flows.select import measure_on_test
from flows.terminal.evaluate import measures_table, parts_table
from flows.tracking.registry import register_winner
from flows.tracking.search_runs import search_run
from flows.tracking.store import open_tracking
from tests.flows.conftest import SPACE, winner_on, written

pytestmark = pytest.mark.slow

LABELS = np.array(["barolo", "grignolino", "barbera"], object)


def wines() -> pd.DataFrame:
    bunch = load_wine(as_frame=True)
    return bunch.data.assign(grape=LABELS[bunch.target])


@pytest.fixture(scope="module")
def selected(
    tmp_path_factory: pytest.TempPathFactory, _empty_store: Path
) -> Iterator[tuple[Dataset, dict[str, float]]]:
    """A dataset with a registered model, and what was measured of it when it was selected."""
    directory = tmp_path_factory.mktemp("evaluate")
    shutil.copyfile(_empty_store, directory / "mlflow.db")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(directory)
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{directory}/mlflow.db")
        tracking = open_tracking("wines")
        wines().to_csv("wines.csv", index=False)
        dataset = written(open_source("wines.csv"), directory / "datasets", ("grape",))
        winner = winner_on(dataset, tracking, epochs=20)
        with search_run(tracking, dataset, "space", SPACE) as run:
            measured = measure_on_test(run, winner, dataset)
        register_winner(tracking, winner, dataset, "wines")
        yield dataset, measured
        import mlflow

        mlflow.set_tracking_uri(None)


@pytest.fixture(autouse=True)
def _here(selected: tuple[Dataset, dict[str, float]], monkeypatch: pytest.MonkeyPatch, prefect_server: str) -> None:
    assert prefect_server
    directory = Path(selected[0].reference.path).parents[1]
    monkeypatch.chdir(directory)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{directory}/mlflow.db")


def named(report: EvaluationReport) -> dict[str, float]:
    return {measure.name: measure.value for measure in report.measures}


def test_on_its_own_test_rows_a_model_is_as_good_as_when_it_was_selected(
    selected: tuple[Dataset, dict[str, float]],
) -> None:
    dataset, measured = selected
    report = evaluate("wines@challenger")

    assert report.rows == len(raw_test_rows(dataset))
    assert named(report)["accuracy"] == pytest.approx(measured["test/accuracy"])
    assert named(report)["f1_macro"] == pytest.approx(measured["test/f1_macro"])
    assert named(report)["log_loss"] == pytest.approx(measured["test/loss"], rel=1e-4)


def test_rows_of_a_source_are_measured_under_the_name_that_it_has_for_the_target() -> None:
    wines().rename(columns={"grape": "kind"}).assign(other=1).to_parquet("new.parquet", index=False)
    report = evaluate("wines/1", data="new.parquet", target="kind", confidence=0.9)
    accuracy = report.measures[0]

    assert report.rows == len(wines())
    assert accuracy.low < accuracy.value < accuracy.high
    assert accuracy.baseline == pytest.approx(metrics.accuracy_score(wines()["grape"], ["grignolino"] * 178))
    assert [part.rows for part in report.parts] == wines()["grape"].value_counts().sort_index().tolist()


def test_the_measures_are_a_run_of_the_models_experiment_and_on_the_models_page() -> None:
    report = evaluate("wines@challenger", data="wines.csv")
    client = MlflowClient(os.environ["MLFLOW_TRACKING_URI"])
    run = client.get_run(report.run_id)

    assert client.get_experiment(run.info.experiment_id).name == "wines"
    assert run.info.status == "FINISHED"
    assert run.data.tags["model.version"] == "1"
    assert run.data.metrics["evaluation/accuracy"] == pytest.approx(report.measures[0].value)
    assert run.data.metrics["evaluation/accuracy_low"] == pytest.approx(report.measures[0].low)
    assert run.data.metrics["evaluation/log_loss_baseline"] == pytest.approx(report.measures[2].baseline)
    (linked,) = run.inputs.model_inputs
    model = client.get_logged_model(linked.model_id)
    assert {metric.key for metric in model.metrics} >= {"evaluation/accuracy", "evaluation/f1_macro"}
    table = pd.read_csv(client.download_artifacts(report.run_id, "parts.csv"))
    assert table["name"].tolist() == sorted(LABELS)


def test_a_label_that_the_model_does_not_know_is_named_with_its_line() -> None:
    rows = wines()
    rows.loc[7, "grape"] = "merlot"
    rows.to_csv("merlot.csv", index=False)

    with pytest.raises(TableError, match=r"merlot.csv: column 'grape' has the label 'merlot', .* in line 9"):
        evaluate("wines@challenger", data="merlot.csv")


@pytest.mark.parametrize(
    ("target", "reason"),
    [("vine", "there is no column 'vine' to compare with"), (("grape", "hue"), "the model predicts 'grape'")],
)
def test_a_target_that_is_not_there_is_named(target: str | tuple[str, ...], reason: str) -> None:
    with pytest.raises(TableError, match=reason):
        evaluate("wines@challenger", data="wines.csv", target=target)


def test_test_rows_that_are_gone_are_said_to_be() -> None:
    with pytest.raises(ModelError, match="is not in elsewhere; name labelled rows with --data"):
        evaluate("wines@challenger", datasets="elsewhere")


def test_a_person_sees_each_measure_beside_the_constant_answer() -> None:
    report = evaluate("wines@challenger", data="wines.csv")
    console = Console(width=100, file=io.StringIO())
    console.print(measures_table(report), parts_table(report))
    shown = console.file.getvalue()

    assert f"{report.measures[0].value:.4f}" in shown
    assert f"{report.measures[0].baseline:.4f}" in shown
    assert all(label in shown for label in LABELS)
    assert json.loads(report.model_dump_json())["rows"] == 178
