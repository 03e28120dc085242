"""Rows: an epoch on a file larger than a Dask worker's memory limit, mapped, and what the worker's memory does."""

import json
import logging
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

import dask
from distributed import Client, KilledWorker, LocalCluster, get_worker
from threadpoolctl import threadpool_limits

from backprop import Samples, Training, select_backend
from benchmarks.scale.mapped_rows import map_rows, write_rows
from benchmarks.scale.residence import Watcher
from benchmarks.scale.sizes import Sizes
from benchmarks.scale.workload import SMALL, drawn, flop, seconds_to_train, stacks

BATCH = 256
MOST_EPOCHS = 5
ENOUGH_SECONDS = 0.5
NOTED_BYTES = 2**24
"""Growth of the peak after which a worker notes it."""

CONFIGURATION = {
    # A worker that was killed is not tried again.
    "distributed.scheduler.allowed-failures": 0,
    "distributed.worker.profile.enabled": False,
    "distributed.admin.tick.interval": "500ms",
}

WAYS: dict[str, dict[str, Any]] = {
    "as_it_is": {},
    "not_watched": {f"distributed.worker.memory.{name}": False for name in ("spill", "pause", "terminate")},
}
"""Dask's settings for each way to train on a map.

* ``as_it_is``: Dask as it comes, which counts mapped pages as memory of the worker.
* ``not_watched``: Dask does not watch memory, and the system drops mapped pages when it needs them.
"""


def measure_rows(sizes: Sizes, directory: Path | None = None) -> Iterator[dict[str, Any]]:
    """Yield what became of a worker that trains on each number of rows, in every way.

    Parameters
    ----------
    directory : Path, optional
        Where the files are made, and removed afterwards; the system's place for such files if not given.
    """
    for rows in sizes.rows:
        with tempfile.TemporaryDirectory(prefix="backprop-scale-", dir=directory) as made:
            file_bytes = write_rows(Path(made), rows)
            for way, settings in WAYS.items():
                with dask.config.set({**CONFIGURATION, **settings}):
                    outcome = _train_on_worker(Path(made), sizes.memory_limit)
                yield {
                    "rows": rows,
                    "way": way,
                    "file_bytes": file_bytes,
                    "memory_limit_bytes": sizes.memory_limit,
                    **outcome,
                }


def _train_on_worker(directory: Path, memory_limit: int) -> dict[str, Any]:
    # A worker that Dask kills is what is looked for, and no error of this run.
    logging.getLogger("distributed").setLevel(logging.CRITICAL)
    notes = directory / "peaks.json"
    notes.unlink(missing_ok=True)
    with (
        LocalCluster(
            n_workers=1,
            threads_per_worker=1,
            processes=True,
            host="127.0.0.1",
            dashboard_address=None,
            memory_limit=memory_limit,
            silence_logs=logging.CRITICAL,
        ) as cluster,
        Client(cluster) as client,
    ):
        client.run(warm_up)
        future = client.submit(train_mapped, directory, notes, pure=False)
        try:
            return {"killed": False, **future.result()}
        except KilledWorker:
            return {"killed": True, **_unfinished(notes)}


def _unfinished(notes: Path) -> dict[str, Any]:
    """Return what a worker that was killed had noted."""
    noted: dict[str, Any] = json.loads(notes.read_text()) if notes.exists() else {"peaks": {}, "paused": False}
    nothing = dict.fromkeys(("check_seconds", "epoch_seconds", "epochs", "rows_per_second", "gflop_per_second", "loss"))
    return {**nothing, **noted}


def warm_up() -> None:
    """Load the compiled functions into the worker."""
    with threadpool_limits(1):
        seconds_to_train(stacks(SMALL, BATCH, [1]), drawn(2 * BATCH, SMALL.inputs), select_backend("cpu"))


def train_mapped(directory: Path, notes: Path) -> dict[str, Any]:
    """Train one trial for an epoch on mapped rows, in a worker, and say what its memory came to."""
    worker, paused = get_worker(), False
    noted = 0

    def look(peaks: dict[str, int]) -> None:
        nonlocal paused, noted
        is_new = not paused and worker.status.name == "paused"
        paused = paused or is_new
        # Noted on the way, since a worker that is killed returns nothing.
        if is_new or peaks["peak"] > noted + NOTED_BYTES:
            noted = peaks["peak"]
            part = notes.with_suffix(".part")
            part.write_text(json.dumps({"peaks": peaks, "paused": paused}))
            part.replace(notes)

    samples = map_rows(directory)
    with threadpool_limits(1), Watcher(look) as watcher:
        check_seconds, taken, loss = _timed_epochs(samples)
    rows, epoch_seconds = len(samples), median(taken)
    return {
        "check_seconds": check_seconds,
        "epoch_seconds": epoch_seconds,
        "epochs": len(taken),
        "rows_per_second": rows / epoch_seconds,
        "gflop_per_second": rows * flop(SMALL) / epoch_seconds / 1e9,
        "loss": loss,
        "peaks": watcher.peaks,
        "paused": paused,
    }


def _timed_epochs(samples: Samples) -> tuple[float, list[float], float]:
    """Return how long the checks took, how long each epoch, and the loss of the first."""
    [stack] = stacks(SMALL, BATCH, [1], MOST_EPOCHS)
    training = Training(stack, select_backend("cpu"))
    started = time.perf_counter()
    placed = training.place(samples)
    check_seconds = time.perf_counter() - started
    taken: list[float] = []
    losses: list[float] = []
    # One epoch of many rows is enough; one of few is over before it can be timed.
    while len(taken) < MOST_EPOCHS and sum(taken) < ENOUGH_SECONDS:
        started = time.perf_counter()
        report = training.epoch(placed)
        taken.append(time.perf_counter() - started)
        losses.append(float(report.metrics["train/loss"][0]))
    return check_seconds, taken, losses[0]
