"""What can be told before reading is told by `check_source`, in the words of `read_source`."""

from pathlib import Path

import pytest

from flows.data.sources import check_source, read_source
from flows.errors import InputError


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("data", "target"),
    [
        ("missing.csv", "y"),
        ("missing.parquet", "y"),
        ("digit", None),
        ("wine", "class"),
        ("idx:missing", None),
        ("idx:.", None),
        ("empty.csv", "y"),
        ("table.csv", None),
        ("table.csv", "z"),
    ],
)
def test_what_would_be_refused_is_refused_before_reading(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data: str, target: str | None
) -> None:
    monkeypatch.chdir(tmp_path)
    write(Path("empty.csv"), "")
    write(Path("table.csv"), "x,y\n1,2\n")

    with pytest.raises(InputError) as checked:
        check_source(data, target)
    with pytest.raises(InputError) as read:
        read_source(data, target)

    assert str(checked.value) == str(read.value)
    assert type(checked.value) is type(read.value)


def test_a_sound_source_passes(tmp_path: Path) -> None:
    check_source(str(write(tmp_path / "table.csv", "x,y\n1,2\n")), "y")
    check_source("digits", None)
