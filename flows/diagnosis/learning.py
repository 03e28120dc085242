"""Whether what the network learns of the training rows holds for others: against a constant answer, and over epochs."""

import numpy as np

from flows.diagnosis.finding import Evidence, Finding
from flows.diagnosis.probes import Probe, ProbedRate
from flows.diagnosis.table import Table

LEAST_GAIN, GOOD_GAIN = 0.01, 0.03
"""Part of a constant answer's validation loss that the network must gain."""

WORSE = 1.15
"""Times its lowest that the validation loss may be at the end."""

LEAST_PART = 0.5
"""Of the training rows that must have been looked at."""

OFTEN = 3.0
"""Times the training loss that the validation loss then is."""


def check_baseline(probes: list[Probe]) -> list[Finding]:
    """Compare the best of the networks that the space asks for with the best constant answer, on validation rows."""
    check = "constant answer"
    found = _best(probes)
    if found is None:
        return []
    probe, rate = found
    loss = rate.lowest_validation_loss
    gain = 1 - loss / probe.constant_validation_loss
    evidence: Evidence = {
        "network": probe.name,
        "learning_rate": rate.rate,
        "validation_loss": loss,
        "constant_validation_loss": probe.constant_validation_loss,
        **{name.replace("/", "_"): _best_of(rate, name) for name in ("val/accuracy", "val/r2") if name in rate.curves},
    }
    if gain >= GOOD_GAIN:
        return [
            Finding(
                check=check,
                severity="ok",
                what=f"the network does better than a constant answer: its loss is {gain:.0%} lower",
                evidence=evidence,
            )
        ]
    return [
        Finding(
            check=check,
            severity="problem" if gain < LEAST_GAIN else "warning",
            what="no network of the space does better than a constant answer on validation rows"
            if gain < LEAST_GAIN
            else f"the best network is hardly better than a constant answer: its loss is {gain:.1%} lower",
            evidence=evidence,
            remedy="look whether the columns have to do with the target, and belong to the same rows; a file that was "
            "joined or sorted wrongly looks like this",
        )
    ]


def check_gap(table: Table, probes: list[Probe]) -> list[Finding]:
    """Look whether the validation loss rises again while the training loss falls.

    Of a small part of the rows that says nothing of all of them, which are harder to learn by heart.
    """
    check = "overfitting"
    found = _best(probes)
    if found is None:
        return []
    probe, rate = found
    lowest = rate.lowest_validation_loss
    losses = np.array(rate.curves["val/loss"])
    epoch = int(np.nanargmin(losses)) + 1
    evidence: Evidence = {
        "network": probe.name,
        "learning_rate": rate.rate,
        "training_loss": rate.last_loss,
        "validation_loss": float(losses[-1]),
        "lowest_validation_loss": lowest,
        "in_epoch": epoch,
        "epochs": probe.epochs,
    }
    training_rows, of_rows = int(table.trains.sum()), table.shape.rows["train"]
    if training_rows < LEAST_PART * of_rows:
        what = f"not looked for: {training_rows:,} of {of_rows:,} training rows do not tell"
        return [Finding(check=check, severity="ok", what=what, evidence=evidence)]
    if losses[-1] <= WORSE * lowest or losses[-1] <= OFTEN * rate.last_loss:
        what = "the validation loss does not rise again to speak of"
        return [Finding(check=check, severity="ok", what=what, evidence=evidence)]
    return [
        Finding(
            check=check,
            severity="warning" if losses[-1] > probe.constant_validation_loss else "hint",
            what=f"{probe.name} at {rate.rate:g} overfits: its validation loss was lowest in epoch {epoch}, "
            f"{lowest:.3g}, and is {losses[-1]:.3g} after {probe.epochs}, "
            f"{losses[-1] / max(rate.last_loss, 1e-12):.0f} times its training loss",
            evidence=evidence,
            remedy=f"fewer epochs, dropout: [0.2], l2: [0.001] or smaller widths in the space; `epochs: [{epoch}]` "
            "is where it was best",
        )
    ]


def _best(probes: list[Probe]) -> tuple[Probe, ProbedRate] | None:
    """Return which probe and rate that was asked for has the lowest validation loss; None if all diverged.

    That they did is told of their rates.
    """
    trained = [(probe, rate) for probe in probes for rate in probe.asked if rate.diverged_at is None]
    return min(trained, key=lambda found: found[1].lowest_validation_loss, default=None)


def _best_of(rate: ProbedRate, name: str) -> float:
    return max((value for value in rate.curves[name] if np.isfinite(value)), default=np.nan)
