"""How long an epoch of a trial takes, by what decides it: in seconds where that was measured, or as multiplications."""

from collections.abc import Collection, Iterable
from dataclasses import replace
from functools import cached_property
from typing import NamedTuple

from pydantic import BaseModel, ConfigDict

from backprop import Architecture
from flows.trials import PlannedTrial


class Kind(NamedTuple):
    """What decides how long an epoch of a trial takes."""

    architecture: Architecture
    batch_size: int
    optimizer: str


def family_of(kind: Kind) -> Kind:
    """Return what is the same for kinds that may share a stack: all but their widths, which are 1 here.

    A softmax depends on all of its units, so none can be padded, and its width stays.
    """
    architecture = kind.architecture
    layers = zip(architecture.hidden, architecture.activations, strict=True)
    return kind._replace(
        architecture=replace(architecture, hidden=tuple(own if sigma == "softmax" else 1 for own, sigma in layers))
    )


def kind_of(trial: PlannedTrial) -> Kind:
    """Return a trial's kind."""
    return Kind(trial.architecture, trial.hyperparameters.batch_size, trial.hyperparameters.optimizer)


class Paces(BaseModel):
    """What trials cost, all in one unit: seconds of a worker, or, if nothing was measured, multiplications.

    Multiplications are up to a factor that all trials on a dataset share. Among trials of one kind their ratios are
    exact; among kinds they leave out that a small product is slower than a large one.

    Attributes
    ----------
    measured : tuple of (Kind, float)
        Seconds of an epoch of one trial, validation included.
    padded : tuple of Kind
        Families whose small groups train faster as one stack, padded, than as a stack for each of their kinds.
    """

    model_config = ConfigDict(frozen=True)

    measured: tuple[tuple[Kind, float], ...] = ()
    padded: tuple[Kind, ...] = ()

    @cached_property
    def by_kind(self) -> dict[Kind, float]:
        """What was measured, to look it up."""
        return dict(self.measured)

    @property
    def are_seconds(self) -> bool:
        """Whether the unit is a second."""
        return bool(self.measured)

    def epoch(self, trial: PlannedTrial) -> float:
        """Return what one epoch of a trial costs."""
        return self.by_kind[kind_of(trial)] if self.measured else trial.architecture.parameter_count

    def work(self, trial: PlannedTrial, after: int = 0) -> float:
        """Return what a trial costs after some epochs."""
        return self.epoch(trial) * (trial.hyperparameters.epochs - after)

    def unknown(self, trials: Iterable[PlannedTrial]) -> dict[Kind, list[PlannedTrial]]:
        """Return the trials of kinds that were not measured, by kind."""
        found: dict[Kind, list[PlannedTrial]] = {}
        for trial in trials:
            if (kind := kind_of(trial)) not in self.by_kind:
                found.setdefault(kind, []).append(trial)
        return found

    def of(self, trials: Collection[PlannedTrial]) -> "Paces":
        """Return what is known of the kinds of some trials alone."""
        kinds = dict.fromkeys(map(kind_of, trials))
        return Paces(measured=tuple((kind, self.by_kind[kind]) for kind in kinds if kind in self.by_kind))
