"""The shape of a dataset: what decides how large its networks are and how long an epoch lasts, without its rows."""

from pydantic import BaseModel, ConfigDict

from flows.data.preparation import Task
from flows.data.store import Schema


class DatasetShape(BaseModel):
    """What is known of a dataset without opening it.

    Attributes
    ----------
    inputs, outputs : int
        D and C of its networks.
    item_bytes : int
        Of a feature of a row, as it is kept: 1 of a pixel, 4 of all else.
    rows : dict of str to int
        Of ``train``, ``validation`` and ``test``.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    digest: str
    task: Task
    inputs: int
    outputs: int
    item_bytes: int
    rows: dict[str, int]


def dataset_shape(digest: str, schema: Schema) -> DatasetShape:
    """Return the shape of a dataset that was written."""
    return DatasetShape(
        name=schema.name,
        digest=digest,
        task=schema.task,
        inputs=schema.inputs,
        outputs=schema.outputs,
        item_bytes=1 if schema.features == "uint8" else 4,
        rows=schema.rows,
    )


def fold_shape(shape: DatasetShape, folds: int) -> DatasetShape:
    """Return about what a fold of a dataset is like: its rows that do not test, one in so many of which validates."""
    rows = shape.rows["train"] + shape.rows["validation"]
    validation = rows // folds
    return shape.model_copy(update={"rows": {"train": rows - validation, "validation": validation, "test": 0}})
