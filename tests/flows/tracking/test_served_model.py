"""What a registered model answers to somebody who has nothing of this project but the model."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_diabetes, load_wine, make_multilabel_classification
from sklearn.metrics import r2_score

from backprop import Backend, Network, load_weights
from flows.data.preparation import label_array
from flows.data.sources import open_source
from flows.data.store import Dataset, raw_test_rows
from flows.tracking.registry import register_winner
from flows.tracking.store import open_tracking
from tests.flows.conftest import winner_on, written

CITIES = ("Oslo", "Bergen", "Tromsø")


@dataclass(frozen=True)
class Served:
    """A registered model, the raw test rows of its data, and what a process elsewhere got from the model for them."""

    dataset: Dataset
    rows: pd.DataFrame
    target: pd.DataFrame
    answer: dict[str, Any]
    weights: Path

    def outputs(self) -> np.ndarray:
        """What the trained network itself says of the prepared test rows, (N, C)."""
        architecture, parameters = load_weights(self.weights)
        network = Network(architecture, Backend(np))
        return np.asarray(network.predict(parameters, np.asarray(self.dataset.test.features)))[0]


def wines() -> pd.DataFrame:
    """Text labels, with columns of whole numbers of two sizes and one of truth values."""
    bunch = load_wine(as_frame=True)
    return bunch.data.assign(
        proline=bunch.data["proline"].astype("int64"),
        magnesium=bunch.data["magnesium"].astype("uint8"),
        strong=bunch.data["alcohol"] > 13,
        target=np.array(["class_0", "class_1", "class_2"], object)[bunch.target],
    )


def patients() -> pd.DataFrame:
    """A quantity of 25 to 346."""
    return load_diabetes(as_frame=True).frame


def flats(rows: int = 300) -> pd.DataFrame:
    """What real tables have: gaps, categories, truth values and dates."""
    draw = np.random.default_rng(2)
    rooms = draw.integers(1, 7, rows)
    area = pd.Series(rooms * 20 + draw.normal(0, 5, rows)).round(1)
    city = pd.Series(draw.choice(CITIES, rows))
    lift = pd.Series(draw.random(rows) < 0.5, dtype="boolean")
    built = pd.Series(pd.Timestamp("1990-01-01") + pd.to_timedelta(draw.integers(0, 12_000, rows), "D"))
    dear = (rooms > 3) & (city != "Bergen")
    table = pd.DataFrame({"rooms": rooms, "area": area, "city": city, "lift": lift, "built": built, "dear": dear})
    for name in ("area", "city", "lift", "built"):
        table.loc[draw.random(rows) < 0.15, name] = None
    return table.assign(dear=np.where(table.pop("dear"), "dear", "cheap"))


def subjects(rows: int = 200) -> pd.DataFrame:
    """Three quantities of different units."""
    draw = np.random.default_rng(3)
    x = draw.normal(size=(rows, 4))
    table = pd.DataFrame(x, columns=list("abcd"))
    return table.assign(weight=80 + 12 * x[:, 0], pulse=55 + 7 * x[:, 1] - 3 * x[:, 2], reach=x[:, 3] / 100)


def articles(rows: int = 300) -> pd.DataFrame:
    """Four labels that do not exclude each other."""
    x, y = make_multilabel_classification(rows, 10, n_classes=4, random_state=0)
    return pd.DataFrame(x, columns=[f"x{k}" for k in range(10)]).assign(
        **{name: y[:, place] for place, name in enumerate(LABELS)}
    )


QUANTITIES = ("weight", "pulse", "reach")
LABELS = ("sport", "art", "money", "other news")


def records(rows: pd.DataFrame) -> list[dict[str, Any]]:
    """Return rows as a client of any language writes them in JSON: a gap is null, a date is text."""
    plain = rows.astype(object).where(rows.notna(), None)
    return [
        {name: value.isoformat() if isinstance(value, pd.Timestamp) else value for name, value in row.items()}
        for row in plain.to_dict(orient="records")
    ]


def without_nulls(rows: pd.DataFrame) -> list[dict[str, Any]]:
    return [{name: value for name, value in row.items() if value is not None} for row in records(rows)]


WRONG = [
    ("rooms", "three"),
    ("area", "large"),
    ("city", 7),
    ("lift", "perhaps"),
    ("built", "03/04/2026"),
    ("built", 1_780_000_000),
]
"""What cannot be a value of a column of flats."""


def requests_of_flats(rows: pd.DataFrame) -> dict[str, str]:
    """Return requests with dates in several forms, and with a value that is wrong."""
    few = rows.head(8)
    forms = {
        "day": few["built"].dt.strftime("%Y-%m-%d"),
        "moment": few["built"].dt.strftime("%Y-%m-%dT%H:%M:%S.%f"),
        "with a time zone": few["built"].dt.strftime("%Y-%m-%dT%H:%M:%SZ"),
    }
    forms["each its own"] = pd.concat([forms["day"][:3], forms["moment"][3:5], forms["with a time zone"][5:]])
    first = records(few.dropna().head(1))[0]
    return {
        **{f"dates: {form}": body(few.assign(built=dates)) for form, dates in forms.items()},
        **{f"wrong: {name} {value}": body(pd.DataFrame([{**first, name: value}])) for name, value in WRONG},
        "misspelt": body(few.rename(columns={"rooms": "room_count"})),
        "dataframe_split": split_body(few),
        "inputs by column": json.dumps({"inputs": {name: [row[name] for row in records(few)] for name in few}}),
        "inputs by row": json.dumps({"inputs": records(few)}),
    }


def split_body(rows: pd.DataFrame) -> str:
    """Return the body of a request that names the columns once."""
    data = [list(row.values()) for row in records(rows)]
    return json.dumps({"dataframe_split": {"columns": list(rows), "data": data}})


def body(rows: pd.DataFrame, **more: object) -> str:
    """Return the body of a request for rows."""
    return json.dumps({"dataframe_records": records(rows), **more}, default=float)


def requests_of(rows: pd.DataFrame) -> dict[str, str]:
    """Return the bodies of requests for the first rows: all at once, each alone, and without nulls."""
    few = rows.head(8)
    single = [few.iloc[[place]] for place in range(len(few))]
    return {
        "all": body(few),
        "probabilities": body(few, params={"probabilities": True}),
        **{f"row {k}": body(row) for k, row in enumerate(single)},
        **{
            f"row {k} without nulls": json.dumps({"dataframe_records": without_nulls(row)}, default=float)
            for k, row in enumerate(single)
        },
    }


MODELS: dict[str, tuple[Any, tuple[str, ...], str, dict[str, object]]] = {
    "wines": (wines, ("target",), "alcohol", {"epochs": 20}),
    "patients": (patients, ("target",), "bmi", {"learning_rate": 0.01, "epochs": 40}),
    "flats": (flats, ("dear",), "rooms", {"epochs": 30}),
    "subjects": (subjects, QUANTITIES, "c", {"learning_rate": 0.02, "epochs": 60}),
    "articles": (articles, LABELS, "x3", {"learning_rate": 0.3, "epochs": 40}),
}
"""What is served: a table, its targets, a column that a test leaves out, and hyperparameters."""


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory, _empty_store: Path) -> Iterator[Path]:
    directory = tmp_path_factory.mktemp("served")
    shutil.copyfile(_empty_store, directory / "mlflow.db")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(directory)
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{directory}/mlflow.db")
        yield directory
        import mlflow

        mlflow.set_tracking_uri(None)


@pytest.fixture(scope="module")
def served(directory: Path) -> dict[str, Served]:
    """Train and register a trial on each table, and ask the models from a process of another working directory."""
    elsewhere = directory / "elsewhere"
    elsewhere.mkdir()
    shutil.copy(Path(__file__).with_name("served_client.py"), elsewhere)
    tracking = open_tracking("served")
    parts, jobs = {}, {}
    for name, (table, targets, missing, changes) in MODELS.items():
        table().to_parquet(directory / f"{name}.parquet", index=False)
        dataset = written(open_source(f"{name}.parquet"), directory / "datasets", targets)
        winner = winner_on(dataset, tracking, **changes)
        version = register_winner(tracking, winner, dataset, name)
        weights = tracking.client().download_artifacts(winner.run_id, "weights.safetensors", str(elsewhere))
        Path(weights).rename(elsewhere / f"{name}.safetensors")
        raw = raw_test_rows(dataset)
        target = raw[list(targets)]
        rows = raw.drop(columns=list(targets))
        rows.to_parquet(elsewhere / f"{name}.parquet")
        parts[name] = (dataset, rows, target)
        requests = requests_of(rows) | (requests_of_flats(rows) if name == "flats" else {})
        jobs[name] = {"uri": version.uri, "missing": missing, "requests": requests}
    (elsewhere / "jobs.json").write_text(json.dumps(jobs))
    run_client(elsewhere, tracking.uri)
    answers = json.loads((elsewhere / "answers.json").read_text())
    return {
        name: Served(*part, answers["models"][name] | answers["loaded"], elsewhere / f"{name}.safetensors")
        for name, part in parts.items()
    }


def run_client(directory: Path, tracking_uri: str) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environment |= {"MLFLOW_TRACKING_URI": tracking_uri, "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false"}
    command = [sys.executable, "served_client.py"]
    ran = subprocess.run(command, cwd=directory, env=environment, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr


# In every task


@pytest.mark.parametrize("name", MODELS)
def test_the_order_and_the_number_types_of_the_columns_do_not_matter(served: dict[str, Served], name: str) -> None:
    answer = served[name].answer

    assert answer["shuffled"] == answer["as_read"]
    assert answer["as_floats"] == answer["as_read"]


@pytest.mark.parametrize("name", MODELS)
def test_a_row_alone_is_answered_as_among_others(served: dict[str, Served], name: str) -> None:
    answer = served[name].answer

    assert_same(pd.concat(map(pd.DataFrame, answer["singly"])), answer["as_read"])


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("form", ["all", "row by row", "row by row without nulls"])
def test_rows_in_json_are_answered_as_a_frame_is(served: dict[str, Served], name: str, form: str) -> None:
    answer = served[name].answer
    asked = answer["requests"]
    found = asked["all"] if form == "all" else [asked[form.replace("row by row", f"row {k}")][0] for k in range(8)]

    assert_same(found, pd.DataFrame(answer["as_read"]).head(8))


def assert_same(found: Any, wanted: Any) -> None:
    """Compare labels exactly; quantities but for the last digits, as another number of rows may be summed otherwise."""
    pd.testing.assert_frame_equal(pd.DataFrame(found).reset_index(drop=True), pd.DataFrame(wanted), rtol=1e-5)


@pytest.mark.parametrize("name", MODELS)
def test_a_missing_column_is_named(served: dict[str, Served], name: str) -> None:
    message = served[name].answer["missing"]

    assert MODELS[name][2] in message
    assert "missing" in message


@pytest.mark.parametrize("name", ["wines", "flats", "articles"])
def test_probabilities_are_one_column_a_class_or_a_label(served: dict[str, Served], name: str) -> None:
    one = served[name]
    preparation = one.dataset.preparation
    frame = pd.DataFrame(one.answer["probabilities"])

    likely = [f"probability_{name}" for name in preparation.classes or preparation.targets]
    assert frame[likely].to_numpy() == pytest.approx(one.outputs(), abs=1e-5)
    assert pd.DataFrame(one.answer["requests"]["probabilities"])[likely].to_numpy() == pytest.approx(
        frame.head(8)[likely].to_numpy(), abs=1e-5
    )


@pytest.mark.parametrize("name", ["wines", "flats", "articles"])
def test_one_request_is_answered_with_the_predictions_and_their_probabilities(
    served: dict[str, Served], name: str
) -> None:
    answer = served[name].answer
    frame = pd.DataFrame(answer["requests"]["probabilities"])
    said = frame.filter(regex="^prediction")

    assert_same(
        said.set_axis(range(said.shape[1]), axis=1), pd.DataFrame(answer["as_read"]).head(8).T.reset_index(drop=True).T
    )


def test_a_served_model_needs_its_own_copy_of_the_code_and_none_of_the_pipeline(served: dict[str, Served]) -> None:
    answer = served["wines"].answer

    assert {"prefect", "dask", "distributed", "sklearn", "cupy", "numba"}.isdisjoint(answer["modules"])
    assert all("/artifacts/code/" in file for file in answer["code"])


def test_a_model_holds_weights_and_text_and_no_pickle(served: dict[str, Served], directory: Path) -> None:
    assert served
    files = [path for path in (directory / "mlruns").rglob("*") if path.is_file()]

    assert {"MLmodel", "weights.safetensors", "preparation.json", "served_model.py"} <= {path.name for path in files}
    assert {path.suffix for path in files}.isdisjoint({".pkl", ".pickle", ".joblib", ".pt", ".npy"})


# A classification


@pytest.mark.parametrize(("name", "least"), [("wines", 0.8), ("flats", 0.8)])
def test_a_served_classifier_answers_raw_rows_with_the_original_labels(
    served: dict[str, Served], name: str, least: float
) -> None:
    one = served[name]
    expected = label_array(one.dataset.preparation.classes or ())[one.outputs().argmax(axis=1)]

    assert one.answer["as_read"] == expected.tolist()
    assert np.mean(one.answer["as_read"] == one.target.to_numpy()[:, 0]) > least


def test_gaps_categories_and_dates_are_in_the_test_rows(served: dict[str, Served]) -> None:
    """Else the tests above would say nothing of them."""
    rows = served["flats"].rows.head(8)

    assert rows[["area", "city", "lift", "built"]].isna().to_numpy().any()
    assert {"Oslo", "Bergen"} <= set(served["flats"].rows["city"])


def test_a_column_has_the_type_of_its_values_and_may_be_left_out_if_its_gaps_were_learnt(
    served: dict[str, Served],
) -> None:
    assert served["flats"].answer["inputs"] == {
        "rooms": ["Any", True],
        "area": ["DataType.double", False],
        "city": ["DataType.string", False],
        "lift": ["Any", False],
        "built": ["Any", False],
    }


@pytest.mark.parametrize("form", ["day", "moment", "with a time zone", "each its own"])
def test_a_date_is_the_same_in_every_form_of_iso_8601(served: dict[str, Served], form: str) -> None:
    answer = served["flats"].answer

    assert answer["requests"][f"dates: {form}"] == answer["as_read"][:8]


@pytest.mark.parametrize(("name", "value"), WRONG)
def test_a_value_of_another_kind_is_refused_by_its_column(served: dict[str, Served], name: str, value: object) -> None:
    answer = served["flats"].answer["requests"][f"wrong: {name} {value}"]

    assert name in answer["error"]
    assert (answer["status"], answer["traceback"]) == (400, False)


def test_a_request_without_a_column_names_it_and_what_is_there_instead(served: dict[str, Served]) -> None:
    answer = served["flats"].answer["requests"]["misspelt"]

    assert "rooms" in answer["error"]
    assert "room_count" in answer["error"]
    assert (answer["status"], answer["traceback"]) == (400, False)


@pytest.mark.parametrize("form", ["dataframe_split", "inputs by column", "inputs by row"])
def test_rows_may_be_written_in_every_form_that_mlflow_knows(served: dict[str, Served], form: str) -> None:
    answer = served["flats"].answer

    assert answer["requests"][form] == answer["as_read"][:8]


# Quantities


def test_a_served_regression_answers_in_the_unit_of_the_target(served: dict[str, Served]) -> None:
    one = served["patients"]
    predicted = np.array(one.answer["as_read"])

    assert predicted == pytest.approx(one.dataset.preparation.restore_target(one.outputs()[:, 0]), rel=1e-5)
    assert r2_score(one.target, predicted) > 0.3


def test_several_quantities_are_a_column_each_in_its_unit(served: dict[str, Served]) -> None:
    one = served["subjects"]
    frame = pd.DataFrame(one.answer["as_read"])

    assert tuple(frame.columns) == QUANTITIES
    assert one.answer["outputs"] == [[name, "DataType.double"] for name in QUANTITIES]
    assert (r2_score(one.target, frame, multioutput="raw_values") > 0.9).all()


# Labels


def test_several_labels_are_a_column_each_of_0_and_1(served: dict[str, Served]) -> None:
    one = served["articles"]
    frame = pd.DataFrame(one.answer["as_read"])

    assert tuple(frame.columns) == LABELS
    assert one.answer["outputs"] == [[name, "DataType.long"] for name in LABELS]
    np.testing.assert_array_equal(frame, one.outputs() > 0.5)
    assert (frame.to_numpy() == one.target.to_numpy()).mean() > 0.75


# By MLflow's own server


FOREIGN = ("cupy", "dask", "distributed", "numba", "onnx", "pandera", "prefect", "typer")
BLOCKING = f"""
import sys

