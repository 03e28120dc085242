"""What the rows train on: scikit-learn's digits, and the training images of Fashion-MNIST."""

from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

DataName = Literal["digits", "fashion"]
FASHION = Path("/usr/share/datasets/fashion-mnist")


class MissingDataError(RuntimeError):
    """A data set is not on this machine."""


class Data(NamedTuple):
    """Features in [0, 1], or standardised, (N, D) float32; and the class of every sample, (N,) int64."""

    x: npt.NDArray[np.float32]
    codes: npt.NDArray[np.int64]


def load(name: DataName, samples: int | None, *, dense: bool) -> Data:
    """Return the first samples of a data set.

    Parameters
    ----------
    samples : int or None
        None for all.
    dense : bool
        Standardise the columns. About half of the pixels of both sets are 0, and training may skip what is
        multiplied by 0; of a standardised column no value is.

    Raises
    ------
    MissingDataError
        The files of Fashion-MNIST are not there.
    """
    x, codes = _digits() if name == "digits" else _fashion()
    x, codes = x[:samples], codes[:samples]
    if dense:
        deviation = x.std(axis=0)
        x = (x - x.mean(axis=0)) / np.where(deviation == 0, 1, deviation)
    return Data(np.ascontiguousarray(x, "float32"), np.ascontiguousarray(codes, "int64"))


def _digits() -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    from sklearn.datasets import load_digits

    x, codes = load_digits(return_X_y=True)
    return x / 16, codes


def _fashion() -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    from flows.data.sources.idx import read_pair
    from flows.errors import SourceError

    try:
        images, labels = read_pair(FASHION, "train")
    except SourceError as error:
        raise MissingDataError(str(error)) from error
    return images.reshape(len(images), -1) / 255, labels
