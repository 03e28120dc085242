"""A fold is a dataset: under a digest of its own, prepared by its own training rows, with no row that tests."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_wine
from sklearn.preprocessing import StandardScaler

from flows.data.catalogue import find_dataset, folds_of, list_datasets
from flows.data.digest import fold_digest
from flows.data.root import open_root
from flows.data.splitting import SplitParameters
from flows.data.store import Dataset, open_dataset, raw_test_rows
from flows.errors import TableError
from tests.flows.data.tables import source_of
from tests.flows.data.writing import write, write_with_folds

BY_TIME = SplitParameters(by="time", column="t")


@pytest.fixture(scope="module")
def wine(tmp_path_factory: pytest.TempPathFactory) -> list[Dataset]:
    """The dataset, then three folds of it."""
    root = tmp_path_factory.mktemp("datasets")
    return [open_dataset(reference) for reference in write_with_folds(root, "wine", folds=3)]


def raw(dataset: Dataset, features: np.ndarray) -> pd.DataFrame:
    """Return what prepared rows were, rounded, so that rows can be told: the oracle's table is raw."""
    shifts = np.array([encoding.shift for encoding in dataset.preparation.features])
    scales = np.array([encoding.scale for encoding in dataset.preparation.features])
    return pd.DataFrame(np.asarray(features, np.float64) * scales + shifts).round(3)


def rows_of(table: pd.DataFrame) -> list[tuple[float, ...]]:
    return sorted(map(tuple, table.to_numpy().tolist()))


def test_the_folds_partition_the_rows_that_do_not_test(wine):
    whole, *folds = wine
    everything = load_wine(as_frame=True).data.round(3)
    tested = raw_test_rows(whole).drop(columns="target").round(3)
    validated = pd.concat([raw(fold, fold.validation.features) for fold in folds])
    assert rows_of(pd.concat([validated, tested.set_axis(validated.columns, axis=1)])) == rows_of(everything)
    for fold in folds:
        seen = pd.concat([raw(fold, fold.train.features), raw(fold, fold.validation.features)])
        assert rows_of(seen) == rows_of(validated)
        assert fold.rows == {"train": len(fold.train.target), "validation": len(fold.validation.target), "test": 0}
        assert fold.test.features.shape == (0, 13)


def test_a_fold_is_standardised_by_its_own_training_rows_as_scikit_learn_would(wine):
    whole, *folds = wine
    for fold in folds:
        training, validating = (raw(fold, part.features).to_numpy() for part in (fold.train, fold.validation))
        scaler = StandardScaler().fit(training)
        np.testing.assert_allclose(fold.train.features, scaler.transform(training), atol=2e-3)
        np.testing.assert_allclose(fold.validation.features, scaler.transform(validating), atol=2e-3)
        # Of what trained, and of nothing else.
        np.testing.assert_allclose(np.asarray(fold.train.features, np.float64).mean(axis=0), 0, atol=1e-5)
        np.testing.assert_allclose(np.asarray(fold.train.features, np.float64).std(axis=0), 1, atol=1e-5)
        assert np.abs(np.asarray(fold.validation.features).mean(axis=0)).max() > 0.01
    assert len({dataset.preparation.features for dataset in (whole, *folds)}) == 4


def test_the_dataset_is_the_one_that_it_is_without_folds(wine, tmp_path):
    alone = open_dataset(write(tmp_path, "wine"))
    whole = wine[0]
    assert alone.reference.digest == whole.reference.digest
    for part in ("train", "validation", "test"):
        for file in ("features.npy", "target.npy"):
            assert (alone.directory / part / file).read_bytes() == (whole.directory / part / file).read_bytes()


def test_a_fold_has_a_digest_of_its_own_that_is_on_record(wine):
    """Pinned: where it changes, every cross-validation is trained again."""
    whole, *folds = (dataset.reference.digest for dataset in wine)
    assert folds == [fold_digest(whole, number, 3) for number in (1, 2, 3)]
    assert fold_digest("0" * 64, 1, 3) == "4081c80d51ce8b86cf1736e3e2a524a880b5c7bdcf542f1ef4b986ad0da8acb9"
    assert len({whole, *folds, *(fold_digest(whole, number, 2) for number in (1, 2))}) == 6


def test_what_is_there_is_left_and_what_is_missing_is_added(tmp_path):
    whole = write(tmp_path, "wine")
    before = (Path(whole.path) / "schema.json").stat().st_mtime_ns
    again, *folds = write_with_folds(tmp_path, "wine", folds=2)
    assert again == whole
    assert (Path(whole.path) / "schema.json").stat().st_mtime_ns == before
    written = [(Path(fold.path) / "schema.json").stat().st_mtime_ns for fold in folds]
    assert write_with_folds(tmp_path, "wine", folds=2) == (again, *folds)
    assert [(Path(fold.path) / "schema.json").stat().st_mtime_ns for fold in folds] == written


def test_a_fold_is_found_by_its_digest_and_its_dataset_by_name(tmp_path):
    whole, *folds = write_with_folds(tmp_path, "wine", folds=2)
    write(tmp_path, "diabetes")
    root = open_root(tmp_path)
    assert find_dataset(root, "wine").digest == whole.digest
    assert find_dataset(root, folds[1].digest[:12]).title == "wine, fold 2 of 2"
    assert [fold.digest for fold in folds_of(root, find_dataset(root, "wine"))] == [fold.digest for fold in folds]
    assert [entry.title for entry in list_datasets(root)] == [
        "diabetes",
        "wine",
        "wine, fold 1 of 2",
        "wine, fold 2 of 2",
    ]


def test_a_dataset_written_before_there_were_folds_is_opened(tmp_path):
    reference = write(tmp_path, "wine")
    file = Path(reference.path) / "schema.json"
    schema = json.loads(file.read_text())
    del schema["fold"]
    file.write_text(json.dumps(schema))
    assert open_dataset(reference).fold is None


def test_a_fold_that_cannot_be_prepared_is_named_and_nothing_is_written(tmp_path):
    # The oldest quarter, which the first fold trains on, knows nothing of a.
    frame = pd.DataFrame({"t": np.arange(80), "a": np.where(np.arange(80) < 30, np.nan, np.arange(80) % 7)})
    frame["y"] = np.arange(80) % 5 / 3
    with pytest.raises(TableError, match=r"^fold 1 of 3: t\.csv: column 'a' has no value in the training rows; "):
        write_with_folds(tmp_path / "datasets", source_of(frame), ("y",), folds=3, split=BY_TIME)
    assert list_datasets(open_root(tmp_path / "datasets")) == []
