"""PyTorch: all trials at once by ``torch.func.vmap`` over ``torch.func.grad``.

One ``addcmul_`` a parameter applies the trials' rates; a product and a sum were up to a tenth slower.
"""

import numpy as np
import numpy.typing as npt
import torch
from torch.nn.functional import cross_entropy

from benchmarks.contestants.tensors import Models, Step, Tensors
from benchmarks.task import Task


def build(task: Task, variant: str, threads: int) -> Models:  # noqa: ARG001 - there is one way to write it
    """Return the contestant."""
    torch.set_num_threads(threads)
    return Models(task, stacked(task), [vmapped(task.rates)])


def stacked(task: Task) -> list[Tensors]:
    """Return the parameters of all trials as one model."""
    return [[torch.tensor(array) for array in (*task.weights, *task.biases)]]


def vmapped(rates: npt.NDArray[np.float64]) -> Step:
    """Return a step of all trials."""
    negative = torch.tensor(-rates, dtype=torch.float32).reshape(-1, 1, 1)
    gradients_of = torch.func.vmap(torch.func.grad(mean_loss), in_dims=(0, None, None))

    def step(parameters: Tensors, x: torch.Tensor, codes: torch.Tensor) -> None:
        for parameter, gradient in zip(parameters, gradients_of(parameters, x, codes), strict=True):
            parameter.addcmul_(gradient, negative)

    return step


def mean_loss(parameters: Tensors, x: torch.Tensor, codes: torch.Tensor) -> torch.Tensor:
    """Return a trial's mean cross-entropy of a minibatch, of biases that are rows."""
    layers = len(parameters) // 2
    h = x
    for w, b in zip(parameters[: layers - 1], parameters[layers:-1], strict=True):
        h = (h @ w + b).relu()
    return cross_entropy(h @ parameters[layers - 1] + parameters[-1], codes)
