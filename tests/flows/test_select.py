"""The winner on the test rows: the measures of its task, once, and the same numbers as the model that is served."""

import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient
from rich.console import Console
from sklearn.datasets import make_multilabel_classification

from backprop import Backend, Network, load_weights
from flows.compute.stack_training import samples_of
from flows.data.sources import open_source
from flows.data.store import Dataset, raw_test_rows
from flows.prediction import outputs_of
from flows.ranking import Candidate, Selection
from flows.select import measure_on_test
from flows.terminal.leaderboard import print_leaderboard
from flows.tracking.registry import load_registered, register_winner
from flows.tracking.search_runs import TrialRecord, search_run
from flows.tracking.store import Tracking
from tests.flows.conftest import SPACE, winner_on, written
from tests.flows.data.tables import source_of

LABELS = ("sport", "art", "money")


@pytest.fixture(scope="module")
def linnerud(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Three quantities, Weight, Waist and Pulse, of 20 rows and three features."""
    return written(open_source("linnerud"), tmp_path_factory.mktemp("datasets"))


@pytest.fixture(scope="module")
def articles(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Three labels, as somebody's file has them."""
    directory = tmp_path_factory.mktemp("articles")
    x, y = make_multilabel_classification(300, 8, n_classes=3, random_state=1)
    table = pd.DataFrame(x, columns=[f"x{k}" for k in range(8)]).join(pd.DataFrame(y, columns=list(LABELS)))
    table.to_csv(directory / "articles.csv", index=False)
    return written(open_source(str(directory / "articles.csv")), directory / "datasets", LABELS)


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Two classes of 16 pixels, which the dataset keeps as bytes."""
    draw = np.random.default_rng(0)
    bright = np.arange(200) % 2
    pixels = np.clip(draw.normal(90 + 60 * bright[:, None], 40, (200, 16)), 0, 255).astype("uint8")
    table = pd.DataFrame(pixels, columns=[f"p{k}" for k in range(16)]).assign(label=bright)
    source = source_of(table, name="images", pixels=True)
    return written(source, tmp_path_factory.mktemp("datasets"), ("label",))


def measured(dataset: Dataset, tracking: Tracking, winner: TrialRecord) -> dict[str, float]:
    with search_run(tracking, dataset, "space", SPACE) as run:
        return measure_on_test(run, winner, dataset)


def in_mlflow(tracking: Tracking, winner: TrialRecord) -> dict[str, float]:
    client: MlflowClient = tracking.client()
    return dict(client.get_run(winner.run_id).data.metrics)


def served(dataset: Dataset, tracking: Tracking, winner: TrialRecord) -> tuple[pd.DataFrame, pd.DataFrame | np.ndarray]:
    """Return the raw targets of the test rows and what the registered model says of their raw features."""
    rows = raw_test_rows(dataset)
    target = rows[list(dataset.preparation.targets)]
    model = load_registered(tracking, register_winner(tracking, winner, dataset, "model"))
    return target, model.predict(None, rows.drop(columns=target.columns))


def test_several_quantities_are_measured_each_in_its_unit(linnerud: Dataset, tracking: Tracking) -> None:
    winner = winner_on(linnerud, tracking, learning_rate=0.05, epochs=60)

    found = measured(linnerud, tracking, winner)

    target, predicted = served(linnerud, tracking, winner)
    assert list(target) == ["Weight", "Waist", "Pulse"]
    for name in target:
        rmse = np.sqrt(((target[name] - predicted[name]) ** 2).mean())
        assert found[f"test/rmse/{name}"] == pytest.approx(rmse, rel=1e-4)
    errors = (target - predicted) / np.array(linnerud.preparation.target_scale)
    assert found["test/rmse"] == pytest.approx(np.sqrt((errors.to_numpy() ** 2).mean()), rel=1e-4)
    assert found.items() <= in_mlflow(tracking, winner).items()


def test_validation_of_several_quantities_is_in_standard_deviations(linnerud: Dataset, tracking: Tracking) -> None:
    winner = winner_on(linnerud, tracking, learning_rate=0.05, epochs=60)

    # The loss is the sum over the targets, the RMSE the root of the mean over them.
    assert winner.metrics["val/rmse"] == pytest.approx(np.sqrt(winner.metrics["val/loss"] / 3), rel=1e-5)


def test_several_labels_are_learnt_and_measured(articles: Dataset, tracking: Tracking) -> None:
    winner = winner_on(articles, tracking, learning_rate=0.3, epochs=40)

    found = measured(articles, tracking, winner)

    target, predicted = served(articles, tracking, winner)
    right = target.to_numpy() == predicted.to_numpy()
    assert found["test/accuracy"] == pytest.approx(right.all(axis=1).mean())
    assert found["test/hamming_loss"] == pytest.approx(1 - right.mean())
    assert found["test/hamming_loss"] < 0.25
    assert found.items() <= in_mlflow(tracking, winner).items()
    assert {"val/loss", "val/accuracy"} <= winner.metrics.keys()


def test_a_label_of_its_own_is_as_any_other(tmp_path: Path, tracking: Tracking) -> None:
    draw = np.random.default_rng(0)
    x = draw.normal(size=(200, 2))
    source = source_of({"a": x[:, 0], "b": x[:, 1], "ill": x[:, 0] > 0})
    dataset = written(source, tmp_path, ("ill",), "multilabel")
    winner = winner_on(dataset, tracking, learning_rate=0.3, epochs=30)

    assert measured(dataset, tracking, winner)["test/accuracy"] > 0.9
    target, predicted = served(dataset, tracking, winner)
    assert (predicted.to_numpy() == target.to_numpy()).mean() > 0.9


def test_images_of_bytes_are_trained_measured_and_served_to_the_same_numbers(
    images: Dataset, tracking: Tracking, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert images.test.features.dtype == np.uint8
    winner = winner_on(images, tracking, learning_rate=0.1, epochs=10)

    assert measured(images, tracking, winner)["test/accuracy"] > 0.9
    path = tracking.client().download_artifacts(winner.run_id, "weights.safetensors", str(tmp_path))
    architecture, parameters = load_weights(Path(path))
    network = Network(architecture, Backend(np))
    monkeypatch.setattr("flows.prediction.ROWS_AT_ONCE", 7)
    found = outputs_of(network, parameters, samples_of(images.test, images))
    prepared = images.preparation.transform_features(raw_test_rows(images))
    np.testing.assert_allclose(found, network.predict(parameters, prepared)[0], rtol=1e-4)


def test_the_leaderboard_shows_what_is_of_all_targets(linnerud: Dataset, tracking: Tracking) -> None:
    winner = winner_on(linnerud, tracking, learning_rate=0.05)
    test = measured(linnerud, tracking, winner)

    best = Candidate(winner.name, "key", (winner,))
    found = Selection(metric="val/rmse", ranked=(best,), diverged=(), winner=winner, test=test)
    console = Console(file=io.StringIO(), width=160)
    print_leaderboard(console, found, "linnerud")

    printed = console.file.getvalue()
    headings = next(line for line in printed.splitlines() if "rank" in line)
    assert headings.split()[-6::2] == ["val/rmse", "val/loss", "val/r2"]
    reached = ", ".join(f"{name} {test[name]:.4f}" for name in ("test/rmse", "test/r2", "test/mae"))
    assert f"The winner on the test rows: {reached}\n" in printed
