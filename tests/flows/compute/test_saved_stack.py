"""A stack that was saved: found again whole, wherever the datasets lie, or not at all."""

from pathlib import Path

import numpy as np
import pytest

from backprop import Training, select_backend
from flows.compute.core_stack import stack_of
from flows.compute.resumable_training import ResumableTraining
from flows.compute.saved_stack import CHECKPOINTS, SavedStacks
from flows.compute.stack_training import samples_of
from flows.data.store import Dataset, DatasetReference, open_dataset
from flows.errors import DiskFullError
from flows.tracking.search_runs import SearchRun
from flows.tracking.store import Tracking
from flows.tracking.trial_news import Point, TrialEnd, TrialNews
from flows.trials import PlannedTrial
from tests.flows.conftest import planned
from tests.flows.data.processes import files_limited_to
from tests.flows.data.writing import write

RUN = SearchRun(tracking=Tracking(uri="sqlite:///x.db", experiment_id="1", experiment="e"), run_id="r1")
CPU = select_backend("cpu")


@pytest.fixture(params=["a directory", "a bucket"])
def reference(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DatasetReference:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    if request.param == "a directory":
        return write(tmp_path / "datasets", "wine")
    return write(f"s3://{request.getfixturevalue('s3_bucket')}/datasets", "wine")


@pytest.fixture
def trials(wine: Dataset) -> list[PlannedTrial]:
    return [planned(wine, seed=seed, epochs=3 + seed) for seed in range(3)]


def trained(dataset: Dataset, trials: list[PlannedTrial], epochs: int) -> Training:
    training = Training(stack_of(trials, "classification"), CPU)
    samples = training.place(samples_of(dataset.train, dataset))
    for _ in range(epochs):
        training.epoch(samples)
    return training


def test_what_was_saved_is_read_back_bit_for_bit(
    reference: DatasetReference, trials: list[PlannedTrial], tmp_path: Path
) -> None:
    training = trained(open_dataset(reference), trials, epochs=3)
    (tmp_path / "weights.safetensors").write_bytes(b"weights")
    news = [
        TrialNews(
            key=trials[0].key,
            points=(Point("train/loss", 0.1 + 0.2, 17, 3),),
            end=TrialEnd(epoch=3, reason="epochs", weights=tmp_path / "weights.safetensors"),
        ),
        TrialNews(key=trials[1].key, points=(Point("train/loss", 1e-17, 18, 3),)),
    ]
    files = SavedStacks(reference, RUN)

    files.save("stack-0", trials, (training.stack, training.checkpoint()), news)
    found = SavedStacks(reference, RUN).load("stack-0", tmp_path / "read")

    assert found is not None
    assert found.facts.trials == tuple(trials)
    assert found.facts.active == tuple(trial.key for trial in trials[1:])
    assert found.facts.keys == {trial.key for trial in trials}
    assert [one.points for one in found.facts.news] == [one.points for one in news]
    end = found.facts.news[0].end
    assert end is not None
    assert end.weights.read_bytes() == b"weights"
    checkpoint = found.checkpoint(training.stack, {trial.key for trial in trials})
    assert checkpoint is not None
    for read, kept in zip(checkpoint.parameters, training.checkpoint().parameters, strict=True):
        np.testing.assert_array_equal(read, kept)
    assert [facts.name for facts in files.all()] == ["stack-0"]
    files.discard("stack-0")
    assert files.load("stack-0", tmp_path / "again") is None
    assert files.all() == []


def test_searches_do_not_see_each_others_stacks_and_all_of_one_go_together(
    reference: DatasetReference, trials: list[PlannedTrial]
) -> None:
    mine, other = SavedStacks(reference, RUN), SavedStacks(reference, RUN.model_copy(update={"run_id": "r2"}))
    for files in (mine, other):
        files.save("stack-0", trials, None, [])
        files.save("stack-1", trials, None, [])

    mine.discard_all()

    assert mine.all() == []
    assert [facts.name for facts in other.all()] == ["stack-1", "stack-0"]
    mine.discard_all()


def test_a_damaged_file_starts_its_trials_again_and_says_so(
    trials: list[PlannedTrial], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    reference = write(tmp_path / "datasets", "wine")
    files = SavedStacks(reference, RUN)
    files.save("stack-0", trials, None, [])
    path = tmp_path / "datasets" / CHECKPOINTS / "r1" / "stack-0.zip"
    path.write_bytes(path.read_bytes()[:40])

    assert files.load("stack-0", tmp_path / "read") is None
    assert files.all() == []
    assert "damaged, so its trials start again" in caplog.text


def test_weights_that_are_delivered_while_a_stack_is_saved_are_left_out(
    trials: list[PlannedTrial], tmp_path: Path
) -> None:
    files = SavedStacks(write(tmp_path / "datasets", "wine"), RUN)
    gone = TrialEnd(epoch=3, reason="epochs", weights=tmp_path / "gone")

    files.save("stack-0", trials, None, [TrialNews(key=trials[0].key, points=(), end=gone)])

    [facts] = files.all()
    assert facts.keys == frozenset()


def test_a_full_disk_is_named_and_leaves_what_was_saved_before(
    wine: Dataset, trials: list[PlannedTrial], tmp_path: Path
) -> None:
    files = SavedStacks(write(tmp_path / "datasets", "wine"), RUN)
    files.save("stack-0", trials, None, [])
    [before] = files.all()
    training = trained(wine, trials, epochs=1)

    with (
        files_limited_to(1000),
        pytest.raises(DiskFullError, match=r"no space is left to write .*; free space and run"),
    ):
        files.save("stack-0", trials, (training.stack, training.checkpoint()), [])

    assert files.all() == [before]


def test_trials_that_a_file_does_not_hold_train_after_those_it_does(wine: Dataset, tmp_path: Path) -> None:
    trials = [planned(wine, seed=seed, epochs=4) for seed in range(4)]
    files = SavedStacks(write(tmp_path / "datasets", "wine"), RUN)
    training = trained(wine, trials[:2], epochs=3)
    files.save("stack-0", trials[:2], (training.stack, training.checkpoint()), [])
    samples = samples_of(wine.train, wine), samples_of(wine.validation, wine)

    resumed = ResumableTraining(
        [trials[2], trials[1]], "classification", samples, CPU, saved=files.load("stack-0", tmp_path / "read")
    )

    assert [(report.epoch, report.trials) for report in resumed.reports()] == [
        (4, (1,)),
        *((epoch, (0,)) for epoch in (1, 2, 3, 4)),
    ]
