"""What PyTorch's contestants share: models as tensors, the samples, and the loop over minibatches.

Minibatches are gathered one by one with ``index_select``: it leaves them in the cache, and an epoch gathered at once
and then split was slower where it mattered (784-128-10 at 64: 54,000 for 90,000 samples/s) and equal elsewhere.
"""

from collections.abc import Callable

import numpy as np
import torch
from torch.nn.functional import one_hot

from benchmarks.contestants import Weights
from benchmarks.task import Task

Tensors = list[torch.Tensor]
"""Weights of every layer, then biases of every layer."""

Step = Callable[[Tensors, torch.Tensor, torch.Tensor], None]
"""Changes parameters in place by a minibatch: (parameters, x, codes)."""


class Models:
    """Models in training, one after the other; a model is one trial, or all of them stacked.

    Parameters
    ----------
    initial : list of list of tensor
        The parameters of each model.
    steps : list of callable
        One for each model.
    """

    def __init__(self, task: Task, initial: list[Tensors], steps: list[Step], *, autograd: bool = False) -> None:
        self._initial, self._steps = initial, steps
        self._parameters = [[p.clone().requires_grad_(autograd) for p in model] for model in initial]
        self._x, self._codes = torch.from_numpy(task.x), torch.from_numpy(task.codes)
        self._orders, self._batch = torch.from_numpy(task.orders), task.batch

    def reset(self) -> None:
        """Copy the initial weights into the tensors: a compiled step keeps the tensors it knows."""
        with torch.no_grad():
            for now, then in zip(self._parameters, self._initial, strict=True):
                torch._foreach_copy_(now, then)

    def train(self, epochs: int) -> None:
        """Train every model, minibatch by minibatch."""
        for order in self._orders[:epochs]:
            minibatches = order.split(self._batch)
            for parameters, step in zip(self._parameters, self._steps, strict=True):
                for rows in minibatches:
                    step(parameters, self._x.index_select(0, rows), self._codes.index_select(0, rows))

    def weights(self) -> Weights:
        """Return the weights of all models, one below the other."""
        kinds = [[p.detach().numpy() for p in kind] for kind in zip(*self._parameters, strict=True)]
        layers = len(kinds) // 2
        return (
            [np.concatenate([w.reshape(-1, *w.shape[-2:]) for w in kind]) for kind in kinds[:layers]],
            [np.concatenate([b.reshape(-1, 1, b.shape[-1]) for b in kind]) for kind in kinds[layers:]],
        )


def one_by_one(task: Task) -> list[Tensors]:
    """Return each trial's parameters: (fan_in, fan_out) weights, (fan_out,) biases."""
    return [
        [torch.tensor(w[t]) for w in task.weights] + [torch.tensor(b[t, 0]) for b in task.biases]
        for t in range(task.trials)
    ]


def by_hand(rate: float) -> Step:
    """Return a step by explicit gradients; each product goes straight into the weights."""

    def step(parameters: Tensors, x: torch.Tensor, codes: torch.Tensor) -> None:
        layers = len(parameters) // 2
        weights, biases = parameters[:layers], parameters[layers:]
        values = [x]
        for w, b in zip(weights[:-1], biases[:-1], strict=True):
            values.append(torch.addmm(b, values[-1], w).relu())
        logits = torch.addmm(biases[-1], values[-1], weights[-1])
        delta = (torch.softmax(logits, 1) - one_hot(codes, logits.shape[1])) / len(x)
        for k in reversed(range(layers)):
            before = delta @ weights[k].T * (values[k] > 0) if k else delta
            weights[k].addmm_(values[k].T, delta, alpha=-rate)
            biases[k].sub_(delta.sum(0), alpha=rate)
            delta = before

    return step
