"""Training a stack so that its state can be saved between any two epochs, and gone on with in any stack."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from backprop import (
    Checkpoint,
    EpochReport,
    LayerWatch,
    Parameters,
    Samples,
    Stack,
    Training,
    initial_weights,
)
from backprop.backend import Backend
from backprop.halving import train_in_halves
from flows.compute.core_stack import stack_of
from flows.compute.pruning import Pruner
from flows.compute.saved_stack import SavedStack
from flows.data.preparation import Task
from flows.tracking.trial_news import TrialNews
from flows.trials import PlannedTrial


@dataclass(frozen=True)
class _Part:
    """Trials that train in lock step: the whole of a stack, of which perhaps only some are still in training."""

    trials: tuple[PlannedTrial, ...]
    checkpoint: Checkpoint | None


class ResumableTraining:
    """Trains the trials of a stack, from their beginning or from where they were saved.

    What was saved goes on first; trials it does not cover train after it, from their beginning. Where memory runs
    out, a part trains as its halves.

    Parameters
    ----------
    trials : sequence of PlannedTrial
        All reports name places in it.
    task : Task
        Of the dataset.
    samples : pair of Samples
        To train on and to validate on, in host memory.
    pruner : Pruner, optional
        Ends trials early; its places are those of `trials`.
    saved : SavedStack, optional
        Holds some of the trials, perhaps among others.
    starts : mapping of str to Parameters, optional
        What trials begin with whose weights are not drawn, by trial key.
    layers : LayerWatch, optional
        What is measured of the layers.

    Attributes
    ----------
    news : sequence of TrialNews
        What MLflow had not heard of the trials that go on, and of those that had ended and do not train.
    """

    def __init__(
        self,
        trials: Sequence[PlannedTrial],
        task: Task,
        samples: tuple[Samples, Samples],
        backend: Backend,
        pruner: Pruner | None = None,
        saved: SavedStack | None = None,
        starts: Mapping[str, Parameters] | None = None,
        layers: LayerWatch | None = None,
    ) -> None:
        self._layers = layers
        self._task = task
        self._samples = samples
        self._backend = backend
        self._pruner = pruner
        self._starts = dict(starts or {})
        self._places = {trial.key: place for place, trial in enumerate(trials)}
        self._parts, self.news = self._cut(tuple(trials), saved)
        self._now: tuple[Training, tuple[PlannedTrial, ...]] | None = None

    def reports(self) -> Iterator[EpochReport]:
        """Train, yielding a report after every epoch, with places in the stack's trials."""
        for part in self._parts:
            stack = stack_of(part.trials, self._task)
            # By identity: a warm start has the hyperparameters of the trial that it follows, which may be here too.
            planned = {id(trial): own for trial, own in zip(stack.trials, part.trials, strict=True)}
            for report in train_in_halves(partial(self._train, part, planned), stack, self._backend):
                yield self._told(report, part.trials)

    def state(self) -> tuple[tuple[PlannedTrial, ...], tuple[Stack, Checkpoint] | None]:
        """Return what trains at the moment, between two reports: its trials, and if any is in training its state."""
        if self._now is None:
            return (), None
        training, trials = self._now
        return trials, (training.stack, training.checkpoint()) if training.active else None

    def _cut(
        self, trials: tuple[PlannedTrial, ...], saved: SavedStack | None
    ) -> tuple[list[_Part], Sequence[TrialNews]]:
        if saved is None:
            return [_Part(trials, None)] if trials else [], ()
        ended = {one.key for one in saved.facts.news if one.end is not None}
        left = [trial for trial in trials if trial.key not in ended]
        checkpoint = saved.checkpoint(stack_of(saved.facts.trials, self._task), {trial.key for trial in left})
        going_on = set() if checkpoint is None else {saved.facts.trials[place].key for place in checkpoint.active}
        anew = tuple(trial for trial in left if trial.key not in going_on)
        parts = [
            *([_Part(saved.facts.trials, checkpoint)] if checkpoint is not None else []),
            *([_Part(anew, None)] if anew else []),
        ]
        # A trial that starts anew measures all of its points again.
        return parts, [one for one in saved.facts.news if one.key in self._places and one.key in ended | going_on]

    def _train(self, part: _Part, planned: Mapping[int, PlannedTrial], piece: Stack) -> Iterator[EpochReport]:
        """Train a part, or one of its halves, which starts anew."""
        whole = len(piece.trials) == len(part.trials)
        trials = tuple(planned[id(trial)] for trial in piece.trials)
        checkpoint = part.checkpoint if whole else None
        initial = self._initial(trials, piece) if checkpoint is None else None
        training = Training(piece, self._backend, initial=initial, checkpoint=checkpoint, layers=self._layers)
        self._now = training, trials
        samples = training.place(self._samples[0], "training")
        validation = training.place(self._samples[1], "validation")
        on_epoch = partial(self._prune, self._now[1])
        while training.active:
            yield training.epoch(samples, validation, on_epoch)

    def _initial(self, trials: Sequence[PlannedTrial], piece: Stack) -> Parameters:
        starts = {place: self._starts[trial.key] for place, trial in enumerate(trials) if trial.key in self._starts}
        return initial_weights(piece, starts)

    def _prune(self, trials: Sequence[PlannedTrial], report: EpochReport) -> Collection[int]:
        """Return the places of a part's or a half's trials that are to end with this epoch.

        The second half is compared with the first as well. What was reported before memory ran out is reported again
        by the halves, to the same decisions.
        """
        if self._pruner is None:
            return ()
        ending = self._pruner.observe(self._told(report, trials))
        return [trial for trial in report.trials if self._places.get(trials[trial].key) in ending]

    def _told(self, report: EpochReport, trials: Sequence[PlannedTrial]) -> EpochReport:
        """Return a report on some trials with places in the stack's, without those that are not among them."""
        places = [self._places.get(trials[trial].key) for trial in report.trials]
        mine = [k for k, place in enumerate(places) if place is not None]
        told = {trial: place for trial, place in zip(report.trials, places, strict=True) if place is not None}
        return replace(
            report,
            trials=tuple(told.values()),
            metrics={name: values[mine] for name, values in report.metrics.items()},
            finished=tuple(replace(done, trial=told[done.trial]) for done in report.finished if done.trial in told),
        )
