"""`retrain` called in this process: what it keeps when it fails, and that both models are judged on the same rows."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
import pytest
from mlflow.entities import Run
from prefect.client.schemas.objects import State
from sklearn.datasets import load_diabetes, load_wine, make_multilabel_classification

from flows.data.root import open_root
from flows.errors import InputError, RunFailedError
from flows.reproduction import reproduce
from flows.retrain import RetrainReport, retrain
from flows.retraining.one_at_a_time import OneAtATime
from flows.tracking import tags
from flows.tracking.decisions import last_decision, roll_back
from flows.tracking.registry import (
    CHALLENGER,
    CHAMPION,
    PREVIOUS,
    RegisteredVersion,
    register_winner,
    version_by_alias,
)
from flows.tracking.sqlite import fold_log
from flows.tracking.store import Tracking, open_tracking

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("tracking_store")]

MODEL = "wines"
CHECKOUT = Path(__file__).parents[2]
COMPUTE: dict[str, Any] = {}


@pytest.fixture(autouse=True)
def on_the_cluster(cluster: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let `run` use the cluster that the session has."""
    monkeypatch.setitem(COMPUTE, "scheduler", cluster)


def run(space: str, data: str = f"{MODEL}.csv", **changes: Any) -> State[Any]:
    """Retrain on a file of the working directory and return the state it ends in, or raise what it raises.

    Without the clean process, which takes longer than all else, unless it is asked for.
    """
    promotion = {"clean_process": False, **changes.pop("promotion", {})}
    parameters = {
        "data": data,
        "target": "target",
        "space": space,
        "compute": COMPUTE,
        **changes,
        "promotion": promotion,
    }
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


def last_retrained_digest(tracking: Tracking, model: str) -> str | None:
    last = last_decision(tracking, model)
    return None if last is None else last.digest


def runs(tracking: Tracking) -> int:
    return len(tracking.client().search_runs([tracking.experiment_id]))


@pytest.fixture(scope="module")
def promoted_once(tmp_path_factory: pytest.TempPathFactory, cluster: str) -> Path:
    """A directory in which a first champion of 170 wines was made, which takes as long as ten tests."""
    directory = tmp_path_factory.mktemp("promoted")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(directory)
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{directory}/mlflow.db")
        patch.setitem(COMPUTE, "scheduler", cluster)
        write_wines(170)
        assert run(write_space("good.yaml", 0.1, 10)).name == "Promoted"
        fold_log(f"sqlite:///{directory}/mlflow.db")
    return directory


@pytest.fixture
def champion(promoted_once: Path, tracking_store: str, tmp_path: Path) -> Tracking:
    """The store of that champion as the test's own, whose changes no other test sees."""
    assert tracking_store == f"sqlite:///{tmp_path}/mlflow.db"
    shutil.copytree(promoted_once, tmp_path, dirs_exist_ok=True, ignore=shutil.ignore_patterns("mlruns", "*.db-*"))
    tracking = open_tracking(MODEL)
    assert version_by_alias(tracking, MODEL, CHAMPION) is not None
    return tracking


def test_data_that_a_champion_was_made_of_is_unchanged_and_trains_nothing(champion: Tracking) -> None:
    before, trained = kept(champion), runs(champion)

    state = run("good.yaml")

    assert state.name == "Unchanged"
    assert "the data is unchanged" in (state.message or "")
    assert (kept(champion), runs(champion)) == (before, trained)
    # Whoever takes the champion away wants another.
    champion.client().delete_registered_model_alias(MODEL, CHAMPION)
    assert run("good.yaml").name == "Promoted"
    assert kept(champion) == before


def test_unchanged_data_is_retrained_on_where_something_else_is_asked_for(champion: Tracking) -> None:
    trained = runs(champion)

    state = run(write_space("other.yaml", 0.03, 2))

    assert state.name in ("Promoted", "Refused")
    assert runs(champion) > trained
    assert run("other.yaml").name == "Unchanged"


def test_a_retraining_that_fails_leaves_the_champion_and_is_done_again(champion: Tracking) -> None:
    diverging = write_space("diverging.yaml", 1e30, 2)
    before = kept(champion)
    assert None not in before

    write_wines(178)
    with pytest.raises(RunFailedError, match="all 1 trials diverged"):
        run(diverging, warm_start=False)

    assert kept(champion) == before
    # The data counts as new until a retraining on it came to a decision.
    assert run("good.yaml").name in ("Promoted", "Refused")
    assert kept(champion)[1] != before[1]


def test_a_champion_that_cannot_read_the_new_columns_is_named_and_stays(champion: Tracking) -> None:
    before = kept(champion)

    # Another file, since of this one the schema is known.
    write_wines(178, "others.csv", hue="tint")
    with pytest.raises(RunFailedError, match=r"wines version 1 cannot be measured on this data: missing columns"):
        run("good.yaml", data="others.csv", model=MODEL)

    assert kept(champion) == before
    # Its weights cannot be gone on with there either, which the search says.
    [search] = searches(champion, "others")
    assert search.data.tags[tags.WARM_START_SKIPPED] == "input 11 is 'tint' now and was 'hue'"


