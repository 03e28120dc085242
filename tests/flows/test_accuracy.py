"""The bundled spaces are worth their defaults: what their winners reach on data that nothing has seen."""

import os
from pathlib import Path

import numpy as np
import pytest
import yaml

from flows.compute.devices import DeviceFacts
from flows.compute.paces import Paces
from flows.compute.stack_training import StackAssignment, train_assignment
from flows.compute.stacking import pack
from flows.data.splitting import SplitParameters
from flows.data.store import Dataset, open_dataset
from flows.ranking import objective, rank
from flows.select import measure_on_test
from flows.spaces import bundled_spaces, expand, load_space
from flows.tracking.search_runs import finished_trials, search_run
from flows.tracking.store import Tracking
from flows.trials import plan_trial
from tests.flows.commands import Store, train
from tests.flows.data.writing import write

pytestmark = pytest.mark.slow

FASHION_MNIST = Path("/usr/share/datasets/fashion-mnist")


def winners_test_metrics(dataset: Dataset, space_name: str, tracking: Tracking) -> dict[str, float]:
    """Search a bundled space on a dataset with the workers' own code, in this process, and test the winner.

    With the first of its seeds: the others are the same trials over again.
    """
    space = load_space(space_name)
    all_seeds = expand(space)
    trials = [plan_trial(dataset, each) for each in all_seeds if each.seed == all_seeds[0].seed]
    with search_run(tracking, dataset, space_name, space) as run:
        facts = DeviceFacts(stack_bytes=2**28, stack_trials=64, in_turn=True)
        for place, stack in enumerate(pack(trials, slots=1, facts=facts, paces=Paces())):
            train_assignment(
                StackAssignment(
                    name=f"stack-{place}",
                    dataset=dataset.reference,
                    trials=tuple(stack),
                    varying=frozenset({"seed"}),
                    run=run,
                    device="cpu",
                    execution="first",
                )
            )
        found = finished_trials(tracking, dataset.reference.digest)
        winner = rank([found[trial.key] for trial in trials], objective(dataset.task))[0]
        return measure_on_test(run, winner, dataset)


def mean_over_splits(data: str, space: str, metric: str, tracking: Tracking, root: Path) -> float:
    datasets = [open_dataset(write(root, data, split=SplitParameters(seed=seed))) for seed in range(5)]
    return float(np.mean([winners_test_metrics(dataset, space, tracking)[metric] for dataset in datasets]))


@pytest.mark.parametrize("space", ["quick", "regression"])
def test_diabetes_reaches_r2_of_040_in_the_mean_of_five_splits(space: str, tracking: Tracking, tmp_path: Path) -> None:
    assert mean_over_splits("diabetes", space, "test/r2", tracking, tmp_path) >= 0.40


def test_digits_reaches_097_in_the_mean_of_five_splits(tracking: Tracking, tmp_path: Path) -> None:
    assert mean_over_splits("digits", "quick", "test/accuracy", tracking, tmp_path) >= 0.97


@pytest.mark.usefixtures("server")
def test_fashion_mnist_reaches_088_with_one_seed_of_its_bundled_space(tmp_path: Path) -> None:
    if not FASHION_MNIST.is_dir():
        message = "Fashion-MNIST is not installed (Debian: apt-get install dataset-fashion-mnist)"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)

    space = yaml.safe_load(bundled_spaces()["fashion-mnist"].read_text())
    space["grid"]["seed"] = space["grid"]["seed"][:1]
    (tmp_path / "one-seed.yaml").write_text(yaml.safe_dump(space))

    ran = train(tmp_path, "--data", f"idx:{FASHION_MNIST}", "--space", "one-seed.yaml")

    assert ran.returncode == 0, ran.stderr
    [tested] = [run for run in Store(tmp_path).children() if "test/accuracy" in run.data.metrics]
    assert tested.data.metrics["test/accuracy"] >= 0.88
    assert tested.data.params["n_layers"] == "1"
