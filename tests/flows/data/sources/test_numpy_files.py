"""NumPy's files: matrices, structured arrays, x and y, named columns; pickles are refused and never unpickled."""

import io
import pickle
from datetime import date, datetime

import numpy as np
import pytest

from flows.data.sources import open_source
from flows.errors import SourceError, TableError
from tests.flows.data.sources.reading import read, types

RNG = np.random.default_rng(0)
MATRIX = RNG.normal(size=(50, 3))


def matrix(table, columns) -> np.ndarray:
    return table.select(columns).to_pandas().to_numpy()


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", ["<f8", ">f8", "<f4", "<f2", ">i2", "u1", "?"])
def test_the_columns_of_a_matrix_are_numbered(order, dtype, tmp_path):
    stored = np.asarray(MATRIX * 3, dtype=dtype, order=order)
    np.save(tmp_path / "m.npy", stored)
    source, table = read(str(tmp_path / "m.npy"))
    assert (source.name, source.targets) == ("m", None)
    assert table.column_names == ["column_0", "column_1", "column_2"]
    assert np.array_equal(matrix(table, table.column_names), stored)


def test_a_matrix_of_many_rows_comes_in_pieces(tmp_path):
    for order in "CF":
        stored = np.asarray(RNG.normal(size=(200_000, 5)), order=order)
        np.save(tmp_path / "m.npy", stored)
        source, table = read(str(tmp_path / "m.npy"))
        assert np.array_equal(matrix(table, table.column_names), stored)
        assert max(batch.nbytes for batch in source.batches()) <= 5 * 2**20


def test_the_fields_of_a_structured_array_are_columns(tmp_path):
    rows = [(1.5, 2, "oak", b"elm", "2026-11-01", "2026-11-01T10:00"), (np.nan, 3, "", b"", "NaT", "NaT")]
    kinds = [("a", ">f4"), ("größe", "i8"), ("t", "U5"), ("s", "S5"), ("day", "M8[D]"), ("at", "M8[m]")]
    np.save(tmp_path / "r.npy", np.array(rows, dtype=kinds))
    table = read(str(tmp_path / "r.npy"))[1]
    assert types(table) == {
        "a": "float",
        "größe": "int64",
        "t": "string",
        "s": "string",
        "day": "date32[day]",
        "at": "timestamp[us]",
    }
    assert table["t"].to_pylist() == ["oak", ""]
    assert table["s"].to_pylist() == ["elm", ""]
    assert table["day"].to_pylist() == [date(2026, 11, 1), None]
    assert table["at"].to_pylist() == [datetime(2026, 11, 1, 10), None]


@pytest.mark.filterwarnings("ignore:Stored array in format 3.0")
def test_names_beyond_latin_1_are_kept(tmp_path):
    np.save(tmp_path / "r.npy", np.array([(1, 2)], dtype=[("高さ", "i4"), ("y", "i4")]))
    assert read(str(tmp_path / "r.npy"))[1].column_names == ["高さ", "y"]


@pytest.mark.parametrize("names", [("x", "y"), ("X", "y"), ("X", "Y")])
@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize("order", ["C", "F"])
def test_x_and_y_are_features_and_target(names, save, order, tmp_path):
    labels = np.array(["oak", "elm"] * 25)
    save(tmp_path / "trees.npz", **dict(zip(names, (np.asarray(MATRIX, order=order), labels), strict=True)))
    source, table = read(str(tmp_path / "trees.npz"))
    assert source.targets == ("y",)
    assert not source.pixels
    assert np.array_equal(matrix(table, ["column_0", "column_1", "column_2"]), MATRIX)
    assert table["y"].to_pylist() == labels.tolist()


def test_several_targets_are_numbered(tmp_path):
    np.savez(tmp_path / "trees.npz", X=MATRIX, y=MATRIX[:, :2])
    source, table = read(str(tmp_path / "trees.npz"))
    assert source.targets == ("y_0", "y_1")
    assert np.array_equal(matrix(table, ["y_0", "y_1"]), MATRIX[:, :2])


@pytest.mark.parametrize("order", ["C", "F"])
def test_images_with_a_test_split_are_pixels_with_test_rows(order, tmp_path):
    images = np.asarray(RNG.integers(0, 256, (36, 4, 3, 2), dtype=np.uint8), order=order)
    labels = np.arange(36) % 3
    np.savez_compressed(
        tmp_path / "mnist.npz", x_train=images[:30], y_train=labels[:30], x_test=images[30:], y_test=labels[30:]
    )
    source, table = read(str(tmp_path / "mnist.npz"))
    assert source.pixels
    assert source.targets == ("y",)
    assert np.flatnonzero(source.test_rows).tolist() == [30, 31, 32, 33, 34, 35]
    assert np.array_equal(matrix(table, [f"pixel_{i}" for i in range(24)]), images.reshape(36, -1))
    assert set(types(table).values()) == {"uint8", "int64"}


