"""`retrain` called in this process: what it keeps when it fails, and that both models are judged on the same rows."""

import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from mlflow.entities import Run
from prefect.client.schemas.objects import State
from sklearn.datasets import load_diabetes, load_wine, make_multilabel_classification

from flows.errors import InputError, RunFailedError
from flows.retrain import RetrainReport, retrain
from flows.tracking import tags
from flows.tracking.registry import CHAMPION, last_retrained_digest, version_by_alias
from flows.tracking.store import Tracking, open_tracking

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("tracking_store")]

MODEL = "wines"
COMPUTE: dict[str, Any] = {}


@pytest.fixture(autouse=True)
def on_the_cluster(cluster: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let `run` use the cluster that the session has."""
    monkeypatch.setitem(COMPUTE, "scheduler", cluster)


def run(space: str, data: str = f"{MODEL}.csv", **changes: Any) -> State[Any]:
    """Retrain on a file of the working directory and return the state it ends in, or raise what it raises."""
    parameters = {"data": data, "target": "target", "space": space, "compute": COMPUTE, **changes}
    state: State[Any] = retrain(**parameters, return_state=True)
    state.result(raise_on_failure=True)
    return state


def write_space(name: str, learning_rate: float, epochs: int) -> str:
    Path(name).write_text(f"grid:\n  hidden: [[8]]\n  learning_rate: [{learning_rate}]\n  epochs: [{epochs}]\n")
    return name


def write_wines(rows: int, file: str = f"{MODEL}.csv", **renamed: str) -> None:
    frame = load_wine(as_frame=True).frame.iloc[-rows:].rename(columns=renamed)
    frame.to_csv(file, index=False)


def kept(tracking: Tracking) -> tuple[object, object]:
    return version_by_alias(tracking, MODEL, CHAMPION), last_retrained_digest(tracking, MODEL)


def runs(tracking: Tracking) -> int:
    return len(tracking.client().search_runs([tracking.experiment_id]))


def test_data_that_a_champion_was_made_of_is_unchanged_and_trains_nothing() -> None:
    good = write_space("good.yaml", 0.1, 10)
    write_wines(170)
    assert run(good).name == "Promoted"
    tracking = open_tracking(MODEL)
    before, trained = kept(tracking), runs(tracking)

    state = run(good)

    assert state.name == "Unchanged"
    assert "the data is unchanged" in (state.message or "")
    assert (kept(tracking), runs(tracking)) == (before, trained)


def test_a_retraining_that_fails_leaves_the_champion_and_is_done_again() -> None:
    good, diverging = write_space("good.yaml", 0.1, 10), write_space("diverging.yaml", 1e30, 2)
    write_wines(170)
    assert run(good).name == "Promoted"
    before = kept(open_tracking(MODEL))
    assert None not in before

    write_wines(178)
    with pytest.raises(RunFailedError, match="all 1 trials diverged"):
        run(diverging)

    assert kept(open_tracking(MODEL)) == before
    # The data counts as new until a retraining on it came to a decision.
    assert run(good).name in ("Promoted", "Refused")
    assert kept(open_tracking(MODEL))[1] != before[1]


def test_a_champion_that_cannot_read_the_new_columns_is_named_and_stays() -> None:
    good = write_space("good.yaml", 0.1, 10)
    write_wines(170)
    run(good)
    before = kept(open_tracking(MODEL))

    # Another file, since of this one the schema is known.
    write_wines(178, "others.csv", hue="tint")
    with pytest.raises(RunFailedError, match=r"wines version 1 cannot be measured on this data: missing columns"):
        run(good, data="others.csv", model=MODEL)

    assert kept(open_tracking(MODEL)) == before


def test_the_rmse_that_decides_is_the_one_on_the_test_rows_in_the_unit_of_the_target() -> None:
    load_diabetes(as_frame=True).frame.to_csv("patients.csv", index=False)

    state = run(write_space("small.yaml", 0.01, 30), data="patients.csv")

    report: RetrainReport = state.result()
    assert state.name == "Promoted"
    assert report.decision.over_baseline.challenger == pytest.approx(report.train.selection.test["test/rmse"], rel=1e-5)
    assert 40 < report.decision.over_baseline.challenger < report.decision.over_baseline.other < 100


def test_models_of_several_labels_are_judged_by_the_labels_they_have_right() -> None:
    x, y = make_multilabel_classification(400, 10, n_classes=3, random_state=0)
    labels = ["sport", "art", "money"]
    articles = pd.DataFrame(x, columns=[f"x{k}" for k in range(10)]).join(pd.DataFrame(y, columns=labels))
    space = write_space("labels.yaml", 0.3, 20)
    articles.head(350).to_csv("articles.csv", index=False)
    assert run(space, data="articles.csv", target=labels).name == "Promoted"
    articles.to_csv("articles.csv", index=False)

    state = run(space, data="articles.csv", target=labels)

    report: RetrainReport = state.result()
    assert "accuracy of labels" in report.decision.reason
    right = 1 - report.train.selection.test["test/hamming_loss"]
    assert report.decision.over_champion is not None
    assert report.decision.over_champion.challenger == pytest.approx(right)
    assert report.decision.over_baseline.other < right


def test_a_model_name_that_mlflow_refuses_stops_before_anything_is_trained() -> None:
    write_wines(178)

    with pytest.raises(InputError, match="team/wines"):
        run(write_space("good.yaml", 0.1, 10), model="team/wines")

    assert open_tracking(MODEL).client().search_runs([open_tracking(MODEL).experiment_id]) == []


def test_data_that_goes_back_to_what_the_champion_was_trained_on_leaves_it_as_it_was() -> None:
    space = write_space("good.yaml", 0.1, 10)
    write_wines(170)
    run(space)
    champion = version_by_alias(open_tracking(MODEL), MODEL, CHAMPION)
    assert champion is not None
    before = open_tracking(MODEL).client().get_model_version(MODEL, str(champion.version)).tags
    write_wines(178)
    run(space)
    open_tracking(MODEL).client().set_registered_model_alias(MODEL, CHAMPION, str(champion.version))

    write_wines(170)
    state = run(space)

    assert state.name == "Refused"
    assert "is the champion itself" in (state.message or "")
    assert version_by_alias(open_tracking(MODEL), MODEL, CHAMPION) == champion
    assert open_tracking(MODEL).client().get_model_version(MODEL, str(champion.version)).tags == before
    assert run(space).name == "Unchanged"


def write_patients(rows: slice, **changes: Any) -> None:
    frame = load_diabetes(as_frame=True, scaled=False).frame.sample(frac=1, random_state=0).iloc[rows]
    frame.assign(**changes).to_csv("patients.csv", index=False)


def drift_runs() -> list[Run]:
    tracking = open_tracking("patients")
    where = f"tags.`{tags.DRIFT_KEY}` LIKE '%'"
    return list(tracking.client().search_runs([tracking.experiment_id], where))


def test_data_that_drifted_stops_a_retraining_and_the_champion_stays() -> None:
    space = write_space("small.yaml", 0.01, 30)
    write_patients(slice(0, 400))
    assert run(space, data="patients.csv").name == "Promoted"
    tracking = open_tracking("patients")
    before = version_by_alias(tracking, "patients", CHAMPION), last_retrained_digest(tracking, "patients")

    write_patients(slice(0, 440), bmi=lambda frame: frame["bmi"] * 1.3)
    state = run(space, data="patients.csv")

    assert state.name == "Drifted"
    assert state.is_completed()
    assert (state.message or "").startswith("1 of 11 columns drifted: 'bmi' (PSI ")
    assert "retrain once with drift.stop off" in (state.message or "")
    assert (version_by_alias(tracking, "patients", CHAMPION), last_retrained_digest(tracking, "patients")) == before
    # A schedule that comes by again finds the same, and adds nothing.
    assert run(space, data="patients.csv").name == "Drifted"
    [stop] = drift_runs()
    assert stop.data.metrics["drift/columns"] == 1
    page = tracking.client().download_artifacts(stop.info.run_id, "data/drift.html")
    assert "bmi" in Path(page).read_text()

    # A person has looked, and says that it is right.
    state = run(space, data="patients.csv", drift={"stop": False})

    assert state.name in ("Promoted", "Refused")
    report: RetrainReport = state.result()
    search = tracking.client().get_run(report.train.run.run_id)
    assert search.data.metrics["drift/psi_max"] > 0.25
    assert run(space, data="patients.csv").name == "Unchanged"


def test_data_that_only_grew_is_retrained_on_with_its_drift_beside_the_search() -> None:
    space = write_space("small.yaml", 0.01, 5)
    write_patients(slice(0, 400))
    run(space, data="patients.csv")
    write_patients(slice(0, 442))

    state = run(space, data="patients.csv")

    assert state.name in ("Promoted", "Refused")
    report: RetrainReport = state.result()
    client = open_tracking("patients").client()
    assert client.get_run(report.train.run.run_id).data.metrics["drift/columns"] == 0
    names = {file.path for file in client.list_artifacts(report.train.run.run_id, "data")}
    assert names == {"data/validation.json", "data/drift.json", "data/drift.html"}


def test_without_the_data_of_the_last_retraining_drift_is_not_measured_and_stops_nothing() -> None:
    space = write_space("small.yaml", 0.01, 5)
    write_patients(slice(0, 400))
    run(space, data="patients.csv")
    digest = last_retrained_digest(open_tracking("patients"), "patients")
    shutil.rmtree(Path("datasets") / str(digest))
    write_patients(slice(0, 440), bmi=lambda frame: frame["bmi"] * 1.3)

    assert run(space, data="patients.csv").name in ("Promoted", "Refused")
