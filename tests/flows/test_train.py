"""The main job, start to end, as a person starts it: real processes, a real cluster, a real store."""

import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import mlflow
import numpy as np
import psutil
import pytest
from s3fs import S3FileSystem
from sklearn.datasets import load_digits

from backprop import load_weights
from flows.spaces import expand, load_space
from flows.tracking import tags
from tests.flows.commands import BACKPROP, Store, error_of, train
from tests.programs import heed_interrupts

pytestmark = pytest.mark.slow

SLOW_SPACE = """
grid:
  hidden: [[512, 256], [256, 512]]
  activation: [relu]
  learning_rate: [0.003, 0.01]
  batch_size: [32]
  epochs: [80]
  seed: [0, 1]
"""
SLOW_TRIALS = 8


def test_the_demo_leaves_one_parent_and_all_trials_finished(demo: tuple[Store, str]) -> None:
    store, _ = demo

    [parent] = store.parents()
    children = store.children()
    assert parent.info.status == "FINISHED"
    assert len(children) == len(expand(load_space("quick"))) >= 24
    assert store.statuses() == {"FINISHED": len(children)}
    assert {child.data.tags[tags.PARENT] for child in children} == {parent.info.run_id}
    assert len({child.data.tags[tags.TRIAL_KEY] for child in children}) == len(children)


def test_every_trial_of_the_demo_has_both_losses_at_every_epoch_params_and_weights(
    demo: tuple[Store, str], tmp_path: Path
) -> None:
    store, _ = demo

    for child in store.children():
        epochs = list(range(1, int(child.data.params["epochs"]) + 1))
        for metric in ("train/loss", "val/loss"):
            history = store.client.get_metric_history(child.info.run_id, metric)
            assert [point.step for point in history] == epochs
        assert {"hidden", "activation", "learning_rate", "batch_size", "seed"} <= set(child.data.params)
        path = store.client.download_artifacts(child.info.run_id, "weights.safetensors", str(tmp_path))
        assert load_weights(Path(path))[0].inputs == 64


def test_the_demos_winner_is_registered_predicts_and_reaches_097(demo: tuple[Store, str]) -> None:
    store, _ = demo

    version = store.client.get_model_version_by_alias("digits", "challenger")
    winner = store.client.get_run(version.run_id)
    assert winner.data.metrics["test/accuracy"] >= 0.97
    mlflow.set_tracking_uri(f"sqlite:///{store.directory}/mlflow.db")
    try:
        model = mlflow.pyfunc.load_model("models:/digits@challenger")
    finally:
        mlflow.set_tracking_uri(None)
    rows = load_digits(as_frame=True)
    assert np.mean(model.predict(rows.data) == rows.target) > 0.97


def test_only_the_winner_saw_the_test_rows(demo: tuple[Store, str]) -> None:
    store, _ = demo

    tested = [child for child in store.children() if any(name.startswith("test/") for name in child.data.metrics)]
    assert len(tested) == 1
    best = max(store.children(), key=lambda c: (c.data.metrics["val/accuracy"], -c.data.metrics["val/loss"]))
    assert tested[0].info.run_id == best.info.run_id


def test_the_demo_prints_leaderboard_model_and_the_command_that_opens_mlflow(demo: tuple[Store, str]) -> None:
    _, printed = demo

    assert "Leaderboard: digits" in printed
    assert "Trained 24 of 24 trials" in printed
    assert "models:/digits@challenger" in printed
    assert "ui --backend-store-uri sqlite:///mlflow.db" in printed


@pytest.mark.usefixtures("server")
def test_the_same_command_again_trains_nothing_and_says_so(demo: tuple[Store, str]) -> None:
    store, _ = demo
    before = {run.info.run_id: (run.info.status, run.info.end_time) for run in store.runs()}

    again = train(store.directory, "--data", "digits", "--space", "quick")

    assert again.returncode == 0
    assert "All 24 trials were found finished by their key; nothing was trained" in again.stdout
    assert {run.info.run_id: (run.info.status, run.info.end_time) for run in store.runs()} == before
    assert len(store.client.search_model_versions("name = 'digits'")) == 1


@pytest.mark.usefixtures("server")
def test_a_larger_space_trains_only_what_is_new(demo: tuple[Store, str], tmp_path: Path) -> None:
    shutil.copy(demo[0].directory / "mlflow.db", tmp_path)
    store = Store(tmp_path)
    (store.directory / "wider.yaml").write_text(
        "grid: {hidden: [[64]], activation: [relu], learning_rate: [0.1, 0.2], epochs: [20], seed: [0]}"
    )

    ran = train(store.directory, "--data", "digits", "--space", "wider.yaml")

    assert ran.returncode == 0, ran.stderr
    assert "Trained 1 of 2 trials, 1 were found finished by their key" in ran.stdout
    assert len(store.children()) == 25


