"""JAX: an epoch is one jitted function, ``lax.scan`` over its minibatches, its parameters donated; trial after trial.

Each minibatch is gathered inside the loop: gathering the epoch's samples before it was slower by a quarter where they
do not fit the cache (784-128-10 at 64: 117,000 for 161,000 samples/s) and no faster elsewhere. Variants are how many
updates an iteration of the loop holds: 4 are faster by a fifth at one sample an update (8 and 16 were not), and slower
by as much for large products. Targets as one-hot rows: their gradient needs no scatter.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.contestants import Weights
from benchmarks.task import Task

VARIANTS = ("unroll_1", "unroll_4")

Layers = tuple[tuple[jax.Array, jax.Array], ...]
"""W and b of every layer."""

Epoch = Callable[[Layers, jax.Array, jax.Array, jax.Array, jax.Array], Layers]
"""(parameters, rate, x, codes, order) to parameters."""


class Epochs:
    """Runs an epoch's function, once for every model; a model is one trial, or all of them stacked."""

    def __init__(self, task: Task, epoch: Epoch, models: list[Layers], rates: list[jax.Array]) -> None:
        self._epoch, self._initial, self._rates = jax.jit(epoch, donate_argnums=0), models, rates
        self._models = models
        self._samples = (jnp.asarray(task.x), jnp.asarray(task.codes, "int32"))
        self._orders = [jnp.asarray(order, "int32") for order in task.orders]

    def reset(self) -> None:
        """Copy the initial weights: an epoch takes those it is given away."""
        self._models = jax.block_until_ready(jax.tree.map(jnp.copy, self._initial))

    def train(self, epochs: int) -> None:
        """Run the epochs and wait for the last."""
        for order in self._orders[:epochs]:
            self._models = [
                self._epoch(model, rate, *self._samples, order)
                for model, rate in zip(self._models, self._rates, strict=True)
            ]
        jax.block_until_ready(self._models)

    def weights(self) -> Weights:
        """Return the weights of all models, one below the other."""
        layers = [list(layer) for layer in zip(*self._models, strict=True)]
        return (
            [np.concatenate([np.asarray(w).reshape(-1, *w.shape[-2:]) for w, _ in layer]) for layer in layers],
            [np.concatenate([np.asarray(b).reshape(-1, 1, b.shape[-1]) for _, b in layer]) for layer in layers],
        )


def build(task: Task, variant: str, threads: int) -> Epochs:  # noqa: ARG001 - threads come by the environment
    """Return the contestant."""
    models = [
        tuple((jnp.asarray(w[t]), jnp.asarray(b[t, 0])) for w, b in zip(task.weights, task.biases, strict=True))
        for t in range(task.trials)
    ]
    return Epochs(task, epoch_of(task.batch, unroll_of(variant)), models, [jnp.float32(rate) for rate in task.rates])


def unroll_of(variant: str) -> int:
    """Return how many updates an iteration holds."""
    return int(variant.rpartition("_")[2])


def epoch_of(batch: int, unroll: int) -> Epoch:
    """Return the function of an epoch; the last minibatch, if smaller, comes after the loop."""

    def epoch(layers: Layers, rate: jax.Array, x: jax.Array, codes: jax.Array, order: jax.Array) -> Layers:
        def step(layers: Layers, rows: jax.Array) -> tuple[Layers, None]:
            gradients = jax.grad(mean_loss)(layers, x[rows], codes[rows])
            return jax.tree.map(lambda p, g: p - rate * g, layers, gradients), None

        whole = len(order) // batch * batch
        layers, _ = jax.lax.scan(step, layers, order[:whole].reshape(-1, batch), unroll=unroll)
        return layers if whole == len(order) else step(layers, order[whole:])[0]

    return epoch


def mean_loss(layers: Layers, x: jax.Array, codes: jax.Array) -> Any:
    """Return a trial's mean cross-entropy of a minibatch."""
    h = x
    for w, b in layers[:-1]:
        h = jax.nn.relu(h @ w + b)
    w, b = layers[-1]
    logits = h @ w + b
    return -jnp.mean(jnp.sum(jax.nn.log_softmax(logits) * jax.nn.one_hot(codes, logits.shape[1]), axis=1))
