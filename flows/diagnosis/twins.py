"""Rows that are the same in every input and different in the target: no network can be right about all of them."""

import numpy as np

from flows.diagnosis.finding import Evidence, Finding
from flows.diagnosis.table import Table

CHECK = "contradicting rows"

HINT, WARNING = 0.005, 0.05
"""Share of the rows that no answer can be right about."""

CLOSE = 0.1
"""Deviations by which the quantities of equal rows may differ."""

SHOWN = 5


def check_twins(table: Table) -> list[Finding]:
    """Find rows that are equal to the network and have different targets."""
    _, group = np.unique(table.inputs, axis=0, return_inverse=True)
    group = group.reshape(-1)
    wrong = _contradicted(table, group)
    share = float(wrong.mean())
    evidence: Evidence = {"rows": int(wrong.sum()), "share": share, "of_rows": len(wrong)}
    if share < HINT:
        return [
            Finding(check=CHECK, severity="ok", what="hardly any equal rows have different targets", evidence=evidence)
        ]
    first = int(np.flatnonzero(wrong)[0])
    twins = np.flatnonzero(group == group[first])[:SHOWN]
    return [
        Finding(
            check=CHECK,
            severity="warning" if share >= WARNING else "hint",
            what=f"{int(wrong.sum()):,} rows contradict others that are the same in every input",
            evidence={**evidence, "example": table.places(twins)},
            remedy="look whether a column is missing that tells them apart, or a row is there twice with another "
            "target; no search can be right about them",
        )
    ]


def _contradicted(table: Table, group: np.ndarray) -> np.ndarray:
    """Return which rows differ from what is most frequent among their equals, bool (n,)."""
    if table.task == "regression":
        order = np.argsort(group, kind="stable")
        middle = np.empty_like(table.target)
        for rows in np.split(order, np.flatnonzero(np.diff(group[order])) + 1):
            middle[rows] = np.median(table.target[rows], axis=0)
        return np.asarray((np.abs(table.target - middle) > CLOSE).any(axis=1))
    _, code = np.unique(table.y, axis=0, return_inverse=True)
    counts = np.zeros((group.max() + 1, code.max() + 1), dtype=np.int32)
    np.add.at(counts, (group, code.reshape(-1)), 1)
    return np.asarray(code.reshape(-1) != counts.argmax(axis=1)[group])
