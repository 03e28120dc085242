"""The scale study from its command line to its files, on next to nothing; and the arithmetic of its model."""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from backprop import Architecture, Samples, Training
from benchmarks.scale import cli, mapped_rows, rows, workload
from benchmarks.scale.model import H100, LOSSES, NOTE, Model, fit, update_on_gpu
from benchmarks.scale.sizes import FULL, QUICK
from benchmarks.scale.width import overtaken_at
from flows.compute.devices import CPU_TRIALS

pytest.importorskip("matplotlib")

TINY = replace(
    QUICK,
    trials=(1, 65),
    stack_most=65,
    seconds=0.0,
    repeats=1,
    widths=(16,),
    width_flop=1e6,
    width_rows=200,
    joined_widths=("8 to 64",),
    joined_trials=(1,),
    rows=(1000,),
    stacks=2,
    stack_trials=2,
    worker_seconds=0.01,
    tracked=2,
)

models = st.builds(
    Model,
    start_up=st.floats(0, 100),
    tracking=st.floats(0, 1),
    parallel_writers=st.floats(1, 2),
    rate=st.floats(1e6, 1e12),
    at_two=st.floats(0.5, 1),
)
work = st.floats(1e3, 1e18)
losses = st.sampled_from(LOSSES)


def scale(out, *arguments, code=0):
    ended = CliRunner().invoke(cli.app, ["--out", str(out), *arguments])
    assert ended.exit_code == code, ended.output
    return ended.output


def leaves(value):
    if isinstance(value, dict):
        value = list(value.values())
    return [leaf for each in value for leaf in leaves(each)] if isinstance(value, list) else [value]


@pytest.mark.slow
def test_all_parts_run_and_are_written(monkeypatch, tmp_path):
    monkeypatch.setattr(cli, "QUICK", TINY)
    (tmp_path / "scratch").mkdir()
    output = scale(tmp_path, "--quick", "--scratch", str(tmp_path / "scratch"))
    result = json.loads((tmp_path / "scale.json").read_text())

    assert set(result["took_seconds"]) == set(cli.PARTS)
    assert result["machine"]["cores"] >= 1
    assert [(one["trials"], one["way"], one["stacks"]) for one in result["trials"]] == [
        (1, "pipeline", 1),
        (65, "pipeline", 2),
        (65, "one_stack", 1),
    ]
    for one in result["trials"]:
        assert one["peak_bytes"] >= 2**20
        assert one["samples_trials_per_second"] == pytest.approx(1797 * one["trials"] / one["seconds"])

    [one] = result["width"]
    assert one["rows"] == 200
    assert one["compiled_over_numpy"] == pytest.approx(one["numpy"]["seconds"] / one["compiled"]["seconds"])

    [one] = result["joined"]
    for way in ("compiled", "numpy"):
        assert one[way]["separate_over_joined"] == pytest.approx(one[way]["separate"] / one[way]["joined"])

    assert [(one["rows"], one["way"]) for one in result["rows"]] == [(1000, way) for way in rows.WAYS]
    for one in result["rows"]:
        assert not one["killed"]
        assert one["file_bytes"] == 1000 * 74 * 4 + 2 * 128
        assert one["peaks"]["resident"] >= max(one["peaks"]["anonymous"], one["peaks"]["mapped"]) > 0
        assert np.isfinite(one["loss"])
    assert not list((tmp_path / "scratch").iterdir())

    workers = result["workers"]
    assert [run["workers"] for run in workers["runs"]] == [1, 2]
    assert workers["efficiency"] == pytest.approx(workers["seconds"]["1"] / (2 * workers["seconds"]["2"]))
    assert workers["samples_trials"] == 1797 * 4 * workers["epochs"]

    model = result["model"]
    assert {one["note"] for one in (model, *model["workers"], *model["gpu_updates"])} == {NOTE}
    for line in model["workers"]:
        if line["workers"] == 1:
            assert line["training_seconds"] == pytest.approx(workers["seconds"]["1"])
    assert all(np.isfinite(leaf) for leaf in leaves(model) if isinstance(leaf, float))

    assert output.count(NOTE) >= 2
    for part in cli.PARTS:
        picture = (tmp_path / f"scale-{part}.svg").read_text()
        assert picture.startswith("<?xml")
        assert re.search("GFLOP|second", picture)


def test_a_part_that_does_not_exist_is_refused(tmp_path):
    scale(tmp_path / "out", "--only", "width,depth", code=cli.BAD_INPUT)
    assert not (tmp_path / "out").exists()


def test_only_what_is_asked_for_is_measured(monkeypatch, tmp_path):
    monkeypatch.setattr(cli, "QUICK", TINY)
    scale(tmp_path, "--quick", "--only", "width")
    assert {path.name for path in tmp_path.iterdir()} == {"scale.json", "scale-width.svg"}


@given(models, work, st.integers(1, 100_000), st.integers(1, 1000), losses)
def test_one_more_worker_is_never_slower(model, operations, trials, workers, loss):
    fewer = model.seconds(trials, operations, workers, loss)
    assert model.seconds(trials, operations, workers + 1, loss) <= fewer * (1 + 1e-12)


