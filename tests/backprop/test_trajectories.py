"""Fifty updates of every optimiser and schedule end where PyTorch's end, with all that may change a gradient."""

import json
from pathlib import Path

import numpy as np
import pytest

from backprop import Architecture, Backend, Samples, Stack, Trial, train
from backprop.optimizers import OPTIMIZERS, optimizer
from backprop.schedules import SCHEDULES, Constant, Schedule, schedule
from backprop.training import histories

CPU = Backend(np)
REFERENCES = Path(__file__).parents[1] / "references"
CASES = json.loads((REFERENCES / "training_cases.json").read_text(encoding="utf-8"))
EPOCHS = 10

with np.load(REFERENCES / "training.npz") as archive:
    RECORD = dict(archive)


def made_schedule(numbers: dict) -> Schedule:
    return schedule(**{name: made_schedule(n) if name == "then" else n for name, n in numbers.items()})


def made_trial(settings: dict) -> Trial:
    settings = {**settings, "optimizer": optimizer(**settings["optimizer"])}
    if "schedule" in settings:
        settings["schedule"] = made_schedule(settings["schedule"])
    return Trial(epochs=EPOCHS, **settings)


def made_stack(case: dict, trials: list[dict]) -> Stack:
    loss = case.get("loss", "cross_entropy")
    phi = {"cross_entropy": "softmax", "binary_cross_entropy": "sigmoid", "huber": "identity"}[loss]
    return Stack(
        Architecture(4, (5, 4), 3, case.get("activation", "tanh"), phi, loss),
        batch_size=8,
        trials=tuple(map(made_trial, trials)),
        task="regression" if loss == "huber" else "classification",
        shuffle_seed=11,
        dtype="float64",
    )


@pytest.mark.parametrize("name", CASES)
def test_fifty_updates_end_where_pytorch_ends(name):
    case = CASES[name]
    stack = made_stack(case, case["trials"])
    x, y = RECORD["x"], RECORD[f"y/{stack.architecture.loss}"]
    reports = list(train(stack, Samples(x, y, RECORD["weights"] if case.get("weighted") else None), Samples(x, y), CPU))
    curves = histories(reports, len(stack.trials))
    for done in reports[-1].finished:
        k, scheduled = done.trial, type(stack.trials[done.trial].schedule) is not Constant
        np.testing.assert_allclose(curves[k]["train/loss"], RECORD[f"{name}/{k}/losses"], rtol=1e-9)
        rates = curves[k]["train/learning_rate"] if scheduled else [stack.trials[k].learning_rate] * EPOCHS
        np.testing.assert_allclose(rates, RECORD[f"{name}/{k}/rates"], rtol=1e-12, atol=1e-17)
        for layer in range(3):
            w, b = done.parameters.weights[layer][0], done.parameters.biases[layer][0, 0]
            np.testing.assert_allclose(w, RECORD[f"{name}/{k}/weight{layer}"], rtol=0, atol=1e-9)
            np.testing.assert_allclose(b, RECORD[f"{name}/{k}/bias{layer}"], rtol=0, atol=1e-9)


def test_every_optimizer_and_every_schedule_pytorch_has_is_recorded():
    trials = [trial for case in CASES.values() for trial in case["trials"]]
    assert {trial["optimizer"]["name"] for trial in trials} == set(OPTIMIZERS)
    recorded = {trial["schedule"]["name"] for trial in trials if "schedule" in trial}
    assert recorded == set(SCHEDULES) - {"constant", "adaptive"}


def test_the_recorded_plateaus_are_reached_and_the_minimum_rate_with_them():
    rates = RECORD["reduce_on_plateau of sgd/0/rates"]
    assert len(set(rates)) > 2
    assert rates[-1] == 0.06


@pytest.mark.parametrize("setting", ["l2", "l1", "clip_norm", "dropout", "label_smoothing"])
def test_every_setting_of_the_case_with_everything_moves_its_trajectory(setting):
    """Else the comparison with PyTorch would prove nothing of it."""
    case = CASES["momentum with everything"]
    without = [{k: v for k, v in trial.items() if k != setting} for trial in case["trials"]]
    samples = Samples(RECORD["x"], RECORD["y/cross_entropy"], RECORD["weights"])
    *_, last = train(made_stack(case, without), samples, samples, CPU)
    moved = np.abs(last.finished[0].parameters.weights[0][0] - RECORD["momentum with everything/0/weight0"]).max()
    assert moved > 1e-3


def test_pytorch_still_computes_what_was_recorded(training_recording):
    computed = training_recording.trainings()
    assert computed.keys() == RECORD.keys()
    for name, wanted in RECORD.items():
        np.testing.assert_allclose(computed[name], wanted, rtol=1e-10, atol=1e-12, err_msg=name)
