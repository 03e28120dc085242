"""One sample per update on a GPU: an epoch of all trials in one launch, a thread block a trial.

As separate launches, an update of a small network would take longer than on one core of a CPU. (On a CPU the compiled
loops of `backprop.compiled` train minibatches of every size, one sample included.)
"""

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from backprop.backend import Array, HostArray
from backprop.descent import Descent
from backprop.network import Network, Parameters
from backprop.samples import Samples
from backprop.stack import Stack, Trial

if TYPE_CHECKING:
    from backprop.kernels import CupyBackend


class OnlineDescent:
    """Updates the parameters of trials in place, as `Descent` does, by `CupyBackend.online_epoch`.

    Samples with weights, which the kernel does not know, are left to `Descent`.

    Attributes
    ----------
    memories : dict of str to Parameters
        Empty: plain SGD remembers nothing.
    """

    def __init__(
        self, backend: "CupyBackend", network: Network, stack: Stack, trials: Sequence[Trial], parameters: Parameters
    ) -> None:
        self.memories: dict[str, Parameters] = {}
        self._backend, self._network, self._stack = backend, network, stack
        self._trials, self._parameters = trials, parameters

    def over(self, samples: Samples, order: Array, rates: HostArray, done: int) -> Array:
        """Update the parameters over one pass; return each trial's mean loss, (T,). See `Descent.over`."""
        if samples.weights is not None:
            return self._descent.over(samples, order, rates, done)
        architecture, dtype = self._stack.architecture, self._stack.dtype
        # The kernel reads rows; samples come to the device as they are, by columns or in bytes too. It reads a sample
        # once for every unit, so they are standardised before.
        by_rows = self._backend.xp.ascontiguousarray
        x = self._backend.gather(samples.x, slice(None), dtype, shift=samples.shift, scale=samples.scale)
        total = self._backend.online_epoch(
            self._parameters.weights,
            self._parameters.biases,
            by_rows(x, dtype),
            by_rows(samples.y, dtype),
            order,
            self._backend.to_device(rates.astype(dtype)),
            sigma=architecture.activations[0],
            phi=architecture.output_activation,
            loss=architecture.loss,
        )
        return total / len(samples)

    @cached_property
    def _descent(self) -> Descent:
        """The plain form; made when needed, since it takes as much memory again as the parameters."""
        return Descent(self._network, self._stack, self._trials, self._parameters, {}, plain=True)


def trains_online(stack: Stack, *, plain: bool) -> bool:
    """Return whether the trials of a stack, also those that have left it, are such as `OnlineDescent` trains."""
    return (
        plain
        and stack.batch_size == 1
        and not any(t.dropout or t.label_smoothing for t in stack.trials)
        and all(t.hidden in (None, stack.architecture.hidden) for t in stack.trials)
    )