@given(models, work, st.integers(1, 1000))
def test_losses_that_grow_are_never_less_than_those_that_stay(model, operations, workers):
    grows, stays = (model.training_seconds(operations, workers, loss) for loss in LOSSES)
    assert grows >= stays * (1 - 1e-12)


@given(st.floats(0.01, 1e4), st.floats(0.5, 1), work, st.floats(0, 1), st.floats(1, 2), losses)
def test_the_model_says_what_was_measured_where_it_was(seconds, efficiency, operations, tracking, writers, loss):
    two = seconds / (2 * efficiency)
    model = fit(
        {
            "start_up_seconds": {"1": 3.0},
            "seconds": {"1": seconds, "2": two},
            "efficiency": efficiency,
            "flop": operations,
        },
        {"seconds_per_trial": {"1": tracking}, "parallel_writers": writers},
    )
    assert model.training_seconds(operations, 1, loss) == pytest.approx(seconds)
    assert model.training_seconds(operations, 2, loss) == pytest.approx(two)
    assert model.seconds(10, operations, 1, loss) == pytest.approx(3 + 10 * tracking + seconds)


@pytest.mark.parametrize(("measured", "fitted"), [(1.2, 1.0), (0.3, 0.5)])
def test_an_efficiency_that_noise_made_is_bounded(measured, fitted):
    workers = {"start_up_seconds": {"1": 0.0}, "seconds": {"1": 1.0}, "efficiency": measured, "flop": 1e9}
    model = fit(workers, {"seconds_per_trial": {"1": 0.0}, "parallel_writers": 1.0})
    assert model.at_two == fitted


@given(st.integers(1, 100_000), st.sampled_from([1, 32, 128]))
def test_no_update_of_a_gpu_is_faster_than_any_of_its_bounds(trials, batch):
    update = update_on_gpu(H100, workload.SMALL, batch, trials)
    assert update["seconds"] == max(update["bounds_seconds"].values())
    assert update["gflop_per_second"] * 1e9 <= H100.peak_flop * (1 + 1e-9)


def test_a_gpu_is_bound_by_launches_then_memory_or_operations():
    small, wide = workload.SMALL, Architecture(784, (128,), 10)
    assert update_on_gpu(H100, small, 32, 1)["bound_by"] == "launches"
    assert update_on_gpu(H100, small, 32, 65536)["bound_by"] == "memory"
    assert update_on_gpu(H100, wide, 128, 1024)["bound_by"] == "operations"


def test_operations_are_those_of_the_products():
    # Forward 6 + 15, update as many, delta of the second layer 15; two operations each.
    assert workload.flop(Architecture(2, (3,), 5)) == 2 * (21 + 21 + 15)


@given(st.integers(1, 5000), st.integers(1, 100))
def test_stacks_are_few_full_and_equal(trials, most):
    sizes = workload.cut(trials, most)
    assert sum(sizes) == trials
    assert len(sizes) == -(-trials // most)
    assert max(sizes) <= most
    assert max(sizes) - min(sizes) <= 1


def test_the_largest_sizes_are_the_issues():
    assert FULL.trials == tuple(2**k for k in range(13))
    assert FULL.stack_trials == CPU_TRIALS
    assert max(FULL.widths) == 4096
    assert max(FULL.rows) == 10**7
    assert max(FULL.rows) * 64 * 4 > FULL.memory_limit


def test_mapped_rows_are_trained_on_as_rows_in_memory_are(monkeypatch, tmp_path):
    monkeypatch.setattr(mapped_rows, "PIECE", 300)
    size = mapped_rows.write_rows(tmp_path, 1000)
    mapped = mapped_rows.map_rows(tmp_path)
    assert size == sum(path.stat().st_size for path in tmp_path.iterdir())
    assert np.array_equal(mapped.x[:, :10].argmax(axis=1), mapped.y.argmax(axis=1))
    assert len(np.unique(mapped.x)) > 60_000
    losses = []
    for samples in (mapped, Samples(np.array(mapped.x), np.array(mapped.y))):
        [stack] = workload.stacks(workload.SMALL, rows.BATCH, [1])
        training = Training(stack, rows.select_backend("cpu"))
        losses.append(training.epoch(training.place(samples)).metrics["train/loss"][0])
    assert losses[0] == losses[1]


def test_a_worker_that_was_killed_leaves_what_it_noted(tmp_path: Path):
    notes = tmp_path / "peaks.json"
    assert rows._unfinished(notes)["peaks"] == {}
    notes.write_text(json.dumps({"peaks": {"resident": 7}, "paused": True}))
    left = rows._unfinished(notes)
    assert (left["peaks"], left["paused"], left["rows_per_second"]) == ({"resident": 7}, True, None)


@pytest.mark.parametrize(
    ("ratios", "width"), [([1.2, 1.1], None), ([1.2, 0.9], 32), ([0.9, 1.1, 0.9], 64), ([0.9, 0.8], 16)]
)
def test_the_width_where_blas_overtakes_is_where_it_stays_ahead(ratios, width):
    measured = [{"width": 16 * 2**k, "compiled_over_numpy": ratio} for k, ratio in enumerate(ratios)]
    assert overtaken_at(measured) == width
