"""PyTorch, eager: trial after trial.

By autograd with one fused update of all parameters (``_foreach_add_``, what ``torch.optim.SGD(foreach=True)`` calls;
through the optimiser itself, fused or not, it was slower), or by gradients written out, which saves the graph.
"""

import torch
from torch.nn.functional import cross_entropy

from benchmarks.contestants.tensors import Models, Step, Tensors, by_hand, one_by_one
from benchmarks.task import Task

VARIANTS = ("by_hand", "autograd")


def build(task: Task, variant: str, threads: int) -> Models:
    """Return the contestant."""
    torch.set_num_threads(threads)
    step = by_hand if variant == "by_hand" else autograd
    return Models(task, one_by_one(task), [step(float(rate)) for rate in task.rates], autograd=variant == "autograd")


def autograd(rate: float) -> Step:
    """Return a step as a user writes it."""

    def step(parameters: Tensors, x: torch.Tensor, codes: torch.Tensor) -> None:
        gradients = torch.autograd.grad(mean_loss(parameters, x, codes), parameters)
        with torch.no_grad():
            torch._foreach_add_(parameters, gradients, alpha=-rate)

    return step


def mean_loss(parameters: Tensors, x: torch.Tensor, codes: torch.Tensor) -> torch.Tensor:
    """Return a trial's mean cross-entropy of a minibatch."""
    layers = len(parameters) // 2
    h = x
    for w, b in zip(parameters[: layers - 1], parameters[layers:-1], strict=True):
        h = torch.addmm(b, h, w).relu()
    return cross_entropy(torch.addmm(parameters[-1], h, parameters[layers - 1]), codes)
