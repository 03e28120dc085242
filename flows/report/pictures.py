"""Rows and weights as small pictures, where the inputs of a network are the pixels of images."""

import base64
import io
import re

import numpy as np
import numpy.typing as npt
from PIL import Image

from flows.data.preparation import Preparation

_ROW_AND_COLUMN = re.compile(r".*?(\d+)_(\d+)")

LOW, MIDDLE, HIGH = (0, 114, 178), (247, 247, 247), (213, 94, 0)
"""Colours of negative weights, of 0, and of positive ones: blue, white and vermilion of Okabe and Ito."""


def image_shape(preparation: Preparation) -> tuple[int, int] | None:
    """Return height and width of the images that rows are; None if they are none, or not of a known shape.

    The columns are named by row and column of a pixel, or they are as many as a square has.
    """
    if preparation.pixels is None:
        return None
    names = preparation.pixels.columns
    places = [_ROW_AND_COLUMN.fullmatch(name) for name in names]
    if all(places):
        rows, columns = (max(int(place[part]) for place in places if place) + 1 for part in (1, 2))
        if rows * columns == len(names):
            return rows, columns
    side = round(len(names) ** 0.5)
    return (side, side) if side * side == len(names) else None


def grey_image(pixels: npt.NDArray[np.float64], shape: tuple[int, int]) -> str:
    """Return pixels, from the least of them to the largest, as the address of a picture in black and white."""
    values = np.asarray(pixels, dtype=np.float64).reshape(shape)
    least, spread = values.min(), np.ptp(values)
    return png((255 * (values - least) / (spread if spread else 1.0)).astype(np.uint8))


def signed_image(weights: npt.NDArray[np.float64], shape: tuple[int, int]) -> str:
    """Return weights as the address of a picture: blue is negative, white 0, vermilion positive."""
    values = np.asarray(weights, dtype=np.float64).reshape(*shape, 1)
    most = np.abs(values).max() or 1.0
    far = np.array(np.where(values < 0, LOW, HIGH))
    return png((np.array(MIDDLE) + np.abs(values) / most * (far - np.array(MIDDLE))).astype(np.uint8))


def png(pixels: npt.NDArray[np.uint8]) -> str:
    """Return pixels, uint8 (H, W) or (H, W, 3), as a data URL of a PNG (ISO/IEC 15948)."""
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(content.getvalue()).decode()
