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

from backprop import Network, load_weights, select_backend
from flows.data.preparation import Preparation, label_array


class ServedModel(PythonModel):
    """A trained network together with the preparation it was trained behind."""

    def load_context(self, context: PythonModelContext) -> None:
        """Read `weights` (safetensors) and `preparation` (JSON) from the model's artifacts."""
        self._preparation = Preparation.model_validate_json(Path(context.artifacts["preparation"]).read_text())
        architecture, parameters = load_weights(Path(context.artifacts["weights"]))
        backend = select_backend("cpu")
        self._backend = backend
        self._parameters = parameters.to_device(backend)
        self._network = Network(architecture, backend)

    def predict(
        self,
        context: PythonModelContext,  # noqa: ARG002 - MLflow's signature
        model_input: pd.DataFrame,
        params: dict[str, Any] | None = None,
    ) -> np.ndarray | pd.DataFrame:
        """Return predictions for raw, unscaled rows.

        Parameters
        ----------
        model_input : pandas.DataFrame
            (N, at least D) with the feature columns by name, in any order.
        params : dict, optional
            ``{"probabilities": True}`` returns, for a classification, a frame of one column a class.

        Returns
        -------
        numpy.ndarray
            (N,) original labels, or values in the target's unit.

        Raises
        ------
        TableError
            A feature is missing, not numeric or not finite.
        """
        x = self._preparation.transform_features(model_input)
        outputs = self._backend.to_host(self._network.predict(self._parameters, self._backend.to_device(x)))[0]
        classes = self._preparation.classes
        if classes is None:
            return self._preparation.restore_target(outputs[:, 0].astype(np.float64))
        if params and params.get("probabilities"):
            return pd.DataFrame(outputs, columns=[str(label) for label in label_array(classes)])
        return self._preparation.restore_target(outputs.argmax(axis=1))


mlflow.models.set_model(ServedModel())
