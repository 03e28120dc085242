"""Whether the network can learn one minibatch by heart: if not, something between data and loss is broken.

(Karpathy, A recipe for training neural networks, 2019: "overfit a single batch".)
"""

import numpy as np

from backprop import Samples
from flows.diagnosis.finding import Evidence, Finding
from flows.diagnosis.probes import Probe, constant_loss, train_kind
from flows.diagnosis.table import Table

CHECK = "one minibatch"

ROWS, EPOCHS = 32, 400

LEAST_LEFT = 0.05
"""Part of a constant answer's loss to which the loss must fall."""

FACTORS = (0.03, 0.1, 0.3, 1.0, 3.0)
"""Times the best rate of the sweep: other rates than for all rows may suit so few."""


def check_one_batch(table: Table, probe: Probe) -> list[Finding]:
    """Train a kind of network on a few rows, without dropout and penalties, until it knows them."""
    batch = _batch(table)
    kind = probe.kind.model_copy(update={"dropout": 0.0, "l2": 0.0, "epochs": EPOCHS, "batch_size": ROWS})
    rates = [probe.best.rate * factor for factor in FACTORS]
    reports = train_kind(table, kind, rates, batch, batch)
    losses = [loss for report in reports for loss in report.metrics["val/loss"] if np.isfinite(loss)]
    lowest = min(losses, default=np.inf)
    constant = constant_loss(table, batch, batch)
    left = lowest / max(constant, 1e-12)
    evidence: Evidence = {
        "network": probe.name,
        "rows": len(batch),
        "constant_loss": constant,
        "lowest_loss": float(lowest),
    }
    if left <= LEAST_LEFT:
        return [
            Finding(
                check=CHECK,
                severity="ok",
                what=f"{len(batch)} rows are learned by heart",
                evidence=evidence,
            )
        ]
    linear = not kind.hidden
    return [
        Finding(
            check=CHECK,
            severity="hint" if linear else "problem",
            what=f"{probe.name}: even of {len(batch)} rows {left:.0%} of the loss is left after {EPOCHS} epochs",
            evidence=evidence,
            remedy="a network without hidden layers may not be able to; hidden: [[64]] in the space"
            if linear
            else "wider hidden layers in the space; if that does not help, equal rows have different targets, or the "
            "inputs are not scaled",
        )
    ]


def _batch(table: Table) -> Samples:
    """Return training rows, evenly from all, none of which is equal to another."""
    rows = np.flatnonzero(table.trains)
    _, first = np.unique(table.inputs[rows], axis=0, return_index=True)
    distinct = rows[np.sort(first)]
    return table.samples(distinct[np.linspace(0, len(distinct) - 1, min(ROWS, len(distinct))).astype(int)])
