"""Learning rates that are too high or too low, by what the same network makes of others."""

import math

import numpy as np

from flows.diagnosis.finding import Evidence, Finding
from flows.diagnosis.probes import Probe, ProbedRate

CHECK = "learning rate"

LEAST_PROGRESS = 0.5
"""Part of what the best rate gains over a constant answer that a rate must gain."""

SPIKE = 2.0
"""Times the lowest loss so far that the loss of an epoch is a spike at."""


def check_rates(probe: Probe) -> list[Finding]:
    """Judge the rates that the space asks for, of one kind of network."""
    high = [rate for rate in probe.asked if is_too_high(probe, rate)]
    low = [rate for rate in probe.asked if is_too_low(probe, rate)]
    usable = [rate.rate for rate in probe.rates if rate.diverged_at is None and probe.progress(rate) >= LEAST_PROGRESS]
    evidence: Evidence = {
        "network": probe.name,
        "asked": [rate.rate for rate in probe.asked],
        "best_of_the_sweep": probe.best.rate,
        "usable": [min(usable), max(usable)] if usable else [],
        "constant_loss": probe.constant_loss,
        "epochs": probe.epochs,
    }
    if probe.best.last_loss >= probe.constant_loss:
        return [
            Finding(
                check=CHECK,
                severity="problem",
                what=f"{probe.name}: at no rate from {probe.rates[0].rate:g} to {probe.rates[-1].rate:g} does the "
                "network do better than a constant answer on its own training rows",
                evidence=evidence,
                remedy="it is not the rate: look at the other findings, at the targets and at the inputs",
            )
        ]
    findings = [
        *([_finding(probe, high, "high", evidence)] if high else []),
        *([_finding(probe, low, "low", evidence)] if low else []),
        *_spikes(probe, [rate for rate in probe.asked if rate not in (*high, *low)], evidence),
    ]
    if findings:
        return findings
    return [Finding(check=CHECK, severity="ok", what="every rate asked for trains", evidence=evidence)]


def is_too_high(probe: Probe, rate: ProbedRate) -> bool:
    """Return whether training diverged, or got stuck where a lower rate did not."""
    if rate.diverged_at is not None:
        return True
    return rate.rate > probe.best.rate and probe.progress(rate) < LEAST_PROGRESS


def is_too_low(probe: Probe, rate: ProbedRate) -> bool:
    """Return whether training will not get far.

    The probe makes fewer updates than a training if there are many rows. Where steps are small, n times as many lead
    about as far as steps n times as long (both follow the gradient's flow), so a rate is judged by one n times as high.
    """
    if rate.rate >= probe.best.rate:
        return False
    as_far = rate.rate * max(1.0, probe.planned_updates / probe.updates)
    alike = max((other for other in probe.rates if other.rate <= as_far), key=lambda other: other.rate)
    return alike.rate < probe.best.rate and probe.progress(alike) < LEAST_PROGRESS


def _finding(probe: Probe, wrong: list[ProbedRate], which: str, evidence: Evidence) -> Finding:
    worst = wrong[-1] if which == "high" else wrong[0]
    all_wrong = len(wrong) == len(probe.asked)
    rates = ", ".join(f"{rate.rate:g}" for rate in wrong)
    if worst.diverged_at is not None:
        seen = f"at {worst.rate:g} training diverged in epoch {worst.diverged_at}"
    else:
        seen = (
            f"at {worst.rate:g} the loss is {worst.last_loss:.3g} after {probe.epochs} epochs, "
            f"{probe.best.last_loss:.3g} at {probe.best.rate:g}"
        )
    return Finding(
        check=CHECK,
        severity="problem" if all_wrong else "hint",
        what=f"{probe.name}: {'every rate of the space' if all_wrong else rates} is too {which}: {seen}",
        evidence={**evidence, f"too_{which}": [rate.rate for rate in wrong]},
        remedy=f"learning_rate: [{_around(probe.best.rate)}] in the space",
    )


def _around(best: float) -> str:
    """Return rates around one, the best being at the edge of what is stable."""
    return ", ".join(f"{_rounded(best * factor):g}" for factor in (0.1, 0.3, 1.0))


def _rounded(rate: float) -> float:
    return round(rate, -math.floor(math.log10(rate)))


def _spikes(probe: Probe, rates: list[ProbedRate], evidence: Evidence) -> list[Finding]:
    for rate in reversed(rates):
        losses = np.array(rate.curves["train/loss"])
        lowest = np.minimum.accumulate(losses)[:-1]
        jumps = (losses[1:] > SPIKE * lowest) & (losses[1:] - lowest > 0.1 * probe.constant_loss)
        if jumps.any():
            epoch = int(np.argmax(jumps)) + 2
            return [
                Finding(
                    check=CHECK,
                    severity="hint",
                    what=f"{probe.name}: at {rate.rate:g} the loss jumped from {lowest[epoch - 2]:.3g} to "
                    f"{losses[epoch - 1]:.3g} in epoch {epoch}",
                    evidence={**evidence, "spikes": int(jumps.sum())},
                    remedy=f"a rate below {rate.rate:g}, or a larger batch_size",
                )
            ]
    return []
