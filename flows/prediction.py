"""A trained network behind its preparation: raw rows in, what the network says of them out.

It travels with a registered model, so it needs what the core and a preparation need and nothing else.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import pandas as pd

from backprop import Architecture, Backend, Network, Parameters, Samples, load_weights
from flows.data.preparation import Preparation

ROWS_AT_ONCE = 2**14
"""Rows that go through a network together: what its hidden layers keep in memory."""


@dataclass(frozen=True)
class Predictor:
    """One trial's network and the preparation it was trained behind."""

    preparation: Preparation
    architecture: Architecture
    parameters: Parameters

    @classmethod
    def read(cls, weights: Path, preparation: str) -> Self:
        """Read a network from a file of weights, and its preparation from JSON."""
        architecture, parameters = load_weights(weights)
        return cls(Preparation.model_validate_json(preparation), architecture, parameters)

    def outputs(self, rows: pd.DataFrame) -> np.ndarray:
        """Return probabilities of classes or of labels, or standardised quantities, (N, C).

        Raises
        ------
        UnfitRowsError
            If features are missing or there twice, or hold what they cannot.
        """
        # NumPy: what the compiled loops and a GPU are faster in is training.
        network = Network(self.architecture, Backend(np))
        x = self.preparation.transform_features(rows)
        pieces = [
            network.predict(self.parameters, x[start : start + ROWS_AT_ONCE])[0]
            for start in range(0, max(1, len(x)), ROWS_AT_ONCE)
        ]
        return np.concatenate(pieces)


def outputs_of(network: Network, parameters: Parameters, samples: Samples) -> np.ndarray:
    """Return what a network says of samples, (N, C), some rows at a time: there may be more than memory holds."""
    dtype = parameters.biases[0].dtype
    pieces = []
    for start in range(0, len(samples), ROWS_AT_ONCE):
        rows = slice(start, start + ROWS_AT_ONCE)
        x = network.backend.gather(samples.x, rows, dtype, shift=samples.shift, scale=samples.scale)
        pieces.append(network.predict(parameters, x)[0])
    return np.concatenate(pieces)
