"""What Optuna asked for is read back as it was written, up to a file that a killed search left half-written."""

import logging
from pathlib import Path

import pytest

from flows.data.store import Dataset
from flows.parameters import Hyperparameters, Space
from flows.tracking.artifacts import local_directory
from flows.tracking.asked_trials import DIRECTORY, AskedBatch, asked_trials, record_batch
from flows.tracking.search_runs import SearchRun, search_run
from flows.tracking.store import Tracking

SPACE = Space.model_validate(
    {"optuna": {"count": 20, "batch": 2, "startup": 2, "hidden": [8], "learning_rate": {"uniform": [0.1, 1]}}}
)


def batch(number: int) -> AskedBatch:
    trials = (
        Hyperparameters(hidden=(8, 4), learning_rate=0.1 + number / 3, optimizer="momentum", momentum=0.123457),
        Hyperparameters(hidden=(), learning_rate=1e-7),
    )
    return AskedBatch(number=number, optuna="5.0.0", trials=trials)


@pytest.fixture
def run(wine: Dataset, tracking: Tracking) -> SearchRun:
    with search_run(tracking, wine, "space", SPACE) as opened:
        return opened


def test_all_batches_are_read_back_in_their_order(run: SearchRun) -> None:
    assert asked_trials(run) == ()

    for number in range(11):
        record_batch(run, batch(number))

    assert asked_trials(run) == tuple(trial for number in range(11) for trial in batch(number).trials)


def test_what_was_half_written_was_not_asked_for(
    run: SearchRun, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    logger = logging.getLogger("flows.tracking.asked_trials")
    # What Prefect and Dask configure in a process, as other tests have it, is theirs.
    monkeypatch.setattr(logger, "disabled", False)
    monkeypatch.setattr(logger, "handlers", [caplog.handler])
    caplog.set_level(logging.WARNING, logger.name)
    for number in range(2):
        record_batch(run, batch(number))
    artifacts = local_directory(run.tracking.client().get_run(run.run_id).info.artifact_uri)
    assert artifacts is not None
    damaged = sorted(Path(artifacts, DIRECTORY).iterdir())[1]
    damaged.write_bytes(damaged.read_bytes()[:100])

    assert asked_trials(run) == batch(0).trials
    assert "batch-00001.json" in caplog.text

    record_batch(run, batch(1))
    assert asked_trials(run) == (*batch(0).trials, *batch(1).trials)
