r"""The network as a chain of stages, forward and backward.

One hidden layer is `h = sigma(x W1 + b1)`, `yhat = phi(h W2 + b2)`; any depth K repeats the first part:

    h_0 = x
    z_k = h_{k-1} W_k + b_k          k = 1..K        affine
    a_k = sigma_k(z_k)               k = 1..K-1      activation
    h_k = m_k * a_k                  k = 1..K-1      dropout, in training only; else h_k = a_k
    yhat = phi(z_K),  L = loss(yhat, y)              output stage (losses.py)

Each stage knows its own local derivative only. The chain rule multiplies them from the loss to the
input; with `delta_k = dL/dz_k`:

    delta_K     = dL/dyhat * dyhat/dz_K              output stage
    dL/dW_k     = h_{k-1}^T delta_k                  since dz_k/dW_k = h_{k-1}
    dL/db_k     = sum over the batch of delta_k      since dz_k/db_k = 1
    dL/dh_{k-1} = delta_k W_k^T                      since dz_k/dh_{k-1} = W_k
    dL/da_{k-1} = m_{k-1} * dL/dh_{k-1}              dropout
    delta_{k-1} = dL/da_{k-1} * sigma'(z_{k-1})      activation

(Rumelhart, Hinton and Williams, Learning representations by back-propagating errors, 1986.)

Every parameter carries a leading axis of T trials, W_k is (T, fan_in, fan_out), so the lines above
train T networks at once. The batch x is (B, D), shared by all; h_k, a_k, m_k, z_k and delta_k are (T, B, units).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from backprop.activations import activation
from backprop.backend import Array, Backend, HostArray
from backprop.initializers import initializer, initializer_for
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
    activation : str or tuple of str
        sigma of every hidden layer: one name for all, or one each.
    output_activation : str
        phi.
    loss : str
        ``"mse"``, ``"mae"``, ``"huber"``, ``"cross_entropy"``, ``"binary_cross_entropy"``, or a registered one.

    Raises
    ------
    ValueError
        A width is not a positive integer, a name is unknown, there are not as many activations as hidden
        layers, loss and output activation do not fit, or a softmax has one output.
    """

    inputs: int
    hidden: tuple[int, ...]
    outputs: int
    activation: str | tuple[str, ...] = "relu"
    output_activation: str = "softmax"
    loss: str = "cross_entropy"

    def __post_init__(self) -> None:
        # JSON has lists only: an architecture read from it equals, and hashes as, the one written.
        object.__setattr__(self, "hidden", tuple(self.hidden))
        if not isinstance(self.activation, str):
            object.__setattr__(self, "activation", tuple(self.activation))
        for argument, widths in (("inputs", (self.inputs,)), ("hidden", self.hidden), ("outputs", (self.outputs,))):
            for width in widths:
                if not isinstance(width, int) or width < 1:
                    raise ValueError(f"{argument} has a layer of {width!r} units: use a whole number, at least 1")
        if not isinstance(self.activation, str) and len(self.activation) != len(self.hidden):
            raise ValueError(
                f"activation has {len(self.activation)} names but hidden has {len(self.hidden)} layers: "
                "use one name for all layers, or one for each"
            )
        for name in (self.activation,) if isinstance(self.activation, str) else self.activation:
            activation(name)
        output_stage(self.output_activation, self.loss)
        if self.outputs == 1 and self.output_activation == "softmax":
            raise ValueError(
                "outputs is 1 and output_activation 'softmax', which is 1 for any input: use 2 outputs for two "
                "classes, or one with output_activation 'sigmoid' and loss 'binary_cross_entropy'"
            )

    @property
    def activations(self) -> tuple[str, ...]:
        """One name for every hidden layer."""
        return (self.activation,) * len(self.hidden) if isinstance(self.activation, str) else self.activation

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

    def zeros_like(self, backend: Backend) -> "Parameters":
        """Return zeros of the same shapes and dtypes."""
        zeros = backend.xp.zeros_like
        return Parameters([zeros(w) for w in self.weights], [zeros(b) for b in self.biases])

    def to_host(self, backend: Backend) -> "Parameters":
        """Return the parameters in host memory."""
        return Parameters([backend.to_host(w) for w in self.weights], [backend.to_host(b) for b in self.biases])

    def to_device(self, backend: Backend) -> "Parameters":
        """Return the parameters in the backend's memory."""
        return Parameters([backend.to_device(w) for w in self.weights], [backend.to_device(b) for b in self.biases])


