"""Rows and weights as pictures: the pixels that they are of, in a file that others read."""

import base64
import io

import numpy as np
import pytest
from PIL import Image

from flows.data.encodings import Pixels
from flows.data.preparation import Preparation
from flows.report.pictures import HIGH, LOW, MIDDLE, grey_image, image_shape, png, signed_image


def read(address: str) -> np.ndarray:
    assert address.startswith("data:image/png;base64,")
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(address.partition(",")[2]))))


def images(*names: str) -> Preparation:
    pixels = Pixels(columns=names, shift=0, scale=1)
    return Preparation(task="classification", pixels=pixels, targets=("y",), classes=("a", "b"))


@pytest.mark.parametrize("shape", [(3, 5), (2, 4, 3)])
def test_a_picture_holds_its_pixels(shape: tuple[int, ...]) -> None:
    pixels = np.random.default_rng(0).integers(256, size=shape, dtype=np.uint8)
    assert (read(png(pixels)) == pixels).all()


def test_grey_spans_black_to_white_and_weights_have_the_colour_of_their_sign() -> None:
    assert read(grey_image(np.array([3.0, 5.0, 4.0, 3.0]), (2, 2))).tolist() == [[0, 255], [127, 0]]
    signed = read(signed_image(np.array([-2.0, 0.0, 2.0, 1.0]), (2, 2)))
    assert [tuple(signed[0, 0]), tuple(signed[0, 1]), tuple(signed[1, 0])] == [LOW, MIDDLE, HIGH]
    assert grey_image(np.zeros(4), (2, 2)) == grey_image(np.ones(4), (2, 2))


def test_the_shape_is_in_the_names_or_a_square() -> None:
    assert image_shape(images(*(f"pixel_{i}_{j}" for i in range(2) for j in range(3)))) == (2, 3)
    assert image_shape(images(*(f"pixel_{i}" for i in range(9)))) == (3, 3)
    assert image_shape(images(*(f"pixel_{i}" for i in range(10)))) is None
    assert image_shape(Preparation(task="classification", targets=("y",), classes=("a", "b"))) is None
