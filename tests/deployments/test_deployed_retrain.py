"""`retrain` on a file that changes: what a night's run does when the data did not change, got better, got worse."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from sklearn.datasets import load_digits

from tests.programs import eventually

if TYPE_CHECKING:
    from pathlib import Path

    from tests.deployments.conftest import House

pytestmark = pytest.mark.slow

NAMES = np.array(["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"])
MODEL = "numbers"
SPACE = """
grid:
  hidden: [[32]]
  learning_rate: [0.1, 0.3]
  epochs: [6]
"""


@dataclass(frozen=True)
class Night:
    """What one run of `retrain` left behind."""

    state: dict[str, Any]
    trial_runs: int
    champion: int | None
    challenger: int | None

    @property
    def name(self) -> str:
        return self.state["name"]


@dataclass(frozen=True)
class Nights:
    """Five runs, one after the other; the second was asked for while the first was running."""

    noisy_labels: Night
    meanwhile: dict[str, Any]
    true_labels: Night
    shuffled_labels: Night
    shuffled_labels_again: Night


@pytest.fixture(scope="module")
def nights(house: "House") -> Nights:
    """Retrain on images of digits in a CSV file, whole numbers under text labels."""
    space = house.write_space("night.yaml", SPACE)
    given: dict[str, Any] = {"data": f"{MODEL}.csv", "target": "digit", "space": space}
    parameters = {**given, "compute": {"workers": 1}}
    path = house.directory / f"{MODEL}.csv"
    rng = np.random.default_rng(0)
    labels = load_digits().target
    noise = rng.random(len(labels)) < 0.7

    write(path, np.where(noise, rng.integers(0, 10, len(labels)), labels))
    first = house.submit("retrain/default", **given, compute='{"workers": 1}')
    house.wait_for(first, "RUNNING")
    meanwhile = house.run("retrain/default", **parameters)
    noisy_labels = after(house, house.ended(first))
    write(path, labels)
    true_labels = after(house, house.run("retrain/default", **parameters))
    write(path, rng.permutation(labels))
    shuffled_labels = after(house, house.run("retrain/default", **parameters))
    shuffled_labels_again = after(house, house.run("retrain/default", **parameters))
    return Nights(noisy_labels, meanwhile, true_labels, shuffled_labels, shuffled_labels_again)


def write(path: "Path", labels: np.ndarray) -> None:
    load_digits(as_frame=True).data.astype(int).assign(digit=NAMES[labels]).to_csv(path, index=False)


def after(house: "House", flow_run: dict[str, Any]) -> Night:
    assert flow_run["state_type"] == "COMPLETED", flow_run["state"]["message"]
    client = house.mlflow
    experiment = client.get_experiment_by_name(MODEL)
    assert experiment is not None
    aliases = client.get_registered_model(MODEL).aliases
    return Night(
        state=flow_run["state"],
        trial_runs=len(client.search_runs([experiment.experiment_id])),
        champion=int(aliases["champion"]) if "champion" in aliases else None,
        challenger=int(aliases["challenger"]) if "challenger" in aliases else None,
    )


def test_the_first_retraining_makes_the_first_champion(nights: Nights) -> None:
    assert nights.noisy_labels.name == "Promoted"
    assert nights.noisy_labels.champion == nights.noisy_labels.challenger == 1


def test_a_retraining_asked_for_while_another_runs_does_not_start(nights: Nights) -> None:
    assert nights.meanwhile["state_type"] == "CANCELLED"


def test_unchanged_data_ends_early_and_trains_nothing(nights: Nights) -> None:
    before, again = nights.shuffled_labels, nights.shuffled_labels_again
    assert again.name == "Unchanged"
    assert "the data is unchanged" in again.state["message"]
    assert again.trial_runs == before.trial_runs
    assert (again.champion, again.challenger) == (before.champion, before.challenger)


def test_better_data_moves_the_champion(nights: Nights) -> None:
    assert nights.true_labels.name == "Promoted"
    assert nights.true_labels.champion == nights.true_labels.challenger == 2
    assert "against the champion's" in nights.true_labels.state["message"]


def test_data_whose_labels_were_shuffled_does_not_move_the_champion(nights: Nights) -> None:
    assert nights.shuffled_labels.name == "Refused"
    assert nights.shuffled_labels.challenger == 3
    assert nights.shuffled_labels.champion == 2


def test_every_version_carries_its_decision_and_the_reason(house: "House", nights: Nights) -> None:
    assert nights.shuffled_labels_again.champion == 2
    versions = {int(found.version): found.tags for found in house.mlflow.search_model_versions(f"name = '{MODEL}'")}

    decisions = {version: tags["promotion.decision"] for version, tags in versions.items()}
    assert decisions == {1: "promoted", 2: "promoted", 3: "refused"}
    assert versions[3]["promotion.reason"] == nights.shuffled_labels.state["message"]


def test_the_decision_is_on_the_page_of_the_run(house: "House", nights: Nights) -> None:
    found = house.get("artifacts/promotion/latest")

    assert found["data"].startswith(f"# {MODEL}: refused")
    assert nights.shuffled_labels.state["message"] in found["data"]


def test_every_decision_is_an_event_that_an_automation_can_listen_to(house: "House", nights: Nights) -> None:
    found = house.events("backprop.model.")

    assert [(event["event"], event["resource"]["backprop.version"]) for event in found] == [
        ("backprop.model.promoted", "1"),
        ("backprop.model.promoted", "2"),
        ("backprop.model.refused", "3"),
    ]
    last = found[-1]
    assert last["resource"]["prefect.resource.id"] == f"backprop.model.{MODEL}"
    assert last["payload"]["reason"] == nights.shuffled_labels.state["message"]
    assert last["payload"]["gain"] < 0
    assert "flow-run" in {related.get("prefect.resource.role") for related in last["related"]}


def test_retrain_has_a_schedule_that_somebody_must_switch_on(house: "House") -> None:
    (entry,) = house.deployment("retrain/default")["schedules"]

    assert entry["schedule"]["cron"] == "0 3 * * *"
    assert entry["schedule"]["timezone"] == "UTC"
    assert entry["active"] is False
    assert house.deployment("train/default")["schedules"] == []


def test_deploying_again_leaves_one_schedule_and_it_paused(house: "House") -> None:
    house.prefect("deploy", "--name", "retrain/default")

    (entry,) = house.deployment("retrain/default")["schedules"]
    assert entry["active"] is False


def test_a_schedule_that_a_person_resumed_starts_runs_and_stays_so_when_deployed_again(house: "House") -> None:
    (entry,) = house.deployment("retrain/default")["schedules"]
    house.prefect("deployment", "schedule", "resume", "retrain/default", entry["id"])
    try:
        house.prefect("deploy", "--name", "retrain/default")

        (entry,) = house.deployment("retrain/default")["schedules"]
        assert entry["active"] is True
        eventually(lambda: house.scheduled_runs("retrain/default"), "the scheduler inserts no runs")
    finally:
        house.prefect("deployment", "schedule", "pause", "retrain/default", entry["id"])


def test_retrainings_do_not_queue_up(house: "House") -> None:
    deployment = house.deployment("retrain/default")

    assert deployment["global_concurrency_limit"]["limit"] == 1
    assert deployment["concurrency_options"]["collision_strategy"] == "CANCEL_NEW"