def searches(tracking: Tracking, data: str) -> list[Run]:
    """Return the searches on a data set, the newest first."""
    where = f"tags.`{tags.SEARCH_KEY}` LIKE '%' and tags.`{tags.DATASET}` = '{data}'"
    experiments = [experiment.experiment_id for experiment in tracking.client().search_experiments()]
    return list(tracking.client().search_runs(experiments, where))


def test_new_data_is_searched_around_the_champion_and_on_from_its_weights(champion: Tracking) -> None:
    write_wines(178)

    state = run("auto", around={"trials": 4})

    report: RetrainReport = state.result()
    assert report.warm_start == "wines version 1"
    assert report.train is not None
    [search, _] = searches(champion, MODEL)
    assert search.info.run_name == "search · around wines version 1"
    assert search.data.tags[tags.WARM_START] == "wines version 1"
    trials = {trial.info.run_name: trial for trial in children(champion, search)}
    assert len(trials) == report.train.outcome.trials == 5
    [warm] = [trial for name, trial in trials.items() if name.endswith("warm start")]
    cold = next(t for t in trials.values() if t.data.params == warm.data.params and t is not warm)
    first = {
        trial.info.run_id: champion.client().get_metric_history(trial.info.run_id, "train/loss")[0].value
        for trial in (warm, cold)
    }
    # It begins where the champion ended.
    assert first[warm.info.run_id] < first[cold.info.run_id] / 2
    # The same again, alone, from what its search holds.
    found = reproduce(warm.info.run_id, "datasets", "cpu")
    assert found.verdict == "identical"
    assert "it began with the weights of wines version 1, as it did now" in found.circumstances


def children(tracking: Tracking, search: Run) -> list[Run]:
    where = f"tags.`{tags.PARENT}` = '{search.info.run_id}'"
    return list(tracking.client().search_runs([search.info.experiment_id], where))


def test_a_decision_is_written_on_the_version_and_on_the_search_and_emitted(
    champion: Tracking, monkeypatch: pytest.MonkeyPatch
) -> None:
    emitted: list[dict[str, Any]] = []
    monkeypatch.setattr("flows.retraining.promotion_events.emit_event", lambda **event: emitted.append(event))
    write_wines(178)

    state = run(write_space("poor.yaml", 0.0001, 1), warm_start=False)

    report: RetrainReport = state.result()
    assert (state.name, report.state) == ("Refused", "Refused")
    version = champion.client().get_model_version_by_alias(MODEL, CHALLENGER)
    assert version.tags[tags.PROMOTION] == "refused"
    assert version.tags[tags.PROMOTION_REASON] == report.reason == state.message
    assert version.tags[tags.PROMOTION_OVER] == "1"
    assert "| champion before | version 1 |" in version.description
    [search, _] = searches(champion, MODEL)
    described = search.data.tags[tags.DESCRIPTION]
    assert "\n\n**The retraining** refused: " in described
    assert f"/runs/{search.info.run_id}/artifacts/promotion/decision.html))." in described
    files = champion.client().download_artifacts(search.info.run_id, "promotion")
    page = (Path(files) / "decision.html").read_text()
    assert "<svg" in page
    assert len(page) < 20_000
    assert json.loads((Path(files) / "decision.json").read_text())["reason"] == report.reason
    [event] = emitted
    assert event["event"] == "backprop.model.refused"
    assert event["resource"] == {
        "prefect.resource.id": "backprop.model.wines",
        "prefect.resource.name": "wines",
        "backprop.version": "2",
    }
    assert set(event["payload"]) == {"reason", "metric", "challenger", "champion", "gain", "interval"}
    assert event["payload"]["gain"] == pytest.approx(event["payload"]["challenger"] - event["payload"]["champion"])


def test_a_guard_of_a_column_or_a_metric_that_is_not_there_stops_before_anything_is_trained(champion: Tracking) -> None:
    trained = runs(champion)

    with pytest.raises(InputError, match=r"slices\[0\].column: 'hues' is no column .* did you mean 'hue'"):
        run("good.yaml", promotion={"guards": {"slices": [{"column": "hues"}]}})
    with pytest.raises(InputError, match="'rmse' is none of a classification"):
        run("good.yaml", promotion={"metric": "rmse"})

    assert runs(champion) == trained


