"""PyTensor: shared parameters and samples, and a compiled function that updates them.

A function of one update, called for every minibatch, its number the index into the shared order; or a function of an
epoch, ``pytensor.scan`` over the minibatches, with the rest of the epoch as one update. Both are variants. Compiled by
Numba: on the installation that pip gives, without a BLAS to link to, the C linker was 10 times slower at one sample
an update (scan 11,000 for 117,000 samples/s, updates 5,700 for 69,000) and 3 times at 32 (235,000 for 767,000). Vectors
in place of minibatches of one were slower (38,000 for 69,000).
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytensor
import pytensor.tensor as pt

from benchmarks.contestants import Weights
from benchmarks.task import Task, minibatches

VARIANTS = ("scan", "update")

Model = list[Any]
"""Weights of every layer, then biases of every layer, as PyTensor's variables."""


class Updates:
    """Compiled functions for each trial."""

    def __init__(self, task: Task, variant: str) -> None:
        self._task = task
        self._x, self._codes = pytensor.shared(task.x, borrow=True), pytensor.shared(task.codes.astype("int32"))
        self._order = pytensor.shared(task.orders[0])
        self._models = [
            [pytensor.shared(w[t].copy()) for w in task.weights]
            + [pytensor.shared(b[t, 0].copy()) for b in task.biases]
            for t in range(task.trials)
        ]
        compiled = self._epoch_by_scan if variant == "scan" else self._epoch_by_updates
        self._epochs = [compiled(model, np.float32(rate)) for model, rate in zip(self._models, task.rates, strict=True)]

    def reset(self) -> None:
        """Give the shared variables copies of the initial weights."""
        task = self._task
        for t, model in enumerate(self._models):
            initial = [w[t] for w in task.weights] + [b[t, 0] for b in task.biases]
            for variable, value in zip(model, initial, strict=True):
                variable.set_value(value.copy(), borrow=True)

    def train(self, epochs: int) -> None:
        """Train every trial, epoch by epoch."""
        for order in self._task.orders[:epochs]:
            self._order.set_value(order, borrow=True)
            for epoch in self._epochs:
                epoch()

    def weights(self) -> Weights:
        """Return the values of the shared variables."""
        kinds = [[variable.get_value() for variable in kind] for kind in zip(*self._models, strict=True)]
        layers = len(kinds) // 2
        return [np.stack(kind) for kind in kinds[:layers]], [np.stack(kind)[:, None] for kind in kinds[layers:]]

    def _epoch_by_updates(self, model: Model, rate: np.float32) -> Callable[[], None]:
        update = self._update(model, rate)
        numbers = [np.array(k) for k in range(len(minibatches(len(self._task.x), self._task.batch)))]

        def epoch() -> None:
            for number in numbers:
                update(number)

        return epoch

    def _epoch_by_scan(self, model: Model, rate: np.float32) -> Callable[[], None]:
        samples, batch = len(self._task.x), self._task.batch
        whole = samples // batch * batch

        def step(rows: Any, *carried: Any) -> Model:
            moving, (x, codes) = list(carried[: len(model)]), carried[len(model) :]
            return descended(moving, rate, x[rows], codes[rows])

        sequence = self._order[:whole].reshape((-1, batch))
        given = [self._x, self._codes]
        steps = pytensor.scan(step, [sequence], outputs_info=model, non_sequences=given, return_updates=False)
        scan: Callable[[], None] = pytensor.function(
            [], [], updates=[(p, s[-1]) for p, s in zip(model, steps, strict=True)], mode="NUMBA"
        )
        if whole == samples:
            return scan
        update, rest = self._update(model, rate), np.array(whole // batch)

        def epoch() -> None:
            scan()
            update(rest)

        return epoch

    def _update(self, model: Model, rate: np.float32) -> Any:
        """Return the compiled update by the minibatch of a number."""
        number = pt.lscalar("number")
        batch = self._task.batch
        rows = self._order[number * batch : (number + 1) * batch]
        x, codes = pt.fmatrix("x"), pt.ivector("codes")
        updates = list(zip(model, descended(model, rate, x, codes), strict=True))
        update: Any = pytensor.function(
            [number], [], updates=updates, givens={x: self._x[rows], codes: self._codes[rows]}, mode="NUMBA"
        )
        # It is given int64 scalars and nothing else.
        update.trust_input = True
        return update


def descended(model: Model, rate: np.float32, x: Any, codes: Any) -> Model:
    """Return the parameters after an update, as expressions."""
    layers = len(model) // 2
    h = x
    for w, b in zip(model[: layers - 1], model[layers:-1], strict=True):
        h = pt.maximum(h @ w + b, np.float32(0))
    log_probabilities = pt.special.log_softmax(h @ model[layers - 1] + model[-1], axis=-1)
    loss = -log_probabilities[pt.arange(codes.shape[0]), codes].mean()
    return [p - rate * g for p, g in zip(model, pytensor.grad(loss, model), strict=True)]


def build(task: Task, variant: str, threads: int) -> Updates:  # noqa: ARG001 - threads come by the environment
    """Return the contestant, compiled."""
    return Updates(task, variant)
