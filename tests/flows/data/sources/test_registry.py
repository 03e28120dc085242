"""What a person wrote leads to the right kind of source, and what can be told before reading is told at once."""

import pytest

from flows.data.sources import Source, open_source, require_targets
from flows.errors import InputError, SourceError, TableError


@pytest.fixture
def plants(tmp_path, monkeypatch) -> str:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "plants.csv").write_text("height,width,kind\n1,2,oak\n")
    return "plants.csv"


def test_a_column_named_as_target_is_the_target(plants):
    assert require_targets(open_source(plants), ("kind",)) == ("kind",)
    assert require_targets(open_source(plants), ("width", "height", "width")) == ("width", "height")


def test_a_target_that_is_not_named_is_asked_for(plants):
    with pytest.raises(TableError, match=r"^plants.csv: which column is the target\? Name it with --target COLUMN "):
        require_targets(open_source(plants), ())


def test_a_misspelt_target_is_answered_with_the_nearest_column(plants):
    with pytest.raises(TableError, match=r"there is no column 'hight'; did you mean --target height\?"):
        require_targets(open_source(plants), ("kind", "hight"))
    with pytest.raises(TableError, match=r"no column 'price'; choose --target from 'height', 'width', 'kind'"):
        require_targets(open_source(plants), ("price",))


def test_a_source_that_brings_its_target_needs_none_and_takes_another_of_its_columns():
    wine = open_source("wine")
    assert require_targets(wine, ()) == ("target",)
    assert require_targets(wine, ("alcohol",)) == ("alcohol",)
    with pytest.raises(SourceError, match=r"^sklearn:wine brings its own target: leave out --target colour$"):
        require_targets(wine, ("colour",))


def test_a_pixel_is_no_target():
    digits = open_source("digits")
    with pytest.raises(SourceError, match="leave out --target pixel_0_1"):
        require_targets(digits, ("pixel_0_1",))


@pytest.mark.parametrize("data", ["missing.csv", "missing.parquet", "digit", "idx:missing", "idx:.", "empty.csv"])
def test_what_would_be_refused_is_refused_before_reading(data, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty.csv").touch()
    with pytest.raises(InputError):
        require_targets(open_source(data), ("y",))


def test_a_sound_source_passes(plants):
    assert require_targets(open_source(plants), ("kind",)) == ("kind",)
    assert require_targets(open_source("digits"), ()) == ("target",)


def test_opening_reads_no_more_than_the_first_rows(tmp_path):
    path = tmp_path / "plants.csv"
    path.write_text("a,y\n" + "1,2\n" * 1_000_000 + "a row with, too, many fields\n")
    assert isinstance(open_source(str(path)), Source)