class NotInstalled:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {FOREIGN!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, NotInstalled())
"""
"""What Python runs first in a process that has nothing but a model's own requirements."""


@pytest.fixture(scope="module")
def address(served: dict[str, Served], directory: Path) -> Iterator[str]:
    """`mlflow models serve` of the flats, where none of the pipeline's libraries can be imported."""
    assert served
    (directory / "blocking").mkdir()
    (directory / "blocking" / "sitecustomize.py").write_text(BLOCKING)
    environment = {**os.environ, "PYTHONPATH": str(directory / "blocking")}
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = directory / "serve.log"
    command = [Path(sys.executable).with_name("mlflow"), "models", "serve", "-m", "models:/flats@challenger"]
    with (
        log.open("w") as output,
        subprocess.Popen(
            [*command, "--env-manager", "local", "-h", "127.0.0.1", "-p", str(port)],
            cwd=directory / "elsewhere",
            env=environment,
            stdout=output,
            stderr=output,
            start_new_session=True,
        ) as server,
    ):
        try:
            while not _answers(f"http://127.0.0.1:{port}/ping"):
                assert server.poll() is None, log.read_text()
                time.sleep(0.1)
            yield f"http://127.0.0.1:{port}/invocations"
        finally:
            # Its own child serves.
            os.killpg(server.pid, signal.SIGTERM)


