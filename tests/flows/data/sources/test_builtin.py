import pytest
from sklearn.datasets import load_digits, load_linnerud, load_wine

from tests.flows.data.sources.reading import read, read_source


def test_built_in_classes_come_under_their_original_names():
    expected = load_wine()
    source, wine = read("wine")
    assert (source.name, source.uri, source.targets) == ("wine", "sklearn:wine", ("target",))
    assert wine["target"].to_pylist() == [expected.target_names[code] for code in expected.target]
    assert set(read("breast_cancer")[1]["target"].to_pylist()) == {"benign", "malignant"}


def test_digits_are_pixels_with_whole_numbers_for_labels():
    pixels, labels = load_digits(return_X_y=True)
    source, digits = read("digits")
    assert source.pixels
    assert source.test_rows is None
    assert (digits.drop_columns("target").to_pandas().to_numpy() == pixels).all()
    assert digits["target"].to_pylist() == labels.tolist()
    assert str(digits.schema.field("target").type) == "int64"


def test_diabetes_keeps_its_target_in_its_own_units():
    source, diabetes = read("diabetes")
    target = diabetes["target"].to_numpy()
    assert (target.min(), target.max()) == (25.0, 346.0)
    assert diabetes.shape == (442, 11)
    assert not source.pixels


def test_linnerud_brings_three_targets():
    source, linnerud = read("linnerud")
    assert source.targets == ("Weight", "Waist", "Pulse")
    assert linnerud.select(list(source.targets)).to_pandas().to_numpy().tolist() == load_linnerud().target.tolist()


@pytest.mark.parametrize("name", ["breast_cancer", "diabetes", "digits", "linnerud", "wine"])
def test_a_built_in_data_set_is_read_as_often_as_one_likes(name):
    source, first = read(name)
    assert first.equals(read_source(source)[1])
