r"""From a gradient to a step: the optimisers, in order of increasing complexity, each a corner of one rule.

With the gradient g of the mean loss of a minibatch and the learning rate mu, every one of them is

    m := b1 m + c g                  a memory of gradients,         SGD, RMSProp: m = g
    v := b2 v + (1 - b2) g^2         a memory of their squares,     SGD, momentum, Nesterov: none
    p := (1 - mu d) p - mu m / (sqrt(v) + e)                        d: AdamW only, weights only

    sgd         m = g
    momentum    b1, c = 1
    nesterov    momentum, and a look ahead: g + b1 m in the place of m
    rmsprop     b2, e
    adam        b1, c = 1 - b1, b2, e, and both memories divided by 1 - b^t since they start at 0
    adamw       adam, d

Where PyTorch has the optimiser the convention is PyTorch's. All numbers may differ between the trials of a
stack; the kind is the stack's. Before the optimiser sees g it is clipped, then the penalties are added:

    g := g min(1, clip_norm / (|g| + 1e-6))         |g| over all weights and biases of a trial
    g := g + l2 W + l1 sign(W)                      weights only; biases are exempt

which is the gradient of `L + l2/2 sum W^2 + l1 sum |W|` with L the mean loss: its strength depends neither on
the batch size nor on the number of samples, as PyTorch's `weight_decay` and unlike scikit-learn's `alpha`.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from types import ModuleType
from typing import ClassVar, TypeAlias

import numpy as np

from backprop.backend import Array, Backend, HostArray
from backprop.choices import choose, named
from backprop.network import Parameters
from backprop.ranges import check_fraction, check_not_negative, check_positive

Numbers: TypeAlias = Mapping[str, Array]
"""Numbers by name, (T, 1, 1) arrays: they broadcast over a parameter, (T, rows, columns)."""

NORM_FLOOR = 1e-6
"""What PyTorch's `clip_grad_norm_` adds to a norm before it divides."""


@dataclass(frozen=True)
class Optimizer(ABC):
    """An optimiser and a trial's numbers for it. The rule is of the class, and runs on a whole stack.

    Attributes
    ----------
    name : str
    memories : tuple of str
        What it remembers of every parameter, arrays of the parameter's shape that start at 0.
    timed : bool
        Its coefficients depend on the number of the update.
    """

    name: ClassVar[str]
    memories: ClassVar[tuple[str, ...]] = ()
    timed: ClassVar[bool] = False

    @staticmethod
    @abstractmethod
    def coefficients(xp: ModuleType, n: Numbers, rate: Array, step: int) -> dict[str, Array]:
        """Return what `update` multiplies with, (T, 1, 1) float64, from the trials' numbers `n`.

        Parameters
        ----------
        rate : (T, 1, 1) float64 array
            mu.
        step : int
            t, the number of the update, from 1 on.
        """

    @staticmethod
    @abstractmethod
    def update(xp: ModuleType, p: Array, g: Array, memory: Sequence[Array], c: Numbers, scratch: Array) -> None:
        """Update a parameter p and its memories in place.

        Parameters
        ----------
        p, g, scratch : (T, rows, columns) arrays
            g is the gradient; both it and scratch are overwritten.
        memory : sequence of arrays like p
            In the order of `memories`.
        c : (T, 1, 1) arrays by name
            The coefficients, in the dtype of p.
        """

    @staticmethod  # noqa: B027 - most optimisers do nothing here
    def shrink(w: Array, c: Numbers) -> None:
        """Shrink a layer's weights in place before they are updated."""


@dataclass(frozen=True)
class SGD(Optimizer):
    """Plain gradient descent: `p := p - mu g`.

    Robbins and Monro, A stochastic approximation method, 1951. Without clipping
    and penalties it is not used at all: `Network.descend` folds mu into the output delta.
    """

    name: ClassVar[str] = "sgd"

    @staticmethod
    def coefficients(xp: ModuleType, n: Numbers, rate: Array, step: int) -> dict[str, Array]:  # noqa: ARG004 - one signature
        """Return mu."""
        return {"rate": rate}

    @staticmethod
    def update(xp: ModuleType, p: Array, g: Array, memory: Sequence[Array], c: Numbers, scratch: Array) -> None:  # noqa: ARG004 - one signature
        """Descend along g."""
        g *= c["rate"]
        p -= g