def _answers(url: str) -> bool:
    try:
        return httpx.get(url).status_code == httpx.codes.OK
    except httpx.TransportError:
        return False


def post(address: str, request: str) -> tuple[int, dict[str, Any]]:
    """Send a request as curl does; return the status and the answer."""
    answer = httpx.post(address, content=request, headers={"Content-Type": "application/json"}, timeout=60)
    return answer.status_code, answer.json()


@pytest.mark.slow
def test_a_server_without_the_pipelines_libraries_answers_labels_and_probabilities(
    served: dict[str, Served], address: str
) -> None:
    one = served["flats"]
    status, answer = post(address, body(one.rows.head(8), params={"probabilities": True}))

    assert status == 200
    assert [row["prediction"] for row in answer["predictions"]] == one.answer["as_read"][:8]
    likely = [[row["probability_cheap"], row["probability_dear"]] for row in answer["predictions"]]
    assert np.array(likely) == pytest.approx(one.outputs()[:8], abs=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"rooms": "three"}, "column 'rooms' has 'three', which is no number, in row 1"),
        ({"city": 7}, "column 'city' has 7, which is a number, and the categories are text, in row 1"),
        ({"rooms": None, "lift": "perhaps"}, "column 'lift' has 'perhaps', which is neither true nor false"),
    ],
)
def test_a_server_answers_400_to_a_row_of_the_wrong_kind_and_names_the_column(
    served: dict[str, Served], address: str, change: dict[str, object], told: str
) -> None:
    row = records(served["flats"].rows.dropna().head(1))[0]
    status, answer = post(address, json.dumps({"dataframe_records": [{**row, **change}]}))

    assert status == 400
    assert told in answer["message"]
    assert "Traceback" not in json.dumps(answer)


@pytest.mark.slow
def test_a_server_answers_400_to_a_misspelt_column_and_names_both(served: dict[str, Served], address: str) -> None:
    status, answer = post(address, body(served["flats"].rows.head(1).rename(columns={"rooms": "room_count"})))

    assert status == 400
    assert "['rooms']" in answer["message"]
    assert "['room_count']" in answer["message"]
