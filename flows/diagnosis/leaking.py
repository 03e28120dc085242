"""A single column that predicts the target almost perfectly: it may not be known when a prediction is asked for.

(Kaufman, Rosset, Perlich and Stitelman, Leakage in data mining, 2012.) What determines the target exactly is what
ingestion finds too (`flows.data.leakage`); here a small tree is grown on each column alone and asked about other rows.
"""

import numpy as np
from sklearn.model_selection import cross_val_score
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from flows.diagnosis.finding import Evidence, Finding
from flows.diagnosis.table import Table

CHECK = "leaking columns"

SUSPICIOUS = {"balanced_accuracy": 0.98, "r2": 0.99}
"""Cross-validated score of one column alone from which it is suspicious."""

MOST_ROWS, MOST_COLUMNS, MOST_LEAVES, FOLDS = 1500, 300, 32, 3

SHOWN = 5


def check_leaks(table: Table) -> list[Finding]:
    """Find columns that give the target away, exactly or nearly."""
    if table.has_pixels:
        return [Finding(check=CHECK, severity="ok", what="a single pixel is not asked for the target")]
    if table.leaks:
        return [
            Finding(
                check=CHECK,
                severity="problem",
                what=f"{len(table.leaks)} columns give the target away in every row",
                evidence={"found": list(table.leaks[:SHOWN])},
                remedy="leave them out (drop: [..] in the preparation's file) unless they are known when a prediction "
                "is made",
            )
        ]
    if table.task == "multilabel":
        return [Finding(check=CHECK, severity="ok", what="no column gives a label away exactly")]
    metric = "balanced_accuracy" if table.task == "classification" else "r2"
    scores = _scores(table, metric)
    best = max(scores, key=lambda name: scores[name])
    evidence: Evidence = {"column": best, metric: scores[best]}
    if scores[best] < SUSPICIOUS[metric]:
        return [Finding(check=CHECK, severity="ok", what="no column alone predicts the target", evidence=evidence)]
    names = sorted((name for name in scores if scores[name] >= SUSPICIOUS[metric]), key=lambda name: -scores[name])
    return [
        Finding(
            check=CHECK,
            severity="warning",
            what=f"column {best!r} alone predicts the target almost perfectly",
            evidence={**evidence, "columns": names[:SHOWN]},
            remedy=f"leave it out (drop: [{best}] in the preparation's file) unless it is known when a prediction is "
            "made",
        )
    ]


def _scores(table: Table, metric: str) -> dict[str, float]:
    """Return how well each column alone predicts rows that the tree was not grown on."""
    rows = np.flatnonzero(table.trains)
    rows = rows[np.linspace(0, len(rows) - 1, min(MOST_ROWS, len(rows))).astype(int)]
    target = table.target[rows] if table.task == "classification" else table.target[rows].astype("float64")
    if table.task == "classification":
        # Of a class with fewer rows than folds, one would be without it.
        counts = np.bincount(target, minlength=table.shape.outputs)
        kept = counts[target] >= FOLDS
        rows, target = rows[kept], target[kept]
        tree = DecisionTreeClassifier(max_leaf_nodes=max(MOST_LEAVES, 2 * table.shape.outputs), random_state=0)
    else:
        tree = DecisionTreeRegressor(max_leaf_nodes=MOST_LEAVES * 4, random_state=0)
    order = np.random.default_rng(0).permutation(len(rows))
    scores, place = {}, 0
    for encoding in table.preparation.features[:MOST_COLUMNS]:
        width = len(encoding.input_names)
        inputs = table.inputs[rows][:, place : place + width]
        scores[encoding.column] = float(
            cross_val_score(tree, inputs[order], target[order], scoring=metric, cv=FOLDS).mean()
        )
        place += width
    return scores
