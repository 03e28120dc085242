"""A source scored to its end: every row, in order, with the same answers as the model gives by itself."""

import os
import re
import shutil
import signal
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from distributed import Client

from flows.data.outputs import answer
from flows.data.sources import open_source
from flows.errors import DestinationError, ModelError, TableError
from flows.parameters import ClusterParameters
from flows.score import ScoreReport, score
from flows.scoring import dispatch, pieces
from flows.tracking.opened_model import OpenedModel, open_model
from flows.tracking.registry import register_winner
from flows.tracking.store import open_tracking
from tests.flows.conftest import winner_on, written

pytestmark = pytest.mark.slow

CITIES = ("Oslo", "Bergen", "Tromsø")
ROWS = 400


def flats() -> pd.DataFrame:
    """Categories, gaps, truth values and dates, with a key."""
    draw = np.random.default_rng(4)
    rooms = draw.integers(1, 7, ROWS)
    table = pd.DataFrame(
        {
            "id": [f"flat-{k}" for k in range(ROWS)],
            "rooms": rooms,
            "area": np.round(rooms * 20 + draw.normal(0, 5, ROWS), 1),
            "city": draw.choice(CITIES, ROWS),
            "lift": draw.random(ROWS) < 0.5,
            "built": pd.Timestamp("1990-01-01") + pd.to_timedelta(draw.integers(0, 12_000, ROWS), "D"),
        }
    ).astype({"lift": "boolean"})
    for name in ("area", "city", "lift", "built"):
        table.loc[draw.random(ROWS) < 0.1, name] = None
    return table.assign(dear=np.where((rooms > 3) & (table["city"] != "Bergen"), "dear", "cheap"))


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory, _empty_store: Path) -> Iterator[Path]:
    """A directory with an MLflow store in which two models are registered, and the rows of one."""
    directory = tmp_path_factory.mktemp("score")
    shutil.copyfile(_empty_store, directory / "mlflow.db")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(directory)
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{directory}/mlflow.db")
        tracking = open_tracking("score")
        flats().to_csv("flats.csv", index=False)
        trained = written(open_source("flats.csv"), directory / "datasets", ("dear",))
        register_winner(tracking, winner_on(trained, tracking, epochs=20), trained, "flats")
        linnerud = written(open_source("linnerud"), directory / "datasets")
        register_winner(tracking, winner_on(linnerud, tracking), linnerud, "bodies")
        yield directory
        import mlflow

        mlflow.set_tracking_uri(None)


@pytest.fixture
def here(directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, prefect_server: str) -> Path:
    """A working directory of the test's own, with the models."""
    assert prefect_server
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{directory}/mlflow.db")
    monkeypatch.chdir(tmp_path)
    flats().to_csv("flats.csv", index=False)
    return tmp_path


@pytest.fixture
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pieces, "MOST_ROWS", 37)


def scored(cluster: str, **given: object) -> ScoreReport:
    parameters = {"model": "flats@challenger", "data": "flats.csv", "to": "scores.parquet", **given}
    report: ScoreReport = score(**parameters, compute=ClusterParameters(scheduler=cluster))
    return report


def own_answer(model: OpenedModel, rows: pd.DataFrame) -> pd.DataFrame:
    """What the model says in this process, all rows at once."""
    return answer(model.predictor.preparation, model.predictor.outputs(rows))


@pytest.mark.usefixtures("here", "small_pieces")
def test_every_row_is_answered_in_order_as_the_model_answers_it(cluster: str) -> None:
    report = scored(cluster)
    found = pd.read_parquet("scores.parquet")
    wanted = own_answer(open_model("flats@challenger"), flats())

    assert found["id"].tolist() == flats()["id"].tolist()
    assert found["prediction"].tolist() == wanted["prediction"].tolist()
    likely = ["probability_cheap", "probability_dear"]
    np.testing.assert_allclose(found[likely], wanted[likely], atol=1e-6)
    assert set(zip(found["model"], found["version"], strict=True)) == {("flats", 1)}
    assert list(found) == [*flats(), "prediction", *likely, "model", "version"]
    assert report.rows == ROWS
    assert report.predicted == found["prediction"].value_counts().to_dict()
    # It is a source like any other.
    assert sum(batch.num_rows for batch in open_source("scores.parquet").batches()) == ROWS


@pytest.mark.usefixtures("here")
def test_only_the_columns_that_are_asked_for_are_kept(cluster: str) -> None:
    scored(cluster, to="scores.csv", keep=("dear", "id"))
    bare = scored(cluster, to="bare.csv.gz", keep=())

    assert list(pd.read_csv("scores.csv"))[:3] == ["id", "dear", "prediction"]
    assert list(pd.read_csv("bare.csv.gz"))[:1] == ["prediction"]
    assert bare.rows == ROWS


@pytest.mark.usefixtures("here")
def test_several_quantities_have_a_column_each_and_no_probability(cluster: str) -> None:
    scored(cluster, model="bodies/1", data="linnerud", keep=())
    found = pd.read_parquet("scores.parquet")

    assert list(found) == ["prediction_Weight", "prediction_Waist", "prediction_Pulse", "model", "version"]
    features = pd.concat([batch.to_pandas() for batch in open_source("linnerud").batches()])
    wanted = own_answer(open_model("bodies/1"), features)
    np.testing.assert_allclose(found.filter(regex="prediction"), wanted, rtol=1e-5)


