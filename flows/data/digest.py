"""The name of a dataset: a digest of its content, so that the same data is the same dataset everywhere."""

import hashlib
import json
from itertools import chain

import numpy as np
import pandas as pd

from flows.data.content import canonical_rows, class_labels
from flows.data.preparation import Task, encode_labels
from flows.data.sources.table import Table
from flows.data.splitting import SplitParameters

# Raised whenever the same content would be split, scaled or written in another way.
STORE_FORMAT = 1


def dataset_digest(table: Table, task: Task, split: SplitParameters) -> str:
    """Return the SHA-256, in hexadecimal, of all that decides what a dataset holds.

    That is the columns' names, the values (as float64), the labels with their types, the task, the split and
    the format of the store; not the name, the path, the row index or the type the values are stored in.
    """
    classes = class_labels(table.target) if task == "classification" else None
    facts = {
        "format": STORE_FORMAT,
        "features": list(table.features.columns),
        "shared_scale": table.shared_scale,
        "target": table.target.name,
        "classes": classes,
        "task": task,
        "split": split.model_dump(),
        "rows": len(table.target),
    }
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode())
    target = table.target if classes is None else pd.Series(encode_labels(table.target, classes))
    for values in chain(canonical_rows(table.features), canonical_rows(target.to_frame())):
        digest.update(values.data)
    if table.is_test is not None:
        digest.update(np.packbits(table.is_test).data)
    return digest.hexdigest()
