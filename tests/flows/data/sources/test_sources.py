import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_digits, load_wine

from flows.data.sources import read_source

ROWS = "y,a,b\n" + "".join(f"{'no' if i % 2 else 'yes'},{i},{i / 2}\n" for i in range(12))


def test_built_in_classes_come_under_their_original_names():
    wine = read_source("wine", None)
    expected = load_wine()
    assert wine.target.tolist() == [expected.target_names[code] for code in expected.target]
    assert set(wine.target) == {"class_0", "class_1", "class_2"}
    assert set(read_source("breast_cancer", None).target) == {"benign", "malignant"}


def test_digits_are_pixels_with_whole_numbers_for_labels():
    digits = read_source("digits", None)
    pixels, labels = load_digits(return_X_y=True)
    assert np.array_equal(digits.features.to_numpy(), pixels)
    assert digits.target.tolist() == labels.tolist()
    assert digits.target.dtype.kind == "i"
    assert digits.shared_scale
    assert digits.uri == "sklearn:digits"
    assert digits.is_test is None


def test_diabetes_keeps_its_target_in_its_own_units():
    diabetes = read_source("diabetes", None)
    assert (diabetes.target.min(), diabetes.target.max()) == (25.0, 346.0)
    assert diabetes.features.shape == (442, 10)
    assert not diabetes.shared_scale


@pytest.mark.parametrize("start", ["", "\ufeff"], ids=["plain", "byte order mark"])
@pytest.mark.parametrize("newline", ["\n", "\r\n"], ids=["LF", "CRLF"])
def test_csv_files_are_read_with_and_without_a_byte_order_mark(start, newline, tmp_path):
    path = tmp_path / "plants.csv"
    path.write_text(start + ROWS + "\n", encoding="utf-8", newline=newline)
    table = read_source(str(path), "y")
    assert (table.name, table.uri) == ("plants", str(path))
    assert list(table.features) == ["a", "b"]
    assert table.features["b"].tolist() == [i / 2 for i in range(12)]
    assert table.target.name == "y"
    assert table.target.tolist() == ["yes", "no"] * 6
    assert table.locate(5) == "line 7"


def test_a_column_has_one_type_from_its_first_row_to_its_last(tmp_path):
    path = tmp_path / "plants.csv"
    path.write_text("a,y\n" + "1,0\n" * 300_000 + "1,none of these\n" * 3)
    assert set(read_source(str(path), "y").target) == {"0", "none of these"}


def test_the_line_of_a_row_counts_blank_lines_and_line_breaks_in_quotes(tmp_path):
    path = tmp_path / "plants.csv"
    path.write_text('a,y\n1,"two\nlines"\n\n   \n2,one\n', newline="")
    table = read_source(str(path), "y")
    assert [table.locate(row) for row in range(len(table.target))] == ["line 3", "line 6"]


def test_the_line_of_a_row_is_estimated_where_a_field_is_too_long_for_the_csv_module(tmp_path):
    path = tmp_path / "plants.csv"
    path.write_text("a,y\n1,short\n2," + "x" * 200_000 + "\n3,short\n")
    assert read_source(str(path), "y").locate(2) == "line 4"


def test_parquet_files_leave_out_the_unnamed_index_that_filtering_leaves_behind(tmp_path):
    frame = pd.DataFrame({"a": np.arange(20.0), "b": np.arange(20), "y": pd.Categorical(["u", "v"] * 10)})
    frame[frame["a"] > 3].to_parquet(tmp_path / "plants.parquet")
    table = read_source(str(tmp_path / "plants.parquet"), "y")
    assert list(table.features) == ["a", "b"]
    assert table.features["a"].tolist() == list(np.arange(4.0, 20.0))
    assert table.target.tolist() == ["u", "v"] * 8
    assert table.locate(5) == "row 6"


@pytest.mark.parametrize("compressed", [False, True])
def test_idx_files_are_read_plain_or_gzipped(compressed, write_idx):
    directory = write_idx(compressed)
    table = read_source(f"idx:{directory}", None)
    pixels = np.random.default_rng(0).integers(0, 256, size=(36, 6), dtype=np.uint8)
    assert np.array_equal(table.features.to_numpy(), pixels)
    assert table.features.to_numpy().dtype == np.uint8
    assert table.target.tolist() == [0, 1, 2] * 12
    assert table.is_test is not None
    assert np.flatnonzero(table.is_test).tolist() == [30, 31, 32, 33, 34, 35]
    assert (table.name, table.uri, table.shared_scale) == ("shapes", f"idx:{directory}", True)


def test_the_real_fashion_mnist_has_ten_classes_of_seven_thousand_images(fashion_mnist):
    table = read_source(fashion_mnist, None)
    assert table.features.shape == (70_000, 784)
    assert table.target.value_counts().to_dict() == dict.fromkeys(range(10), 7_000)
    assert table.is_test is not None
    assert table.is_test.sum() == 10_000
    # The known mean and deviation of the training pixels, as fractions of 255.
    train = table.features.to_numpy()[:60_000]
    assert train.mean() / 255 == pytest.approx(0.2860, abs=1e-4)
    assert train.std() / 255 == pytest.approx(0.3530, abs=1e-4)
