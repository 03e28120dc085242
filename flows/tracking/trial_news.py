"""What MLflow has yet to hear of a trial: kept while it cannot be told, and with a checkpoint in case it never is."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from pydantic import BaseModel, ConfigDict

from backprop.reports import EpochReport, Reason


class Point(NamedTuple):
    """A value of a metric, with the time at which it was measured: told twice, it is still one point.

    The time is in milliseconds since 1970; the step is the epoch.
    """

    name: str
    value: float
    timestamp: int
    step: int


def measured_in(report: EpochReport, rmse_unit: float) -> Iterator[tuple[int, str, float]]:
    """Yield what runs are told of an epoch: the place of a trial, the metric and its value.

    The RMSE is scaled back to the target's unit, if there is one target: of several it is in standard deviations.
    A number that is not finite is not a metric: MLflow would store infinity as 1.8e308, so a divergence is a tag.
    """
    for name, values in report.metrics.items():
        unit = rmse_unit if name.endswith("/rmse") else 1.0
        for place, value in zip(report.trials, values, strict=True):
            if np.isfinite(value):
                yield place, name, float(value) * unit


class TrialEnd(BaseModel):
    """How a trial ended.

    Attributes
    ----------
    epoch : int
        Its last.
    reason : str
        Why, as the core says it: ``"epochs"``, ``"diverged"``, ``"stopped"`` (by a stop rule), ...
    weights : Path
        A file of this machine that holds its weights.
    """

    model_config = ConfigDict(frozen=True)

    epoch: int
    reason: Reason
    weights: Path


class TrialNews(BaseModel):
    """What is to be told of the trial of a key, in the order in which it happened."""

    model_config = ConfigDict(frozen=True)

    key: str
    points: tuple[Point, ...]
    end: TrialEnd | None = None
