"""What a network puts out, in the words of the data: the other end of a preparation, and like it part of a model."""

from typing import TypeAlias

import numpy as np
import pandas as pd

from flows.data.preparation import Preparation, label_array

Predictions: TypeAlias = np.ndarray | pd.DataFrame
"""Of one target an array, of several a frame."""


def predictions(preparation: Preparation, outputs: np.ndarray) -> Predictions:
    """Return what is predicted for each row.

    Parameters
    ----------
    outputs : (N, C) array
        Probabilities of classes or of labels, or standardised quantities.

    Returns
    -------
    numpy.ndarray or pandas.DataFrame
        (N,) labels of a classification, or values of a single quantity in its unit. Several targets are a frame of a
        column each: quantities in their units, or 1 and 0.
    """
    if preparation.classes is not None:
        return preparation.restore_target(outputs.argmax(axis=1))
    # float64 before the unit is restored: float32 would round a target of large numbers.
    values = outputs.astype(np.float64)
    is_one_quantity = preparation.task == "regression" and len(preparation.targets) == 1
    return preparation.restore_target(values[:, 0] if is_one_quantity else values)


def probabilities(preparation: Preparation, outputs: np.ndarray) -> pd.DataFrame:
    """Return (N, C) probabilities as a frame, with a column for each class, or for each label of several."""
    names = preparation.targets if preparation.classes is None else label_array(preparation.classes)
    return pd.DataFrame(outputs, columns=[str(name) for name in names])
