"""One sample's way through a network, number by number: value, local derivative, gradient, central difference.

Nothing is computed here that the core computes: values are those of `Network.forward`, local derivatives
those of `activations` and `losses`, gradients those which `Network.backward` hands from stage to stage. A
gradient is the local derivative times the gradients of all that its quantity moves,

    dL/dq = sum over o of do/dq dL/do        o: the outputs of the next stage

so each can be followed with a pencil, and beside it stands `(L(q + e) - L(q - e)) / 2e`, which knows of no
chain rule. docs/derivation.md derives what is shown here.
"""

from collections.abc import Callable
from copy import copy
from dataclasses import dataclass, field

import numpy as np

from backprop.activations import Activation, Elementwise
from backprop.backend import ActivationStage, Array, Backend, HostArray
from backprop.gradcheck import check_gradients
from backprop.local_derivatives import STEP
from backprop.losses import LOSSES, BinaryCrossEntropy, CrossEntropy, Loss, Staged
from backprop.network import Architecture, Network, Parameters, Trace, initial_parameters


@dataclass(frozen=True)
class Quantity:
    """A quantity between the input and the loss, and what L does when it moves.

    Attributes
    ----------
    name : str
        ``"x"``, ``"W1"``, ``"b1"``, ``"z1"``, ``"h1"``, and so on to ``"yhat"`` and ``"L"``.
    value : array
        (units,), (fan_in, fan_out) of weights, or () of the loss.
    local_name : str
        The derivative of the next stage by this quantity, such as ``"dz1/dW1"``.
    local : array
        Shape of value, where an entry moves one output of the next stage; (*value.shape, outputs) where all.
    gradient : array
        dL/dq by the chain rule, shape of value.
    numerical : array
        dL/dq by central differences, shape of value.
    """

    name: str
    value: HostArray
    local_name: str
    local: HostArray
    gradient: HostArray
    numerical: HostArray

    @property
    def difference(self) -> HostArray:
        """How far the two gradients are apart, relative to the larger of 1 and the gradient; shape of value."""
        apart: HostArray = np.abs(self.gradient - self.numerical) / np.maximum(1, np.abs(self.gradient))
        return apart


@dataclass(frozen=True)
class Stage:
    """A stage of the computation.

    Attributes
    ----------
    name : str
        Such as ``"affine 1"``.
    formula : str
        Such as ``"z1 = x W1 + b1"``.
    quantities : tuple of Quantity
        The stage's parameters, if it has any, and its output.
    """

    name: str
    formula: str
    quantities: tuple[Quantity, ...]


@dataclass(frozen=True)
class Explanation:
    """The stages from the input to the loss.

    Attributes
    ----------
    stages : tuple of Stage
    target : array
        y, (C,).
    """

    stages: tuple[Stage, ...]
    target: HostArray

    @property
    def quantities(self) -> tuple[Quantity, ...]:
        """All quantities, from the input to the loss."""
        return tuple(quantity for stage in self.stages for quantity in stage.quantities)

    @property
    def largest_difference(self) -> tuple[float, str]:
        """The largest difference between the two gradients, and the name of its quantity; NaN counts as largest."""
        worst = [float(np.max(quantity.difference)) for quantity in self.quantities]
        place = int(np.argmax(worst))
        return worst[place], self.quantities[place].name


def explain_square(x: float = 4.0) -> Explanation:
    """Explain `y = x^2`, whose derivative at 4 is 8: the squared error of an output x for the target 0."""
    square, target = LOSSES["mse"], np.zeros(1)
    at = np.array([x])
    slope = square.derivative(np, at, target)
    given = Quantity("x", at, "dy/dx", slope, slope, _slopes(lambda points: square.value(np, points, target), at))
    end = _end("y", square.value(np, at, target))
    return Explanation((Stage("input", "x", (given,)), Stage("square", "y = x^2", (end,))), target)


def explain(network: Network, parameters: Parameters, x: HostArray, y: HostArray) -> Explanation:
    """Explain the loss of one sample by all that leads to it.

    Parameters
    ----------
    network : Network
        Its stages are run on the CPU, whatever its backend.
    parameters : Parameters
        float64, of one trial: (1, fan_in, fan_out) weights and (1, 1, fan_out) biases in host memory.
    x, y : (1, D) and (1, C) float64 arrays
        One sample and its target.

    Raises
    ------
    ValueError
        There is more than one sample or trial, or a parameter is not float64.
    """
    for argument, count in (("parameters", len(parameters.biases[0])), ("x", len(x)), ("y", len(y))):
        if count != 1:
            raise ValueError(f"{argument} has {count} rows: an explanation is of one trial and one sample")
    walk = _Walk(network, parameters, x, y)
    stages = [Stage("input", "x", (walk.signal(0),))]
    for k in range(walk.depth):
        stages.append(walk.affine(k))
        stages.append(walk.activation(k) if k + 1 < walk.depth else walk.output())
    return Explanation((*stages, walk.loss()), y[0])


