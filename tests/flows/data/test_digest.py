import subprocess
import sys
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flows.data.digest import dataset_digest
from flows.data.sources import read_source
from flows.data.splitting import SplitParameters

SPLIT = SplitParameters()
shared_table = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@shared_table
@given(row=st.integers(0, 199), column=st.integers(0, 2))
def test_one_value_changed_in_its_last_bit_changes_the_digest(prices, row, column):
    features = prices.features.copy()
    features.iloc[row, column] = np.nextafter(features.iloc[row, column], np.inf)
    changed = replace(prices, features=features)
    assert dataset_digest(changed, "regression", SPLIT) != dataset_digest(prices, "regression", SPLIT)


@shared_table
@given(row=st.integers(0, 199))
def test_one_target_value_changed_changes_the_digest(prices, row):
    target = prices.target.copy()
    target.iloc[row] += 1.0
    changed = replace(prices, target=target)
    assert dataset_digest(changed, "regression", SPLIT) != dataset_digest(prices, "regression", SPLIT)


def test_everything_that_decides_the_dataset_is_in_the_digest(flowers):
    labels = flowers.target
    variants = [
        (flowers, "classification", SPLIT),
        (flowers, "classification", SplitParameters(seed=1)),
        (flowers, "classification", SplitParameters(test=0.2)),
        (flowers, "classification", SplitParameters(validation=0.2)),
        (replace(flowers, features=flowers.features.rename(columns={"wild": "tame"})), "classification", SPLIT),
        (replace(flowers, features=flowers.features[["petals", "length", "wild", "planet"]]), "classification", SPLIT),
        (replace(flowers, target=labels.rename("sort")), "classification", SPLIT),
        (replace(flowers, target=labels.replace("rose", "tulip")), "classification", SPLIT),
        (replace(flowers, target=labels.iloc[::-1]), "classification", SPLIT),
        (replace(flowers, shared_scale=True), "classification", SPLIT),
        (replace(flowers, is_test=np.arange(90) % 5 == 0), "classification", SPLIT),
        (replace(flowers, is_test=np.arange(90) % 5 == 1), "classification", SPLIT),
    ]
    assert len({dataset_digest(*variant) for variant in variants}) == len(variants)


@pytest.mark.parametrize("other", [["0", "1"], [0.0, 1.0], [False, True]])
def test_labels_of_another_type_are_other_labels(other, flowers):
    numbers = replace(flowers, target=pd.Series([0, 1] * 45, name="y"))
    others = replace(flowers, target=pd.Series(other * 45, name="y"))
    assert dataset_digest(others, "classification", SPLIT) != dataset_digest(numbers, "classification", SPLIT)


def test_a_number_is_another_target_for_each_task(flowers):
    table = replace(flowers, target=pd.Series([0, 1] * 45, name="y"))
    assert dataset_digest(table, "classification", SPLIT) != dataset_digest(table, "regression", SPLIT)


def test_names_paths_indices_and_stored_types_are_not_in_the_digest(flowers):
    digest = dataset_digest(flowers, "classification", SPLIT)
    features = flowers.features.astype({"petals": np.uint8, "wild": "float32", "planet": "Int64"})
    features.index = pd.Index(range(500, 590))
    same = replace(
        flowers, name="other", uri="/elsewhere/other.csv", features=features, target=flowers.target.astype("category")
    )
    assert dataset_digest(same, "classification", SPLIT) == digest


def test_the_size_of_a_piece_is_not_in_the_digest(flowers, monkeypatch):
    digest = dataset_digest(flowers, "classification", SPLIT)
    monkeypatch.setattr("flows.data.content.CHUNK_BYTES", 1)
    assert dataset_digest(flowers, "classification", SPLIT) == digest


def test_a_renamed_file_is_the_same_dataset(prices, tmp_path):
    frame = prices.features.assign(price=prices.target)
    frame.to_csv(tmp_path / "one.csv", index=False)
    (tmp_path / "one.csv").rename(tmp_path / "two.csv")
    frame.to_parquet(tmp_path / "three.parquet")
    tables = [read_source(str(tmp_path / name), "price") for name in ("two.csv", "three.parquet")]
    assert {dataset_digest(table, "regression", SPLIT) for table in tables} == {
        dataset_digest(prices, "regression", SPLIT)
    }


def test_another_process_finds_the_digest_on_record():
    """Pinned: where it changes on purpose, STORE_FORMAT must be raised too."""
    code = (
        "from flows.data.digest import dataset_digest; from flows.data.sources import read_source; "
        "from flows.data.splitting import SplitParameters; "
        "print(dataset_digest(read_source('wine', None), 'classification', SplitParameters()))"
    )
    found = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert found.stdout.strip() == "8317aafbafe4a53a6c30ecade8e770d91bd788af4549a07ca32031ec32e80cf8"
