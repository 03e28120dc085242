"""`backprop retrain` and `backprop rollback` as a person meets them."""

import json
from pathlib import Path

import pytest
from mlflow import MlflowClient

from tests.flows.commands import Forked, error_of


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--data", "missing.csv", "--target", "y"], "missing.csv: no such file"),
        (["--space", "quik"], "did you mean 'quick'"),
        (["--metric", "precision"], "metric: "),
        (["--confidence", "1.5"], "confidence: "),
        (["--min-gain", "-1"], "min_gain: "),
        (["--guard", "region=much"], "--guard 'region=much': 'much' is no number; write region=0.01"),
        (["--guard-metric", "recall"], "guards.metrics[0].metric: "),
        (["--guard", "region=-1"], "guards.slices[0].tolerance: "),
    ],
)
def test_what_a_retraining_cannot_be_asked_is_refused_at_once_in_one_line(
    forked: Forked, tmp_path: Path, arguments: list[str], said: str
) -> None:
    ended = forked(tmp_path, "retrain", *arguments)

    assert ended.returncode == 2
    assert said in error_of(ended.stderr)
    assert list(tmp_path.iterdir()) == []


def test_help_says_how_it_ends_and_how_it_is_taken_back(forked: Forked, tmp_path: Path) -> None:
    shown = " ".join(forked(tmp_path, "retrain", "--help").stdout.split())

    assert "Ends as Unchanged, Drifted, Promoted or Refused" in shown
    assert "backprop rollback" in shown


@pytest.fixture
def promoted_twice(tracking_store: str) -> MlflowClient:
    client = MlflowClient(tracking_uri=tracking_store)
    client.create_registered_model("wine")
    for alias in ("previous", "champion"):
        version = client.create_model_version("wine", source="mlflow-artifacts:/nowhere").version
        client.set_registered_model_alias("wine", alias, str(version))
    return client


def test_a_rollback_says_what_it_moved_and_moves_it_back_as_json(
    forked: Forked, tmp_path: Path, promoted_twice: MlflowClient
) -> None:
    moved = forked(tmp_path, "rollback", "wine")
    assert moved.returncode == 0, moved.stderr
    assert "wine@champion is version 1 again, and was 2, which @previous is now" in moved.stdout
    # An int or a text, as MLflow reads it from a database or from a server.
    assert int(promoted_twice.get_model_version_by_alias("wine", "champion").version) == 1

    again = forked(tmp_path, "rollback", "wine", "--json")

    assert json.loads(again.stdout) == {"model": "wine", "champion": 2, "previous": 1}
    assert int(promoted_twice.get_model_version_by_alias("wine", "champion").version) == 2


def test_a_rollback_of_what_is_not_there_is_an_error_that_says_what_is_missing(
    forked: Forked, tmp_path: Path, promoted_twice: MlflowClient
) -> None:
    assert "model 'beer': there is none in sqlite" in error_of(forked(tmp_path, "rollback", "beer").stderr)
    promoted_twice.delete_registered_model_alias("wine", "previous")

    ended = forked(tmp_path, "rollback", "wine")

    assert ended.returncode == 2
    assert "model 'wine' has no @previous" in error_of(ended.stderr)


def test_a_rollback_where_no_store_is_makes_none(forked: Forked, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()

    ended = forked(tmp_path / "empty", "rollback", "wine")

    assert ended.returncode == 2
    assert list((tmp_path / "empty").iterdir()) == []
