"""Trials beside each other: what differs, and whether it is more than luck."""

import shutil
from pathlib import Path

import pytest

from flows.errors import RunError
from flows.inspection.side_by_side import compare
from flows.inspection.significance import Significance
from flows.tracking import tags
from flows.tracking.artifacts import local_directory
from flows.tracking.trial_delivery import WEIGHTS_FILE
from tests.flows.inspection.conftest import Looked


def significance(looked: Looked, *wanted: str, datasets: str | None = None, **options: str) -> Significance:
    found = compare(looked.client, wanted, datasets or looked.datasets, **options)  # type: ignore[arg-type]
    return found.significance


def test_what_differs_is_told_with_the_value_of_each_and_the_rest_is_common(looked: Looked) -> None:
    good, _, bad, _ = looked.trials

    found = compare(looked.client, [good.run_id, bad.run_id[:10]], looked.datasets)

    assert found.params == {"learning_rate": ("0.3", "0.0001")}
    assert (found.common["hidden"], "learning_rate" in found.common) == ("8", False)
    assert (found.data, found.environment, found.is_environment_known) == ({}, {}, True)
    assert [(each.letter, each.run_id) for each in found.trials] == [("A", good.run_id), ("B", bad.run_id)]
    assert found.metrics["val/accuracy"] == (good.metrics["val/accuracy"], bad.metrics["val/accuracy"])
    assert [[epoch for epoch, _ in curve] for curve in found.curves["val/loss"]] == [list(range(1, 7))] * 2


def test_of_searches_the_winners_are_compared_and_another_dataset_differs(looked: Looked) -> None:
    found = compare(looked.client, [looked.search, looked.diabetes], looked.datasets)

    assert (found.trials[0].run_id, found.trials[0].search) == (looked.winner.run_id, looked.search)
    assert found.data["dataset"] == ("wine", "diabetes")
    assert found.metrics["val/rmse"][0] is None
    assert found.significance.unknown is not None
    assert "they were trained on different datasets (A on " in found.significance.unknown


def test_trials_are_measured_again_on_the_same_rows_and_reach_what_mlflow_has(looked: Looked) -> None:
    first, second = looked.trials[1:3]

    found = significance(looked, first.run_id, second.run_id)

    assert (found.unknown, found.rows, found.count) == (None, "validation", 26)
    accuracy, loss = found.differences
    assert (accuracy.metric, loss.metric) == ("accuracy", "log loss")
    assert accuracy.first_value == pytest.approx(first.metrics["val/accuracy"])
    assert accuracy.second_value == pytest.approx(second.metrics["val/accuracy"])
    assert loss.first_value == pytest.approx(first.metrics["val/loss"], rel=1e-5)
    assert loss.gain == pytest.approx(first.metrics["val/loss"] - second.metrics["val/loss"], rel=1e-4)
    assert loss.low < loss.gain < loss.high


def test_what_learns_nothing_is_worse_and_the_other_way_round_better(looked: Looked) -> None:
    good, _, bad, _ = looked.trials

    for wanted, verdict in (((good, bad), "worse"), ((bad, good), "better")):
        [accuracy, _] = significance(looked, *(each.run_id for each in wanted)).differences
        assert accuracy.verdict == verdict
        assert (accuracy.gain > 0) == (verdict == "better")
    alike = significance(looked, good.run_id, good.run_id).differences
    assert {(each.gain, each.verdict) for each in alike} == {(0.0, "unclear")}


def test_winners_are_compared_on_the_test_rows_and_regressions_in_their_unit(looked: Looked) -> None:
    found = significance(looked, looked.diabetes, "diabetes@challenger")

    assert (found.unknown, found.rows) == (None, "test")
    [rmse, _] = found.differences
    tested = looked.client.get_run(looked.client.get_run(looked.diabetes).data.tags[tags.WINNER_RUN]).data.metrics
    assert rmse.first_value == pytest.approx(tested["test/rmse"], rel=1e-5)


def test_the_notes_say_what_an_interval_does_not_tell(looked: Looked) -> None:
    first, second, *_ = (each.run_id for each in looked.trials if each.run_id != looked.winner.run_id)

    on_validation = significance(looked, looked.winner.run_id, first).notes
    on_test = significance(looked, looked.winner.run_id, first, second, rows="test").notes

    assert any("A won a search on these very rows" in note for note in on_validation)
    assert any("used up by every look" in note for note in on_test)
    assert any("each of the 2 comparisons has its own interval" in note for note in on_test)


def test_a_trial_that_diverged_cannot_be_judged(looked: Looked) -> None:
    assert significance(looked, looked.search, looked.trials[3].run_id).unknown == (
        "B diverged: what its weights say is no number"
    )


def test_without_the_dataset_or_the_weights_it_is_said_why_not(looked: Looked, tmp_path: Path) -> None:
    first, second = (each.run_id for each in looked.trials[:2])

    gone = significance(looked, first, second, datasets=str(tmp_path)).unknown
    assert gone is not None
    assert f"is not in {tmp_path}; say where it is with --datasets" in gone

    kept = local_directory(looked.client.get_run(second).info.artifact_uri)
    assert kept is not None
    weights = kept / WEIGHTS_FILE
    shutil.copy(weights, tmp_path)
    try:
        weights.write_bytes(b"another file")
        damaged = significance(looked, first, second).unknown
    finally:
        shutil.copy(tmp_path / WEIGHTS_FILE, weights)
    assert damaged is not None
    assert "B has no weights to measure: weights.safetensors of the run is not the file that was written" in damaged


@pytest.mark.parametrize(
    ("others", "said"),
    [
        ([], "1 runs cannot be compared; give 2 to 8"),
        (["search · more"], "is a search without a winner, RUNNING: let its `backprop train` run to its end"),
        (["search · rates"], "is not one run but 2: .* give the first digits of its id"),
        (["nothing"], "'nothing' is no run"),
    ],
)
def test_what_cannot_be_compared_is_refused(looked: Looked, others: list[str], said: str) -> None:
    with pytest.raises(RunError, match=said):
        compare(looked.client, [looked.search, *others], looked.datasets)