def tiny_example(architecture: Architecture, seed: int) -> tuple[Parameters, HostArray, HostArray]:
    """Return parameters of one trial, a sample x, (1, D), and a target y, (1, C), to explain an architecture with.

    Weights are those a trial with this seed starts from; all numbers are rounded to two digits, for the pencil.
    """
    draw = np.random.default_rng(seed)
    drawn = initial_parameters(architecture, [seed], "float64")
    biases = [draw.normal(0, 0.3, b.shape).round(2) for b in drawn.biases]
    parameters = Parameters([w.round(2) for w in drawn.weights], biases)
    x = draw.normal(size=(1, architecture.inputs)).round(2)
    return parameters, x, _example_target(architecture, draw)


def _example_target(architecture: Architecture, draw: np.random.Generator) -> HostArray:
    if architecture.loss == CrossEntropy.name:
        return np.eye(architecture.outputs)[[draw.integers(architecture.outputs)]]
    if architecture.loss == BinaryCrossEntropy.name:
        return draw.integers(2, size=(1, architecture.outputs)).astype("float64")
    return draw.normal(size=(1, architecture.outputs)).round(2)


@dataclass(frozen=True)
class _Witness(Backend):
    """The plain backend, which also notes dL/da and dL/dz of every activation the backward pass goes through."""

    seen: list[tuple[HostArray, HostArray]] = field(default_factory=list)

    def chain(self, sigma: ActivationStage, delta: Array, z: Array, h: Array) -> Array:
        """Return `delta sigma'(z)`, and note both deltas, (1, 1, units) each."""
        given = delta.copy()
        result = super().chain(sigma, delta, z, h)
        self.seen.append((given[0, 0], result[0, 0].copy()))
        return result


