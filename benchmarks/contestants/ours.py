"""Our own, by its public API: what is timed is all that a user pays, checks, shuffling and reports included."""

from dataclasses import replace

import numpy as np

from backprop import Architecture, Parameters, Samples, Stack, Trial, one_hot, select_backend, train
from benchmarks.contestants import Weights
from benchmarks.task import Task


class Ours:
    """All trials as one stack."""

    def __init__(self, task: Task) -> None:
        inputs, hidden = task.layers[0][0], tuple(fan_out for _, fan_out in task.layers[:-1])
        self._stack = Stack(
            Architecture(inputs, hidden, task.classes),
            batch_size=task.batch,
            trials=tuple(Trial(float(rate), epochs=1) for rate in task.rates),
            shuffle_seed=task.shuffle_seed,
        )
        self._samples = Samples(task.x, one_hot(task.codes, task.classes))
        self._initial = Parameters(task.weights, task.biases)
        self._backend = select_backend("cpu")
        self._trained: dict[int, Parameters] = {}

    def reset(self) -> None:
        """Do nothing: `train` starts from the weights it is given."""

    def train(self, epochs: int) -> None:
        """Train the stack and keep what its trials end with."""
        trials = tuple(replace(trial, epochs=epochs) for trial in self._stack.trials)
        stack = replace(self._stack, trials=trials)
        for report in train(stack, self._samples, None, self._backend, initial=self._initial):
            self._trained |= {ended.trial: ended.parameters for ended in report.finished}

    def weights(self) -> Weights:
        """Return the trained weights, trial by trial one below the other."""
        ended = [self._trained[place] for place in sorted(self._trained)]
        layers = range(len(ended[0].weights))
        return (
            [np.concatenate([one.weights[k] for one in ended]) for k in layers],
            [np.concatenate([one.biases[k] for one in ended]) for k in layers],
        )


def build(task: Task, variant: str, threads: int) -> Ours:  # noqa: ARG001 - threads come by the environment
    """Return the contestant; there is one way to write it."""
    return Ours(task)
