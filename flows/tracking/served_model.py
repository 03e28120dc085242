"""The winner as MLflow serves it: raw rows in, original labels out.

MLflow runs this file when it loads the model (models-from-code), so nothing is unpickled. It needs NumPy,
SciPy, pandas, pydantic and safetensors, and this project's code, a copy of which travels with the model.
"""

from pathlib import Path
from typing import Any

import mlflow.models
import numpy as np
import pandas as pd
from mlflow.pyfunc.model import PythonModel, PythonModelContext

from backprop import Backend, Network, load_weights
from flows.data.outputs import predictions, probabilities
from flows.data.preparation import Preparation
from flows.tracking.signature import columns_of_gaps


class ServedModel(PythonModel):
    """A trained network together with the preparation it was trained behind."""

    def load_context(self, context: PythonModelContext) -> None:
        """Read `weights` (safetensors) and `preparation` (JSON) from the model's artifacts."""
        self._preparation = Preparation.model_validate_json(Path(context.artifacts["preparation"]).read_text())
        architecture, parameters = load_weights(Path(context.artifacts["weights"]))
        # NumPy: what the compiled loops and a GPU are faster in is training.
        self._parameters, self._network = parameters, Network(architecture, Backend(np))

    def predict(
        self,
        context: PythonModelContext,  # noqa: ARG002 - MLflow's signature
        model_input: pd.DataFrame,
        params: dict[str, Any] | None = None,
    ) -> np.ndarray | pd.DataFrame:
        """Return predictions for raw rows, as they came from the source.

        Parameters
        ----------
        model_input : pandas.DataFrame
            The feature columns by name, in any order. One of `columns_of_gaps` may be left out, as by a client that
            writes no nulls.
        params : dict, optional
            ``{"probabilities": True}`` returns a frame of one column a class, or a label; not of a regression.

        Returns
        -------
        numpy.ndarray or pandas.DataFrame
            (N,) original labels, or values in the target's unit; of several targets a frame with a column each.

        Raises
        ------
        TableError
            A feature is missing, or a value is not of its column's kind.
        """
        x = self._preparation.transform_features(with_gaps(model_input, self._preparation))
        outputs = self._network.predict(self._parameters, x)[0]
        if params and params.get("probabilities") and self._preparation.task != "regression":
            return probabilities(self._preparation, outputs)
        return predictions(self._preparation, outputs)


def with_gaps(rows: pd.DataFrame, preparation: Preparation) -> pd.DataFrame:
    """Return the rows with every column that may be left out; one that is not there is all gaps."""
    absent = [name for name in columns_of_gaps(preparation) if name not in rows.columns]
    return rows.assign(**dict.fromkeys(absent)) if absent else rows


mlflow.models.set_model(ServedModel())
