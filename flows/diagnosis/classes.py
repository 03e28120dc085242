"""Classes so rare that accuracy says little about them."""

import numpy as np

from flows.diagnosis.finding import Evidence, Finding
from flows.diagnosis.table import Table

CHECK = "class balance"

HINT, WARNING = 4.0, 20.0
"""Times as many rows as the rarest class that the most frequent has."""


def check_classes(table: Table) -> list[Finding]:
    """Compare the sizes of the classes; of labels, how many rows have each."""
    if table.task == "regression":
        return []
    shares = np.asarray(table.y[table.trains], "float64").mean(axis=0)
    if table.task == "multilabel":
        names = list(table.preparation.targets)
        shares = np.minimum(shares, 1 - shares)
        ratio = float((1 - shares.min()) / max(shares.min(), 1 / len(table.target)))
    else:
        names = [str(label) for label in table.preparation.classes or ()]
        ratio = float(shares.max() / max(shares.min(), 1 / len(table.target)))
    rarest = int(shares.argmin())
    evidence: Evidence = {"rarest": names[rarest], "share": float(shares[rarest]), "times_rarer": ratio}
    if ratio < HINT:
        return [Finding(check=CHECK, severity="ok", what="the classes are of similar size", evidence=evidence)]
    return [
        Finding(
            check=CHECK,
            severity="warning" if ratio >= WARNING else "hint",
            what=f"{names[rarest]!r} has {shares[rarest]:.1%} of the rows, {ratio:.0f} times fewer than the largest",
            evidence=evidence,
            remedy="judge by more than accuracy (`backprop retrain --metric balanced_accuracy`, or f1_macro), and look "
            "at the line of that class in `backprop evaluate`; add rows of it if there are any",
        )
    ]
