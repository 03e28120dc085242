"""Trains the same stack by the plain form, which specifies, and by the compiled loops, for the tests of these."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from backprop import Architecture, Backend, Samples, Stack, Training
from backprop.activations import ACTIVATIONS
from backprop.backend import EpochDescent
from backprop.compiled.backend import CompiledBackend
from backprop.compiled.descent import CompiledDescent
from backprop.descent import Descent
from backprop.losses import LOSSES, output_stage
from backprop.network import Network
from backprop.optimizers import SGD
from backprop.samples import to_device

PLAIN, COMPILED = Backend(np), CompiledBackend(np)

HIDDEN = tuple(name for name in ACTIVATIONS if name != "softmax")
"""The activations of hidden layers that the compiled loops have."""


def _offered(phi: str, loss: str) -> bool:
    try:
        output_stage(phi, loss)
    except ValueError:
        return False
    return phi != "softmax" or loss == "cross_entropy"


OUTPUTS = tuple((phi, loss) for loss in LOSSES for phi in ACTIVATIONS if _offered(phi, loss))
"""The output activations and losses that the compiled loops have."""


@dataclass(frozen=True)
class Outcome:
    """What epochs leave behind: every epoch's mean losses, (epochs, T), and the parameters and memories of the end."""

    losses: np.ndarray
    parameters: list[np.ndarray]
    memories: list[np.ndarray]

    def trial(self, place: int) -> "Outcome":
        return Outcome(
            self.losses[:, place], [p[place] for p in self.parameters], [memory[place] for memory in self.memories]
        )


def task_of(loss: str) -> str:
    return "classification" if "cross_entropy" in loss else "regression"


def drawn(
    architecture: Architecture, rows: int, seed: int = 0, *, weighted: bool = False, dtype: str = "float64"
) -> Samples:
    """Samples that suit a loss, whose updates stay tame however many inputs there are."""
    draw = np.random.default_rng(seed)
    inputs, outputs = architecture.inputs, architecture.outputs
    x = draw.normal(size=(rows, inputs)) / np.sqrt(inputs)
    if dtype == "uint8":
        x = draw.integers(0, 2, size=(rows, inputs)).astype("uint8")
    if architecture.loss == "cross_entropy" and architecture.output_activation == "softmax":
        y = np.eye(outputs)[draw.integers(outputs, size=rows)]
    elif architecture.loss in ("cross_entropy", "binary_cross_entropy"):
        y = draw.integers(2, size=(rows, outputs)).astype("float64")
    else:
        y = draw.normal(size=(rows, outputs))
    return Samples(x, y, draw.uniform(0, 2, size=rows) if weighted else None)


def sparse(samples: Samples, there: float = 0.02, seed: int = 0) -> Samples:
    """The same samples with most of their features 0."""
    mask = np.random.default_rng(seed).random(samples.x.shape) < there
    return replace(samples, x=samples.x * mask.astype(samples.x.dtype))


def compiled(threads: int = 1) -> Callable[..., CompiledDescent]:
    def made(*given: object, **more: object) -> CompiledDescent:
        return CompiledDescent(*given, threads=threads, **more)

    return made


def descended(
    way: Callable[..., EpochDescent],
    stack: Stack,
    given: Samples | Sequence[Samples],
    *,
    epochs: int = 2,
    done: int = 0,
    rates: Sequence[float] | None = None,
) -> Outcome:
    """Train for some epochs, each on samples of its own or all on the same ones, and in another order each."""
    each = [given] * epochs if isinstance(given, Samples) else given
    parameters = Training(stack, PLAIN).parameters()
    network = Network(stack.architecture, PLAIN)
    plain = all(type(t.optimizer) is SGD and not (t.l2 or t.l1 or t.clip_norm) for t in stack.trials)
    descent = way(network, stack, stack.trials, parameters, {}, plain=plain)
    mine = np.array([t.learning_rate for t in stack.trials] if rates is None else rates)
    losses = []
    with np.errstate(all="ignore"):
        for epoch, samples in enumerate(each):
            placed = to_device(samples, PLAIN if way is Descent else COMPILED, stack.dtype)
            order = np.random.default_rng(epoch).permutation(len(placed))
            losses.append(np.array(descent.over(placed, order, mine / (1 + epoch), done)))
            done += -(-len(placed) // stack.batch_size)
    return Outcome(np.array(losses), list(parameters), [p for memory in descent.memories.values() for p in memory])


def assert_close(found: Outcome, wanted: Outcome, tolerance: float, of_parameters: float | None = None) -> None:
    np.testing.assert_allclose(found.losses, wanted.losses, rtol=tolerance, atol=tolerance)
    of_parameters = tolerance if of_parameters is None else of_parameters
    for a, b in zip(found.parameters + found.memories, wanted.parameters + wanted.memories, strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_allclose(a, b, rtol=of_parameters, atol=of_parameters)


def assert_identical(found: Outcome, wanted: Outcome) -> None:
    np.testing.assert_array_equal(found.losses, wanted.losses)
    for a, b in zip(found.parameters + found.memories, wanted.parameters + wanted.memories, strict=True):
        np.testing.assert_array_equal(a, b)


def only(stack: Stack, *places: int) -> Stack:
    return replace(stack, trials=tuple(stack.trials[place] for place in places))
