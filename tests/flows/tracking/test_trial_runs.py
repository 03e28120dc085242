"""Delivery to MLflow beside the training: through outages, in order, nothing twice, nothing lost."""

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from backprop import EpochReport, Finished, Parameters
from benchmarks.chaos.services import MlflowServer
from flows.data.store import Dataset
from flows.errors import TrackingError
from flows.parameters import Space
from flows.tracking import tags
from flows.tracking.search_runs import SearchRun, finished_trials, search_run, unfinished_runs
from flows.tracking.store import Tracking, open_tracking
from flows.tracking.trial_news import Point, TrialNews
from flows.tracking.trial_runs import TrialRuns
from flows.trials import PlannedTrial
from tests.flows.conftest import planned

SPACE = Space.model_validate({"grid": {"hidden": [[8]], "learning_rate": [0.1]}})


def report(trials: list[PlannedTrial], epoch: int, last: bool = False) -> EpochReport:
    """Return an epoch of all trials of a stack, with weights if it is their last."""
    metrics = {
        "train/loss": np.array([10 * place + 1 / epoch for place in range(len(trials))]),
        "val/loss": np.array([20 * place + 1 / epoch for place in range(len(trials))]),
    }
    ends = (Finished(place, weights_of(trial), diverged=False) for place, trial in enumerate(trials))
    return EpochReport(epoch, tuple(range(len(trials))), metrics, tuple(ends) if last else ())


def weights_of(trial: PlannedTrial) -> Parameters:
    layers = trial.architecture.layers
    return Parameters(
        [np.ones((1, *layer), "float32") for layer in layers],
        [np.zeros((1, 1, fan_out), "float32") for _, fan_out in layers],
    )


def steps(tracking: Tracking, run_id: str, metric: str) -> list[int]:
    return [point.step for point in tracking.client().get_metric_history(run_id, metric)]


def children(tracking: Tracking, run: SearchRun) -> list[str]:
    where = f"tags.`{tags.PARENT}` = '{run.run_id}'"
    return [child.info.run_id for child in tracking.client().search_runs([tracking.experiment_id], where)]


@pytest.fixture
def server(tracking: Tracking, tmp_path: Path) -> Iterator[MlflowServer]:
    assert tracking.uri == f"sqlite:///{tmp_path}/mlflow.db"
    started = MlflowServer(tmp_path)
    started.start()
    yield started
    started.stop()


@pytest.mark.slow
def test_what_a_dead_server_did_not_hear_is_delivered_in_order_when_it_is_back(
    wine: Dataset, server: MlflowServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.address)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    monkeypatch.setattr("flows.tracking.trial_runs.FLUSH_SECONDS", 0.05)
    monkeypatch.setattr("flows.tracking.trial_runs.FLUSH_SHARE", float("inf"))
    trials = [planned(wine, seed=seed) for seed in range(3)]
    tracking = open_tracking("tests")
    with search_run(tracking, wine, "space", SPACE) as run:
        with TrialRuns(run, "stack-0", wine, trials, frozenset()) as runs:
            runs.record(report(trials, 1))
            wait_until(lambda: all(steps(tracking, one, "train/loss") == [1] for one in children(tracking, run)))
            server.kill()
            for epoch in range(2, 30):
                runs.record(report(trials, epoch))
            wait_until(lambda: runs.is_unreachable)
            kept = {one.key: [point.step for point in one.points] for one in runs.news()}
            server.start()
            runs.record(report(trials, 30, last=True))

        assert all(set(range(2, 30)) <= set(found) for found in kept.values())
        finished = finished_trials(tracking, wine.reference.digest)
        assert set(finished) == {trial.key for trial in trials}
        assert len(children(tracking, run)) == 3
        for record in finished.values():
            assert steps(tracking, record.run_id, "train/loss") == list(range(1, 31))
            assert steps(tracking, record.run_id, "val/loss") == list(range(1, 31))


