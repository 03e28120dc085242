"""Training a stack: the minibatch loop over all its trials at once, an epoch at a time.

`train` is a generator. It yields a report after every epoch and hands out a trial's weights in the
report of the trial's last epoch, so the caller decides what to log and keep, and may stop whenever it likes.
A trial that is finished leaves the stack, and from then on costs nothing.

`Training` is what the generator drives: a stack's state, an epoch a call, for those who need the state
itself: to train on samples that come in pieces, or to keep and restore it.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from backprop.backend import Backend, HostArray
from backprop.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from backprop.descent import new_descent
from backprop.early_stopping import Watch
from backprop.evaluation import evaluate, measure
from backprop.layers import LayerWatch, measure_layers
from backprop.network import Network, Parameters, initial_parameters
from backprop.optimizers import SGD
from backprop.padding import crop, pad
from backprop.randomness import Stream, generator
from backprop.ranges import check_count
from backprop.reports import EpochReport, Finished, OnEpoch, Reason, histories
from backprop.samples import Samples, check_samples, one_hot, to_device
from backprop.schedules import Constant, Moment, Pace
from backprop.stack import Stack, Task, Trial, own_architecture, stack_of_one

__all__ = [
    "EpochReport",
    "Finished",
    "OnEpoch",
    "Reason",
    "Samples",
    "Stack",
    "Task",
    "Training",
    "Trial",
    "evaluate",
    "histories",
    "initial_weights",
    "one_hot",
    "stack_of_one",
    "train",
]


class Training:
    """A stack in training.

    Parameters
    ----------
    initial : Parameters, optional
        Weights to start from, in host memory, instead of drawn ones: a warm start.
    checkpoint : Checkpoint, optional
        A training of this stack to go on with.
    layers : LayerWatch, optional
        What to measure of the layers at some epochs; it changes no bit of the training.

    Attributes
    ----------
    active : tuple of int
        Places in ``Stack.trials`` of the trials still in training.
    epochs_done : int

    Raises
    ------
    ValueError
        `initial` does not fit the stack.
    """

    def __init__(
        self,
        stack: Stack,
        backend: Backend,
        *,
        initial: Parameters | None = None,
        checkpoint: Checkpoint | None = None,
        layers: LayerWatch | None = None,
    ) -> None:
        self.stack = stack
        self.network = Network(stack.architecture, backend)
        self._layers = layers
        self._backend = backend
        # One path for all of the stack's life: which trials have left changes no bit of the others.
        self._plain = all(type(t.optimizer) is SGD and not (t.l2 or t.l1 or t.clip_norm) for t in stack.trials)
        state = self._beginning(initial) if checkpoint is None else checkpoint
        self.epochs_done = state.epoch
        self._updates = state.updates
        self._samples = state.samples
        self.active = state.active
        self._paces = list(state.paces)
        self._watches = list(state.watches)
        self._hold(
            self._own(state.parameters),
            {name: self._own(memory) for name, memory in state.memories.items()},
            None if state.best is None else self._own(state.best),
        )

    def place(self, samples: Samples, argument: str = "training") -> Samples:
        """Check samples in host memory and move them to the backend, for `epoch`.

        Raises
        ------
        ValueError
            They do not fit the architecture or its loss, or a value is not finite.
        """
        check_samples(self.stack.architecture, samples, argument)
        return to_device(samples, self._backend, self.stack.dtype)

    def epoch(
        self, training: Samples, validation: Samples | None = None, on_epoch: OnEpoch | None = None
    ) -> EpochReport:
        """Train all active trials for one epoch on samples as returned by `place`, and measure them.

        Called with other samples each time, it is what scikit-learn calls a partial fit.

        Raises
        ------
        ValueError
            No trial is active, or one watches a metric of the validation samples and there are none.
        """
        self._check_can_train(validation)
        rates = self._rates()
        # A diverging trial overflows for the rest of its epoch; it is reported as such, not by a NumPy warning.
        with np.errstate(over="ignore", invalid="ignore"), self._backend.epoch():
            order = self._backend.to_device(self._order(len(training)))
            measured = {"train/loss": self._descent.over(training, order, rates, self._updates)}
            if validation is not None:
                measured |= measure(
                    self.network, self._parameters, validation, self.stack.task, "val", self._own_widths
                )
            metrics = self._backend.fetch(measured)
        if any(type(trial.schedule) is not Constant for trial in self.stack.trials):
            metrics["train/learning_rate"] = rates
        reasons = self._observe(metrics)
        self.epochs_done += 1
        self._updates += -(-len(training) // self.stack.batch_size)
        self._samples += len(training)
        reasons = self._with_stopped(metrics, reasons, on_epoch)
        if self._layers is not None:
            metrics |= self._measure_layers(self._layers, reasons, training, validation)
        report = EpochReport(self.epochs_done, self.active, metrics, self._finished(reasons))
        if reasons:
            self._leave(reasons)
        return report

    def parameters(self) -> Parameters:
        """Return copies of the weights of the active trials, in host memory."""
        return self._copy(self._parameters)

    def checkpoint(self) -> Checkpoint:
        """Return the state of the training as copies in host memory."""
        return Checkpoint(
            epoch=self.epochs_done,
            updates=self._updates,
            samples=self._samples,
            active=self.active,
            parameters=self._copy(self._parameters),
            memories={name: self._copy(memory) for name, memory in self._memories.items()},
            best=None if self._best is None else self._copy(self._best),
            paces=tuple(self._paces),
            watches=tuple(self._watches),
        )

    # State

    def _beginning(self, initial: Parameters | None) -> Checkpoint:
        stack = self.stack
        if initial is None:
            initial = initial_weights(stack)
        _check_initial(stack, initial)
        return Checkpoint(
            epoch=0,
            updates=0,
            samples=0,
            active=tuple(range(len(stack.trials))),
            parameters=initial,
            memories={},
            best=None,
            paces=tuple(Pace(trial.learning_rate) for trial in stack.trials),
            watches=tuple(Watch() for _ in stack.trials),
        )

    def _hold(self, parameters: Parameters, memories: dict[str, Parameters], best: Parameters | None) -> None:
        """Take over the state of the active trials, in the backend's memory, and build what trains them."""
        self._parameters, self._memories, self._best = parameters, memories, best
        trials = self._active_trials()
        if not trials:
            return
        if best is None and any(t.early_stopping and t.early_stopping.restore for t in trials):
            self._best = parameters.select(range(len(trials)))
        widest = self.stack.architecture.hidden
        padded = any(t.hidden not in (None, widest) for t in trials)
        self._own_widths = [t.hidden or widest for t in trials] if padded else None
        self._descent = new_descent(self.network, self.stack, trials, parameters, memories, plain=self._plain)
        self._memories = self._descent.memories

    def _active_trials(self) -> list[Trial]:
        return [self.stack.trials[place] for place in self.active]

    def _own(self, parameters: Parameters) -> Parameters:
        """Return parameters from host memory as the stack's own, in the backend's memory."""
        dtype = self.stack.dtype
        copies = Parameters(
            [np.array(w, dtype, order="C") for w in parameters.weights],
            [np.array(b, dtype, order="C") for b in parameters.biases],
        )
        return copies.to_device(self._backend)

    def _copy(self, parameters: Parameters) -> Parameters:
        return parameters.select(range(len(self.active))).to_host(self._backend)

    # An epoch

    def _check_can_train(self, validation: Samples | None) -> None:
        if not self.active:
            raise ValueError("active is empty: every trial of the stack has ended")
        for trial in self._active_trials():
            for name in trial.watched:
                if validation is None and name.startswith("val/"):
                    raise ValueError(
                        f"validation is None but a trial watches {name!r}: give samples, or use 'train/loss'"
                    )

    def _rates(self) -> HostArray:
        """Return the learning rates of the epoch, (T,) float64."""
        rates = [
            trial.schedule.rate(trial.learning_rate, self._moment(trial), pace)
            for trial, pace in zip(self._active_trials(), self._paces, strict=True)
        ]
        return np.array(rates, "float64")

    def _moment(self, trial: Trial) -> Moment:
        return Moment(index=self.epochs_done, epochs=trial.epochs, samples=self._samples)

    def _order(self, samples: int) -> HostArray:
        if not self.stack.shuffle:
            return np.arange(samples)
        return generator(self.stack.shuffle_seed, Stream.SHUFFLE, self.epochs_done + 1).permutation(samples)

    # After an epoch

    def _observe(self, metrics: dict[str, HostArray]) -> dict[int, Reason]:
        """Show every trial its metrics; return why those that end do, by their place among the active."""
        finite = np.isfinite(metrics["train/loss"]) & np.isfinite(metrics.get("val/loss", 0.0))
        reasons: dict[int, Reason] = {}
        for k, trial in enumerate(self._active_trials()):
            reason = self._observe_trial(k, trial, metrics) if finite[k] else "diverged"
            if reason is not None:
                reasons[k] = reason
        if self._best is not None:
            self._keep_best()
        return reasons

    def _observe_trial(self, k: int, trial: Trial, metrics: dict[str, HostArray]) -> Reason | None:
        mine = {name: float(values[k]) for name, values in metrics.items()}
        self._paces[k] = trial.schedule.observe(self._paces[k], self._moment(trial), mine)
        if trial.early_stopping is not None:
            self._watches[k] = trial.early_stopping.observe(self._watches[k], self.epochs_done + 1, mine)
        if self.epochs_done + 1 >= trial.epochs:
            return "epochs"
        if trial.early_stopping is not None and trial.early_stopping.ends(self._watches[k]):
            return "early_stopping"
        return "schedule" if self._paces[k].exhausted else None

    def _keep_best(self) -> None:
        """Keep the weights of the trials for which this epoch is the best yet."""
        rows = [k for k, watch in enumerate(self._watches) if watch.best_epoch == self.epochs_done + 1]
        if rows and self._best is not None:
            for kept, now in zip(self._best, self._parameters, strict=True):
                kept[rows] = now[rows]

    def _with_stopped(
        self, metrics: dict[str, HostArray], reasons: dict[int, Reason], on_epoch: OnEpoch | None
    ) -> dict[int, Reason]:
        """Return why trials end, those included that the caller ends, who sees the report as it is so far."""
        if on_epoch is None:
            return reasons
        report = EpochReport(self.epochs_done, self.active, metrics, self._finished(reasons))
        return reasons | self._stopped(on_epoch(report), reasons)

    def _measure_layers(
        self, watch: LayerWatch, ending: Collection[int], training: Samples, validation: Samples | None
    ) -> dict[str, HostArray]:
        """Return the numbers of the layers, due at a trial's last epoch whenever that is; NaN for trials not due."""
        trials = self._active_trials()
        due = [k for k, t in enumerate(trials) if k in ending or watch.is_due(self.epochs_done, t.epochs)]
        if not due:
            return {}
        widths = [trials[k].hidden or self.stack.architecture.hidden for k in due]
        with np.errstate(over="ignore", invalid="ignore"), self._backend.epoch():
            parameters = self._parameters if len(due) == len(trials) else self._parameters.select(due)
            measured = measure_layers(self.network, parameters, widths, training, validation, watch)
        return {name: _at(due, values, len(trials)) for name, values in measured.items()}

    def _stopped(self, places: Collection[int], reasons: dict[int, Reason]) -> dict[int, Reason]:
        for place in places:
            if place not in self.active:
                raise ValueError(f"on_epoch returned {place!r}: use places of trials in training, {self.active}")
        return {k: "stopped" for k, place in enumerate(self.active) if place in places and k not in reasons}

    def _finished(self, reasons: dict[int, Reason]) -> tuple[Finished, ...]:
        return tuple(self._finish(k, reason) for k, reason in sorted(reasons.items()))

    def _finish(self, k: int, reason: Reason) -> Finished:
        early_stopping, watch = self.stack.trials[self.active[k]].early_stopping, self._watches[k]
        source, epoch = self._parameters, self.epochs_done
        if self._best is not None and early_stopping is not None and early_stopping.restore and watch.best_epoch:
            source, epoch = self._best, watch.best_epoch
        own = own_architecture(self.stack, self.active[k])
        parameters = crop(source.select([k]).to_host(self._backend), own)
        return Finished(self.active[k], parameters, reason == "diverged", reason, epoch)

    def _leave(self, leaving: Collection[int]) -> None:
        """Compact the stack: what is left of it trains as if the others had never been."""
        staying = [k for k in range(len(self.active)) if k not in leaving]
        self.active = tuple(self.active[k] for k in staying)
        self._paces = [self._paces[k] for k in staying]
        self._watches = [self._watches[k] for k in staying]
        self._hold(
            self._parameters.select(staying),
            {name: memory.select(staying) for name, memory in self._memories.items()},
            None if self._best is None else self._best.select(staying),
        )


