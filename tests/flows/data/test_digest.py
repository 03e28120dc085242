import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flows.data import staging
from flows.data.digest import dataset_digest
from flows.data.plan import BooleanPlan, CategoricalPlan, DatePlan, NumericPlan, PreparationPlan
from flows.data.sources import open_source
from flows.data.splitting import SplitParameters
from flows.data.staging import stage
from tests.flows.data.tables import staged_table

SPLIT = SplitParameters()
property_of = settings(deadline=None, max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
PLAN = PreparationPlan(
    target=("kind",),
    task="classification",
    columns={
        "length": NumericPlan(),
        "petals": NumericPlan(),
        "wild": BooleanPlan(),
        "place": CategoricalPlan(),
        "seen": DatePlan(),
    },
    drop=("note",),
)


@pytest.fixture(scope="module")
def flowers() -> pd.DataFrame:
    """Ninety rows, a column of each kind, gaps in two of them, a column that is dropped, and classes as text."""
    rng = np.random.default_rng(7)
    place = pd.Series(rng.choice(["meadow", "wood", ""], 90), dtype="str")
    place[::9] = None
    length = rng.normal(5.0, 2.0, 90)
    length[::7] = np.nan
    return pd.DataFrame(
        {
            "length": length,
            "petals": rng.integers(3, 9, 90),
            "wild": rng.integers(0, 2, 90).astype(bool),
            "place": place,
            "seen": pd.to_datetime("2024-03-01") + pd.to_timedelta(rng.integers(0, 90, 90), unit="D"),
            "note": [f"seen by {row}" for row in range(90)],
            "kind": np.repeat(["rose", "iris", "daisy"], 30),
        }
    )


def digest(
    frame: pd.DataFrame | pa.Table,
    scratch: Path,
    plan: PreparationPlan = PLAN,
    split: SplitParameters = SPLIT,
    **facts: object,
) -> str:
    with staged_table(frame, scratch, **facts) as staged:
        return dataset_digest(staged, plan, split)


@property_of
@given(row=st.integers(0, 89), column=st.sampled_from(["length", "petals", "wild", "place", "seen", "kind"]))
def test_one_value_changed_changes_the_digest(row, column, flowers, tmp_path):
    changed = flowers.copy()
    changed.loc[row, column] = {
        "length": 0.0 if np.isnan(flowers.loc[row, "length"]) else np.nextafter(flowers.loc[row, "length"], np.inf),
        "petals": flowers.loc[row, "petals"] + 1,
        "wild": not flowers.loc[row, "wild"],
        "place": "marsh" if pd.isna(flowers.loc[row, "place"]) else None,
        "seen": flowers.loc[row, "seen"] + pd.Timedelta(microseconds=1),
        "kind": "tulip",
    }[column]
    assert digest(changed, tmp_path) != digest(flowers, tmp_path)


def test_everything_that_decides_the_dataset_is_in_the_digest(flowers, tmp_path):
    column_plans = {**PLAN.columns, "length": NumericPlan(scale="robust")}
    variants = [
        (flowers,),
        (flowers, PLAN, SplitParameters(seed=1)),
        (flowers, PLAN, SplitParameters(test=0.2)),
        (flowers, PLAN, SplitParameters(validation=0.2)),
        (flowers, PLAN, SplitParameters(by="group", column="petals")),
        (flowers, PLAN, SplitParameters(by="time", column="seen")),
        (flowers, PLAN, SplitParameters(by="group", column="note")),
        (flowers, PLAN.model_copy(update={"columns": column_plans})),
        (flowers, PLAN.model_copy(update={"columns": {**PLAN.columns, "note": CategoricalPlan()}, "drop": ()})),
        (flowers, PLAN.model_copy(update={"target_scale": "none"})),
        (flowers, PLAN.model_copy(update={"task": "regression"})),
        (flowers[["petals", "length", "wild", "place", "seen", "note", "kind"]],),
        (flowers.iloc[::-1],),
        (
            flowers.rename(columns={"wild": "tame"}),
            PLAN.model_copy(update={"columns": {"tame" if n == "wild" else n: p for n, p in PLAN.columns.items()}}),
        ),
    ]
    found = [digest(frame, tmp_path, *rest) for frame, *rest in variants]
    own = [digest(flowers, tmp_path, test_rows=np.arange(90) % 5 == place) for place in (0, 1)]
    assert len({*found, *own}) == len(variants) + 2


def test_moving_a_letter_to_the_next_row_changes_the_digest(tmp_path):
    plan = PreparationPlan(target=("y",), task="regression", columns={"a": CategoricalPlan()})
    one, two = (digest({"a": values, "y": [1.0, 2.0]}, tmp_path, plan) for values in (["ab", "c"], ["a", "bc"]))
    assert one != two


@pytest.mark.parametrize("other", [["0", "1"], [0.0, 1.0], [False, True]])
def test_labels_of_another_type_are_other_labels(other, flowers, tmp_path):
    numbers = digest(flowers.assign(kind=[0, 1] * 45), tmp_path)
    assert digest(flowers.assign(kind=other * 45), tmp_path) != numbers


def test_names_paths_types_and_dropped_columns_are_not_in_the_digest(flowers, tmp_path):
    frame = flowers.astype({"petals": np.uint8, "wild": "float32", "place": "category", "kind": "category"})
    frame = frame.assign(note=range(90), more=1.5)
    frame["petals"] = frame["petals"].astype("Int64")
    frame["seen"] = frame["seen"].dt.date
    frame.index = pd.Index(range(500, 590))
    same = digest(frame, tmp_path, name="other", uri="/elsewhere/other.csv")
    assert same == digest(flowers, tmp_path)


def test_gaps_are_the_same_in_numbers_of_any_type(flowers, tmp_path):
    petals = flowers["petals"].where(flowers.index % 3 > 0)
    one, two = (digest(flowers.assign(petals=values), tmp_path) for values in (petals, petals.astype("Int64")))
    assert one == two


@property_of
@given(piece=st.integers(1, 100), batch=st.integers(1, 100))
def test_the_sizes_of_pieces_and_batches_are_not_in_the_digest(piece, batch, flowers, tmp_path):
    whole = digest(flowers, tmp_path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(staging, "CHUNK_BYTES", 8 * 6 * piece)
        assert digest(flowers, tmp_path, batch_rows=batch) == whole


def test_every_kind_of_file_with_the_same_rows_is_the_same_dataset(flowers, tmp_path):
    # An empty field of a CSV file is a missing value; Parquet knows empty texts.
    frame = flowers.assign(place=flowers["place"].replace("", None))
    frame.to_csv(tmp_path / "one.csv", index=False)
    frame.to_parquet(tmp_path / "two.parquet", row_group_size=17)
    frame.assign(place=frame["place"].astype("category")).to_feather(tmp_path / "three.feather")
    found = set()
    for name in ("one.csv", "two.parquet", "three.feather"):
        with stage(open_source(str(tmp_path / name)), tmp_path) as staged:
            found.add(dataset_digest(staged, PLAN, SPLIT))
    assert found == {digest(frame, tmp_path)}


def test_another_process_finds_the_digest_on_record(tmp_path):
    """Pinned: where it changes on purpose, STORE_FORMAT must be raised too."""
    code = """
import sys
from pathlib import Path
from flows.data.digest import dataset_digest
from flows.data.plan import NumericPlan, PreparationPlan
from flows.data.sources import open_source
from flows.data.splitting import SplitParameters
from flows.data.staging import stage

with stage(open_source("wine"), Path(sys.argv[1])) as staged:
    features = [name for name in staged.names if name not in staged.source.targets]
    plan = PreparationPlan(
        target=staged.source.targets, task="classification", columns={name: NumericPlan() for name in features}
    )
    print(dataset_digest(staged, plan, SplitParameters()))
"""
    found = subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True, capture_output=True, text=True)
    assert found.stdout.strip() == "02a84ba5f307b202c0cd55a53b5ff61b592b63f80060cc211bb66b8130af07c3"
