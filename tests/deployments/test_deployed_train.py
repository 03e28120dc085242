"""`train` as Prefect's documentation teaches: deploy, start a worker, run the deployment."""

from typing import TYPE_CHECKING, Any

import pytest
from mlflow.entities import Run

if TYPE_CHECKING:
    from tests.deployments.conftest import House

pytestmark = pytest.mark.slow

EPOCHS = 3
SPACE = f"""
grid:
  hidden: [[16], [16, 8]]
  learning_rate: [0.1]
  epochs: [{EPOCHS}]
"""


@pytest.fixture(scope="module")
def trained(house: "House") -> dict[str, Any]:
    """The flow run of `prefect deployment run 'train/default' -p data=digits`, on a space of two trials."""
    return house.ended(house.submit("train/default", data="digits", space=house.write_space("two.yaml", SPACE)))


@pytest.fixture(scope="module")
def runs(house: "House", trained: dict[str, Any]) -> list[Run]:
    assert trained["state_type"] == "COMPLETED", trained["state"]["message"]
    experiment = house.mlflow.get_experiment_by_name("digits")
    assert experiment is not None
    return list(house.mlflow.search_runs([experiment.experiment_id]))


@pytest.fixture(scope="module")
def trials(runs: list[Run]) -> list[Run]:
    return [run for run in runs if "mlflow.parentRunId" in run.data.tags]


def test_a_deployed_train_completes_under_a_name_that_says_what_it_did(trained: dict[str, Any]) -> None:
    assert (trained["state_type"], trained["name"]) == ("COMPLETED", "train digits on two.yaml")


def test_it_leaves_one_parent_run_and_one_child_a_trial_all_finished(runs: list[Run], trials: list[Run]) -> None:
    (parent,) = [run for run in runs if run not in trials]

    assert len(trials) == 2
    assert {run.data.tags["mlflow.parentRunId"] for run in trials} == {parent.info.run_id}
    assert {run.info.status for run in runs} == {"FINISHED"}


def test_every_trial_has_its_key_its_params_its_curves_and_its_weights(house: "House", trials: list[Run]) -> None:
    assert len({run.data.tags["trial.key"] for run in trials}) == 2
    for run in trials:
        assert len(run.data.tags["trial.key"]) == 64
        assert run.data.params["learning_rate"] == "0.1"
        assert run.data.params["epochs"] == str(EPOCHS)
        for curve in ("train/loss", "val/loss", "val/accuracy"):
            history = house.mlflow.get_metric_history(run.info.run_id, curve)
            assert [point.step for point in history] == list(range(1, EPOCHS + 1)), curve
        assert [file.path for file in house.mlflow.list_artifacts(run.info.run_id)] == ["weights.safetensors"]
    assert {run.data.params["hidden"] for run in trials} == {"16", "16-8"}


def test_only_the_better_trial_is_tested_and_it_is_the_challenger(house: "House", trials: list[Run]) -> None:
    tested = [run for run in trials if any(name.startswith("test/") for name in run.data.metrics)]
    best = max(trials, key=lambda run: run.data.metrics["val/accuracy"])
    challenger = house.mlflow.get_model_version_by_alias("digits", "challenger")

    assert [run.info.run_id for run in tested] == [best.info.run_id] == [challenger.run_id]
    assert list(house.mlflow.get_registered_model("digits").aliases) == ["challenger"]


def test_what_it_writes_lies_where_the_worker_was_started(house: "House", trials: list[Run]) -> None:
    (digest,) = {run.data.tags["dataset.digest"] for run in trials}

    assert (house.directory / "mlflow.db").is_file()
    assert (house.directory / "mlruns").is_dir()
    assert (house.directory / "datasets" / digest / "schema.json").is_file()


def test_an_unknown_space_fails_the_run_with_one_line_that_says_what_to_do(house: "House") -> None:
    failed = house.run("train/default", data="wine", space="quik")

    assert failed["state_type"] == "FAILED"
    message = failed["state"]["message"]
    assert "space 'quik': no such file or bundled space; did you mean 'quick'?" in message
    assert "\n" not in message
    assert house.mlflow.get_experiment_by_name("wine") is None


@pytest.mark.parametrize("name", [f"{flow}/default" for flow in ("ingest", "train", "retrain", "evaluate", "score")])
def test_the_form_of_a_deployment_explains_itself(house: "House", name: str) -> None:
    deployment = house.deployment(name)

    assert deployment["description"]
    assert deployment["enforce_parameter_schema"]
    for parameter, schema in deployment["parameter_openapi_schema"]["properties"].items():
        assert schema.get("description"), parameter
