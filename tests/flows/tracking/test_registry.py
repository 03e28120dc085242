"""The winner in the registry: versions, aliases and decisions."""

import sys

import pytest

from flows.data.store import Dataset
from flows.errors import InputError
from flows.tracking import tags
from flows.tracking.decisions import last_decision
from flows.tracking.registry import (
    RegisteredVersion,
    check_model_name,
    load_registered,
    register_winner,
    version_by_alias,
)
from flows.tracking.store import Tracking
from tests.flows.conftest import winner_on


def test_a_trial_registered_twice_is_one_version(wine: Dataset, tracking: Tracking) -> None:
    winner = winner_on(wine, tracking)

    first, second = (register_winner(tracking, winner, wine, "wine") for _ in range(2))

    assert first == second == RegisteredVersion(name="wine", version=1)
    assert len(tracking.client().search_model_versions("name = 'wine'")) == 1


def test_another_trial_is_another_version_and_the_challenger(wine: Dataset, tracking: Tracking) -> None:
    register_winner(tracking, winner_on(wine, tracking), wine, "wine")
    winner = winner_on(wine, tracking, seed=1)

    second = register_winner(tracking, winner, wine, "wine")

    assert second.version == 2
    assert version_by_alias(tracking, "wine", "challenger") == second
    assert version_by_alias(tracking, "wine", "champion") is None
    found = tracking.client().get_model_version("wine", "2")
    assert (found.run_id, found.tags[tags.TRIAL_KEY]) == (winner.run_id, winner.key)


def test_a_model_stands_in_the_experiment_of_its_search(wine: Dataset, tracking: Tracking) -> None:
    """MLflow's own Model.log would put it into the default experiment, where nobody looks for it."""
    winner = winner_on(wine, tracking)

    register_winner(tracking, winner, wine, "wine")

    (model,) = tracking.client().search_logged_models([tracking.experiment_id])
    assert model.source_run_id == winner.run_id
    assert model.params["learning_rate"] == "0.1"
    assert model.status == "READY"
    assert tracking.client().search_logged_models(["0"]) == []


def test_a_model_that_was_loaded_leaves_the_import_path_alone(wine: Dataset, tracking: Tracking) -> None:
    """Dask workers inherit the path: with a model's code on it they would train with that model's code."""
    before = list(sys.path)

    version = register_winner(tracking, winner_on(wine, tracking), wine, "wine")
    load_registered(tracking, version)

    assert sys.path == before


def test_an_alias_of_a_model_that_is_not_there_is_none(tracking: Tracking) -> None:
    assert version_by_alias(tracking, "nobody", "champion") is None
    assert last_decision(tracking, "nobody") is None


@pytest.mark.parametrize("name", ["ada's wine", 'the "good" wine', "wine 2.0", "vin rosé"])
def test_a_model_may_have_any_name_that_mlflow_takes(wine: Dataset, tracking: Tracking, name: str) -> None:
    check_model_name(name)
    winner = winner_on(wine, tracking, epochs=1)

    assert register_winner(tracking, winner, wine, name).version == 1
    assert register_winner(tracking, winner, wine, name).version == 1


@pytest.mark.parametrize("name", ["team/wine", "wine:2", """ada's "good" wine"""])
def test_a_name_that_mlflow_refuses_is_refused_at_once(name: str) -> None:
    with pytest.raises(InputError, match="choose another"):
        check_model_name(name)