class _Walk:
    """A forward and a backward pass of one sample, and the quantities it meets; k counts affine stages from 0."""

    def __init__(self, network: Network, parameters: Parameters, x: HostArray, y: HostArray) -> None:
        backend = _Witness(np)
        self._network = copy(network)
        self._network.backend = backend
        self._parameters, self._y = parameters, y
        self._numerical = check_gradients(self._network, parameters, x, y).numerical
        backend.seen.clear()
        self._trace: Trace = self._network.forward(parameters, x)
        self._loss, delta = self._network.output_stage.loss_and_delta(np, self._trace.logits, y)
        self._deltas = {len(parameters.weights) - 1: delta[0, 0].copy()}
        self._gradients = self._network.backward(parameters, self._trace, delta, out=parameters.empty_like(backend))
        self._signals: dict[int, HostArray] = {}
        for k, (da, dz) in zip(range(self.depth - 1, 0, -1), backend.seen, strict=True):
            self._signals[k], self._deltas[k - 1] = da, dz
        # The network stops at W_1; one line of its `_deltas` more leads to x.
        dx = backend.multiply(self._deltas[0][None, None], parameters.weights[0], transpose_b=True)
        self._signals[0] = dx[0, 0]

    @property
    def depth(self) -> int:
        """K, the number of affine stages."""
        return len(self._parameters.weights)

    def signal(self, k: int) -> Quantity:
        """Return h_k, (units,), which is x for k = 0: what affine stage k multiplies with its weights."""
        value = self._trace.h[k].reshape(-1)
        numerical = _slopes(self._loss_after(k), value)
        name, weights = _signal(k), self._parameters.weights[k][0]
        return Quantity(name, value, f"dz{k + 1}/d{name}", weights, self._signals[k], numerical)

    def affine(self, k: int) -> Stage:
        """Return z = h W + b with its weights and biases."""
        z, w, b = f"z{k + 1}", f"W{k + 1}", f"b{k + 1}"
        weights, biases = self._parameters.weights[k][0], self._parameters.biases[k][0, 0]
        by_weight = np.broadcast_to(self._trace.h[k].reshape(-1, 1), weights.shape)
        of_weights, of_biases = self._gradients.weights[k][0], self._gradients.biases[k][0, 0]
        return Stage(
            f"affine {k + 1}",
            f"{z} = {_signal(k)} {w} + {b}",
            (
                Quantity(w, weights, f"d{z}/d{w}", by_weight, of_weights, self._numerical.weights[k][0]),
                Quantity(b, biases, f"d{z}/d{b}", np.ones_like(biases), of_biases, self._numerical.biases[k][0, 0]),
                self._affine_output(k),
            ),
        )

    def activation(self, k: int) -> Stage:
        """Return h = sigma(z) of a hidden layer."""
        name = self._network.architecture.activations[k]
        return Stage(f"activation {k + 1}", f"h{k + 1} = {name}(z{k + 1})", (self.signal(k + 1),))

    def output(self) -> Stage:
        """Return yhat = phi(z), (C,): from the loss as a stage of its own, with dL/dyhat."""
        yhat, criterion = self._network.output_stage.outputs(np, self._trace.logits), self._criterion()
        slope = criterion.derivative(np, yhat, self._y)[0, 0]
        numerical = _slopes(lambda points: criterion.value(np, points[None], self._y)[0], yhat[0, 0])
        formula = f"yhat = {self._network.architecture.output_activation}(z{self.depth})"
        return Stage("output", formula, (Quantity("yhat", yhat[0, 0], "dL/dyhat", slope, slope, numerical),))

    def loss(self) -> Stage:
        """Return L = loss(yhat, y)."""
        return Stage("loss", f"L = {self._network.architecture.loss}(yhat, y)", (_end("L", self._loss[0, 0]),))

    def _affine_output(self, k: int) -> Quantity:
        value = self._trace.z[k][0, 0]
        if k + 1 == self.depth:
            phi, stage = self._network.output_stage.phi, self._network.output_stage
            following, after = "yhat", stage.outputs(np, self._trace.logits)[0, 0]
            numerical = _slopes(lambda points: stage.loss(np, points[None], self._y)[0], value)
        else:
            phi, loss_after = self._network.sigmas[k], self._loss_after(k + 1)
            following, after = _signal(k + 1), self._trace.a[k][0, 0]
            numerical = _slopes(lambda points: loss_after(phi.value(np, points[None])[0]), value)
        name = f"z{k + 1}"
        return Quantity(
            name, value, f"d{following}/d{name}", _local_derivative(phi, value, after), self._deltas[k], numerical
        )

    def _criterion(self) -> Loss:
        stage = self._network.output_stage
        return stage.criterion if isinstance(stage, Staged) else LOSSES[self._network.architecture.loss]

    def _loss_after(self, k: int) -> Callable[[HostArray], HostArray]:
        """Return L as a function of h_k: the network from affine stage k on, (points, units) to (points,)."""
        rest = copy(self._network)
        rest.sigmas = self._network.sigmas[k:]
        parameters = Parameters(self._parameters.weights[k:], self._parameters.biases[k:])

        def loss(points: HostArray) -> HostArray:
            logits = rest.forward(parameters, points).logits
            losses: HostArray = rest.output_stage.loss(np, logits, self._y)[0]
            return losses

        return loss


def _signal(k: int) -> str:
    return f"h{k}" if k else "x"


def _end(name: str, value: HostArray) -> Quantity:
    """Return the loss itself, where the chain begins with d/d of itself, which is 1."""
    one, at = np.ones(()), np.reshape(value, ())
    return Quantity(name, at, f"d{name}/d{name}", one, one, _slopes(lambda points: points[:, 0], at[None])[0])


def _local_derivative(sigma: Activation, z: HostArray, h: HostArray) -> HostArray:
    """Return dh/dz as the activation has it: (units,), or (units, outputs) where every z moves every h.

    `chain` multiplies with the local derivative. Given a unit vector for delta, what it returns is a row of it.
    """
    units = len(z)
    each = np.eye(units)[:, None, :]
    rows = sigma.chain(np, each, np.tile(z, (units, 1, 1)), np.tile(h, (units, 1, 1)))[:, 0]
    local: HostArray = rows.diagonal() if isinstance(sigma, Elementwise) else rows.T
    return local


def _slopes(loss: Callable[[HostArray], HostArray], at: HostArray) -> HostArray:
    """Return the central differences of a function of points, (points, units) to (points,), at one, (units,)."""
    steps = STEP * np.eye(len(at))
    slopes: HostArray = (loss(at + steps) - loss(at - steps)) / (2 * STEP)
    return slopes
