"""A search whose trials Optuna asks for: what it trains and shows, and that a kill changes none of it."""

import json
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest
from mlflow import MlflowClient

from flows.parameters import Space
from flows.progress import SearchProgress, listening
from flows.spaces import expand
from flows.terminal.train import summary
from flows.tracking import tags
from flows.tracking.asked_trials import asked_trials
from flows.train import TrainReport, train
from tests.flows.commands import BACKPROP, Store
from tests.flows.commands import train as train_command
from tests.flows.test_train import curves, wait_for

pytestmark = pytest.mark.slow

SPACE = """
optuna:
  count: 9
  batch: 3
  startup: 3
  hidden: [256]
  optimizer: {choice: [sgd, momentum]}
  learning_rate: {log_uniform: [0.001, 1]}
  momentum: {uniform: [0.5, 0.95]}
  epochs: 100
"""

COMMAND = ["--data", "digits", "--space", "space.yaml", "--workers", "1", "--checkpoint-seconds", "0.2"]


@dataclass
class Heard:
    """Remembers what a listener is told."""

    progress: list[SearchProgress] = field(default_factory=list)

    def warned(self, text: str) -> None:
        raise AssertionError(text)

    def search_advanced(self, progress: SearchProgress) -> None:
        self.progress.append(progress)

    def search_ended(self) -> None:
        pass


def run_train(cluster: str, directory: Path, space: str, data: str) -> tuple[TrainReport, list[SearchProgress]]:
    (directory / "space.yaml").write_text(space)
    heard = Heard()
    with listening(heard):
        return train(data=data, space="space.yaml", compute={"scheduler": cluster}), heard.progress


def recorded(directory: Path) -> dict[str, dict[str, object]]:
    return {path.name: json.loads(path.read_text()) for path in directory.glob("mlruns/**/optuna/batch-*.json")}


def test_a_search_killed_in_its_second_batch_asks_for_the_same_trials_and_trains_none_twice(
    cluster: str,
    tracking_store: str,
    prefect_server: str,
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    report, progress = run_train(cluster, tmp_path, SPACE, "digits")
    undisturbed = Store(tmp_path)
    assert (report.outcome.trained, report.outcome.trials) == (9, 9)
    assert set(recorded(tmp_path)) == {f"batch-0000{number}.json" for number in range(3)}
    # All nine count from the first batch on, and the bar never goes back.
    assert {told.total for told in progress} == {9}
    shares = [told.share for told in progress]
    assert shares == sorted(shares)
    assert (shares[-1], progress[-1].finished, progress[-1].running) == (pytest.approx(1.0), 9, 0)
    assert max(told.share for told in progress if told.finished <= 3) < 0.6

    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    monkeypatch.setenv("PREFECT_API_URL", prefect_server)
    killed = tmp_path_factory.mktemp("killed")
    (killed / "space.yaml").write_text(SPACE)
    with subprocess.Popen([BACKPROP, "train", *COMMAND], cwd=killed, stderr=subprocess.PIPE, text=True) as process:
        try:
            wait_for(
                lambda: (
                    process.poll() is not None
                    or (len(recorded(killed)) >= 2 and any(killed.glob("datasets/checkpoints/*/*.zip")))
                ),
                seconds=300,
            )
            assert process.poll() is None, process.communicate()[1]
            descendants = psutil.Process(process.pid).children(recursive=True)
        finally:
            process.kill()
    wait_for(lambda: not any(child.is_running() for child in descendants))
    finished = {
        child.info.run_id: child.info.end_time for child in Store(killed).children() if child.info.status == "FINISHED"
    }
    assert 3 <= len(finished) < 9

    again = train_command(killed, *COMMAND)

    assert again.returncode == 0, again.stderr
    assert recorded(killed) == recorded(tmp_path)
    assert curves(Store(killed)) == curves(undisturbed)
    assert Store(killed).statuses() == {"FINISHED": 9}
    assert finished.items() <= {child.info.run_id: child.info.end_time for child in Store(killed).children()}.items()
    assert Path(tracking_store.removeprefix("sqlite:///")).parent == tmp_path


FEW_LISTED = {"hidden": [], "learning_rate": 0.3, "epochs": 4}

FEW = (
    f"trials: [{json.dumps(FEW_LISTED)}]"
    + """
optuna:
  count: 8
  batch: 2
  startup: 2
  hidden: {choice: [[], [4]]}
  learning_rate: {choice: [0.3, 1.0e30]}
  epochs: 4
folds: 2
seeds: 2
"""
)


def test_what_is_asked_for_again_is_told_and_not_trained_again_and_folds_and_seeds_are_one_result(
    cluster: str, tracking_store: str, tmp_path: Path
) -> None:
    report, _ = run_train(cluster, tmp_path, FEW, "wine")

    client = MlflowClient(tracking_uri=tracking_store)
    children = client.search_runs([report.run.tracking.experiment_id], f"tags.`{tags.PARENT}` = '{report.run.run_id}'")
    asked = asked_trials(report.run)
    assert len(asked) == 8
    configurations = len({*asked, *expand(Space.model_validate({"trials": [FEW_LISTED]}))})
    assert len({child.data.tags[tags.TRIAL_KEY] for child in children}) == len(children) == 4 * configurations + 1
    assert report.outcome.repeated == 9 - configurations > 0
    assert any("that Optuna asked for were there already" in line for line in summary(report, 1.0))
    assert all(len(candidate.members) == 4 for candidate in report.selection.ranked)
    assert len(report.selection.ranked) + len(report.selection.diverged) == configurations

    again, _ = run_train(cluster, tmp_path, FEW, "wine")
    assert (again.outcome.trained, again.outcome.trials) == (0, report.outcome.trials)
    assert asked_trials(again.run) == asked
    assert [one.key for one in again.selection.ranked] == [one.key for one in report.selection.ranked]


def test_pruned_trials_of_one_batch_are_what_the_next_is_compared_with(
    cluster: str, tracking_store: str, tmp_path: Path
) -> None:
    assert tracking_store
    space = SPACE.replace("100", "9") + "stop: {rule: halving, factor: 3, first: 1}\n"

    report, progress = run_train(cluster, tmp_path, space, "wine")

    ranked = report.selection.ranked
    assert len(ranked) == 9
    # One of three goes on in the first batch; later ones are compared with those before them too.
    assert 4 <= sum(candidate.pruned_at is not None for candidate in ranked) <= 8
    assert report.selection.winner.pruned_at is None
    assert progress[-1].pruned == sum(candidate.pruned_at is not None for candidate in ranked)
