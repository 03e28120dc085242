"""A week of a deployed model: trained, scheduled, refused, promoted, killed over, scored with and served.

On what `make up` starts. The deployment `retrain/watched` is the one of prefect.yaml; its schedule, which a person
resumes, comes every few seconds here.
"""

import os
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pandas as pd
import psutil
import pytest
from mlflow import MlflowClient
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.schedules import IntervalSchedule
from sklearn.datasets import load_digits

from tests.deployments.conftest import copy_checkout
from tests.deployments.services import Checkout, Up
from tests.programs import eventually, free_port, program, running

pytestmark = pytest.mark.slow

RETRAIN = "retrain/watched"
MODEL = "watched"
SCHEDULE_SECONDS = 5
ENDED = ("COMPLETED", "FAILED", "CRASHED", "CANCELLED")


def digits() -> pd.DataFrame:
    """Return images of digits in another order, without the pixels that are mostly blank; text labels."""
    frame = load_digits(as_frame=True).frame
    names = np.array(["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"])
    frame = frame.loc[:, frame.median() > 0].sample(frac=1, random_state=0, ignore_index=True)
    return frame.assign(target=names[frame.target])


@dataclass(frozen=True)
class Night:
    """What one run of `retrain` left behind."""

    flow_run: dict[str, Any]
    trial_runs: int
    champion: int | None
    challenger: int | None

    @property
    def name(self) -> str:
        return str(self.flow_run["state"]["name"])

    @property
    def message(self) -> str:
        return str(self.flow_run["state"]["message"])


@dataclass
class Week:
    """The deployment of a watched directory, on its schedule."""

    up: Up
    watched: Path
    seen: set[str] = field(default_factory=set)

    @property
    def mlflow(self) -> MlflowClient:
        return MlflowClient(tracking_uri=self.up.mlflow)

    def drop(self, name: str, rows: pd.DataFrame) -> None:
        """Put a file into the watched directory, whole."""
        beside = self.watched.parent / name
        rows.to_csv(beside, index=False)
        beside.rename(self.watched / name)

    def schedule(self, *, active: bool) -> None:
        every = IntervalSchedule(interval=timedelta(seconds=SCHEDULE_SECONDS), timezone="UTC")
        # Prefect's client asks again where the server is busy.
        with SyncPrefectClient(f"{self.up.prefect}/api") as client:
            deployment = client.read_deployment_by_name(RETRAIN)
            [entry] = deployment.schedules
            client.update_deployment_schedule(deployment.id, entry.id, active=active, schedule=every)

    def begun(self) -> list[dict[str, Any]]:
        """Return the runs that the schedule has started, and that were not seen before.

        Those of which it would have had two at a time were cancelled.
        """
        deployment = self.up.get(f"deployments/name/{RETRAIN}")
        of_deployment = {"deployments": {"id": {"any_": [deployment["id"]]}}}
        found = self.up.post("flow_runs/filter", {**of_deployment, "sort": "START_TIME_ASC"})
        waiting = {"SCHEDULED", "PENDING", "CANCELLED"}
        return [
            run
            for run in found
            if run["auto_scheduled"] and run["state_type"] not in waiting and run["id"] not in self.seen
        ]

    def scheduled(self) -> str:
        """Return the next run that the schedule starts; it starts no other."""
        self.schedule(active=True)
        run = eventually(self.begun, f"the schedule started nothing\n{self.up.terminal()}")[0]
        self.schedule(active=False)
        self.seen.add(run["id"])
        return str(run["id"])

    def night(self, flow_run: str) -> Night:
        """Return what a run left behind, when it has ended."""
        ended = self.up.wait_for(flow_run, *ENDED)
        [experiment] = self.mlflow.search_experiments(filter_string=f"name = '{MODEL}'")
        aliases = self.mlflow.get_registered_model(MODEL).aliases
        # Another may have been started before the schedule was paused.
        self.seen.update(run["id"] for run in self.begun() if self.up.wait_for(run["id"], *ENDED))
        return Night(
            flow_run=ended,
            trial_runs=len(self.mlflow.search_runs([experiment.experiment_id])),
            champion=int(aliases["champion"]) if "champion" in aliases else None,
            challenger=int(aliases["challenger"]) if "challenger" in aliases else None,
        )

    def training(self) -> bool:
        """Whether trials are being trained."""
        [experiment] = self.mlflow.search_experiments(filter_string=f"name = '{MODEL}'")
        where = "attributes.status = 'RUNNING' and tags.`trial.key` != ''"
        return bool(self.mlflow.search_runs([experiment.experiment_id], where))

    def kill_worker(self) -> None:
        """Kill the worker with all that it started: the flow run and its Dask workers."""
        worker = psutil.Process(self.up.record()["services"]["worker"]["pid"])
        for process in [worker, *worker.children(recursive=True)]:
            os.kill(process.pid, signal.SIGKILL)


