"""Whether two trainings of one trial came to the same: their weights, their curves, and what that amounts to."""

from collections.abc import Mapping
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict

from backprop import Parameters

TOLERANCE = 1e-4
"""Most that a float32 trial trained in a stack may differ from the same trial trained alone."""

Curves = Mapping[int, Mapping[str, float]]
"""Metrics by epoch and name."""

Verdict = Literal["identical", "equal", "different"]
"""Weights that are the same to the bit, within the tolerance, or not."""


class WeightsComparison(BaseModel):
    """The weights of then and now.

    Attributes
    ----------
    recorded_sha256, sha256 : str
        Of their files.
    largest_difference : float or None
        Over all weights and biases, ``|now - then| / (1 + |then|)``: absolute for small ones, relative for large ones.
        None if they cannot be compared.
    incomparable : str or None
        Why they cannot be.
    """

    model_config = ConfigDict(frozen=True)

    recorded_sha256: str
    sha256: str
    largest_difference: float | None
    incomparable: str | None = None

    @property
    def are_identical(self) -> bool:
        """Whether every bit is the same."""
        return self.sha256 == self.recorded_sha256


class CurvesComparison(BaseModel):
    """The metrics of then and now, epoch by epoch.

    Attributes
    ----------
    recorded_epochs, epochs : int
        The last epoch of each that has a metric.
    first_difference : int or None
        The first epoch with a metric that is not the same number, or that only one of the two has.
    first_beyond : int or None
        The first epoch in which one differs by more than the tolerance, relative to what it was.
    largest : dict of str to float
        The largest relative difference of each metric, over the epochs that both have.
    """

    model_config = ConfigDict(frozen=True)

    recorded_epochs: int
    epochs: int
    first_difference: int | None
    first_beyond: int | None
    largest: dict[str, float]

    @property
    def losses_agree(self) -> bool:
        """Whether both have the same epochs, with losses within the tolerance.

        Not the other metrics: one sample that falls on the other side moves an accuracy by more.
        """
        losses = [difference for name, difference in self.largest.items() if name.endswith("/loss")]
        return self.epochs == self.recorded_epochs and max(losses, default=0.0) <= TOLERANCE


def compare_weights(
    recorded_sha256: str, sha256: str, recorded: Parameters | None, now: Parameters, incomparable: str | None
) -> WeightsComparison:
    """Compare the weights of two files, of which those of then may be gone; ``incomparable`` says why."""
    largest = None
    if recorded is not None:
        largest = max(_largest(then, after) for then, after in zip(recorded, now, strict=True))
        if not np.isfinite(largest):
            largest, incomparable = None, "some are finite in only one of the two"
    return WeightsComparison(
        recorded_sha256=recorded_sha256, sha256=sha256, largest_difference=largest, incomparable=incomparable
    )


def compare_curves(recorded: Curves, now: Curves) -> CurvesComparison:
    """Compare metrics epoch by epoch; one without any metric, in which a trial diverged, does not count."""
    recorded, now = ({epoch: metrics for epoch, metrics in each.items() if metrics} for each in (recorded, now))
    largest: dict[str, float] = {}
    first_difference = first_beyond = None
    for epoch in sorted({*recorded, *now}):
        then, after = recorded.get(epoch, {}), now.get(epoch, {})
        relative = {name: _relative(then[name], after[name]) for name in then.keys() & after.keys()}
        for name, difference in relative.items():
            largest[name] = max(difference, largest.get(name, 0.0))
        is_whole = then.keys() == after.keys()
        if first_difference is None and (not is_whole or any(relative.values())):
            first_difference = epoch
        if first_beyond is None and (not is_whole or max(relative.values(), default=0.0) > TOLERANCE):
            first_beyond = epoch
    return CurvesComparison(
        recorded_epochs=max(recorded, default=0),
        epochs=max(now, default=0),
        first_difference=first_difference,
        first_beyond=first_beyond,
        largest=dict(sorted(largest.items())),
    )


def verdict(weights: WeightsComparison, curves: CurvesComparison, *, same_end: bool) -> Verdict:
    """Return what the weights say; the losses speak for weights that are gone.

    ``same_end`` says that both diverged in the same epoch, or neither did.
    """
    if weights.are_identical:
        return "identical"
    if not same_end:
        return "different"
    if weights.largest_difference is not None:
        return "equal" if weights.largest_difference <= TOLERANCE else "different"
    return "equal" if curves.losses_agree else "different"


def _largest(then: np.ndarray, now: np.ndarray) -> float:
    """Return the largest difference of two arrays; infinite where one is finite and the other is not."""
    before, after = then.astype(np.float64), now.astype(np.float64)
    same = (before == after) | (np.isnan(before) & np.isnan(after))
    with np.errstate(invalid="ignore"):
        differences = np.abs(after - before) / (1 + np.abs(before))
    differences = np.where(np.isfinite(before) & np.isfinite(after), differences, np.inf)
    return float(np.max(differences, where=~same, initial=0.0))


def _relative(then: float, now: float) -> float:
    """Return by how much a metric differs, relative to what it was; where that is 0, as it is."""
    return abs(now - then) / (abs(then) or 1.0)