@dataclass(frozen=True)
class Momentum(Optimizer):
    """`m := b m + g`, `p := p - mu m`.

    Polyak, Some methods of speeding up the convergence of iteration methods, 1964, eq. 9, with mu outside the
    memory, as PyTorch's SGD(momentum=b) without dampening: a new learning rate acts on old gradients too.
    """

    name: ClassVar[str] = "momentum"
    memories: ClassVar[tuple[str, ...]] = ("velocity",)
    momentum: float = 0.9

    def __post_init__(self) -> None:
        check_fraction("momentum", self.momentum)

    @staticmethod
    def coefficients(xp: ModuleType, n: Numbers, rate: Array, step: int) -> dict[str, Array]:  # noqa: ARG004 - one signature
        """Return mu and b."""
        return {"rate": rate, "momentum": n["momentum"]}

    @staticmethod
    def update(xp: ModuleType, p: Array, g: Array, memory: Sequence[Array], c: Numbers, scratch: Array) -> None:
        """Remember g and descend along the memory."""
        (m,) = memory
        m *= c["momentum"]
        m += g
        p -= xp.multiply(m, c["rate"], out=scratch)


@dataclass(frozen=True)
class Nesterov(Momentum):
    """`m := b m + g`, `p := p - mu (g + b m)`: momentum that looks a step ahead.

    Nesterov, A method of solving a convex programming problem with convergence rate O(1/k^2), 1983, in the form
    of Sutskever et al., On the importance of initialization and momentum in deep learning, 2013, section 2, with
    the parameters of the look ahead, as PyTorch's SGD(nesterov=True).
    """

    name: ClassVar[str] = "nesterov"

    @staticmethod
    def update(xp: ModuleType, p: Array, g: Array, memory: Sequence[Array], c: Numbers, scratch: Array) -> None:
        """Remember g and descend along it and the memory of the step to come."""
        (m,) = memory
        m *= c["momentum"]
        m += g
        g += xp.multiply(m, c["momentum"], out=scratch)
        g *= c["rate"]
        p -= g


@dataclass(frozen=True)
class RMSProp(Optimizer):
    """`v := b v + (1 - b) g^2`, `p := p - mu g / (sqrt(v) + e)`.

    Tieleman and Hinton, Lecture 6.5: rmsprop, Coursera, 2012; e outside of the root, as in PyTorch, whose
    `alpha` is b.
    """

    name: ClassVar[str] = "rmsprop"
    memories: ClassVar[tuple[str, ...]] = ("square",)
    decay: float = 0.99
    epsilon: float = 1e-8

    def __post_init__(self) -> None:
        check_fraction("decay", self.decay)
        check_positive("epsilon", self.epsilon)

    @staticmethod
    def coefficients(xp: ModuleType, n: Numbers, rate: Array, step: int) -> dict[str, Array]:  # noqa: ARG004 - one signature
        """Return mu, b, 1 - b and e."""
        return {"rate": rate, "decay": n["decay"], "take": 1 - n["decay"], "epsilon": n["epsilon"]}

    @staticmethod
    def update(xp: ModuleType, p: Array, g: Array, memory: Sequence[Array], c: Numbers, scratch: Array) -> None:
        """Remember g^2 and descend along g, scaled by its usual size."""
        (v,) = memory
        v *= c["decay"]
        xp.multiply(g, g, out=scratch)
        scratch *= c["take"]
        v += scratch
        xp.sqrt(v, out=scratch)
        scratch += c["epsilon"]
        g *= c["rate"]
        g /= scratch
        p -= g