@pytest.mark.usefixtures("server")
def test_a_csv_of_ones_own_with_text_labels_works_end_to_end(tmp_path: Path) -> None:
    rows = load_digits(as_frame=True)
    table = rows.data.assign(digit=[f"number {label}" for label in rows.target])
    table.to_csv(tmp_path / "own.csv", index=False)
    (tmp_path / "one.yaml").write_text("grid: {hidden: [[32]], learning_rate: [0.3], epochs: [15]}")

    ran = train(tmp_path, "--data", "own.csv", "--target", "digit", "--space", "one.yaml", "--experiment", "mine")

    assert ran.returncode == 0, ran.stderr
    store = Store(tmp_path)
    assert store.client.get_experiment_by_name("mine") is not None
    mlflow.set_tracking_uri(f"sqlite:///{tmp_path}/mlflow.db")
    try:
        predicted = mlflow.pyfunc.load_model("models:/mine@challenger").predict(rows.data.head(50))
    finally:
        mlflow.set_tracking_uri(None)
    assert np.mean(predicted == table.digit.head(50)) > 0.9


@contextmanager
def running(directory: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Start a search that takes long enough to be hit in the middle, and wait until it trains."""
    (directory / "slow.yaml").write_text(SLOW_SPACE)
    began = time.time()
    command = [BACKPROP, *SLOW, *arguments]
    process = subprocess.Popen(
        command,
        cwd=directory,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=heed_interrupts,
    )
    try:
        # Not until MLflow shows something: its first delivery may be due when the training is nearly over.
        wait_for(lambda: process.poll() is not None or len(checkpoints(directory, since=began)) == 2)
        assert process.poll() is None, process.communicate()[1]
        yield process
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


SLOW = ["train", "--data", "digits", "--space", "slow.yaml", "--workers", "2", "--checkpoint-seconds", "0.2"]


def go_on(directory: Path) -> subprocess.CompletedProcess[str]:
    return train(directory, *SLOW[1:])


def wait_for(condition: Callable[[], bool], seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not true within {seconds} s")
        time.sleep(0.1)


def dask_workers(process: subprocess.Popen[str]) -> list[psutil.Process]:
    return [child for child in psutil.Process(process.pid).children() if "spawn_main" in " ".join(child.cmdline())]


def checkpoints(directory: Path, since: float = 0.0) -> list[Path]:
    """Return the checkpoints there are, those written since a time in seconds since the epoch."""
    found = []
    for path in sorted((directory / "datasets" / "checkpoints").glob("*/*.zip")):
        # A stack that ends meanwhile takes its checkpoint along.
        with suppress(FileNotFoundError):
            if path.stat().st_mtime > since:
                found.append(path)
    return found


def curves(store: Store) -> dict[str, list[tuple[int, float]]]:
    """Return the validation loss of every trial, step by step, by its key."""
    return {
        child.data.tags[tags.TRIAL_KEY]: [
            (point.step, point.value) for point in store.client.get_metric_history(child.info.run_id, "val/loss")
        ]
        for child in store.children()
    }


@pytest.fixture(scope="module")
def undisturbed(prefect_server: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[tuple[int, float]]]:
    """The curves of the search that the others are killed in."""
    directory = tmp_path_factory.mktemp("undisturbed")
    (directory / "slow.yaml").write_text(SLOW_SPACE)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PREFECT_API_URL", prefect_server)
        ran = go_on(directory)
    assert ran.returncode == 0, ran.stderr
    return curves(Store(directory))


def assert_whole(store: Store, undisturbed: dict[str, list[tuple[int, float]]]) -> None:
    """Nothing was lost and nothing repeated: one run a trial, and every curve that of the search nobody killed."""
    assert store.statuses() == {"FINISHED": SLOW_TRIALS}
    assert {parent.info.status for parent in store.parents()} == {"FINISHED"}
    assert curves(store) == undisturbed
    assert checkpoints(store.directory) == []


@pytest.mark.usefixtures("server")
def test_a_killed_worker_costs_nothing_but_time(
    tmp_path: Path, undisturbed: dict[str, list[tuple[int, float]]]
) -> None:
    with running(tmp_path) as process:
        dask_workers(process)[0].kill()
        _, said = process.communicate()

    assert process.returncode == 0, said
    assert_whole(Store(tmp_path), undisturbed)


@pytest.mark.usefixtures("server")
def test_a_search_goes_on_after_ctrl_c_after_a_request_to_end_and_after_a_kill(
    tmp_path: Path, undisturbed: dict[str, list[tuple[int, float]]]
) -> None:
    store = Store(tmp_path)
    for sent in (signal.SIGINT, signal.SIGTERM):
        with running(tmp_path) as process:
            descendants = psutil.Process(process.pid).children(recursive=True)
            process.send_signal(sent)
            _, said = process.communicate()

        [parent] = store.parents()
        assert process.returncode == 130, said
        assert "interrupted" in said
        assert "Traceback" not in said
        assert parent.info.status == "KILLED"
        assert "RUNNING" not in store.statuses()
        assert store.statuses()["KILLED"] > 0
        wait_for(lambda started=descendants: not any(child.is_running() for child in started))

    with running(tmp_path) as process:
        descendants = psutil.Process(process.pid).children(recursive=True)
        process.kill()
        process.wait()
    wait_for(lambda: not any(child.is_running() for child in descendants))
    saved = [path.stem for path in checkpoints(tmp_path)]
    assert saved

    again = go_on(tmp_path)

    assert again.returncode == 0, again.stderr
    assert_whole(store, undisturbed)
    assert {child.data.tags[tags.STACK] for child in store.children()} >= set(saved)


@pytest.mark.usefixtures("server")
def test_a_space_whose_every_trial_diverges_fails_and_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "wild.yaml").write_text("grid: {hidden: [[8]], learning_rate: [1000000.0], epochs: [3]}")

    ran = train(tmp_path, "--data", "diabetes", "--space", "wild.yaml")

    assert ran.returncode == 1
    line = error_of(ran.stderr)
    assert "diverged" in line
    assert "learning_rate" in line
    [parent] = Store(tmp_path).parents()
    assert parent.info.status == "FAILED"


@pytest.fixture
def own_cluster() -> Iterator[str]:
    """The address of a Dask scheduler with two workers, started as its documentation says."""
    import socket

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = f"tcp://127.0.0.1:{port}"
    python = [sys.executable, "-m", "distributed.cli.dask_scheduler"]
    scheduler = subprocess.Popen([*python, "--host", "127.0.0.1", "--port", str(port), "--no-dashboard"])
    worker = [sys.executable, "-m", "distributed.cli.dask_worker", address, "--nworkers", "2", "--nthreads", "1"]
    workers = subprocess.Popen([*worker, "--no-dashboard"])
    try:
        yield address
    finally:
        for process in (workers, scheduler):
            process.terminate()
            process.wait(timeout=30)


@pytest.mark.usefixtures("server")
def test_an_existing_scheduler_trains_the_search_and_outlives_it(own_cluster: str, tmp_path: Path) -> None:
    (tmp_path / "small.yaml").write_text("grid: {hidden: [[16]], learning_rate: [0.1, 0.3], epochs: [3]}")

    ran = train(tmp_path, "--data", "digits", "--space", "small.yaml", "--scheduler", own_cluster)

    assert ran.returncode == 0, ran.stderr
    assert Store(tmp_path).statuses() == {"FINISHED": 2}
    from distributed import Client

    with Client(own_cluster, timeout=20) as client:
        assert len(client.scheduler_info()["workers"]) == 2


@pytest.mark.usefixtures("server")
def test_a_scheduler_that_does_not_answer_is_one_line(tmp_path: Path) -> None:
    ran = train(tmp_path, "--data", "digits", "--scheduler", "tcp://127.0.0.1:9")

    assert ran.returncode == 2
    line = error_of(ran.stderr)
    assert "tcp://127.0.0.1:9" in line
    assert "RUNNING" not in {run.info.status for run in Store(tmp_path).runs()}


def test_a_table_in_a_bucket_is_trained_from_a_dataset_in_a_bucket(
    s3_bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    rng = np.random.default_rng(0)
    rows = "".join(
        f"{value:.3f},{place}\n" for value, place in zip(rng.normal(size=200), ["low", "high"] * 100, strict=True)
    )
    S3FileSystem().pipe(f"{s3_bucket}/plants.csv", f"x,y\n{rows}".encode())
    (tmp_path / "space.yaml").write_text("grid: {hidden: [[4]], learning_rate: [0.1], epochs: [2]}")
    command = ["--data", f"s3://{s3_bucket}/plants.csv", "--target", "y", "--space", "space.yaml", "--workers", "1"]

    done = train(tmp_path, *command, "--datasets", f"s3://{s3_bucket}/datasets")

    assert done.returncode == 0, done.stderr
    assert Store(tmp_path).statuses() == {"FINISHED": 1}
    kept = [path.removeprefix(f"{s3_bucket}/datasets/") for path in S3FileSystem().find(f"{s3_bucket}/datasets")]
    assert sorted(path.split("/")[-1] for path in kept if path.startswith("sources/")) == [
        "preparation.yaml",
        "schema.yaml",
    ]
    assert sum(path.endswith("/schema.json") for path in kept) == 1
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(("datasets", "s3"))] == []
