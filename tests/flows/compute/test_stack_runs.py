"""A trial that kills whoever trains it: found by splitting its stack, given up, and the others finish."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import cloudpickle
import pytest
from distributed import Client, WorkerPlugin

from flows.compute.clusters import start_local_cluster
from flows.tracking import tags
from tests.flows.commands import BACKPROP, Store, train
from tests.programs import PATIENCE, heed_interrupts

pytestmark = pytest.mark.slow


class Poison(WorkerPlugin):
    """Kills a worker in the second epoch of a trial, as one that takes too much memory is killed."""

    def __init__(self, seed: int) -> None:
        self._seed = seed

    def setup(self, worker: object) -> None:  # noqa: ARG002 - distributed's signature
        import backprop

        seed, epoch = self._seed, backprop.Training.epoch

        def dying(training: backprop.Training, *given: object, **named: object) -> object:
            if training.epochs_done and any(training.stack.trials[place].seed == seed for place in training.active):
                os.kill(os.getpid(), signal.SIGKILL)
            return epoch(training, *given, **named)  # type: ignore[arg-type]

        backprop.Training.epoch = dying  # type: ignore[method-assign, assignment]


@pytest.fixture
def poisoned(prefect_server: str) -> Iterator[str]:
    """The address of a cluster whose workers die of the trials with seed 1."""
    import tests.flows.compute.test_stack_runs as here

    assert prefect_server
    cloudpickle.register_pickle_by_value(here)
    with start_local_cluster(workers=1) as cluster, Client(cluster) as client:
        client.register_plugin(Poison(seed=1))
        yield cluster.scheduler_address
    cloudpickle.unregister_pickle_by_value(here)


@pytest.mark.usefixtures("server")
def test_a_trial_that_kills_its_workers_is_found_and_fails_and_the_others_finish(poisoned: str, tmp_path: Path) -> None:
    (tmp_path / "poison.yaml").write_text(
        "grid: {hidden: [[8]], learning_rate: [0.1], epochs: [3], seed: [0, 1, 2, 3, 4, 5]}"
    )

    ran = train(tmp_path, "--data", "wine", "--space", "poison.yaml", "--scheduler", poisoned)

    assert ran.returncode == 0, ran.stderr
    store = Store(tmp_path)
    assert store.statuses() == {"FINISHED": 5, "FAILED": 1}
    [failed] = [child for child in store.children() if child.info.status == "FAILED"]
    assert failed.data.params["seed"] == "1"
    assert "its worker died each of the 2 times that it was trained alone" in failed.data.tags[tags.FAILURE]
    assert "Trained 5 of 6 trials" in ran.stdout
    assert "1 failed: its worker died" in ran.stdout
    for child in store.children():
        if child.info.status == "FINISHED":
            history = store.client.get_metric_history(child.info.run_id, "val/loss")
            assert [point.step for point in history] == [1, 2, 3]


@pytest.mark.usefixtures("server")
def test_a_worker_that_joins_gets_a_stack_at_once(prefect_server: str, tmp_path: Path) -> None:
    assert prefect_server
    # Two stacks, each of which outlasts the start of a worker.
    (tmp_path / "two.yaml").write_text(
        "grid: {hidden: [[64]], learning_rate: [0.01], epochs: [100000], batch_size: [16, 32], seed: [0]}"
    )
    store = Store(tmp_path)
    with start_local_cluster(workers=1) as cluster:
        options = ["--space", "two.yaml", "--scheduler", cluster.scheduler_address]
        command = [BACKPROP, "train", "--data", "digits", *options]
        with subprocess.Popen(command, cwd=tmp_path, preexec_fn=heed_interrupts) as search:
            try:
                wait_until(lambda: store.statuses()["RUNNING"] == 1, search)
                cluster.scale(2)
                wait_until(lambda: store.statuses()["RUNNING"] == 2, search)
            finally:
                search.send_signal(signal.SIGINT)


def wait_until(come: Callable[[], bool], search: subprocess.Popen[bytes]) -> None:
    """Return when something has come about while a search runs."""
    deadline = time.monotonic() + PATIENCE
    while not come():
        assert search.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.3)