@dataclass(frozen=True)
class Adam(Optimizer):
    """`m := b1 m + (1 - b1) g`, `v := b2 v + (1 - b2) g^2`, both divided by `1 - b^t`, and RMSProp's step of m.

    `p := p - mu (m / (1 - b1^t)) / (sqrt(v / (1 - b2^t)) + e)`. (Kingma and Ba, Adam: a method for stochastic
    optimization, 2015, algorithm 1.)
    """

    name: ClassVar[str] = "adam"
    memories: ClassVar[tuple[str, ...]] = ("mean", "square")
    timed: ClassVar[bool] = True
    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-8

    def __post_init__(self) -> None:
        check_fraction("beta_1", self.beta_1)
        check_fraction("beta_2", self.beta_2)
        check_positive("epsilon", self.epsilon)

    @staticmethod
    def coefficients(xp: ModuleType, n: Numbers, rate: Array, step: int) -> dict[str, Array]:
        """Return b and 1 - b of both memories, e, and the two corrections for their start at 0."""
        return {
            "rate": rate / (1 - n["beta_1"] ** step),
            "unbias": 1 / xp.sqrt(1 - n["beta_2"] ** step),
            "beta_1": n["beta_1"],
            "take_1": 1 - n["beta_1"],
            "beta_2": n["beta_2"],
            "take_2": 1 - n["beta_2"],
            "epsilon": n["epsilon"],
        }

    @staticmethod
    def update(xp: ModuleType, p: Array, g: Array, memory: Sequence[Array], c: Numbers, scratch: Array) -> None:
        """Remember g and g^2 and descend along the one, scaled by the other."""
        m, v = memory
        m *= c["beta_1"]
        m += xp.multiply(g, c["take_1"], out=scratch)
        v *= c["beta_2"]
        g *= g
        g *= c["take_2"]
        v += g
        xp.sqrt(v, out=scratch)
        scratch *= c["unbias"]
        scratch += c["epsilon"]
        xp.divide(m, scratch, out=scratch)
        scratch *= c["rate"]
        p -= scratch


@dataclass(frozen=True)
class AdamW(Adam):
    """Adam, and before each of its steps `W := (1 - mu d) W`: weights only, biases are exempt.

    Loshchilov and Hutter, Decoupled weight decay regularization, 2019, algorithm 2, line 12, with mu d for
    their d, as PyTorch.
    """

    name: ClassVar[str] = "adamw"
    weight_decay: float = 0.01

    def __post_init__(self) -> None:
        super().__post_init__()
        check_not_negative("weight_decay", self.weight_decay)

    @staticmethod
    def coefficients(xp: ModuleType, n: Numbers, rate: Array, step: int) -> dict[str, Array]:
        """Return Adam's, and the part of a weight that is left, `1 - mu d`."""
        return {**Adam.coefficients(xp, n, rate, step), "keep": 1 - rate * n["weight_decay"]}

    @staticmethod
    def shrink(w: Array, c: Numbers) -> None:
        """Keep `1 - mu d` of every weight."""
        w *= c["keep"]


OPTIMIZERS: dict[str, type[Optimizer]] = {kind.name: kind for kind in (SGD, Momentum, Nesterov, RMSProp, Adam, AdamW)}


def optimizer(name: str, **numbers: object) -> Optimizer:
    """Return the optimiser of that name with a trial's numbers for it.

    Raises
    ------
    ValueError
        No optimiser has that name, it has no such number (the message suggests the nearest), or a number is
        out of its range.
    """
    return named(choose("optimizer", name, OPTIMIZERS), numbers)


def clip_to_norm(xp: ModuleType, gradients: Parameters, limit: Array) -> None:
    """Shorten each trial's gradient, over all its parameters, to its limit: `g := g min(1, limit / (|g| + 1e-6))`.

    Pascanu, Mikolov and Bengio, On the difficulty of training recurrent neural networks, 2013, algorithm 1; as
    PyTorch's `clip_grad_norm_`.

    Parameters
    ----------
    limit : (T, 1, 1) array
        Infinite for a trial that is not clipped.
    """
    rows = [g.reshape(len(g), 1, -1) for g in gradients]
    squares = sum(row @ row.swapaxes(1, 2) for row in rows)
    factor = xp.minimum(limit / (xp.sqrt(squares) + NORM_FLOOR), 1)
    for g in gradients:
        g *= factor