def wait_until(condition: object, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        if time.monotonic() > deadline:
            raise TimeoutError
        time.sleep(0.05)


def test_a_server_that_never_comes_back_is_named_and_what_was_trained_can_be_kept(
    wine: Dataset, tracking: Tracking, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flows.tracking.trial_runs.PATIENCE", 0.5)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    # Nothing listens on the discard port.
    lost = SearchRun(tracking=tracking.model_copy(update={"uri": "http://127.0.0.1:9"}), run_id="r")
    trials = [planned(wine)]
    runs = TrialRuns(lost, "stack-0", wine, trials, frozenset())

    def train() -> None:
        with runs:
            runs.record(report(trials, 1, last=True))

    with pytest.raises(TrackingError, match=r"http://127.0.0.1:9 has not answered for \d s; what was trained is kept"):
        train()
    [left] = runs.news()
    assert left.key == trials[0].key
    assert left.end is not None


def test_a_run_that_is_gone_on_with_is_the_same_run_and_repeats_no_step(wine: Dataset, tracking: Tracking) -> None:
    trials = [planned(wine)]
    with search_run(tracking, wine, "space", SPACE) as run:
        with pytest.raises(RuntimeError):
            break_after_three_epochs(run, wine, trials)
        [run_id] = children(tracking, run)
        assert tracking.client().get_run(run_id).info.status == "FAILED"

        # From a checkpoint of the first epoch, whose own point had not been delivered then.
        kept = TrialNews(key=trials[0].key, points=(Point("train/loss", 1.0, 1, 1), Point("val/loss", 1.0, 1, 1)))
        with TrialRuns(run, "stack-1", wine, trials, frozenset(), unfinished_runs(run), [kept]) as second:
            for epoch in (2, 3, 4):
                second.record(report(trials, epoch, last=epoch == 4))

        assert children(tracking, run) == [run_id]
        found = tracking.client().get_run(run_id)
        assert found.info.status == "FINISHED"
        assert tags.FAILURE not in found.data.tags
        assert found.data.tags[tags.STACK] == "stack-1"
        assert [steps(tracking, run_id, name) for name in ("train/loss", "val/loss")] == [[1, 2, 3, 4]] * 2
        assert len(found.inputs.dataset_inputs) == 2


def break_after_three_epochs(run: SearchRun, wine: Dataset, trials: list[PlannedTrial]) -> None:
    with TrialRuns(run, "stack-0", wine, trials, frozenset()) as runs:
        for epoch in (1, 2, 3):
            runs.record(report(trials, epoch))
        raise RuntimeError("because")


def test_news_that_were_kept_are_delivered_before_what_follows(wine: Dataset, tracking: Tracking) -> None:
    trials = [planned(wine)]
    kept = TrialNews(key=trials[0].key, points=tuple(Point("train/loss", 1.0 / step, step, step) for step in (1, 2)))
    with search_run(tracking, wine, "space", SPACE) as run:
        with TrialRuns(run, "stack-0", wine, trials, frozenset(), {}, [kept]) as runs:
            runs.record(report(trials, 3, last=True))

        [run_id] = children(tracking, run)
        assert steps(tracking, run_id, "train/loss") == [1, 2, 3]
        assert steps(tracking, run_id, "val/loss") == [3]


def test_more_points_than_a_call_may_have_are_all_delivered(wine: Dataset, tracking: Tracking) -> None:
    trials = [planned(wine, epochs=700)]
    with search_run(tracking, wine, "space", SPACE) as run:
        with TrialRuns(run, "stack-0", wine, trials, frozenset()) as runs:
            for epoch in range(1, 701):
                runs.record(report(trials, epoch, last=epoch == 700))

        [run_id] = children(tracking, run)
        for metric in ("train/loss", "val/loss"):
            assert steps(tracking, run_id, metric) == list(range(1, 701))
        assert tracking.client().get_run(run_id).data.metrics["train/loss"] == 1 / 700


@pytest.mark.slow
def test_four_processes_that_write_to_one_sqlite_file_at_once_are_never_locked_out(
    wine: Dataset, tracking: Tracking
) -> None:
    """More writers than cores, each with many trials at a time: what 'database is locked' comes of."""
    with search_run(open_tracking("tests", one_machine=True), wine, "space", SPACE) as run:
        code = (
            "import sys\n"
            "from flows.data.store import DatasetReference, open_dataset\n"
            "from flows.tracking.search_runs import SearchRun\n"
            "from flows.tracking.trial_runs import TrialRuns\n"
            "from tests.flows.conftest import planned\n"
            "from tests.flows.tracking.test_trial_runs import report\n"
            "wine = open_dataset(DatasetReference.model_validate_json(sys.argv[1]))\n"
            "run = SearchRun.model_validate_json(sys.argv[2])\n"
            "trials = [planned(wine, seed=1000 * int(sys.argv[3]) + seed) for seed in range(40)]\n"
            "with TrialRuns(run, 'stack-' + sys.argv[3], wine, trials, frozenset()) as runs:\n"
            "    for epoch in range(1, 11):\n"
            "        runs.record(report(trials, epoch, last=epoch == 10))\n"
        )
        given = [wine.reference.model_dump_json(), run.model_dump_json()]
        checkout = Path(__file__).parents[3]
        writers = [
            subprocess.Popen(
                [sys.executable, "-c", code, *given, str(place)],
                cwd=checkout,
                stderr=subprocess.PIPE,
                text=True,
            )
            for place in range(4)
        ]
        said = [writer.communicate()[1] for writer in writers]

    assert [writer.returncode for writer in writers] == [0] * 4, said
    assert not any("locked" in text for text in said)
    assert len(finished_trials(tracking, wine.reference.digest)) == 160
