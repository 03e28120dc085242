"""A pass over the samples: from a minibatch to an update of the trials of a stack.

    forward -> loss and delta -> backward -> optimiser

Plain SGD takes a shorter way: the learning rate goes into delta, and backward is the update (`Network.descend`).
"""

from collections.abc import Sequence

import numpy as np

from backprop.backend import Array, EpochDescent, HostArray
from backprop.dropout import Dropout
from backprop.losses import CrossEntropy
from backprop.network import Network, Parameters
from backprop.optimizers import StackOptimizer
from backprop.padding import unit_masks
from backprop.samples import Samples
from backprop.stack import Stack, Trial


def new_descent(
    network: Network,
    stack: Stack,
    trials: Sequence[Trial],
    parameters: Parameters,
    memories: dict[str, Parameters],
    *,
    plain: bool,
) -> EpochDescent:
    """Return what trains a stack: the backend's own way, or where it has none `Descent`, whose arguments these are."""
    faster = network.backend.faster_descent(network, stack, trials, parameters, memories, plain=plain)
    return faster or Descent(network, stack, trials, parameters, memories, plain=plain)


class Descent:
    """Updates the parameters of trials in place.

    Parameters
    ----------
    trials : sequence of Trial
        Those of the stack still in training.
    parameters : Parameters
        Theirs, in the backend's memory.
    memories : dict of str to Parameters
        What their optimiser remembers; empty at the start.
    plain : bool
        Take plain SGD's way.

    Attributes
    ----------
    memories : dict of str to Parameters
    """

    def __init__(
        self,
        network: Network,
        stack: Stack,
        trials: Sequence[Trial],
        parameters: Parameters,
        memories: dict[str, Parameters],
        *,
        plain: bool,
    ) -> None:
        self._network, self._stack, self._plain = network, stack, plain
        self._parameters = parameters
        self._optimizer = StackOptimizer(
            network.backend,
            [t.optimizer for t in trials],
            parameters,
            l2=[t.l2 for t in trials],
            l1=[t.l1 for t in trials],
            clip_norm=[np.inf if t.clip_norm is None else t.clip_norm for t in trials],
            memories=memories,
        )
        self.memories = self._optimizer.memories
        self._work = parameters.empty_like(network.backend)
        widest = stack.architecture.hidden
        hidden = [t.hidden or widest for t in trials]
        self._dropout = self._new_dropout(trials, hidden)
        self._unit_masks = unit_masks(network.backend, hidden, widest, stack.dtype)
        smoothing = np.array([t.label_smoothing for t in trials], stack.dtype)
        self._smoothing = network.backend.to_device(smoothing[:, None, None]) if smoothing.any() else None

    def over(self, samples: Samples, order: Array, rates: HostArray, done: int) -> Array:
        """Update the parameters over one pass; return each trial's mean loss, (T,), in the backend's memory.

        Parameters
        ----------
        order : (N,) int64 array in the backend's memory
        rates : (T,) float64 array in host memory
            Learning rates.
        done : int
            Updates done before.
        """
        backend, dtype, size = self._network.backend, self._stack.dtype, self._stack.batch_size
        self._optimizer.set_rates(rates)
        # What delta is multiplied with, for a mean over B samples: the learning rate's place in plain SGD.
        factor = backend.to_device((rates if self._plain else np.ones_like(rates)).astype(dtype))
        total = backend.xp.zeros(len(rates), "float64")
        for number, start in enumerate(range(0, len(samples), size), start=done):
            rows = order[start : start + size]
            x = backend.gather(samples.x, rows, dtype, shift=samples.shift, scale=samples.scale)
            y = backend.gather(samples.y, rows, dtype)
            weights = None if samples.weights is None else samples.weights[rows]
            backend.add_losses(total, self._update(x, y, weights, factor / len(rows), number))
        return total / len(samples)

    def _update(self, x: Array, y: Array, weights: Array | None, scale: Array, done: int) -> Array:
        """Update the parameters from a minibatch after `done` others; return the loss of every sample, (T, B)."""
        masks = self._dropout.masks(done, len(x)) if self._dropout else self._unit_masks
        trace = self._network.forward(self._parameters, x, masks)
        stage = self._network.output_stage
        loss, delta = self._network.backend.loss_and_delta(stage, trace.logits, self._targets(y), scale)
        if weights is not None:
            loss *= weights
            delta *= weights[:, None]
        if self._plain:
            self._network.descend(self._parameters, trace, delta, scratch=self._work)
        else:
            gradients = self._network.backward(self._parameters, trace, delta, out=self._work)
            self._optimizer.step(self._parameters, gradients, done + 1)
        return loss

    def _targets(self, y: Array) -> Array:
        """Return the targets trained on: y, (B, C), or smoothed for each trial, (T, B, C)."""
        if self._smoothing is None:
            return y
        outcomes = y.shape[1] if self._stack.architecture.loss == CrossEntropy.name else 2
        return (1 - self._smoothing) * y + self._smoothing / outcomes

    def _new_dropout(self, trials: Sequence[Trial], hidden: Sequence[tuple[int, ...]]) -> Dropout | None:
        rates = [t.dropout for t in trials]
        if not any(rates):
            return None
        seeds = [t.seed for t in trials]
        widest = self._stack.architecture.hidden
        return Dropout(self._network.backend, rates, seeds, widest, self._stack.dtype, own=hidden)
