"""scikit-learn: ``MLPClassifier``, an epoch by ``partial_fit`` on samples in the epoch's order; trial after trial."""

import warnings

import numpy as np
from sklearn.neural_network import MLPClassifier

from benchmarks.contestants import Weights
from benchmarks.task import Task


class ScikitLearn:
    """One estimator for each trial."""

    def __init__(self, task: Task) -> None:
        self._task = task
        warnings.filterwarnings("ignore", module="sklearn")
        self._estimators = [self._estimator(float(rate)) for rate in task.rates]

    def reset(self) -> None:
        """Put the initial weights into the arrays that the estimators' optimisers move."""
        for t, estimator in enumerate(self._estimators):
            for k, (w, b) in enumerate(zip(self._task.weights, self._task.biases, strict=True)):
                estimator.coefs_[k][...] = w[t]
                estimator.intercepts_[k][...] = b[t, 0]

    def train(self, epochs: int) -> None:
        """Give every estimator the samples, an epoch a call."""
        for order in self._task.orders[:epochs]:
            x, codes = self._task.x[order], self._task.codes[order]
            for estimator in self._estimators:
                estimator.partial_fit(x, codes)

    def weights(self) -> Weights:
        """Return the estimators' weights."""
        layers = range(len(self._task.weights))
        return (
            [np.stack([estimator.coefs_[k] for estimator in self._estimators]) for k in layers],
            [np.stack([estimator.intercepts_[k][None] for estimator in self._estimators]) for k in layers],
        )

    def _estimator(self, rate: float) -> MLPClassifier:
        task = self._task
        estimator = MLPClassifier(
            tuple(fan_out for _, fan_out in task.layers[:-1]),
            solver="sgd",
            learning_rate_init=rate,
            batch_size=task.batch,
            alpha=0,
            momentum=0,
            shuffle=False,
            tol=0,
            n_iter_no_change=10**6,
        )
        # The first call makes the arrays, for as few samples as a minibatch has.
        return estimator.partial_fit(task.x[: task.batch], task.codes[: task.batch], classes=np.arange(task.classes))


def build(task: Task, variant: str, threads: int) -> ScikitLearn:  # noqa: ARG001 - threads come by the environment
    """Return the contestant; there is one way to write it."""
    return ScikitLearn(task)
