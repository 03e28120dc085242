"""What a network puts out, in the words of the data: the other end of a preparation, and like it part of a model."""

from typing import TypeAlias

import numpy as np
import pandas as pd

from flows.data.preparation import Preparation, label_array

Predictions: TypeAlias = np.ndarray | pd.DataFrame
"""Of one target an array, of several a frame."""


PROBABILITY = "probability_"
"""How the names of columns of probabilities begin; the class or label follows."""


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


def probability_names(preparation: Preparation) -> list[str]:
    """Return the names of probabilities, ``probability_`` and the class or label; there are none of quantities."""
    if preparation.task == "regression":
        return []
    names = preparation.targets if preparation.classes is None else label_array(preparation.classes).tolist()
    return [f"{PROBABILITY}{name}" for name in names]


def probabilities(preparation: Preparation, outputs: np.ndarray) -> pd.DataFrame:
    """Return (N, C) probabilities as a frame, with a column for each class, or for each label of several."""
    return by_class(pd.DataFrame(outputs, columns=probability_names(preparation)))


def by_class(answered: pd.DataFrame) -> pd.DataFrame:
    """Return the probabilities of what `answer` returns, in columns named as the classes or labels are."""
    return answered.filter(regex=f"^{PROBABILITY}").rename(columns=lambda name: name.removeprefix(PROBABILITY))


def prediction_names(preparation: Preparation) -> list[str]:
    """Return what the columns of predictions are called: ``prediction``, of several targets with the target's name."""
    if len(preparation.targets) == 1 and preparation.task != "multilabel":
        return ["prediction"]
    return [f"prediction_{target}" for target in preparation.targets]


def answer(preparation: Preparation, outputs: np.ndarray) -> pd.DataFrame:
    """Return predictions and, but of quantities, probabilities, as a frame of columns of their own names."""
    said = predictions(preparation, outputs)
    names = prediction_names(preparation)
    frame = said.set_axis(names, axis=1) if isinstance(said, pd.DataFrame) else pd.DataFrame({names[0]: said})
    likely = probability_names(preparation)
    return frame.join(pd.DataFrame(outputs, columns=likely)) if likely else frame
