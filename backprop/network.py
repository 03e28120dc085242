r"""The network as a chain of stages, forward and backward.

One hidden layer is `h = sigma(x W1 + b1)`, `yhat = phi(h W2 + b2)`; any depth K repeats the first part:

    h_0 = x
    z_k = h_{k-1} W_k + b_k          k = 1..K        affine
    h_k = sigma(z_k)                 k = 1..K-1      activation
    yhat = phi(z_K),  L = loss(yhat, y)              output stage (losses.py)

Each stage knows its own local derivative only. The chain rule multiplies them from the loss to the
input; with `delta_k = dL/dz_k`:

    delta_K     = dL/dyhat * dyhat/dz_K              output stage
    dL/dW_k     = h_{k-1}^T delta_k                  since dz_k/dW_k = h_{k-1}
    dL/db_k     = sum over the batch of delta_k      since dz_k/db_k = 1
    dL/dh_{k-1} = delta_k W_k^T                      since dz_k/dh_{k-1} = W_k
    delta_{k-1} = dL/dh_{k-1} * sigma'(z_{k-1})      activation

(Rumelhart, Hinton and Williams, Learning representations by back-propagating errors, 1986.)

Every parameter carries a leading axis of T trials, W_k is (T, fan_in, fan_out), so the lines above
train T networks at once. The batch x is (B, D), shared by all; h_k, z_k and delta_k are (T, B, units).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from backprop.activations import activation
from backprop.backend import Array, Backend, HostArray
from backprop.initializers import initializer_for
from backprop.losses import OutputStage, output_stage
from backprop.randomness import Stream, generator


@dataclass(frozen=True)
class Architecture:
    """What trials of one stack have in common: layers, activations and loss.

    Attributes
    ----------
    inputs : int
        D, the number of features.
    hidden : tuple of int
        Units of each hidden layer; empty for a linear model.
    outputs : int
        C, the number of classes or of regression targets.
    activation : str
        sigma of every hidden layer.
    output_activation : str
        phi.
    loss : str
        ``"mse"`` or ``"cross_entropy"``.

    Raises
    ------
    ValueError
        A width is not a positive integer, a name is unknown, or loss and output activation do not fit.
    """

    inputs: int
    hidden: tuple[int, ...]
    outputs: int
    activation: str = "relu"
    output_activation: str = "softmax"
    loss: str = "cross_entropy"

    def __post_init__(self) -> None:
        for argument, widths in (("inputs", (self.inputs,)), ("hidden", self.hidden), ("outputs", (self.outputs,))):
            for width in widths:
                if not isinstance(width, int) or width < 1:
                    raise ValueError(f"{argument} has a layer of {width!r} units: use a whole number, at least 1")
        activation(self.activation)
        output_stage(self.output_activation, self.loss)

    @property
    def layers(self) -> tuple[tuple[int, int], ...]:
        """(fan_in, fan_out) of every affine stage, from the input to the output."""
        widths = (self.inputs, *self.hidden, self.outputs)
        return tuple(pairwise(widths))

    @property
    def parameter_count(self) -> int:
        """Number of weights and biases of one trial."""
        return sum((fan_in + 1) * fan_out for fan_in, fan_out in self.layers)


@dataclass(frozen=True)
class Parameters:
    """Weights and biases of a stack, or anything shaped like them, such as gradients.

    Attributes
    ----------
    weights : list of (T, fan_in, fan_out) arrays
    biases : list of (T, 1, fan_out) arrays
    """

    weights: Sequence[Array]
    biases: Sequence[Array]

    def __iter__(self) -> Iterator[Array]:
        yield from self.weights
        yield from self.biases

    def select(self, trials: Sequence[int]) -> "Parameters":
        """Return copies of the parameters of those trials, in that order."""
        rows = list(trials)
        return Parameters([w[rows] for w in self.weights], [b[rows] for b in self.biases])

    def empty_like(self, backend: Backend) -> "Parameters":
        """Return uninitialised arrays of the same shapes and dtypes."""
        empty = backend.xp.empty_like
        return Parameters([empty(w) for w in self.weights], [empty(b) for b in self.biases])

    def to_host(self, backend: Backend) -> "Parameters":
        """Return the parameters in host memory."""
        return Parameters([backend.to_host(w) for w in self.weights], [backend.to_host(b) for b in self.biases])

    def to_device(self, backend: Backend) -> "Parameters":
        """Return the parameters in the backend's memory."""
        return Parameters([backend.to_device(w) for w in self.weights], [backend.to_device(b) for b in self.biases])


