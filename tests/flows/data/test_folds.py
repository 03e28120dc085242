"""Folds are of the rows that do not test; which row is in which is decided as the split decides its parts."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from sklearn.model_selection import KFold, TimeSeriesSplit

from flows.data.folds import LEFT_OUT, fold_blocks, fold_parts
from flows.data.plan import NumericPlan, PreparationPlan
from flows.data.splitting import TEST, TRAIN, VALIDATION, SplitParameters, feature_hashes, split_rows
from flows.errors import TableError
from tests.flows.data.tables import staged_table

property_of = settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
seeds = st.integers(0, 2**63 - 1)
counts_of_folds = st.integers(2, 6)


def folds_of(
    frame: pd.DataFrame,
    scratch: Path,
    folds: int,
    parameters: SplitParameters = SplitParameters(),  # noqa: B008 - immutable
    *,
    task: str = "regression",
    targets: tuple[str, ...] = ("y",),
    **facts: object,
) -> tuple[np.ndarray, list[np.ndarray]]:
    """Return which rows test, and the parts of every row in each fold."""
    plan = PreparationPlan(
        target=targets, task=task, columns={name: NumericPlan() for name in frame if name not in targets}
    )
    with staged_table(frame, scratch, **facts) as staged:
        hashes = feature_hashes(staged, plan, parameters.seed)
        tests = split_rows(staged, plan, parameters, hashes) == TEST
        blocks = fold_blocks(staged, plan, parameters, hashes, tests, folds)
    return tests, [fold_parts(blocks, parameters, number) for number in range(1, folds + 1)]


def classes_frame(counts: list[int], seed: int = 0) -> pd.DataFrame:
    """Rows that all differ, with so many of each class, in random order."""
    rng = np.random.default_rng(seed)
    target = rng.permutation(np.repeat(np.arange(len(counts)), counts))
    return pd.DataFrame({"a": rng.normal(size=len(target)), "y": target})


def assert_partition(tests: np.ndarray, found: list[np.ndarray]) -> None:
    """Every row that does not test validates in one fold and trains in all others; one that tests is in none."""
    parts = np.array(found)
    assert ((parts == VALIDATION).sum(axis=0) == ~tests).all()
    assert ((parts == TRAIN).sum(axis=0) == np.where(tests, 0, len(found) - 1)).all()
    assert (parts[:, tests] == LEFT_OUT).all()


def validates_in(found: list[np.ndarray]) -> np.ndarray:
    """The fold in which each row validates, from 0; of rows that test 0 too."""
    return np.argmax(np.array(found) == VALIDATION, axis=0)


@property_of
@given(counts=st.lists(st.integers(12, 60), min_size=2, max_size=5), folds=counts_of_folds, seed=seeds)
def test_folds_partition_what_does_not_test_and_are_stratified_to_within_a_row(counts, folds, seed, tmp_path):
    frame = classes_frame(counts)
    tests, found = folds_of(frame, tmp_path, folds, SplitParameters(seed=seed), task="classification")
    assert_partition(tests, found)
    fold = validates_in(found)
    for label in range(len(counts)):
        sizes = np.bincount(fold[~tests & (frame["y"] == label)], minlength=folds)
        assert sizes.max() - sizes.min() <= 1
    # As large as scikit-learn's, which does not stratify: what is odd in each class is not odd in the same fold.
    wanted = [len(validating) for _, validating in KFold(folds).split(np.zeros(int((~tests).sum())))]
    assert sorted(np.bincount(fold[~tests]).tolist()) == sorted(wanted)


@pytest.mark.parametrize("task", ["regression", "multilabel"])
def test_a_quantity_and_labels_are_stratified_too(task, tmp_path):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"a": rng.normal(size=600), "y": rng.exponential(size=600)})
    targets = ("y",)
    if task == "multilabel":
        frame = frame.assign(y=rng.random(600) < 0.3, z=rng.random(600) < 0.5)
        targets = ("y", "z")
    tests, found = folds_of(frame, tmp_path, 4, task=task, targets=targets)
    assert_partition(tests, found)
    means = frame[~tests].groupby(validates_in(found)[~tests])[list(targets)].mean()
    assert (means.max() / means.min()).max() < 1.1


@property_of
@given(seed=seeds, folds=counts_of_folds, task=st.sampled_from(["classification", "regression"]))
def test_a_row_keeps_its_fold_when_rows_and_columns_are_reordered(seed, folds, task, tmp_path):
    frame = classes_frame([20, 30, 41]).assign(b=np.arange(91) % 7)
    order = np.random.default_rng(seed % 1000).permutation(91)
    parameters = SplitParameters(seed=seed)
    _, before = folds_of(frame, tmp_path, folds, parameters, task=task)
    moved = frame.iloc[order][["y", "b", "a"]].reset_index(drop=True)
    _, after = folds_of(moved, tmp_path, folds, parameters, task=task)
    assert np.array_equal(np.array(after), np.array(before)[:, order])


def test_most_rows_keep_their_fold_when_the_file_has_grown(tmp_path):
    grown = classes_frame([800, 800, 800], seed=5)
    before, after = (folds_of(frame, tmp_path, 3, task="classification") for frame in (grown[:2000], grown))
    stay = ~before[0] & ~after[0][:2000]
    assert (validates_in(before[1])[stay] == validates_in(after[1])[:2000][stay]).mean() > 0.9


def test_another_seed_cuts_other_folds(tmp_path):
    frame = classes_frame([100, 100])
    one, two = (
        folds_of(frame, tmp_path, 2, SplitParameters(seed=seed), task="classification")[1][0] == VALIDATION
        for seed in (1, 2)
    )
    assert 0.3 < (one & two).sum() / one.sum() < 0.7


def test_copies_of_a_row_stay_together(tmp_path):
    frame = classes_frame([100, 100])
    thrice = frame.iloc[np.tile(np.arange(200), 3)].reset_index(drop=True)
    tests, found = folds_of(thrice, tmp_path, 3, task="classification")
    assert_partition(tests, found)
    assert pd.Series(validates_in(found)).groupby(thrice["a"]).nunique().max() == 1


@property_of
@given(sizes=st.lists(st.integers(1, 30), min_size=10, max_size=25), folds=counts_of_folds, seed=seeds)
def test_a_group_validates_as_a_whole_and_every_fold_has_one(sizes, folds, seed, tmp_path):
    rng = np.random.default_rng(1)
    owner = rng.permutation(np.repeat(np.arange(len(sizes)), sizes))
    frame = pd.DataFrame({"a": rng.normal(size=len(owner)), "owner": owner, "y": rng.normal(size=len(owner))})
    # So that the rows that do not test are at least six groups.
    parameters = SplitParameters(by="group", column="owner", test=0.05, validation=0.05, seed=seed)
    assume(len(set(owner[~folds_of(frame, tmp_path, 2, parameters)[0]])) >= folds)
    tests, found = folds_of(frame, tmp_path, folds, parameters)
    assert_partition(tests, found)
    assert pd.Series(validates_in(found)[~tests]).groupby(owner[~tests]).nunique().max() == 1
    assert all((parts == VALIDATION).any() for parts in found)


@property_of
@given(times=st.lists(st.integers(0, 40), min_size=30, max_size=80, unique_by=lambda t: t * 2), folds=st.integers(2, 4))
def test_no_fold_trains_on_what_came_later(times, folds, tmp_path):
    column = np.random.default_rng(0).permutation(np.repeat(times, 2))
    frame = pd.DataFrame({"a": np.random.default_rng(0).normal(size=len(column)), "t": column, "y": 0.5})
    tests, found = folds_of(frame, tmp_path, folds, SplitParameters(by="time", column="t"))
    for parts, later in zip(found, [*found[1:], None], strict=True):
        assert column[parts == TRAIN].max() < column[parts == VALIDATION].min()
        assert (parts[tests] == LEFT_OUT).all()
        if later is not None:
            # The next fold trains on all that this one has seen, and on nothing else.
            assert np.array_equal(later == TRAIN, (parts == TRAIN) | (parts == VALIDATION))
    assert column[found[-1] == VALIDATION].max() < column[tests].min()


def test_folds_by_time_are_those_of_scikit_learn(tmp_path):
    rng = np.random.default_rng(3)
    frame = pd.DataFrame({"t": rng.permutation(200) / 7, "y": rng.normal(size=200)})
    # 160 rows do not test: four blocks of forty.
    tests, found = folds_of(frame, tmp_path, 3, SplitParameters(by="time", column="t", test=0.2))
    order = np.argsort(frame["t"].to_numpy())[:160]
    assert (~tests[order]).all()
    for parts, (training, validating) in zip(found, TimeSeriesSplit(3).split(order), strict=True):
        assert set(np.flatnonzero(parts == TRAIN)) == set(order[training])
        assert set(np.flatnonzero(parts == VALIDATION)) == set(order[validating])


def test_of_a_column_that_marks_the_test_rows_the_others_are_drawn(tmp_path):
    frame = classes_frame([20, 20]).assign(part=["train", "test", "train", "train"] * 10)
    parameters = SplitParameters(by="column", column="part")
    tests, found = folds_of(frame, tmp_path, 3, parameters, task="classification")
    assert np.array_equal(tests, frame["part"] == "test")
    assert_partition(tests, found)


def test_a_source_with_test_rows_of_its_own_keeps_them(tmp_path):
    own = np.arange(36) % 6 == 5
    frame = classes_frame([12, 12, 12])
    tests, found = folds_of(frame, tmp_path, 2, task="classification", test_rows=own)
    assert np.array_equal(tests, own)
    assert_partition(tests, found)


LATE = ["early"] * 16 + ["late"] * 24


@pytest.mark.parametrize(
    ("split", "folds", "target", "message"),
    [
        (
            SplitParameters(),
            4,
            ["many"] * 36 + ["few"] * 4,
            r"t\.csv: class 'few' of target 'y' has 3 rows that do not test, and 4 folds need one each; add rows, ask",
        ),
        (
            SplitParameters(by="group", column="shop"),
            9,
            LATE,
            r"column 'shop' has \d groups in the rows that do not test, and 9 folds need 9; ask for fewer folds",
        ),
        (
            SplitParameters(by="time", column="week"),
            9,
            LATE,
            r"column 'week' has \d different values in the rows that do not test, and 9 folds need 10; ask for fewer",
        ),
        (
            SplitParameters(by="time", column="week"),
            4,
            LATE,
            r"class 'late' of target 'y' has no row to train on in fold 1 of 4; ask for fewer folds, split otherwise",
        ),
        (
            SplitParameters(by="column", column="part"),
            2,
            LATE,
            r"column 'part' says which rows validate, so there are no folds to draw; leave folds out of the space, or",
        ),
    ],
)
def test_what_cannot_be_cut_into_folds_is_one_line(split, folds, target, message, tmp_path):
    frame = pd.DataFrame(
        {
            "a": np.arange(40.0),
            "week": np.arange(40) // 4,
            "shop": np.arange(40) % 9,
            "part": ["train", "validation", "test", "train"] * 10,
            "y": target,
        }
    )
    with pytest.raises(TableError, match=message) as raised:
        folds_of(frame, tmp_path, folds, split, task="classification")
    assert "\n" not in str(raised.value)


def test_a_label_that_hardly_a_row_has_is_cut_as_it_is_split(tmp_path):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"a": rng.normal(size=60), "y": rng.random(60) < 0.5, "z": np.arange(60) == 7})
    assert_partition(*folds_of(frame, tmp_path, 3, task="multilabel", targets=("y", "z")))


def test_more_folds_than_rows_are_refused(tmp_path):
    frame = pd.DataFrame({"a": np.arange(12.0), "y": np.arange(12) / 3})
    with pytest.raises(
        TableError, match=r"t\.csv: 10 rows do not test, too few for 11 folds; add rows or ask for fewer"
    ):
        folds_of(frame, tmp_path, 11)