@dataclass(frozen=True)
class Told:
    """What happened in the week, in order."""

    week: Week
    trained: dict[str, Any]
    first: Night
    meanwhile: dict[str, Any]
    unchanged: Night
    wrong_labels: Night
    corrected: Night
    killed: Night
    after_the_kill: Night


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    directory = tmp_path_factory.mktemp("story")
    copy_checkout(directory)
    (directory / MODEL).mkdir()
    checkout = Checkout(directory)
    # A few runs at a time, soon after the schedule is resumed.
    checkout.environment |= {
        "PREFECT_SERVER_SERVICES_SCHEDULER_LOOP_SECONDS": "2",
        "PREFECT_SERVER_SERVICES_SCHEDULER_MAX_RUNS": "3",
    }
    with checkout.up() as started:
        yield started


@pytest.fixture(scope="module")
def told(up: Up) -> Told:
    week = Week(up, up.checkout.directory / MODEL)
    table = digits()

    week.drop("monday.csv", table[:250])
    asked = up.run("train/default", data=MODEL, target="target", model=MODEL)
    trained = up.wait_for(asked["id"], *ENDED)
    flow_run = week.scheduled()
    meanwhile = up.wait_for(up.run(RETRAIN)["id"], *ENDED)
    first = week.night(flow_run)
    unchanged = week.night(week.scheduled())

    tuesday = table[250:1300]
    labels = np.random.default_rng(0).permutation(tuesday.target)
    week.drop("tuesday.csv", tuesday.assign(target=labels))
    wrong_labels = week.night(week.scheduled())
    week.drop("tuesday.csv", tuesday)
    corrected = week.night(week.scheduled())

    week.drop("wednesday.csv", table[1300:])
    flow_run = week.scheduled()
    eventually(week.training, "nothing is trained")
    week.kill_worker()
    killed = week.night(flow_run)
    after_the_kill = week.night(week.scheduled())
    return Told(week, trained, first, meanwhile, unchanged, wrong_labels, corrected, killed, after_the_kill)


def test_the_first_model_is_trained_through_the_api(told: Told) -> None:
    assert told.trained["state"]["name"] == "Completed", told.trained["state"]["message"]


def test_the_schedule_makes_it_the_first_champion_and_trains_nothing_twice(told: Told) -> None:
    assert told.first.name == "Promoted", told.first.message
    assert told.first.champion == told.first.challenger == 1


def test_a_retraining_asked_for_while_another_runs_does_not_start(told: Told) -> None:
    assert told.meanwhile["state_type"] == "CANCELLED"


def test_unchanged_files_end_early_and_train_nothing(told: Told) -> None:
    assert told.unchanged.name == "Unchanged"
    assert "the data is unchanged" in told.unchanged.message
    assert told.unchanged.trial_runs == told.first.trial_runs


def test_a_file_with_wrong_labels_does_not_move_the_champion(told: Told) -> None:
    assert told.wrong_labels.name == "Refused", told.wrong_labels.message
    assert (told.wrong_labels.champion, told.wrong_labels.challenger) == (1, 2)


def test_the_corrected_file_does(told: Told) -> None:
    assert told.corrected.name == "Promoted", told.corrected.message
    assert told.corrected.champion == told.corrected.challenger == 3
    assert "against the champion's" in told.corrected.message


def test_a_worker_that_is_killed_leaves_the_champion_and_no_run_that_seems_to_run(told: Told, up: Up) -> None:
    assert told.killed.flow_run["state_type"] == "CRASHED"
    assert told.killed.champion == 3
    assert "worker was ended by signal 9" in up.terminal()
    assert f"flow run {told.killed.flow_run['name']} was abandoned" in up.terminal()


def test_the_next_of_the_schedule_ends_what_the_killed_one_began(told: Told) -> None:
    assert told.after_the_kill.name in {"Promoted", "Refused"}, told.after_the_kill.message
    [experiment] = told.week.mlflow.search_experiments(filter_string=f"name = '{MODEL}'")
    runs = told.week.mlflow.search_runs([experiment.experiment_id])
    assert {run.info.status for run in runs} == {"FINISHED"}
    keys = [run.data.tags["trial.key"] for run in runs if "trial.key" in run.data.tags]
    assert len(keys) == len(set(keys))