def add_penalties(
    xp: ModuleType, parameters: Parameters, gradients: Parameters, l2: Array, l1: Array, scratch: Sequence[Array]
) -> None:
    """Add the penalties' gradient to that of the weights: `g := g + l2 W + l1 sign(W)`; biases are exempt.

    Parameters
    ----------
    l2, l1 : (T, 1, 1) arrays
    scratch : sequence of arrays like the weights, then others
        Overwritten.
    """
    for w, g, s in zip(parameters.weights, gradients.weights, scratch, strict=False):
        g += xp.multiply(w, l2, out=s)
        xp.sign(w, out=s)
        s *= l1
        g += s


class StackOptimizer:
    """The optimiser of the trials of a stack: their numbers and their memories.

    Parameters
    ----------
    optimizers : sequence of Optimizer
        One a trial, all of one kind.
    parameters : Parameters
        Of the stack, for shape and dtype.
    l2, l1, clip_norm : sequences of float
        One a trial; an infinite `clip_norm` clips nothing.
    memories : dict of str to Parameters, optional
        Of a training to go on with, by the names in `Optimizer.memories`; without them they start at 0.
    """

    def __init__(
        self,
        backend: Backend,
        optimizers: Sequence[Optimizer],
        parameters: Parameters,
        *,
        l2: Sequence[float],
        l1: Sequence[float],
        clip_norm: Sequence[float],
        memories: Mapping[str, Parameters] | None = None,
    ) -> None:
        self.kind = type(optimizers[0])
        self.memories = dict(memories or {name: parameters.zeros_like(backend) for name in self.kind.memories})
        self._backend = backend
        self._dtype = parameters.biases[0].dtype
        self._numbers = {
            field.name: self._column([getattr(one, field.name) for one in optimizers]) for field in fields(self.kind)
        }
        self._scratch = list(parameters.empty_like(backend))
        self._memory_of = [[list(memory)[k] for memory in self.memories.values()] for k, _ in enumerate(parameters)]
        self._l2, self._l1 = [self._column(strength).astype(self._dtype) for strength in (l2, l1)]
        self._penalised = any((*l2, *l1))
        self._clip_norm = self._column(clip_norm).astype(self._dtype)
        self._clipped = bool(np.isfinite(clip_norm).any())

    def set_rates(self, rates: HostArray) -> None:
        """Take the learning rates of the updates to come, (T,)."""
        self._rate = self._column(rates)
        self._coefficients: dict[str, Array] = {}

    def step(self, parameters: Parameters, gradients: Parameters, t: int) -> None:
        """Update the parameters in place from the gradients of the mean loss, which are overwritten.

        Parameters
        ----------
        t : int
            The number of the update, from 1 on.
        """
        xp = self._backend.xp
        if self.kind.timed:
            self._coefficients = {}
        if self._clipped:
            clip_to_norm(xp, gradients, self._clip_norm)
        if self._penalised:
            add_penalties(xp, parameters, gradients, self._l2, self._l1, self._scratch)
        for k, (p, g) in enumerate(zip(parameters, gradients, strict=True)):
            self._update(k, p, g, t, is_weight=k < len(parameters.weights))

    def _update(self, k: int, p: Array, g: Array, t: int, *, is_weight: bool) -> None:
        """Update parameter number k, by the backend's kernel or, where it has none, by the rule as written."""
        memory = self._memory_of[k]
        name, numbers, rate = self.kind.name, self._numbers, self._rate
        if self._backend.fused_update(name, p, g, memory, numbers, rate, t, decays=is_weight):
            return
        c = self._coefficients = self._coefficients or self._cast(t)
        if is_weight:
            self.kind.shrink(p, c)
        self.kind.update(self._backend.xp, p, g, memory, c, self._scratch[k])

    def _cast(self, t: int) -> dict[str, Array]:
        values = self.kind.coefficients(self._backend.xp, self._numbers, self._rate, t)
        return {name: value.astype(self._dtype) for name, value in values.items()}

    def _column(self, values: Sequence[float] | HostArray) -> Array:
        return self._backend.to_device(np.asarray(values, "float64").reshape(-1, 1, 1))
