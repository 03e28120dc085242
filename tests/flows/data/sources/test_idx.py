import gzip
import struct

import numpy as np
import pytest

from flows.data.sources import open_source
from flows.data.sources.idx import read_pair
from flows.errors import SourceError
from tests.flows.data.sources.reading import read

PIXELS = np.random.default_rng(0).integers(0, 256, size=(36, 2, 3), dtype=np.uint8)


@pytest.fixture
def shapes(tmp_path):
    """The four files of a small data set: 2 x 3 pixels, ten training and two test images a class."""
    directory = tmp_path / "shapes"
    directory.mkdir()
    labels = np.arange(36, dtype=np.uint8) % 3
    for part, rows in (("train", slice(0, 30)), ("t10k", slice(30, 36))):
        count = len(labels[rows])
        images = struct.pack(">4I", 0x803, count, 2, 3) + PIXELS[rows].tobytes()
        (directory / f"{part}-images-idx3-ubyte").write_bytes(images)
        (directory / f"{part}-labels-idx1-ubyte").write_bytes(struct.pack(">2I", 0x801, count) + labels[rows].tobytes())
    return directory


def compress(directory):
    for path in list(directory.iterdir()):
        path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()


@pytest.mark.parametrize("compressed", [False, True])
def test_idx_files_are_read_plain_or_gzipped(compressed, shapes):
    if compressed:
        compress(shapes)
    source, table = read(f"idx:{shapes}")
    assert (source.name, source.uri, source.targets, source.pixels) == ("shapes", f"idx:{shapes}", ("label",), True)
    assert np.array_equal(table.drop_columns("label").to_pandas().to_numpy(), PIXELS.reshape(36, -1))
    assert {str(field.type) for field in table.schema} == {"uint8", "int64"}
    assert table["label"].to_pylist() == [0, 1, 2] * 12
    assert np.flatnonzero(source.test_rows).tolist() == [30, 31, 32, 33, 34, 35]
    images, labels = read_pair(shapes, "t10k")
    assert np.array_equal(images, PIXELS[30:])
    assert labels.tolist() == [0, 1, 2] * 2


def damage(directory, how: str) -> str:
    """Damage one of four IDX files and return its name."""
    images, labels = directory / "train-images-idx3-ubyte", directory / "t10k-labels-idx1-ubyte"
    whole = images.read_bytes()
    if how == "missing":
        labels.unlink()
        return labels.name
    if how == "labels too short":
        labels.write_bytes(labels.read_bytes()[:-1])
        return labels.name
    if how == "counts differ":
        labels.write_bytes(struct.pack(">2I", 0x801, 5) + bytes(5))
        return labels.name
    if "gzip" in how:
        images.unlink()
        packed = {
            "truncated gzip": gzip.compress(whole)[:-20],
            "not gzip": whole,
            "too short under gzip": gzip.compress(whole[:-1]),
            "too long under gzip": gzip.compress(whole + b"\0"),
            "terabytes under gzip": gzip.compress(struct.pack(">4I", 0x803, 30, 2**16, 2**16)),
        }
        images.with_name(f"{images.name}.gz").write_bytes(packed[how])
        return f"{images.name}.gz"
    images.write_bytes(
        {
            "truncated": whole[:-1],
            "too long": whole + b"\0",
            "no whole header": whole[:7],
            "labels in place of images": struct.pack(">2I", 0x801, 1) + b"\0",
            "a header that claims terabytes": struct.pack(">4I", 0x803, 2**32 - 1, 2**32 - 1, 2**32 - 1) + b"\0",
            "no images": struct.pack(">4I", 0x803, 0, 2, 3),
            "images of another size": struct.pack(">4I", 0x803, 30, 3, 2) + whole[16:],
        }[how]
    )
    return images.name


@pytest.mark.parametrize(
    ("how", "part"),
    [
        ("missing", "is missing"),
        ("labels too short", "announces 6 values and 5 follow"),
        ("truncated gzip", "cannot be read"),
        ("not gzip", "cannot be read"),
        ("too short under gzip", "announces 180 values and 179 follow"),
        ("too long under gzip", "announces 180 values and 181 follow"),
        ("terabytes under gzip", "65536 x 65536 pixels"),
        ("counts differ", "6 images and t10k-labels-idx1-ubyte 5 labels"),
        ("truncated", "announces 180 values and 179 follow"),
        ("too long", "announces 180 values and 181 follow"),
        ("no whole header", "7 bytes are less than a header"),
        ("labels in place of images", "magic number 0x0801 where 0x0803 belongs"),
        ("a header that claims terabytes", "and 1 follow"),
        ("no images", "announces 0 values"),
        ("images of another size", "3 x 2 pixels and the test images 2 x 3"),
    ],
)
def test_a_damaged_file_is_refused_by_its_name(how, part, shapes):
    name = damage(shapes, how)
    with pytest.raises(SourceError) as raised:
        read(f"idx:{shapes}")
    message = str(raised.value)
    assert part in message
    assert str(shapes) in message
    assert name in message or how == "images of another size"
    assert "\n" not in message


def test_a_directory_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(SourceError, match=r"^idx:.*nowhere: no such directory; give the one that holds the four IDX"):
        open_source(f"idx:{tmp_path / 'nowhere'}")


def test_images_that_change_while_they_are_read_are_refused(shapes):
    batches = open_source(f"idx:{shapes}").batches()
    (shapes / "train-images-idx3-ubyte").touch()
    with pytest.raises(SourceError, match="changed while it was read"):
        list(batches)


def test_the_real_fashion_mnist_has_ten_classes_of_seven_thousand_images(fashion_mnist):
    source, table = read(fashion_mnist)
    pixels = table.drop_columns("label").to_pandas().to_numpy()
    assert pixels.shape == (70_000, 784)
    assert table["label"].to_pandas().value_counts().to_dict() == dict.fromkeys(range(10), 7_000)
    assert source.test_rows.sum() == 10_000
    # The known mean and deviation of the training pixels, as fractions of 255.
    train = pixels[:60_000]
    assert train.mean() / 255 == pytest.approx(0.2860, abs=1e-4)
    assert train.std() / 255 == pytest.approx(0.3530, abs=1e-4)
