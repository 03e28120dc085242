"""What MLflow has yet to hear of a trial: kept while it cannot be told, and with a checkpoint in case it never is."""

from pathlib import Path
from typing import NamedTuple

from pydantic import BaseModel, ConfigDict

from backprop.reports import Reason


class Point(NamedTuple):
    """A value of a metric, with the time at which it was measured: told twice, it is still one point.

    The time is in milliseconds since 1970; the step is the epoch.
    """

    name: str
    value: float
    timestamp: int
    step: int


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
