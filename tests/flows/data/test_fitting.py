import numpy as np
import pandas as pd
import pytest

from flows.data.fitting import fit_preparation
from flows.data.sources import Table, read_source
from flows.errors import TableError


def test_training_features_come_out_with_mean_zero_and_deviation_one(flowers):
    train = np.arange(0, 90, 2)
    values = fit_preparation(flowers, "classification", train).transform_features(flowers.features, "float64")
    varied = [0, 1, 2]
    assert values[train].mean(axis=0) == pytest.approx(np.zeros(4), abs=1e-12)
    assert values[train][:, varied].std(axis=0) == pytest.approx(np.ones(3))
    assert np.abs(values[1::2].mean(axis=0)[varied]).min() > 1e-6  # what was not trained on is not centred


def test_rows_outside_training_have_no_say_in_the_scale(flowers):
    train = np.arange(90) < 60
    changed = flowers.features.copy()
    changed.loc[60:, "length"] *= 1000
    other = Table(flowers.name, flowers.uri, changed, flowers.target)
    assert fit_preparation(other, "classification", train) == fit_preparation(flowers, "classification", train)


def test_a_mask_and_positions_name_the_same_rows(prices):
    mask = np.arange(200) % 3 == 0
    by_position = fit_preparation(prices, "regression", np.flatnonzero(mask))
    assert fit_preparation(prices, "regression", mask) == by_position


def test_a_constant_column_is_centred_and_not_divided(flowers):
    preparation = fit_preparation(flowers, "classification", np.arange(90))
    assert preparation.scale[3] == 1.0
    assert not preparation.transform_features(flowers.features)[:, 3].any()


def test_classes_are_sorted_and_taken_from_all_rows(flowers):
    preparation = fit_preparation(flowers, "classification", np.arange(30))
    assert preparation.classes == ("daisy", "iris", "rose")
    assert (preparation.target_mean, preparation.target_scale) == (0.0, 1.0)


@pytest.mark.parametrize(
    ("target", "kind"),
    [
        (pd.Series([True, False] * 45), bool),
        (pd.Series([2, 1] * 45), int),
        (pd.Series([2, 1] * 45, dtype="Int64"), int),
        (pd.Series([2.0, 1.0] * 45), float),
        (pd.Series(pd.Categorical(["u", "v"] * 45)), str),
    ],
)
def test_classes_are_plain_python_values_of_the_original_type(target, kind, flowers):
    table = Table("t", "t.csv", flowers.features, target.rename("y"))
    classes = fit_preparation(table, "classification", np.arange(90)).classes
    assert [type(label) for label in classes] == [kind, kind]


def test_a_regression_standardises_its_target(prices):
    train = np.arange(150)
    preparation = fit_preparation(prices, "regression", train)
    values = preparation.transform_target(prices.target)
    assert values[train].mean() == pytest.approx(0.0, abs=1e-9)
    assert values[train].std() == pytest.approx(1.0)
    assert preparation.classes is None


def test_pixels_share_one_mean_and_one_deviation():
    digits = read_source("digits", None)
    train = np.arange(1000)
    preparation = fit_preparation(digits, "classification", train)
    pixels = digits.features.to_numpy()[train]
    assert preparation.mean == pytest.approx((pixels.mean(),))
    assert preparation.scale == pytest.approx((pixels.std(),))


def test_fitting_in_pieces_gives_what_fitting_at_once_gives(prices, monkeypatch):
    at_once = fit_preparation(prices, "regression", np.arange(200))
    monkeypatch.setattr("flows.data.content.CHUNK_BYTES", 3 * 8 * 7)
    in_pieces = fit_preparation(prices, "regression", np.arange(200))
    assert in_pieces.mean == pytest.approx(at_once.mean)
    assert in_pieces.scale == pytest.approx(at_once.scale)


@pytest.mark.parametrize("row", [0, 199], ids=["trained on", "not trained on"])
@pytest.mark.parametrize("value", [-1e155, 1e160, -1e300, 1.7e308])
def test_values_that_cannot_be_standardised_are_refused(value, row, prices):
    features = prices.features.copy()
    features.loc[row, "b"] = value
    table = Table("prices", "prices.csv", features, prices.target)
    with pytest.raises(TableError, match=r"prices\.csv: column 'b' has values too large to standardise"):
        fit_preparation(table, "regression", np.arange(150))