def train(
    stack: Stack,
    training: Samples,
    validation: Samples | None,
    backend: Backend,
    *,
    initial: Parameters | None = None,
    checkpoint: Path | None = None,
    checkpoint_every: int = 1,
    on_epoch: OnEpoch | None = None,
    layers: LayerWatch | None = None,
) -> Iterator[EpochReport]:
    """Train all trials of a stack by minibatches, yielding a report after every epoch.

    Nothing happens before the first report is asked for; what is wrong with the arguments is raised then.

    Parameters
    ----------
    training : Samples
        In host memory; moved to the backend once.
    validation : Samples or None
        Likewise; without them ``train/loss`` is all that is measured.
    initial : Parameters, optional
        (T, fan_in, fan_out) weights and (T, 1, fan_out) biases to start from, instead of drawn ones.
    checkpoint : Path, optional
        Where to keep the training. If there is a checkpoint of this stack, training goes on from it, to the same
        numbers bit for bit (on one backend), and `initial` is not looked at. One is written once the caller has
        come back for the next report, so a caller that fails over a report is given that one again, not the next.
    checkpoint_every : int
        Epochs between two checkpoints; one more is written at the end.
    on_epoch : callable, optional
        Sees every report before it is yielded, and returns the places in ``stack.trials`` of trials to end with
        this epoch. They are handed out in its report, as all that are finished.
    layers : LayerWatch, optional
        What to measure of the layers at some epochs; it changes no bit of the training.

    Raises
    ------
    ValueError
        The samples or `initial` do not fit the stack, a value is not finite, or a trial watches a metric of
        validation samples that are not there.
    CheckpointError
        The checkpoint is of another stack, or damaged.
    """
    check_count("checkpoint_every", checkpoint_every)
    kept = load_checkpoint(checkpoint, stack) if checkpoint is not None and checkpoint.exists() else None
    run = Training(stack, backend, initial=initial, checkpoint=kept, layers=layers)
    training = run.place(training, "training")
    validation = None if validation is None else run.place(validation, "validation")
    while run.active:
        yield run.epoch(training, validation, on_epoch)
        if checkpoint is not None and (run.epochs_done % checkpoint_every == 0 or not run.active):
            save_checkpoint(checkpoint, stack, run.checkpoint())