def test_every_version_carries_its_decision_and_the_reason(told: Told) -> None:
    found = told.week.mlflow.search_model_versions(f"name = '{MODEL}'")
    versions = {int(version.version): version.tags for version in found}

    decisions = {version: tags["promotion.decision"] for version, tags in versions.items() if version <= 3}
    assert decisions == {1: "promoted", 2: "refused", 3: "promoted"}
    assert versions[2]["promotion.reason"] == told.wrong_labels.message


def test_the_decision_is_on_the_page_of_the_run(told: Told, up: Up) -> None:
    of_run = {"flow_runs": {"id": {"any_": [told.wrong_labels.flow_run["id"]]}}}
    [found] = [one for one in up.post("artifacts/filter", of_run) if one["key"] == "promotion"]

    assert found["data"].startswith(f"# {MODEL}: refused")
    assert told.wrong_labels.message in found["data"]


def test_every_decision_is_an_event_that_an_automation_can_listen_to(told: Told, up: Up) -> None:
    asked = {"filter": {"event": {"prefix": ["backprop.model."]}, "order": "ASC"}, "limit": 50}
    found = up.post("events/filter", asked)["events"]

    assert [(event["event"], event["resource"]["backprop.version"]) for event in found[:3]] == [
        ("backprop.model.promoted", "1"),
        ("backprop.model.refused", "2"),
        ("backprop.model.promoted", "3"),
    ]
    refused = found[1]
    assert refused["resource"]["prefect.resource.id"] == f"backprop.model.{MODEL}"
    assert refused["payload"]["reason"] == told.wrong_labels.message
    assert refused["payload"]["gain"] <= 0
    assert "flow-run" in {related.get("prefect.resource.role") for related in refused["related"]}


def test_the_champion_scores_the_files(told: Told, up: Up) -> None:
    rows = digits()[1300:].drop(columns="target")
    rows.to_csv(up.checkout.directory / "unlabelled.csv", index=False)

    flow_run = up.run("score/default", model=f"{MODEL}@champion", data="unlabelled.csv", to="scores.parquet", keep=[])

    assert up.wait_for(flow_run["id"], *ENDED)["state_type"] == "COMPLETED"
    scores = pd.read_parquet(up.checkout.directory / "scores.parquet")
    assert set(scores.version) == {told.after_the_kill.champion}
    assert (scores.prediction.to_numpy() == digits().target[1300:].to_numpy()).mean() > 0.9


def test_the_champion_is_served_and_answers_a_row(told: Told, up: Up, tmp_path: Path) -> None:
    row = digits().iloc[[1500]]
    port = free_port()
    command = [program("mlflow"), "models", "serve", "-m", f"models:/{MODEL}@champion", "--env-manager", "local"]
    # MLflow looks for the web server of this environment on the path.
    path = f"{Path(command[0]).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**up.checkout.environment, "PATH": path, "MLFLOW_TRACKING_URI": up.mlflow}

    with running([*command, "--port", str(port)], tmp_path, environment, tmp_path / "serve.log"):
        eventually(lambda: _answers(f"http://127.0.0.1:{port}/ping"), "the model is not served")
        body = {"dataframe_split": row.drop(columns="target").to_dict(orient="split", index=False)}
        answer = httpx.post(f"http://127.0.0.1:{port}/invocations", json=body, timeout=60)

    assert told.after_the_kill.champion is not None
    assert answer.json()["predictions"] == [row.target.item()]


def _answers(address: str) -> bool:
    try:
        return httpx.get(address, timeout=2).is_success
    except httpx.TransportError:
        return False


def test_the_schedule_is_paused_until_somebody_resumes_it_and_stays_what_they_made_of_it(told: Told, up: Up) -> None:
    [entry] = up.get("deployments/name/retrain/default")["schedules"]
    assert (entry["schedule"]["cron"], entry["schedule"]["timezone"], entry["active"]) == ("0 3 * * *", "UTC", False)
    assert up.get("deployments/name/train/default")["schedules"] == []

    told.week.schedule(active=True)
    try:
        deployed = subprocess.run(
            [program("prefect"), "--no-prompt", "deploy", "--name", "retrain/default", "--name", RETRAIN],
            cwd=up.checkout.directory,
            env={**up.checkout.environment, "PREFECT_API_URL": f"{up.prefect}/api"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert deployed.returncode == 0, deployed.stderr
        [entry] = up.get(f"deployments/name/{RETRAIN}")["schedules"]
        assert entry["active"] is True
        assert entry["schedule"]["interval"] == 60
        [entry] = up.get("deployments/name/retrain/default")["schedules"]
        assert entry["active"] is False
    finally:
        told.week.schedule(active=False)
