from pathlib import Path

import pytest

from flows.data.whole import appearing_whole


def test_a_directory_appears_when_the_block_ends(tmp_path):
    destination = tmp_path / "new" / "place"
    with appearing_whole(destination) as directory:
        (directory / "file").write_text("content")
        assert not destination.exists()
    assert (destination / "file").read_text() == "content"
    assert list(destination.parent.iterdir()) == [destination]


def test_others_may_read_it_as_they_may_read_any_new_directory(tmp_path):
    (tmp_path / "ordinary").mkdir()
    with appearing_whole(tmp_path / "place"):
        pass
    assert (tmp_path / "place").stat().st_mode == (tmp_path / "ordinary").stat().st_mode


@pytest.mark.parametrize("error", [OSError("disk full"), KeyboardInterrupt(), ValueError("wrong")])
def test_nothing_is_left_after_an_error(error, tmp_path):
    def write(directory: Path) -> None:
        (directory / "half").write_text("content")
        raise error

    with pytest.raises(type(error)), appearing_whole(tmp_path / "place") as directory:
        write(directory)
    assert list(tmp_path.iterdir()) == []


def test_where_another_was_faster_its_directory_stays_and_ours_goes(tmp_path):
    destination = tmp_path / "place"
    with appearing_whole(destination) as directory:
        (directory / "file").write_text("ours")
        with appearing_whole(destination) as other:
            (other / "file").write_text("theirs")
    assert (destination / "file").read_text() == "theirs"
    assert list(tmp_path.iterdir()) == [destination]


def test_a_file_in_the_way_is_an_error_and_stays(tmp_path):
    destination = tmp_path / "place"
    destination.write_text("in the way")
    with pytest.raises(OSError, match="Not a directory"), appearing_whole(destination):
        pass
    assert list(tmp_path.iterdir()) == [destination]
    assert destination.read_text() == "in the way"
