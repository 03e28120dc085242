"""What a registered model takes and gives, as MLflow shows it and checks requests by it."""

from typing import Any

import numpy as np
import pandas as pd
from mlflow.models import ModelSignature
from mlflow.models.signature import infer_signature
from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema
from mlflow.types.schema import AnyType
from pandas.api.types import is_bool_dtype, is_datetime64_any_dtype, is_integer_dtype, is_numeric_dtype

from flows.data.encodings import CategoricalEncoding
from flows.data.outputs import Predictions, predictions
from flows.data.preparation import Preparation


def signature_of(preparation: Preparation, example: pd.DataFrame) -> ModelSignature:
    """Return the signature of a model that takes raw rows, of which there is an example.

    A column is required, though a value of it may be null; one that may be left out is optional.
    """
    optional = columns_of_gaps(preparation)
    probabilities = ParamSpec("probabilities", DataType.boolean, default=False)
    answer = predictions(preparation, np.zeros((1, preparation.outputs), "float32"))
    return ModelSignature(
        inputs=Schema(
            [
                ColSpec(column_type(dtype), str(name), required=name not in optional)
                for name, dtype in example.dtypes.items()
            ]
        ),
        outputs=outputs_of(answer),
        params=ParamSchema([] if preparation.task == "regression" else [probabilities]),
    )


def outputs_of(answer: Predictions) -> Schema:
    """Return the schema of an answer."""
    if not isinstance(answer, pd.DataFrame):
        schema: Schema = infer_signature(model_output=answer).outputs
        return schema
    # Inferred from a frame, whole numbers would be warned of: there might be gaps among them, and here are none.
    kinds = {"i": DataType.long, "f": DataType.double}
    return Schema([ColSpec(kinds[dtype.kind], str(name)) for name, dtype in answer.dtypes.items()])


def columns_of_gaps(preparation: Preparation) -> tuple[str, ...]:
    """Return the columns whose gaps a network has learnt from, as they have an input of their own.

    A request that leaves such a column out is one of gaps; without another column it is taken for incomplete.
    """
    return tuple(
        encoding.column
        for encoding in preparation.features
        if (None in encoding.levels if isinstance(encoding, CategoricalEncoding) else encoding.indicator)
    )


def column_type(dtype: Any) -> DataType | AnyType:
    """Return what MLflow is to check of a column, and to make of it in a request over HTTP.

    Nothing, if it holds truth values, dates or 64-bit integers. MLflow takes no 0 for a boolean, and makes false of a
    null. Of dates it refuses those with a time zone, as JavaScript writes them, and guesses what others mean: 3/4 is
    in March, and a number in 1970. It makes no double of a 64-bit integer, so a column of doubles would refuse 3; and
    one of longs refuses 3.0, and takes 3.5 for 3 in a request over HTTP. The model itself checks all columns.
    """
    is_long = is_integer_dtype(dtype) and dtype.itemsize == np.int64().itemsize
    if is_bool_dtype(dtype) or is_datetime64_any_dtype(dtype) or is_long:
        return AnyType()  # type: ignore[no-untyped-call]
    return DataType.double if is_numeric_dtype(dtype) else DataType.string
