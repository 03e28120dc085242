"""A prepared dataset as MLflow records it on a run."""

import json

from mlflow.entities import Dataset as DatasetEntity
from mlflow.entities import DatasetInput, InputTag

from flows.data.store import Dataset

DIGEST_LENGTH = 32
"""MLflow keeps 36 characters of a digest; the whole one is the tag `dataset.digest`."""


def dataset_input(dataset: Dataset, context: str) -> DatasetInput:
    """Return the dataset as an input of a run; `context` is shown beside its name."""
    preparation = dataset.preparation
    return DatasetInput(
        dataset=DatasetEntity(
            name=dataset.reference.name,
            digest=dataset.reference.digest[:DIGEST_LENGTH],
            source_type="local",
            source=json.dumps({"uri": dataset.uri}),
            schema=json.dumps(
                {
                    "mlflow_colspec": [
                        *({"type": "double", "name": name, "required": True} for name in preparation.columns),
                        *(
                            {"type": _target_type(preparation.classes), "name": name, "required": True}
                            for name in preparation.targets
                        ),
                    ]
                }
            ),
            profile=json.dumps({"rows": dataset.rows}),
        ),
        tags=[InputTag("mlflow.data.context", context)],
    )


def _target_type(classes: tuple[object, ...] | None) -> str:
    if classes is None:
        return "double"
    # bool is an int in Python, so it is asked first.
    for kind, name in ((bool, "boolean"), (int, "long"), (float, "double")):
        if isinstance(classes[0], kind):
            return name
    return "string"