def initial_parameters(
    architecture: Architecture,
    seeds: Sequence[int],
    dtype: npt.DTypeLike,
    initializers: Sequence[str | None] | None = None,
) -> Parameters:
    """Return initial parameters in host memory for one trial a seed: weights by activation, biases zero.

    Layer k of the trial with seed s is drawn from (s, weights, k): a trial's numbers depend on nothing else.

    Parameters
    ----------
    initializers : sequence of str or None, optional
        For each trial the name of the initializer of all its layers; None chooses by each layer's activation.

    Raises
    ------
    ValueError
        No initializer has that name, or there are not as many as seeds.
    """
    names = (None,) * len(seeds) if initializers is None else initializers
    weights, biases = [], []
    followed_by = (*architecture.activations, architecture.output_activation)
    for layer, ((fan_in, fan_out), sigma) in enumerate(zip(architecture.layers, followed_by, strict=True)):
        drawn = []
        for seed, name in zip(seeds, names, strict=True):
            draw = initializer_for(sigma) if name is None else initializer(name)
            drawn.append(draw(generator(seed, Stream.WEIGHTS, layer), fan_in, fan_out))
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
    a : list of (T, B, units) arrays
        Output of every activation; `a[k]` is `h[k + 1]` before dropout.
    masks : sequence of (T, B, units) arrays, or None
        m of every hidden layer; None without dropout.
    """

    h: list[Array]
    z: list[Array]
    a: list[Array]
    masks: Sequence[Array] | None = None

    @property
    def logits(self) -> Array:
        """Output of the last affine stage, (T, B, C)."""
        return self.z[-1]


class Network:
    """The stages of an architecture on a backend. It holds no parameters: data in, data out."""

    def __init__(self, architecture: Architecture, backend: Backend) -> None:
        self.architecture = architecture
        self.backend = backend
        self.sigmas = [activation(name) for name in architecture.activations]
        self.output_stage: OutputStage = output_stage(architecture.output_activation, architecture.loss)

    def forward(self, parameters: Parameters, x: Array, masks: Sequence[Array] | None = None) -> Trace:
        """Run the stages on a batch x, (B, D), keeping what the backward pass needs.

        Parameters
        ----------
        masks : sequence of (T, B, units) arrays, optional
            m_k of every hidden layer, from `Dropout.masks`; without them nothing is dropped.
        """
        *hidden, output = zip(parameters.weights, parameters.biases, strict=True)
        trace = Trace(h=[x], z=[], a=[], masks=masks)
        for k, (w, b) in enumerate(hidden):
            z, a = self.backend.affine_activation(trace.h[k], w, b, self.sigmas[k])
            trace.z.append(z)
            trace.a.append(a)
            trace.h.append(a if masks is None else masks[k] * a)
        trace.z.append(self.backend.affine(trace.h[-1], *output))
        return trace

    def backward(self, parameters: Parameters, trace: Trace, delta: Array, out: Parameters) -> Parameters:
        """Chain the local derivatives from `delta = dL/dz_K`, (T, B, C), to every parameter.

        The result is linear in delta: with `delta / B` it is the gradient of the batch's mean loss.

        Parameters
        ----------
        out : Parameters
            Where the result is written, shaped like `parameters`; it is returned.
        """
        for k, delta_k in self._deltas(parameters, trace, delta):
            self.backend.multiply(trace.h[k], delta_k, out.weights[k], transpose_a=True)
            self.backend.sum_batch(delta_k, out.biases[k])
        return out

    def descend(self, parameters: Parameters, trace: Trace, delta: Array, scratch: Parameters) -> None:
        """Update the parameters in place, `W := W - dL/dW` of a delta that has the learning rate in it.

        `backward` being linear in delta, `learning_rate * delta / B` makes this the step of plain SGD: a gradient
        and its update are one operation, and no pass over the weights is spent on the product.

        Parameters
        ----------
        scratch : Parameters
            Shaped like `parameters`; overwritten.
        """
        for k, delta_k in self._deltas(parameters, trace, delta):
            w, b = parameters.weights[k], parameters.biases[k]
            self.backend.multiply(
                trace.h[k], delta_k, w, alpha=-1, beta=1, transpose_a=True, scratch=scratch.weights[k]
            )
            self.backend.sum_batch(delta_k, b, alpha=-1, beta=1, scratch=scratch.biases[k])

    def _deltas(self, parameters: Parameters, trace: Trace, delta: Array) -> Iterator[tuple[int, Array]]:
        """Yield k and `dL/dz` of every affine stage, from the last to the first; W_k may be updated once it is out."""
        for k in reversed(range(len(parameters.weights))):
            delta_k = delta
            if k > 0:
                dh = self.backend.multiply(delta_k, parameters.weights[k], transpose_b=True)
                if trace.masks is not None:
                    dh *= trace.masks[k - 1]
                delta = self.backend.chain(self.sigmas[k - 1], dh, trace.z[k - 1], trace.a[k - 1])
            yield k, delta_k

    def predict(self, parameters: Parameters, x: Array) -> Array:
        """Return `yhat`, (T, B, C): probabilities of a softmax, values of an identity output."""
        return self.output_stage.outputs(self.backend.xp, self.forward(parameters, x).logits)

    def gradients(
        self,
        parameters: Parameters,
        x: Array,
        y: Array,
        *,
        weights: Array | None = None,
        masks: Sequence[Array] | None = None,
    ) -> tuple[Array, Parameters]:
        """Return the loss of a batch, (T,), and its gradient by every parameter.

        The loss is the mean over samples, `1/B sum_b w_b loss_b` with weights.

        Parameters
        ----------
        x : (B, D) array
        y : (B, C) array
            One-hot rows for cross-entropy, 0 and 1 for binary cross-entropy, values for the others.
        weights : (B,) array, optional
            w_b; 1 without.
        masks : sequence of (T, B, units) arrays, optional
            Of dropout, one a hidden layer.
        """
        trace = self.forward(parameters, x, masks)
        loss, delta = self.output_stage.loss_and_delta(self.backend.xp, trace.logits, y)
        if weights is not None:
            loss, delta = loss * weights, delta * weights[:, None]
        gradients = self.backward(parameters, trace, delta / len(x), out=parameters.empty_like(self.backend))
        return loss.mean(axis=1), gradients


def host_parameters(weights: Sequence[HostArray], biases: Sequence[HostArray]) -> Parameters:
    """Return a stack of one trial from its (fan_in, fan_out) weights and (fan_out,) biases."""
    return Parameters([w[None] for w in weights], [b[None, None] for b in biases])
