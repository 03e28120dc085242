"""Training a stack: the minibatch loop over all its trials at once, an epoch at a time.

`train` is a generator. It yields a report after every epoch and hands out a trial's weights in the
report of the trial's last epoch, so the caller decides what to log, keep or stop, and no state hides
here. A trial that is finished leaves the stack, and from then on costs nothing.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from backprop.backend import Array, Backend, HostArray
from backprop.network import Architecture, Network, Parameters, initial_parameters
from backprop.randomness import Stream, generator

Task = Literal["classification", "regression"]

EVALUATION_BYTES = 16 * 2**20
"""Largest activation array of an evaluation, in bytes: it stays near the caches and bounds memory."""


@dataclass(frozen=True)
class Trial:
    """What may differ between the trials of a stack.

    Attributes
    ----------
    learning_rate : float
        mu of `W := W - mu dL/dW`, where L is the mean loss of the minibatch.
    epochs : int
        Passes over the training samples.
    seed : int
        Draws the initial weights.

    Raises
    ------
    ValueError
        A number is out of its range.
    """

    learning_rate: float
    epochs: int
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.learning_rate < float("inf"):
            raise ValueError(f"learning_rate is {self.learning_rate}: use a positive finite number")
        if self.epochs < 1:
            raise ValueError(f"epochs is {self.epochs}: use at least 1")
        if self.seed < 0:
            raise ValueError(f"seed is {self.seed}: use 0 or more")


@dataclass(frozen=True)
class Stack:
    """Trials of one architecture and batch size, trained together.

    Attributes
    ----------
    batch_size : int
        B, samples per update; from 1 (the textbook's one randomly picked sample) to the whole set.
    shuffle_seed : int
        Orders the samples of every epoch. It is the stack's, so all trials see the same minibatches.
    dtype : str
        ``"float32"`` or ``"float64"``.

    Raises
    ------
    ValueError
        There are no trials, or a value is out of its range.
    """

    architecture: Architecture
    batch_size: int
    trials: tuple[Trial, ...]
    task: Task = "classification"
    shuffle_seed: int = 0
    dtype: Literal["float32", "float64"] = "float32"

    def __post_init__(self) -> None:
        if not self.trials:
            raise ValueError("trials is empty: a stack needs at least one")
        if self.batch_size < 1:
            raise ValueError(f"batch_size is {self.batch_size}: use at least 1")
        if self.task not in ("classification", "regression"):
            raise ValueError(f"task is {self.task!r}: use 'classification' or 'regression'")
        if self.shuffle_seed < 0:
            raise ValueError(f"shuffle_seed is {self.shuffle_seed}: use 0 or more")
        if self.dtype not in ("float32", "float64"):
            raise ValueError(f"dtype is {self.dtype!r}: use 'float32' or 'float64'")


@dataclass(frozen=True)
class Samples:
    """Features and targets.

    Attributes
    ----------
    x : (N, D) array
    y : (N, C) array
        One-hot rows for classification, values for regression.

    Raises
    ------
    ValueError
        The shapes do not fit each other or there are no samples.
    """

    x: Array
    y: Array

    def __post_init__(self) -> None:
        if self.x.ndim != 2 or self.y.ndim != 2 or len(self.x) != len(self.y):
            raise ValueError(f"x {self.x.shape} and y {self.y.shape} do not fit: use (N, D) and (N, C)")
        if len(self.x) == 0:
            raise ValueError("x has no rows: use at least one sample")

    def __len__(self) -> int:
        return len(self.x)


def one_hot(codes: HostArray, classes: int, dtype: str = "float32") -> HostArray:
    """Return (N, classes) rows with a single 1 at each of the (N,) integer codes.

    Raises
    ------
    ValueError
        A code is outside 0..classes-1.
    """
    if len(codes) and (codes.min() < 0 or codes.max() >= classes):
        raise ValueError(f"codes span {codes.min()}..{codes.max()}: use 0..{classes - 1}")
    rows = np.zeros((len(codes), classes), dtype)
    rows[np.arange(len(codes)), codes] = 1
    return rows


@dataclass(frozen=True)
class Finished:
    """A trial that left the stack.

    Attributes
    ----------
    trial : int
        Its place in ``Stack.trials``.
    parameters : Parameters
        Its weights as a stack of one, in host memory.
    diverged : bool
        Its loss stopped being finite in this epoch.
    """

    trial: int
    parameters: Parameters
    diverged: bool


@dataclass(frozen=True)
class EpochReport:
    """What an epoch did to the trials that were trained in it.

    Attributes
    ----------
    epoch : int
        Counted from 1.
    trials : tuple of int
        Places in ``Stack.trials``; every array below has one entry for each, in this order.
    metrics : dict of str to (len(trials),) float64 arrays
        ``train/loss``: mean over the epoch's samples, each measured before the update it led to.
        ``val/loss`` and ``val/accuracy``, or ``val/rmse`` and ``val/r2``: of the weights after the epoch.
    finished : tuple of Finished
        The trials for which this epoch was the last.
    """

    epoch: int
    trials: tuple[int, ...]
    metrics: dict[str, HostArray]
    finished: tuple[Finished, ...]


def train(stack: Stack, training: Samples, validation: Samples, backend: Backend) -> Iterator[EpochReport]:
    """Train all trials of a stack by minibatch SGD, yielding a report after every epoch.

    Parameters
    ----------
    training, validation : Samples
        In host memory; they are moved to the backend once.

    Raises
    ------
    ValueError
        The samples do not fit the architecture.
    """
    _check_fit(stack.architecture, training, "training")
    _check_fit(stack.architecture, validation, "validation")
    network = Network(stack.architecture, backend)
    training = _to_device(training, backend, stack.dtype)
    validation = _to_device(validation, backend, stack.dtype)
    seeds = [trial.seed for trial in stack.trials]
    parameters = initial_parameters(stack.architecture, seeds, stack.dtype).to_device(backend)
    active = list(range(len(stack.trials)))

    epoch = 0
    while active:
        epoch += 1
        rates = backend.to_device(np.array([stack.trials[t].learning_rate for t in active], stack.dtype))
        # A diverging trial overflows for the rest of its epoch; it is reported as such, not by a NumPy warning.
        with np.errstate(over="ignore", invalid="ignore"):
            order = generator(stack.shuffle_seed, Stream.SHUFFLE, epoch).permutation(len(training))
            losses = _train_epoch(network, parameters, training, backend.to_device(order), stack.batch_size, rates)
            metrics = {"train/loss": losses, **evaluate(network, parameters, validation, stack.task, prefix="val")}
        finite = np.isfinite(metrics["train/loss"]) & np.isfinite(metrics["val/loss"])
        leaving = [k for k, t in enumerate(active) if epoch >= stack.trials[t].epochs or not finite[k]]
        finished = tuple(
            Finished(active[k], parameters.select([k]).to_host(backend), diverged=not finite[k]) for k in leaving
        )
        yield EpochReport(epoch, tuple(active), metrics, finished)
        if leaving:
            staying = [k for k in range(len(active)) if k not in leaving]
            parameters = parameters.select(staying)
            active = [active[k] for k in staying]


def _train_epoch(
    network: Network, parameters: Parameters, samples: Samples, order: Array, batch_size: int, rates: Array
) -> HostArray:
    """Update `parameters` in place over one pass; return each trial's mean loss, (T,), read once at the end."""
    xp = network.backend.xp
    steps = parameters.empty_like(network.backend)
    total = xp.zeros(len(rates), "float64")
    for start in range(0, len(samples), batch_size):
        rows = order[start : start + batch_size]
        y = samples.y[rows]
        trace = network.forward(parameters, samples.x[rows])
        loss, delta = network.output_stage.loss_and_delta(xp, trace.logits, y)
        total += loss.sum(axis=1, dtype="float64")
        delta *= (rates / len(rows))[:, None, None]
        network.backward(parameters, trace, delta, out=steps)
        for parameter, step in zip(parameters, steps, strict=True):
            parameter -= step
    return network.backend.to_host(total / len(samples))


def evaluate(
    network: Network, parameters: Parameters, samples: Samples, task: Task, prefix: str
) -> dict[str, HostArray]:
    """Measure every trial on samples: mean loss, and accuracy or RMSE and R2, each (T,) float64 in host memory.

    RMSE and R2 are the root of the mean over all values, and the mean over outputs (as scikit-learn's, so
    a constant target counts as 1 where it is met and 0 where it is not).
    """
    backend = network.backend
    xp = backend.xp
    trials = len(parameters.biases[0])
    widest = max(fan_out for _, fan_out in network.architecture.layers)
    rows_at_once = max(1, EVALUATION_BYTES // (trials * widest * parameters.biases[0].itemsize))
    outputs = network.architecture.outputs
    loss = xp.zeros(trials, "float64")
    hits = xp.zeros(trials, "float64")
    squares = xp.zeros((trials, outputs), "float64")
    for start in range(0, len(samples), rows_at_once):
        y = samples.y[start : start + rows_at_once]
        logits = network.forward(parameters, samples.x[start : start + rows_at_once]).logits
        loss += network.output_stage.loss(xp, logits, y).sum(axis=1, dtype="float64")
        if task == "classification":
            hits += (logits.argmax(axis=-1) == y.argmax(axis=-1)).sum(axis=1)
        else:
            residual = network.output_stage.outputs(xp, logits) - y
            squares += (residual * residual).sum(axis=1, dtype="float64")
    measured = {f"{prefix}/loss": backend.to_host(loss / len(samples))}
    if task == "classification":
        measured[f"{prefix}/accuracy"] = backend.to_host(hits / len(samples))
    else:
        spread = ((samples.y - samples.y.mean(axis=0, dtype="float64")) ** 2).sum(axis=0, dtype="float64")
        measured[f"{prefix}/rmse"] = backend.to_host(xp.sqrt(squares.sum(axis=1) / (len(samples) * outputs)))
        explained = xp.where(spread > 0, 1 - squares / xp.where(spread > 0, spread, 1), squares == 0)
        measured[f"{prefix}/r2"] = backend.to_host(explained.mean(axis=1))
    return measured


def _check_fit(architecture: Architecture, samples: Samples, argument: str) -> None:
    for axis, name, wanted, given in (
        ("inputs", "x", architecture.inputs, samples.x.shape[1]),
        ("outputs", "y", architecture.outputs, samples.y.shape[1]),
    ):
        if wanted != given:
            raise ValueError(f"{argument}.{name} has {given} columns but the architecture has {wanted} {axis}")


def _to_device(samples: Samples, backend: Backend, dtype: str) -> Samples:
    return Samples(backend.to_device(samples.x, dtype), backend.to_device(samples.y, dtype))


def stack_of_one(stack: Stack, trial: int) -> Stack:
    """Return the stack that holds only one of its trials, everything else the same."""
    return replace(stack, trials=(stack.trials[trial],))


def histories(reports: Sequence[EpochReport], trials: int) -> list[dict[str, list[float]]]:
    """Return, for each trial of a stack, its curve of every metric from the reports of its epochs."""
    curves: list[dict[str, list[float]]] = [{} for _ in range(trials)]
    for report in reports:
        for k, trial in enumerate(report.trials):
            for name, values in report.metrics.items():
                curves[trial].setdefault(name, []).append(float(values[k]))
    return curves