def initial_parameters(architecture: Architecture, seeds: Sequence[int], dtype: npt.DTypeLike) -> Parameters:
    """Return initial parameters in host memory for one trial a seed: weights by activation, biases zero.

    Layer k of the trial with seed s is drawn from (s, weights, k): a trial's numbers depend on nothing else.
    """
    last = len(architecture.layers) - 1
    weights, biases = [], []
    for layer, (fan_in, fan_out) in enumerate(architecture.layers):
        draw = initializer_for(architecture.output_activation if layer == last else architecture.activation)
        drawn = [draw(generator(seed, Stream.WEIGHTS, layer), fan_in, fan_out) for seed in seeds]
        weights.append(np.stack(drawn).astype(dtype))
        biases.append(np.zeros((len(drawn), 1, fan_out), dtype))
    return Parameters(weights, biases)


@dataclass(frozen=True)
class Trace:
    """What a forward pass leaves for the backward pass.

    Attributes
    ----------
    h : list of arrays
        Input of every affine stage: `h[0]` is x, (B, D); `h[k]` is (T, B, units).
    z : list of (T, B, units) arrays
        Output of every affine stage; the last are the logits.
    """

    h: list[Array]
    z: list[Array]

    @property
    def logits(self) -> Array:
        """Output of the last affine stage, (T, B, C)."""
        return self.z[-1]


class Network:
    """The stages of an architecture on a backend. It holds no parameters: data in, data out."""

    def __init__(self, architecture: Architecture, backend: Backend) -> None:
        self.architecture = architecture
        self.backend = backend
        self.sigma = activation(architecture.activation)
        self.output_stage: OutputStage = output_stage(architecture.output_activation, architecture.loss)

    def forward(self, parameters: Parameters, x: Array) -> Trace:
        """Run the stages on a batch x, (B, D), keeping what the backward pass needs."""
        *hidden, output = zip(parameters.weights, parameters.biases, strict=True)
        trace = Trace(h=[x], z=[])
        for k, (w, b) in enumerate(hidden):
            z, h = self.backend.affine_activation(trace.h[k], w, b, self.sigma)
            trace.z.append(z)
            trace.h.append(h)
        trace.z.append(self.backend.affine(trace.h[-1], *output))
        return trace

    def backward(self, parameters: Parameters, trace: Trace, delta: Array, out: Parameters) -> Parameters:
        """Chain the local derivatives from `delta = dL/dz_K`, (T, B, C), to every parameter.

        The result is linear in delta. With `delta / B` it is the gradient of the batch's mean loss; with
        `learning_rate * delta / B` it is the step of plain SGD, and no pass over the weights is spent on the product.

        Parameters
        ----------
        out : Parameters
            Where the result is written, shaped like `parameters`; it is returned.
        """
        backend = self.backend
        for k in reversed(range(len(parameters.weights))):
            backend.multiply(trace.h[k], delta, out=out.weights[k], transpose_a=True)
            backend.sum_batch(delta, out=out.biases[k])
            if k > 0:
                dh = backend.multiply(delta, parameters.weights[k], transpose_b=True)
                delta = backend.chain(self.sigma, dh, trace.z[k - 1], trace.h[k])
        return out

    def predict(self, parameters: Parameters, x: Array) -> Array:
        """Return `yhat`, (T, B, C): probabilities of a softmax, values of an identity output."""
        return self.output_stage.outputs(self.backend.xp, self.forward(parameters, x).logits)

    def gradients(self, parameters: Parameters, x: Array, y: Array) -> tuple[Array, Parameters]:
        """Return the mean loss of a batch, (T,), and its gradient by every parameter.

        Parameters
        ----------
        x : (B, D) array
        y : (B, C) array
            One-hot rows for cross-entropy, values for MSE.
        """
        xp = self.backend.xp
        trace = self.forward(parameters, x)
        loss, delta = self.output_stage.loss_and_delta(xp, trace.logits, y)
        gradients = self.backward(parameters, trace, delta / len(x), out=parameters.empty_like(self.backend))
        return loss.mean(axis=1), gradients


def host_parameters(weights: Sequence[HostArray], biases: Sequence[HostArray]) -> Parameters:
    """Return a stack of one trial from its (fan_in, fan_out) weights and (fan_out,) biases."""
    return Parameters([w[None] for w in weights], [b[None, None] for b in biases])