def initial_weights(stack: Stack, given: Mapping[int, Parameters] | None = None) -> Parameters:
    """Return what a stack starts from: weights drawn for each trial's own widths and padded, or those given for it.

    Parameters
    ----------
    given : mapping of int to Parameters, optional
        By place in ``stack.trials`` the weights of one trial, in host memory and of the trial's own widths.

    Raises
    ------
    ValueError
        A place is none of the stack's, or weights do not fit their trial.
    """
    given = given or {}
    unknown = sorted(set(given) - set(range(len(stack.trials))))
    if unknown:
        raise ValueError(f"given has weights for trial {unknown[0]}: use places in a stack of {len(stack.trials)}")
    for place, parameters in given.items():
        _check_initial(replace(stack_of_one(stack, place), architecture=own_architecture(stack, place)), parameters)
    drawn = [
        pad(
            given[place]
            if place in given
            else initial_parameters(own_architecture(stack, place), [trial.seed], stack.dtype, [trial.initializer]),
            stack.architecture,
        )
        for place, trial in enumerate(stack.trials)
    ]
    return Parameters(
        [np.concatenate(layer) for layer in zip(*(one.weights for one in drawn), strict=True)],
        [np.concatenate(layer) for layer in zip(*(one.biases for one in drawn), strict=True)],
    )


def _at(places: Sequence[int], values: HostArray, trials: int) -> HostArray:
    """Return the values at their places among the trials, and NaN at the others."""
    spread = np.full(trials, np.nan)
    spread[places] = values
    return spread


def _check_initial(stack: Stack, initial: Parameters) -> None:
    trials = len(stack.trials)
    layers = stack.architecture.layers
    wanted = [*((trials, *layer) for layer in layers), *((trials, 1, fan_out) for _, fan_out in layers)]
    given = [tuple(array.shape) for array in initial]
    if given != wanted:
        raise ValueError(f"initial has the shapes {given}: use {wanted}, weights first")
    for place in (place for place, trial in enumerate(stack.trials) if trial.hidden is not None):
        mine = initial.select([place])
        padded = pad(crop(mine, own_architecture(stack, place)), stack.architecture)
        if any(np.any(kept != there) for kept, there in zip(padded, mine, strict=True)):
            raise ValueError(f"initial has weights of trial {place} outside of its hidden widths: use 0 there")
