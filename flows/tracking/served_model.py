"""The winner as MLflow serves it: raw rows in, original labels out.

MLflow runs this file when it loads the model (models-from-code), so nothing is unpickled. It needs NumPy,
SciPy, pandas, pydantic and safetensors, and this project's code, a copy of which travels with the model.
"""

from pathlib import Path
from typing import Any

import mlflow.models
import numpy as np
import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE
from mlflow.pyfunc.model import PythonModel, PythonModelContext

from flows.data.outputs import answer, predictions
from flows.data.preparation import Preparation
from flows.errors import TableError
from flows.prediction import Predictor
from flows.tracking.signature import columns_of_gaps


class RefusedRequestError(MlflowException, TableError):
    """Rows that cannot be predicted; MLflow's server answers 400 and the message, and no traceback."""

    def __init__(self, reason: TableError) -> None:
        super().__init__(str(reason), error_code=INVALID_PARAMETER_VALUE)


class ServedModel(PythonModel):
    """A trained network together with the preparation it was trained behind."""

    def load_context(self, context: PythonModelContext) -> None:
        """Read `weights` (safetensors) and `preparation` (JSON) from the model's artifacts."""
        preparation = Path(context.artifacts["preparation"]).read_text()
        self._predictor = Predictor.read(Path(context.artifacts["weights"]), preparation)

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
            ``{"probabilities": True}`` returns a frame of the prediction (of several labels, of each) and one column
            a class, or a label, ``probability_`` and its name; not of a regression.

        Returns
        -------
        numpy.ndarray or pandas.DataFrame
            (N,) original labels, or values in the target's unit; of several targets a frame with a column each.

        Raises
        ------
        RefusedRequestError
            A feature is missing, or a value is not of its column's kind.
        """
        preparation = self._predictor.preparation
        try:
            outputs = self._predictor.outputs(with_gaps(model_input, preparation))
        except TableError as error:
            raise RefusedRequestError(error) from error
        if params and params.get("probabilities") and preparation.task != "regression":
            return answer(preparation, outputs)
        return predictions(preparation, outputs)


def with_gaps(rows: pd.DataFrame, preparation: Preparation) -> pd.DataFrame:
    """Return the rows with every column that may be left out; one that is not there is all gaps."""
    absent = [name for name in columns_of_gaps(preparation) if name not in rows.columns]
    return rows.assign(**dict.fromkeys(absent)) if absent else rows


mlflow.models.set_model(ServedModel())
