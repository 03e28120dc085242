"""A training that is interrupted and resumed is the training that was not, bit for bit."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest
from everything import CPU, NUMBERS, samples, stack_of_everything, trained
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.numpy import save_file

from backprop import (
    Architecture,
    Checkpoint,
    CheckpointError,
    EarlyStopping,
    EpochReport,
    Stack,
    Training,
    Trial,
    load_checkpoint,
    save_checkpoint,
    train,
)
from backprop.checkpoint import described
from backprop.optimizers import Adam, Momentum
from backprop.schedules import Adaptive, Cosine, ReduceOnPlateau, WarmUp


def assert_same_reports(found: list[EpochReport], wanted: list[EpochReport]) -> None:
    assert [report.epoch for report in found] == [report.epoch for report in wanted]
    for report, other in zip(found, wanted, strict=True):
        assert report.trials == other.trials
        assert report.metrics.keys() == other.metrics.keys()
        for name in report.metrics:
            np.testing.assert_array_equal(report.metrics[name], other.metrics[name])
        for done, same in zip(report.finished, other.finished, strict=True):
            assert replace(done, parameters=None) == replace(same, parameters=None)
            for a, b in zip(done.parameters, same.parameters, strict=True):
                np.testing.assert_array_equal(a, b)


def assert_same_state(found: Checkpoint, wanted: Checkpoint) -> None:
    """Equal to the last bit of every array, and to the last number beside them."""
    arrays = ("parameters", "memories", "best")
    assert replace(found, **dict.fromkeys(arrays)) == replace(wanted, **dict.fromkeys(arrays))
    assert found.memories.keys() == wanted.memories.keys()
    pairs = [(found.parameters, wanted.parameters), *((found.memories[n], wanted.memories[n]) for n in found.memories)]
    assert (found.best is None) == (wanted.best is None)
    pairs += [(found.best, wanted.best)] if found.best is not None else []
    for one, other in pairs:
        for a, b in zip(one, other, strict=True):
            assert a.dtype == b.dtype
            np.testing.assert_array_equal(a, b)


def after(stack: Stack, epochs: int, checkpoint: Checkpoint | None = None) -> Training:
    run = Training(stack, CPU, checkpoint=checkpoint)
    training, validation = run.place(samples()), run.place(samples(20, seed=1))
    while run.active and run.epochs_done < epochs:
        run.epoch(training, validation)
    return run


# Resumed equals uninterrupted


# In float32 without a memory, and with two.
@pytest.mark.parametrize(
    ("name", "dtype"), [*((name, "float64") for name in NUMBERS), ("sgd", "float32"), ("adam", "float32")]
)
def test_a_training_broken_off_after_any_epoch_goes_on_to_the_same_reports(name, dtype, tmp_path):
    stack = replace(stack_of_everything(name), dtype=dtype)
    wanted, _ = trained(stack)
    for broken_off in range(1, len(wanted) + 1):
        path = tmp_path / f"{broken_off}.checkpoint"
        reports = train(stack, samples(), samples(20, seed=1), CPU, checkpoint=path)
        seen = [next(reports) for _ in range(broken_off)]
        reports.close()
        resumed, _ = trained(stack, checkpoint=path)
        # The epoch over whose report the caller broke off is told again: it may not have been taken note of.
        assert_same_reports(seen, wanted[:broken_off])
        assert_same_reports(resumed, wanted[broken_off - 1 :])


TRIALS = st.builds(
    Trial,
    learning_rate=st.floats(1e-3, 0.2),
    epochs=st.integers(1, 8),
    seed=st.integers(0, 5),
    optimizer=st.builds(Momentum, st.floats(0, 0.95)),
    schedule=st.sampled_from(
        [
            Cosine(),
            ReduceOnPlateau(patience=0, min_delta=0.01),
            Adaptive(patience=0),
            WarmUp(2, 0.5, ReduceOnPlateau(patience=0)),
        ]
    ),
    dropout=st.sampled_from([0.0, 0.3]),
    l2=st.sampled_from([0.0, 0.01]),
    clip_norm=st.sampled_from([None, 0.5]),
    early_stopping=st.none() | st.builds(EarlyStopping, st.integers(0, 3), st.sampled_from([0.0, 0.05])),
)


@given(trials=st.lists(TRIALS, min_size=1, max_size=4), broken_off=st.integers(0, 8))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_state_itself_is_the_same_after_a_break_at_any_epoch(trials, broken_off, tmp_path):
    stack = Stack(Architecture(6, (5,), 3, "tanh"), 16, tuple(trials), dtype="float64")
    path = tmp_path / "state.checkpoint"
    save_checkpoint(path, stack, after(stack, broken_off).checkpoint())
    resumed = after(stack, 8, load_checkpoint(path, stack))
    assert_same_state(resumed.checkpoint(), after(stack, 8).checkpoint())


@pytest.mark.parametrize("name", NUMBERS)
def test_a_checkpoint_is_a_copy_that_training_on_does_not_change(name):
    stack = stack_of_everything(name)
    run = after(stack, 2)
    kept, again = run.checkpoint(), run.checkpoint()
    placed = run.place(samples()), run.place(samples(20, seed=1))
    run.epoch(*placed)
    assert_same_state(kept, again)
    resumed = Training(stack, CPU, checkpoint=kept)
    resumed.epoch(*placed)
    assert_same_state(kept, again)
    assert_same_state(resumed.checkpoint(), run.checkpoint())


def test_a_finished_training_has_nothing_left_to_do(tmp_path):
    stack = stack_of_everything("sgd")
    path = tmp_path / "done.checkpoint"
    trained(stack, checkpoint=path)
    assert load_checkpoint(path, stack).active == ()
    assert trained(stack, checkpoint=path) == ([], {})


def test_checkpoints_are_written_every_so_many_epochs_and_at_the_end(tmp_path):
    stack = Stack(Architecture(6, (5,), 3), 16, (Trial(0.1, 5),))
    path = tmp_path / "sparse.checkpoint"
    reports = train(stack, samples(), None, CPU, checkpoint=path, checkpoint_every=2)
    kept = [load_checkpoint(path, stack).epoch if path.exists() else 0 for _ in reports]
    assert [*kept, load_checkpoint(path, stack).epoch] == [0, 0, 2, 2, 4, 5]


# The file


def test_a_file_holds_arrays_and_json_and_nothing_else_is_left_beside_it(tmp_path):
    stack = stack_of_everything("adam")
    path = tmp_path / "some.checkpoint"
    save_checkpoint(path, stack, after(stack, 3).checkpoint())
    assert list(tmp_path.iterdir()) == [path]
    with safe_open(path, framework="numpy") as file:
        metadata = file.metadata()
        names = set(file.keys())
    assert json.loads(metadata["stack"]) == json.loads(json.dumps(described(stack)))
    assert json.loads(metadata["progress"])["epoch"] == 3
    assert {name.rpartition(".weight")[0] for name in names if "weight" in name} == {
        "parameters",
        "memory.mean",
        "memory.square",
        "best",
    }


def test_a_write_that_fails_leaves_the_checkpoint_of_before_and_no_other_file(tmp_path, monkeypatch):
    stack = stack_of_everything("sgd")
    path = tmp_path / "some.checkpoint"
    save_checkpoint(path, stack, after(stack, 1).checkpoint())

    def half_written(_, temporary, **__):
        temporary.write_bytes(b"half")
        raise OSError("no space left on device")

    monkeypatch.setattr("backprop.checkpoint.save_file", half_written)
    with pytest.raises(OSError, match="no space left"):
        save_checkpoint(path, stack, after(stack, 2).checkpoint())
    assert list(tmp_path.iterdir()) == [path]
    assert load_checkpoint(path, stack).epoch == 1


@pytest.mark.parametrize(
    ("change", "difference"),
    [
        ({"batch_size": 8}, "stack.batch_size is 8 but was 7"),
        ({"dtype": "float32"}, "stack.dtype is float32 but was float64"),
        ({"shuffle": False}, "stack.shuffle is False but was True"),
    ],
)
def test_a_checkpoint_of_another_stack_is_refused_with_the_difference(change, difference, tmp_path):
    stack = stack_of_everything("sgd")
    path = tmp_path / "some.checkpoint"
    save_checkpoint(path, stack, after(stack, 1).checkpoint())
    with pytest.raises(CheckpointError, match=re.escape(f"{path}: is of another stack: {difference}")):
        load_checkpoint(path, replace(stack, **change))


def test_a_difference_deep_in_a_trial_is_named_by_its_place(tmp_path):
    path = tmp_path / "some.checkpoint"
    stack = Stack(Architecture(6, (5,), 3), 16, (Trial(0.1, 5), Trial(0.1, 5, schedule=Cosine(9))))
    save_checkpoint(path, stack, after(stack, 1).checkpoint())
    other = replace(stack, trials=(stack.trials[0], replace(stack.trials[1], schedule=Cosine(8))))
    with pytest.raises(CheckpointError, match=r"stack\.trials\[1\]\.schedule\.epochs is 8 but was 9"):
        load_checkpoint(path, other)
    other = replace(stack, trials=tuple(replace(trial, optimizer=Adam()) for trial in stack.trials))
    with pytest.raises(CheckpointError, match=r"stack\.trials\[0\]\.optimizer is .*Adam.* but was .*SGD"):
        load_checkpoint(path, other)


def test_what_is_no_checkpoint_is_refused_by_name(tmp_path):
    stack = stack_of_everything("sgd")
    path = tmp_path / "other.safetensors"
    with pytest.raises(CheckpointError, match="cannot be read as safetensors"):
        load_checkpoint(path, stack)
    path.write_bytes(b"no safetensors")
    with pytest.raises(CheckpointError, match="cannot be read as safetensors"):
        load_checkpoint(path, stack)
    save_file({"a": np.zeros(3)}, path)
    with pytest.raises(CheckpointError, match="is no checkpoint; write it with save_checkpoint"):
        load_checkpoint(path, stack)


# Going on with some of the trials


@pytest.mark.parametrize("name", NUMBERS)
def test_a_stack_that_is_split_after_an_epoch_goes_on_to_the_same_reports(name):
    stack = stack_of_everything(name)
    whole = after(stack, 2)
    broken_off = whole.checkpoint()
    wanted = curves_and_weights(whole)
    pieces = (broken_off.active[::2], broken_off.active[1::2])

    found = [curves_and_weights(after(stack, 0, broken_off.only(piece))) for piece in pieces]

    assert found[0].keys() | found[1].keys() == wanted.keys()
    for piece in found:
        for trial, (curve, weights) in piece.items():
            assert curve == wanted[trial][0]
            for a, b in zip(weights, wanted[trial][1], strict=True):
                np.testing.assert_array_equal(a, b)


def curves_and_weights(run: Training) -> dict[int, tuple[list[float], list[np.ndarray]]]:
    """Train to the end; return the losses of every trial and its last weights."""
    training, validation = run.place(samples()), run.place(samples(20, seed=1))
    curves: dict[int, list[float]] = {}
    weights: dict[int, list[np.ndarray]] = {}
    while run.active:
        report = run.epoch(training, validation)
        for k, trial in enumerate(report.trials):
            curves.setdefault(trial, []).append(float(report.metrics["train/loss"][k]))
        weights |= {done.trial: list(done.parameters) for done in report.finished}
    return {trial: (curves[trial], weights[trial]) for trial in curves}


def test_a_trial_that_is_not_in_training_cannot_be_gone_on_with():
    checkpoint = after(stack_of_everything(next(iter(NUMBERS))), 1).checkpoint()

    with pytest.raises(ValueError, match="trials has 99, which is not in training"):
        checkpoint.only([checkpoint.active[0], 99])