def test_other_arrays_are_columns_under_their_names(tmp_path):
    np.savez(tmp_path / "trees.npz", height=MATRIX[:, 0], kind=np.array(["oak", "elm"] * 25), wild=MATRIX[:, 1] > 0)
    source, table = read(str(tmp_path / "trees.npz"))
    assert source.targets is None
    assert types(table) == {"height": "double", "kind": "string", "wild": "bool"}


class Bomb:
    """Sets a trap for whoever unpickles it."""

    def __reduce__(self):
        return exec, ("raise SystemExit('unpickled')",)


@pytest.mark.parametrize("save", [np.save, np.savez])
def test_pickled_objects_are_refused_and_never_unpickled(save, tmp_path):
    path = tmp_path / f"bomb.{'npy' if save is np.save else 'npz'}"
    save(path, np.array([Bomb(), None], dtype=object))
    assert b"SystemExit" in path.read_bytes()
    with pytest.raises(TableError, match="holds pickled Python objects, which are never unpickled; save it again"):
        open_source(str(path))


def test_a_pickle_under_the_name_of_an_array_is_refused_and_never_unpickled(tmp_path):
    for name in ("bomb.npy", "bomb.npz"):
        (tmp_path / name).write_bytes(pickle.dumps(Bomb()))
        with pytest.raises(SourceError, match="truncated or damaged"):
            open_source(str(tmp_path / name))


FAULTS = {
    "three dimensions": ("a.npy", np.zeros((2, 3, 4)), TableError, "3 dimensions and a table two; reshape"),
    "one value": ("a.npy", np.array(1.0), TableError, "single value"),
    "complex numbers": ("a.npy", np.zeros((2, 2), complex), TableError, "holds complex128 values"),
    "durations": ("a.npy", np.zeros((2, 2), "m8[s]"), TableError, "holds timedelta64"),
    "a field of several values": ("a.npy", np.zeros(3, [("a", "f4", 2)]), TableError, "array 'a' holds"),
    "no rows": ("a.npy", np.zeros((0, 3)), SourceError, "no rows"),
    "bytes that are no text": ("a.npy", np.array([[b"\xff"], [b"a"]]), SourceError, "damaged"),
    "rows that differ": ("a.npz", {"x": np.zeros((4, 2)), "y": np.zeros(3)}, SourceError, "x has 4 rows and y 3"),
    "features in one column": ("a.npz", {"x": np.zeros(4), "y": np.zeros(4)}, TableError, "x is (4,) and y (4,)"),
    "a matrix among columns": ("a.npz", {"a": np.zeros(4), "b": np.zeros((4, 2))}, TableError, "'b' is (4, 2) and no"),
    "no arrays": ("a.npz", {}, SourceError, "there is no array"),
    "test images of another size": (
        "a.npz",
        {"x_train": np.zeros((4, 2)), "y_train": np.zeros(4), "x_test": np.zeros((4, 3)), "y_test": np.zeros(4)},
        SourceError,
        "x_train is float64 (4, 2) and x_test float64 (4, 3)",
    ),
}


@pytest.mark.parametrize(("name", "content", "kind", "part"), FAULTS.values(), ids=FAULTS)
def test_arrays_that_are_no_table_are_refused(name, content, kind, part, tmp_path):
    path = tmp_path / name
    np.savez(path, **content) if isinstance(content, dict) else np.save(path, content)
    with pytest.raises(kind) as raised:
        read(str(path))
    assert str(path) in str(raised.value)
    assert part in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("name", ["whole.npy", "whole.npz", "packed.npz"])
def test_a_file_cut_anywhere_is_refused(name, tmp_path):
    buffer = io.BytesIO()
    if name == "whole.npy":
        np.save(buffer, MATRIX)
    else:
        (np.savez if name == "whole.npz" else np.savez_compressed)(buffer, x=MATRIX, y=MATRIX[:, 0])
    whole = buffer.getvalue()
    path = tmp_path / name
    for length in range(1, len(whole), 59):
        path.write_bytes(whole[:length])
        with pytest.raises(SourceError, match=r"truncated or damaged: .*; save the file again"):
            read(str(path))


def test_a_byte_changed_in_an_archive_leads_to_a_table_or_to_one_line(tmp_path):
    np.savez_compressed(tmp_path / "a.npz", x=MATRIX, y=MATRIX[:, 0])
    whole = (tmp_path / "a.npz").read_bytes()
    messages = []
    for position in range(0, len(whole), 7):
        changed = bytearray(whole)
        changed[position] ^= 0x55
        (tmp_path / "a.npz").write_bytes(changed)
        try:
            read(str(tmp_path / "a.npz"))
        except (SourceError, TableError) as error:
            messages.append(str(error))
    assert len(messages) > len(whole) / 7 / 2
    assert [message for message in messages if "\n" in message] == []
