"""What the two estimators share: fitting a stack of one trial, going on with it, and its outputs."""

import sys
import warnings
from abc import abstractmethod
from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal, Self, cast

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from backprop.backend import HostArray, select_backend
from backprop.checkpoint import Checkpoint
from backprop.early_stopping import Watch
from backprop.estimators.losses import add_to_core
from backprop.estimators.settings import (
    METRICS,
    Settings,
    activation_of,
    check_settings,
    hidden_of,
    trial_of,
)
from backprop.estimators.shaping import FLOATS, dense, logits_of, rows_of
from backprop.network import Architecture, Parameters, host_parameters, initial_parameters
from backprop.reports import EpochReport, Finished, Reason
from backprop.samples import Samples
from backprop.schedules import Pace
from backprop.stack import Stack, Task, Trial
from backprop.training import Training

LARGEST_AUTOMATIC_BATCH = 200
"""scikit-learn's, for ``batch_size="auto"``."""


@dataclass(frozen=True)
class Seeds:
    """What a fit draws from `random_state`."""

    trial: int
    shuffle: int
    split: int


class BaseMLP(Settings, BaseEstimator):  # type: ignore[misc] # scikit-learn is untyped
    """A multilayer perceptron as a scikit-learn estimator."""

    _task: ClassVar[Task]

    # What the subclasses say

    @abstractmethod
    def _samples(self, X: Any, y: Any, sample_weight: Any, *, first: bool, partial: bool) -> Samples:
        """Return what the user passed as samples; the first call decides about classes and features."""

    @abstractmethod
    def _output(self) -> tuple[str, str]:
        """Return the core's names of output activation and loss."""

    @abstractmethod
    def _strata(self, y: HostArray) -> HostArray | None:
        """Return what a split is to be balanced by, (N,), from targets, (N, C)."""

    def _smoothing(self) -> float:
        return 0.0

    # Fitting

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Train on samples for up to `max_iter` epochs, from drawn weights or, with `warm_start`, the last ones.

        Parameters
        ----------
        X : (N, D) array-like or sparse matrix
        y : (N,) or (N, C) array-like
        sample_weight : (N,) array-like, optional
            How much each sample counts; only the ratios matter.

        Raises
        ------
        ValueError
            A parameter, a shape or a value is not allowed, or the loss stopped being finite.
        """
        check_settings(self)
        first = not (self.warm_start and hasattr(self, "_state"))
        samples = self._samples(X, y, sample_weight, first=first, partial=False)
        self._draw_seeds()
        self._prepare(samples, first=first)
        training, validation = self._split(samples)
        stack = self._stack(training, self._trial(training))
        state = self._beginning(stack.trials[0], self._parameters(), self.t_)
        before = len(self.loss_curve_)
        reason = self._train(Training(stack, select_backend(self.device), checkpoint=state), training, validation)
        self.n_iter_ = len(self.loss_curve_) - before
        scores = (self.validation_scores_ or [])[-self.n_iter_ :] if self.early_stopping else []
        self.best_validation_score_ = float(np.nanmax(scores)) if scores else None
        if reason == "epochs":
            warnings.warn(
                f"Maximum iterations ({self.max_iter}) reached and the optimization hasn't converged yet: "
                "use a larger max_iter, tol or learning_rate_init",
                ConvergenceWarning,
                stacklevel=2,
            )
        return self

    def _partial_fit(self, X: Any, y: Any, sample_weight: Any) -> Self:
        """Train on samples for one epoch, going on from wherever training stands."""
        check_settings(self)
        if self.early_stopping:
            raise ValueError("partial_fit does not support early_stopping=True: score samples of your own instead")
        first = not hasattr(self, "_state")
        samples = self._samples(X, y, sample_weight, first=first, partial=True)
        if first:
            self._draw_seeds()
        self._prepare(samples, first=first)
        trial = self._trial(samples)
        state = self._beginning(trial, self._parameters(), 0) if first else self._resumed(trial)
        trial = replace(trial, epochs=max(self.max_iter, state.epoch + 1), early_stopping=None)
        run = Training(self._stack(samples, trial), select_backend(self.device), checkpoint=state)
        self._train(run, samples, None, epochs=1)
        self.n_iter_ = 1
        self.best_validation_score_ = None
        return self

    def _draw_seeds(self) -> None:
        drawn = check_random_state(self.random_state).randint(np.iinfo(np.int32).max, size=3)
        self._seeds = Seeds(*(int(seed) for seed in drawn))

    def _prepare(self, samples: Samples, *, first: bool) -> None:
        """Make the network, or see that the one there is fits; and the attributes that training adds to."""
        architecture = self._architecture_for(samples)
        self.n_outputs_ = architecture.outputs
        if first:
            self._architecture = architecture
            self._draw_weights(samples)
            self.t_, self.loss_curve_ = 0, cast(list[float], [])
            self.validation_scores_: list[float] | None = None
            self.validation_loss_curve_: list[float] | None = None
        given, wanted = [w.shape for w in self.coefs_], list(architecture.layers)
        if given != wanted:
            raise ValueError(
                f"hidden_layer_sizes is {self.hidden_layer_sizes!r}, which makes layers of {wanted}, but the fitted "
                f"ones are {given}: use the same, or fit anew with warm_start=False"
            )
        self._architecture = architecture
        self.n_layers_ = len(architecture.layers) + 1
        if self.early_stopping:
            self.validation_scores_ = self.validation_scores_ or []
            self.validation_loss_curve_ = self.validation_loss_curve_ or []
        else:
            self.validation_scores_ = self.validation_loss_curve_ = None

    def _architecture_for(self, samples: Samples) -> Architecture:
        add_to_core()
        hidden = hidden_of(self)
        phi, loss = self._output()
        inputs, outputs = samples.x.shape[1], samples.y.shape[1]
        return Architecture(inputs, hidden, outputs, activation_of(self, len(hidden)), phi, loss)

    def _draw_weights(self, samples: Samples) -> None:
        dtype = self.dtype or samples.x.dtype
        self._hold(initial_parameters(self._architecture, [self._seeds.trial], dtype, [self.initializer]))

    def _hold(self, parameters: Parameters) -> None:
        self.coefs_: list[HostArray] = [w[0] for w in parameters.weights]
        self.intercepts_: list[HostArray] = [b[0, 0] for b in parameters.biases]

    def _parameters(self) -> Parameters:
        return host_parameters(self.coefs_, self.intercepts_)

    def _split(self, samples: Samples) -> tuple[Samples, Samples | None]:
        """Return samples to train on and, with early stopping, to validate on."""
        if not self.early_stopping:
            return samples, None
        training, validation = train_test_split(
            np.arange(len(samples)),
            test_size=self.validation_fraction,
            random_state=self._seeds.split,
            stratify=self._strata(samples.y),
        )
        if len(validation) < 2:
            raise ValueError(
                f"validation_fraction is {self.validation_fraction}, which sets {len(validation)} of {len(samples)} "
                "samples aside. The validation set is too small: use a larger fraction, more samples, or "
                "early_stopping=False"
            )
        return rows_of(samples, training), rows_of(samples, validation)

    def _trial(self, training: Samples) -> Trial:
        # As in scikit-learn alpha is divided by what a minibatch weighs, on average.
        weight = 1.0 if training.weights is None else float(np.mean(training.weights))
        l2 = self.alpha / (self._batch(training) * weight)
        return trial_of(self, self._task, seed=self._seeds.trial, l2=l2, label_smoothing=self._smoothing())

    def _batch(self, training: Samples) -> int:
        size = LARGEST_AUTOMATIC_BATCH if self.batch_size == "auto" else self.batch_size
        return int(min(size, len(training)))

    def _stack(self, training: Samples, trial: Trial) -> Stack:
        if self.batch_size != "auto" and self.batch_size > len(training):
            warnings.warn(
                f"batch_size is {self.batch_size} but there are {len(training)} samples: all are taken", stacklevel=3
            )
        return Stack(
            self._architecture,
            self._batch(training),
            (trial,),
            self._task,
            self._seeds.shuffle,
            cast(Literal["float32", "float64"], self.coefs_[0].dtype.name),
            bool(self.shuffle),
        )

    # Where a training stands

    @staticmethod
    def _beginning(trial: Trial, parameters: Parameters, samples: int) -> Checkpoint:
        """Return the state of a training that starts from these weights, `samples` having been seen before."""
        return Checkpoint(
            epoch=0,
            updates=0,
            samples=samples,
            active=(0,),
            parameters=parameters,
            memories={},
            best=None,
            paces=(Pace(trial.learning_rate),),
            watches=(Watch(),),
        )

    def _resumed(self, trial: Trial) -> Checkpoint:
        """Return the state to go on from; another kind of solver starts with empty memories."""
        state = self._state
        kept = state.memories if state.memories.keys() == set(trial.optimizer.memories) else {}
        return replace(state, parameters=self._parameters(), memories=kept)

    def _train(
        self, run: Training, training: Samples, validation: Samples | None, epochs: int | None = None
    ) -> Reason | None:
        """Train until the trial ends, or for so many epochs, and keep what came of it; return why the trial ended."""
        states: list[Checkpoint] = []

        def see(report: EpochReport) -> Collection[int]:
            self._record(report)
            # A trial that ends leaves the stack, and its state with it: this is the last look at both.
            if report.finished or run.epochs_done == last:
                states.append(run.checkpoint())
            return ()

        training = run.place(training)
        validation = None if validation is None else run.place(validation)
        last = None if epochs is None else run.epochs_done + epochs
        finished: tuple[Finished, ...] = ()
        try:
            while run.active and run.epochs_done != last:
                finished = run.epoch(training, validation, see).finished
        except KeyboardInterrupt:
            warnings.warn("Training interrupted by user.", stacklevel=3)
            states.append(run.checkpoint())
        self._keep(states[-1], finished[0] if finished else None)
        return finished[0].reason if finished else None

    def _record(self, report: EpochReport) -> None:
        """Add an epoch to the curves."""
        metrics = {name: float(values[0]) for name, values in report.metrics.items()}
        self.loss_ = metrics["train/loss"]
        self.loss_curve_.append(self.loss_)
        message = f"Iteration {report.epoch}, loss = {self.loss_:.8f}\n"
        if self.validation_scores_ is not None and self.validation_loss_curve_ is not None:
            self.validation_scores_.append(metrics[METRICS[self._task]])
            self.validation_loss_curve_.append(metrics["val/loss"])
            message += f"Validation score: {self.validation_scores_[-1]:f}\n"
        if self.verbose:
            sys.stdout.write(message)

    def _keep(self, state: Checkpoint, finished: Finished | None) -> None:
        """Keep weights and state, and say it where training did not go well."""
        self._state = replace(state, parameters=Parameters([], []), best=None)
        self.t_ = state.samples
        self.best_loss_ = None if self.early_stopping else min(self.loss_curve_, default=None)
        if finished is not None and finished.diverged:
            self._check_diverged(finished, state.epoch)
        self._hold(finished.parameters if finished is not None else state.best or state.parameters)

    def _check_diverged(self, finished: Finished, epoch: int) -> None:
        what = f"The loss stopped being finite in epoch {epoch}"
        if finished.weights_epoch == epoch or not all(np.isfinite(array).all() for array in finished.parameters):
            raise ValueError(
                f"{what}: scale the input data, or use a smaller learning_rate_init than {self.learning_rate_init} "
                "or a clip_norm"
            )
        warnings.warn(
            f"{what}: the weights are those of epoch {finished.weights_epoch}", ConvergenceWarning, stacklevel=5
        )

    # Prediction

    def _logits(self, X: Any) -> HostArray:
        """Return the logits of samples, (N, C)."""
        check_is_fitted(self, "coefs_")
        add_to_core()
        x = dense(validate_data(self, X, accept_sparse=("csr", "csc"), dtype=FLOATS, reset=False))
        return logits_of(self._architecture, self.coefs_, self.intercepts_, x, select_backend(self.device))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags
