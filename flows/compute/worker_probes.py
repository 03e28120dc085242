"""How long an epoch of every kind of trial takes on the workers, asked of them before trials are packed."""

import time
from collections.abc import Callable, Sequence

from distributed import Client
from distributed.client import FutureCancelledError
from distributed.comm.core import CommClosedError
from pydantic import BaseModel, ConfigDict

from backprop import select_backend
from backprop.backend import Device
from flows.compute.devices import DeviceFacts
from flows.compute.paces import Kind, Paces
from flows.compute.probe import DatasetRows, is_worth_it, seconds_an_epoch
from flows.compute.stack_training import mapped_samples
from flows.compute.stacking import families, most_trials
from flows.data.store import DatasetReference, open_dataset
from flows.parameters import ComputeParameters
from flows.trials import PlannedTrial

SLOT_SECONDS = 1.0
"""What a slot measures, about, whatever the number of kinds."""

ANSWER_SECONDS = 120.0
"""After which workers are asked no longer: a machine that compiles for the first time takes half a minute."""


WORTH_PADDING = 0.9
"""Part of the time of separate stacks that a padded one may take, to be worth it."""


class Probe(BaseModel):
    """What a worker is asked to measure.

    Attributes
    ----------
    trials : tuple of PlannedTrial
        That could share a stack.
    planned_epochs : int
        That all trials like them are to be trained for.
    """

    model_config = ConfigDict(frozen=True)

    dataset: DatasetReference
    trials: tuple[PlannedTrial, ...]
    device: Device
    budget_seconds: float
    planned_epochs: int


def run_probe(probe: Probe) -> float:
    """Return the seconds of an epoch of one trial; called on a worker."""
    rows = DatasetRows(open_dataset(probe.dataset).task, *mapped_samples(probe.dataset))
    backend = select_backend(probe.device)
    return seconds_an_epoch(probe.trials, rows, backend, probe.budget_seconds, probe.planned_epochs)


class WorkerPaces:
    """Knows what was measured on the workers of a search, and measures what it does not know.

    Parameters
    ----------
    datasets : sequence of DatasetReference
        The dataset, and its folds by their numbers.
    warn : callable
        Told why nothing can be measured.
    """

    def __init__(
        self, datasets: Sequence[DatasetReference], compute: ComputeParameters, warn: Callable[[str], None]
    ) -> None:
        self._datasets, self._compute, self._warn = datasets, compute, warn
        self._known = Paces()

    def of(self, trials: Sequence[PlannedTrial], client: Client, slots: int, facts: DeviceFacts) -> Paces:
        """Return what trials cost: in seconds if that is worth measuring and can be, or else in multiplications.

        A worker that dies of it, or whatever else goes wrong, is warned of: the stack that holds such a trial is found
        by those that train it.
        """
        if not trials or not self._are_asked_for(trials):
            return Paces()
        try:
            self._measure(trials, client, slots, facts)
            padded = () if facts.in_turn else self._padded(trials, client, slots, facts)
        except (CommClosedError, FutureCancelledError):
            raise
        except Exception as error:  # noqa: BLE001 - whatever stops a probe, the search goes on without it
            self._warn(
                f"how long trials take could not be measured ({type(error).__name__}: {error}): stacks are packed by "
                "their multiplications"
            )
            return Paces()
        return self._known.of(trials).model_copy(update={"padded": padded})

    def _measure(self, trials: Sequence[PlannedTrial], client: Client, slots: int, facts: DeviceFacts) -> None:
        unknown = self._known.unknown(trials)
        if not unknown:
            return
        probes = [
            Probe(
                dataset=self._datasets[some[0].fold],
                trials=(some[0], some[-1]) if facts.in_turn else tuple(some[: most_trials(some, facts)]),
                device=self._compute.device,
                budget_seconds=SLOT_SECONDS * slots / len(unknown),
                planned_epochs=sum(trial.hyperparameters.epochs for trial in some),
            )
            for some in unknown.values()
        ]
        seconds = _answers(client, probes)
        self._known = Paces(measured=(*self._known.measured, *zip(unknown, seconds, strict=True)))

    def _padded(
        self, trials: Sequence[PlannedTrial], client: Client, slots: int, facts: DeviceFacts
    ) -> tuple[Kind, ...]:
        """Return the families whose small groups are faster as one padded stack, timed where they would train."""
        found = families(trials, facts, self._known)
        probes = [
            Probe(
                dataset=self._datasets[mates[0].fold],
                trials=tuple(mates[: most_trials(mates, facts)]),
                device=self._compute.device,
                budget_seconds=SLOT_SECONDS * slots / len(found),
                planned_epochs=sum(trial.hyperparameters.epochs for trial in mates),
            )
            for mates in found.values()
        ]
        seconds = _answers(client, probes)
        return tuple(
            family
            for family, probe, joined in zip(found, probes, seconds, strict=True)
            if joined * len(probe.trials) < WORTH_PADDING * sum(map(self._known.epoch, probe.trials))
        )

    def _are_asked_for(self, trials: Sequence[PlannedTrial]) -> bool:
        if self._compute.stack_seconds is not None:
            return True
        rows = open_dataset(self._datasets[trials[0].fold]).schema.rows["train"]
        return is_worth_it(trials, rows)


def _answers(client: Client, probes: list[Probe]) -> list[float]:
    """Let the workers measure, one probe a slot at a time."""
    deadline = time.monotonic() + ANSWER_SECONDS
    futures = client.map(run_probe, probes, pure=False)
    try:
        return [future.result(timeout=max(0.0, deadline - time.monotonic())) for future in futures]
    except BaseException:
        client.cancel(futures)
        raise
