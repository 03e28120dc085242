"""What no training by matrix products can beat: a row's products and nothing else, by the BLAS that NumPy uses.

For each update `h W` forward, `h^T delta` of every layer and `delta W^T` of every layer but the first, float32, into
arrays made before; the minibatch is always the same, so it is in the cache. Variants are layouts:

apart
    A product for each trial.
fused
    The first layer of all trials is one product, as all trials see the same minibatch.
_out_in
    Weights as (fan_out, fan_in) instead of (fan_in, fan_out).
"""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from benchmarks.contestants import Weights
from benchmarks.task import Task, minibatches

Array = npt.NDArray[np.float32]
Product = tuple[Array, Array, Array]
"""a, b and where a @ b goes."""


class Products:
    """The products of an epoch's minibatches, over and over."""

    def __init__(self, task: Task, *, fused: bool, out_in: bool) -> None:
        sizes = [part.stop - part.start for part in minibatches(len(task.x), task.batch)]
        layers = task.layers
        of_size = {size: list(products(task.trials, size, layers, fused=fused, out_in=out_in)) for size in set(sizes)}
        self._epoch = [product for size in sizes for product in of_size[size]]

    def reset(self) -> None:
        """Do nothing: no weight is changed."""

    def train(self, epochs: int) -> None:
        """Compute the products."""
        for _ in range(epochs):
            for a, b, out in self._epoch:
                np.matmul(a, b, out=out)

    def weights(self) -> Weights:
        """Return nothing: nothing was trained."""
        return [], []


def build(task: Task, variant: str, threads: int) -> Products:  # noqa: ARG001 - threads come by the environment
    """Return the limit in the layout of the variant."""
    return Products(task, fused=variant.startswith("fused"), out_in=variant.endswith("out_in"))


def products(trials: int, batch: int, layers: list[tuple[int, int]], *, fused: bool, out_in: bool) -> Iterator[Product]:
    """Yield the products of an update."""
    draw = np.random.default_rng(0)

    def filled(*shape: int) -> Array:
        return draw.normal(size=shape).astype("float32")

    def weights(fan_in: int, fan_out: int) -> Array:
        """Return (T, fan_in, fan_out), whichever way they lie."""
        return filled(trials, fan_out, fan_in).transpose(0, 2, 1) if out_in else filled(trials, fan_in, fan_out)

    x = filled(batch, layers[0][0])
    h: Array = x
    for k, (fan_in, fan_out) in enumerate(layers):
        if k == 0 and fused:
            # (B, T x fan_out): the trials' columns side by side; the later layers read them in place.
            w = filled(trials * fan_out, fan_in).T if out_in else filled(fan_in, trials * fan_out)
            z, delta = filled(batch, trials * fan_out), filled(batch, trials * fan_out)
            yield x, w, z
            yield (delta.T, x, filled(*w.T.shape)) if out_in else (x.T, delta, filled(*w.shape))
            h = z.reshape(batch, trials, fan_out).transpose(1, 0, 2)
            continue
        w, z, delta = weights(fan_in, fan_out), filled(trials, batch, fan_out), filled(trials, batch, fan_out)
        yield h, w, z
        transposed = h.swapaxes(-1, -2)
        if out_in:
            yield delta.swapaxes(-1, -2), h, filled(trials, fan_out, fan_in)
        else:
            yield transposed, delta, filled(trials, fan_in, fan_out)
        if k > 0:
            yield delta, w.swapaxes(-1, -2), filled(trials, batch, fan_in)
        h = z
