"""JAX: all trials at once, ``vmap`` of the jitted epoch of `jax_scan` over trials.

The epoch is mapped as a whole: mapping the step inside the loop was slower by up to a tenth.
"""

import jax
import jax.numpy as jnp

from benchmarks.contestants.jax_scan import VARIANTS, Epochs, epoch_of, unroll_of
from benchmarks.task import Task

__all__ = ["VARIANTS", "build"]


def build(task: Task, variant: str, threads: int) -> Epochs:  # noqa: ARG001 - threads come by the environment
    """Return the contestant."""
    model = tuple((jnp.asarray(w), jnp.asarray(b[:, 0])) for w, b in zip(task.weights, task.biases, strict=True))
    epoch = jax.vmap(epoch_of(task.batch, unroll_of(variant)), in_axes=(0, 0, None, None, None))
    return Epochs(task, epoch, [model], [jnp.asarray(task.rates, "float32")])
