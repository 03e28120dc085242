"""PyTorch, compiled in the default mode: the whole step, update included, so that the compiler sees it all.

Of one trial by gradients written out or by ``torch.func.grad``; of a grid the step of ``torch_vmap``. Compiling the
loss alone and going through autograd was slower by half at least. ``dynamic=False``: an epoch has minibatches of two
sizes, each of which is compiled for.
"""

import torch

from benchmarks.contestants.tensors import Models, Step, Tensors, by_hand, one_by_one
from benchmarks.contestants.torch_eager import mean_loss
from benchmarks.contestants.torch_vmap import stacked, vmapped
from benchmarks.task import Task

VARIANTS = ("by_hand", "func_grad")
GRID_VARIANTS = ("vmap",)


def build(task: Task, variant: str, threads: int) -> Models:
    """Return the contestant; the compiler runs when it first trains."""
    torch.set_num_threads(threads)
    if variant == "vmap":
        return Models(task, stacked(task), [torch.compile(vmapped(task.rates), dynamic=False)])
    step = by_hand if variant == "by_hand" else functional
    return Models(task, one_by_one(task), [torch.compile(step(float(rate)), dynamic=False) for rate in task.rates])


def functional(rate: float) -> Step:
    """Return a step by `torch.func.grad`."""

    def step(parameters: Tensors, x: torch.Tensor, codes: torch.Tensor) -> None:
        for parameter, gradient in zip(parameters, torch.func.grad(mean_loss)(parameters, x, codes), strict=True):
            parameter.sub_(gradient, alpha=rate)

    return step