def test_a_version_that_was_taken_back_is_not_promoted_again(champion: Tracking) -> None:
    """The better one came, was rolled back, and comes again because something else is asked for."""
    weak = write_space("weak.yaml", 0.0001, 1)
    assert run(weak, model="other").name == "Refused"
    version = champion.client().get_model_version_by_alias("other", CHALLENGER)
    champion.client().set_registered_model_alias("other", CHAMPION, version.version)
    assert run("good.yaml", model="other", warm_start=False).name == "Promoted"

    assert roll_back(champion, "other").champion == 1
    unchanged = run("good.yaml", model="other", warm_start=False)
    again = run("good.yaml", model="other", warm_start=False, promotion={"confidence": 0.9})

    assert unchanged.name == "Unchanged"
    assert "the champion, version 1, was set by hand and stays: the retraining left version 2" in (
        unchanged.message or ""
    )
    assert again.name == "Refused"
    assert "version 2 was taken back by a rollback" in (again.message or "")
    aliases = champion.client().get_registered_model("other").aliases
    assert {alias: int(aliases[alias]) for alias in (CHAMPION, PREVIOUS)} == {CHAMPION: 1, PREVIOUS: 2}


def test_a_challenger_that_is_of_no_use_in_a_clean_process_is_refused(
    champion: Tracking, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It wins, and of what travels with it a module is missing."""
    whole = register_winner

    def without_a_module(*arguments: Any) -> RegisteredVersion:
        version = whole(*arguments)
        place = champion.client().get_model_version(version.name, str(version.version)).source
        files = Path(mlflow.artifacts.download_artifacts(place, tracking_uri=champion.uri))
        (files / "code" / "flows" / "data" / "outputs.py").unlink()
        return version

    monkeypatch.setattr("flows.train.register_winner", without_a_module)

    state = run("good.yaml", model="broken", promotion={"clean_process": True})

    assert state.name == "Refused"
    assert "version 1 is of no use in a clean process: " in (state.message or "")
    assert "No module named 'flows.data.outputs'" in (state.message or "")
    assert "On its numbers it would have been promoted: the first champion" in (state.message or "")
    assert version_by_alias(champion, "broken", CHAMPION) is None


KILLED = """
import os, signal, sys
from mlflow import MlflowClient
from flows.retrain import retrain

moved = MlflowClient.set_registered_model_alias

def move(client, name, alias, version):
    if alias == "champion":
        os.kill(os.getpid(), signal.SIGKILL)
    moved(client, name, alias, version)

MlflowClient.set_registered_model_alias = move
retrain(
    data="wines.csv", target="target", space="good.yaml", compute={"scheduler": sys.argv[1]}, model="killed",
    promotion={"clean_process": False}, warm_start=False,
)
"""


def test_a_retraining_that_is_killed_over_its_promotion_is_finished_by_the_same_one(
    champion: Tracking, prefect_server: str
) -> None:
    environment = {**os.environ, "PREFECT_API_URL": prefect_server, "PYTHONPATH": str(CHECKOUT)}
    died = subprocess.run([sys.executable, "-c", KILLED, COMPUTE["scheduler"]], env=environment, check=False)
    assert died.returncode == -signal.SIGKILL
    assert version_by_alias(champion, "killed", CHAMPION) is None
    trained = runs(champion)

    state = run("good.yaml", model="killed", warm_start=False)

    report: RetrainReport = state.result()
    assert state.name == "Promoted"
    assert report.reason.startswith("promoted: the first champion")
    assert report.champion == RegisteredVersion(name="killed", version=1)
    assert runs(champion) == trained
    assert run("good.yaml", model="killed", warm_start=False).name == "Unchanged"


def test_a_second_retraining_of_a_model_ends_as_busy_and_says_who_is_at_it(champion: Tracking) -> None:
    write_wines(178)
    with OneAtATime(open_root("datasets"), MODEL):
        state: State[Any] = retrain(
            data=f"{MODEL}.csv", target="target", space="good.yaml", compute=COMPUTE, return_state=True
        )

    assert (state.name, state.is_cancelled()) == ("Busy", True)
    assert f"by process {os.getpid()} on " in (state.message or "")
    assert kept(champion)[0] is not None


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


def test_data_that_goes_back_to_what_the_champion_was_trained_on_leaves_it_as_it_was(champion: Tracking) -> None:
    first = version_by_alias(champion, MODEL, CHAMPION)
    assert first is not None
    before = champion.client().get_model_version(MODEL, str(first.version)).tags
    write_wines(178)
    run("good.yaml", warm_start=False)
    champion.client().set_registered_model_alias(MODEL, CHAMPION, str(first.version))

    write_wines(170)
    state = run("good.yaml", warm_start=False)

    assert state.name == "Refused"
    assert "is the champion itself" in (state.message or "")
    said = champion.client().get_run(state.result().train.run.run_id).data.tags[tags.DESCRIPTION]
    assert "**The retraining** kept: the winner of the search is the champion itself, which stands." in said
    assert version_by_alias(champion, MODEL, CHAMPION) == first
    assert champion.client().get_model_version(MODEL, str(first.version)).tags == before
    assert run("good.yaml", warm_start=False).name == "Unchanged"


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