@pytest.mark.usefixtures("here")
def test_a_table_is_scored_into_its_own_database(cluster: str, here: Path) -> None:
    with sqlite3.connect("shop.db") as connection:
        flats().astype({"built": str}).drop(columns=["built"]).assign(built=None).to_sql(
            "flats", connection, index=False
        )
    connection.close()
    shop = f"sql:sqlite:///{here}/shop.db"
    scored(cluster, data=f"{shop}?table=flats", to=f"{shop}?table=scores", keep=("id",))

    with sqlite3.connect("shop.db") as connection:
        rows = connection.execute("select id, prediction, probability_dear, model, version from scores").fetchall()
    connection.close()
    assert [row[0] for row in rows] == flats()["id"].tolist()
    assert {row[3:] for row in rows} == {("flats", 1)}
    assert all((row[1] == "dear") == (row[2] > 0.5) for row in rows)


@pytest.mark.usefixtures("here")
def test_a_second_run_is_refused_and_replaces_the_first_only_if_it_may(cluster: str, here: Path) -> None:
    scored(cluster, keep=("id",))
    with pytest.raises(DestinationError, match=r"scores.parquet: there is one already"):
        scored(cluster)
    assert list(pd.read_parquet("scores.parquet"))[:1] == ["id"]

    scored(cluster, keep=(), overwrite=True)
    assert list(pd.read_parquet("scores.parquet"))[:1] == ["prediction"]
    assert sorted(path.name for path in here.iterdir()) == ["flats.csv", "scores.parquet"]


@pytest.mark.usefixtures("small_pieces")
@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("rooms", "many", "column 'rooms' has 'many', which is no number, in line 302"),
        ("lift", "perhaps", "column 'lift' has 'perhaps', which is neither true nor false, in line 302"),
        ("built", "3/4/2020", "column 'built' has '3/4/2020', which is no date written like"),
    ],
)
def test_a_row_that_cannot_be_scored_is_named_by_column_and_line(
    cluster: str, here: Path, name: str, value: str, reason: str
) -> None:
    rows = flats().astype(object)
    rows.loc[300, name] = value
    rows.to_csv("bad.csv", index=False)
    with pytest.raises(TableError, match=f"^bad.csv: {re.escape(reason)}"):
        scored(cluster, data="bad.csv")
    assert sorted(path.name for path in here.iterdir()) == ["bad.csv", "flats.csv"]


@pytest.mark.usefixtures("here")
def test_a_column_that_turns_out_to_be_wider_is_read_again(cluster: str) -> None:
    rows = flats().astype({"rooms": object})
    rows.loc[399, "rooms"] = 2.5
    # The types of a file are taken from its first rows.
    repeated = pd.concat([rows.iloc[:-1]] * 60 + [rows])
    repeated.to_json("wide.jsonl", orient="records", lines=True, date_format="iso")
    scored(cluster, data="wide.jsonl", keep=("rooms",))

    found = pd.read_parquet("scores.parquet")
    assert len(found) == len(repeated)
    assert found["rooms"].iloc[-1] == 2.5


@pytest.mark.usefixtures("here")
def test_a_category_that_was_never_seen_is_one_of_the_others(cluster: str) -> None:
    flats().assign(city="Paris").to_csv("paris.csv", index=False)

    assert scored(cluster, data="paris.csv").rows == ROWS


@pytest.mark.usefixtures("here", "small_pieces")
def test_a_worker_that_dies_is_made_up_for(cluster: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with Client(cluster) as client:
        (worker,) = client.run(os.getpid).values()
    settled, deaths = dispatch._settled, []

    def settle_after_a_death(*given: object) -> object:
        if not deaths:
            deaths.append(worker)
            os.kill(worker, signal.SIGKILL)
        return settled(*given)

    monkeypatch.setattr(dispatch, "_settled", settle_after_a_death)
    assert scored(cluster).rows == ROWS

    found = pd.read_parquet("scores.parquet")
    assert found["prediction"].tolist() == own_answer(open_model("flats/1"), flats())["prediction"].tolist()
    assert deaths == [worker]


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    ("model", "reason"),
    [
        ("flat@challenger", "has no model 'flat'; did you mean flats?"),
        ("flats@champion", r"flats has @challenger \(version 1\)"),
        ("flats/9", r"flats has @challenger \(version 1\)"),
        ("flats", "write NAME@ALIAS, such as digits@champion"),
    ],
)
def test_a_model_that_is_not_there_is_named_with_what_is(model: str, reason: str) -> None:
    with pytest.raises(ModelError, match=reason):
        open_model(model)


def test_a_store_is_not_made_by_asking_for_a_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)

    with pytest.raises(ModelError, match="there is no MLflow store; set MLFLOW_TRACKING_URI"):
        open_model("digits@champion")
    assert list(tmp_path.iterdir()) == []
