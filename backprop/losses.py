r"""Losses, and the output stage that joins a loss to the output activation phi.

Shapes: `z` (logits), `yhat = phi(z)` and delta are (T, B, C); targets `y` are (B, C), shared by all
trials and broadcast: one-hot rows for classes, 0 or 1 in every column for labels (one column for a
binary target), plain numbers for regression. Losses are **per sample**, (T, B), summed over outputs.
The loss of a batch is their mean; whoever takes the mean divides, so a short last batch is never
over-weighted.

Two ways lead from the loss to `dL/dz`:

* staged, as derived: `dL/dz = dL/dyhat * dyhat/dz`, each factor a local derivative;
* fused, for the cross-entropies: both factors simplified on paper first. The staged product is 0 * inf
  once a probability underflows; the simplified one is exact at any logit.

The fused form is what trains, the staged one is what a reader follows; tests hold them equal.
`register_loss` adds a user's own, `smooth_labels` softens targets.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from types import ModuleType

from backprop.activations import Activation, activation
from backprop.backend import Array
from backprop.choices import check_new_name, choose
from backprop.local_derivatives import LossFunction, Range, check_loss_derivative
from backprop.reductions import max_last, sum_last


class Loss(ABC):
    """A loss per sample and its local derivative with respect to the network's output."""

    name: str

    @abstractmethod
    def value(self, xp: ModuleType, yhat: Array, y: Array) -> Array:
        """Return the loss of every sample, (T, B)."""

    @abstractmethod
    def derivative(self, xp: ModuleType, yhat: Array, y: Array) -> Array:
        """Return `d loss_b / d yhat_b`, (T, B, C)."""


class MeanSquaredError(Loss):
    """`loss_b = sum_l (y_l - yhat_l)^2`, so that the mean over N samples is `1/N sum (y - yhat)^2`."""

    name = "mse"

    def value(self, xp: ModuleType, yhat: Array, y: Array) -> Array:  # noqa: ARG002 - one signature for all
        """Return the squared error summed over outputs."""
        return ((yhat - y) ** 2).sum(axis=-1)

    def derivative(self, xp: ModuleType, yhat: Array, y: Array) -> Array:  # noqa: ARG002 - one signature for all
        """Return `2 (yhat - y)`."""
        return 2 * (yhat - y)


class MeanAbsoluteError(Loss):
    """`loss_b = sum_l |y_l - yhat_l|`; its derivative at a residual of exactly 0 is 0."""

    name = "mae"

    def value(self, xp: ModuleType, yhat: Array, y: Array) -> Array:
        """Return the absolute error summed over outputs."""
        return xp.abs(yhat - y).sum(axis=-1)

    def derivative(self, xp: ModuleType, yhat: Array, y: Array) -> Array:
        """Return `sign(yhat - y)`."""
        return xp.sign(yhat - y)


class Huber(Loss):
    """`loss_b = sum_l (r_l^2 / 2 where |r_l| <= 1, else |r_l| - 1/2)`, with the residual `r = yhat - y`.

    A residual's pull is that of half a squared error up to 1 and constant beyond. (Huber, Robust estimation
    of a location parameter, 1964, with k = 1.)
    """

    name = "huber"

    def value(self, xp: ModuleType, yhat: Array, y: Array) -> Array:
        """Return `sum_l c_l (r_l - c_l / 2)` with `c = clip(r, -1, 1)`, which is both cases in one."""
        residual = yhat - y
        clipped = xp.clip(residual, -1, 1)
        return (clipped * (residual - 0.5 * clipped)).sum(axis=-1)

    def derivative(self, xp: ModuleType, yhat: Array, y: Array) -> Array:
        """Return `clip(yhat - y, -1, 1)`."""
        return xp.clip(yhat - y, -1, 1)


class CrossEntropy(Loss):
    """`loss_b = - sum_l y_l log yhat_l` for outputs in (0, 1)."""

    name = "cross_entropy"

    def value(self, xp: ModuleType, yhat: Array, y: Array) -> Array:
        """Return the cross-entropy; infinite where a true class has probability 0."""
        return -(y * xp.log(yhat)).sum(axis=-1)

    def derivative(self, xp: ModuleType, yhat: Array, y: Array) -> Array:  # noqa: ARG002 - one signature for all
        """Return `- y / yhat`."""
        return -y / yhat


class BinaryCrossEntropy(Loss):
    """`loss_b = - sum_l (y_l log yhat_l + (1 - y_l) log(1 - yhat_l))`: every output is a label of its own."""

    name = "binary_cross_entropy"

    def value(self, xp: ModuleType, yhat: Array, y: Array) -> Array:
        """Return the binary cross-entropy; infinite or NaN where an output is 0 or 1 to the last digit."""
        return -(y * xp.log(yhat) + (1 - y) * xp.log(1 - yhat)).sum(axis=-1)

    def derivative(self, xp: ModuleType, yhat: Array, y: Array) -> Array:  # noqa: ARG002 - one signature for all
        """Return `(1 - y) / (1 - yhat) - y / yhat`."""
        return (1 - y) / (1 - yhat) - y / yhat


class OutputStage(ABC):
    """The output activation and the loss as one stage on the logits."""

    phi: Activation

    def outputs(self, xp: ModuleType, z: Array) -> Array:
        """Return `yhat = phi(z)`, (T, B, C)."""
        return self.phi.value(xp, z)

    @abstractmethod
    def loss(self, xp: ModuleType, z: Array, y: Array) -> Array:
        """Return the loss of every sample, (T, B)."""

    @abstractmethod
    def loss_and_delta(self, xp: ModuleType, z: Array, y: Array) -> tuple[Array, Array]:
        """Return the loss of every sample, (T, B), and `delta = d loss_b / d z_b`, (T, B, C), a new array."""


@dataclass(frozen=True)
class Staged(OutputStage):
    """Any loss on any activation, by the chain rule: `dL/dz = dL/dyhat * dyhat/dz`."""

    phi: Activation
    criterion: Loss

    def loss(self, xp: ModuleType, z: Array, y: Array) -> Array:
        """Return the loss of `phi(z)`."""
        return self.criterion.value(xp, self.phi.value(xp, z), y)

    def loss_and_delta(self, xp: ModuleType, z: Array, y: Array) -> tuple[Array, Array]:
        """Return the loss and the product of the two local derivatives."""
        yhat = self.phi.value(xp, z)
        delta = self.phi.chain(xp, self.criterion.derivative(xp, yhat, y), z, yhat)
        return self.criterion.value(xp, yhat, y), delta


class SoftmaxCrossEntropy(OutputStage):
    """Cross-entropy of a softmax, simplified for targets whose rows sum to 1.

    With `lse = log sum_j e^{z_j}`, `log yhat_l = z_l - lse`, so `loss = lse - sum_l y_l z_l` and, since
    `d lse / d z = softmax(z)`, `delta = softmax(z) - y`. (Bishop, Pattern Recognition and Machine
    Learning, 2006, eq. 4.108 and 4.109.)
    """

    phi = activation("softmax")

    def loss(self, xp: ModuleType, z: Array, y: Array) -> Array:
        """Return `lse - sum_l y_l z_l`."""
        shifted = z - max_last(xp, z)
        return (xp.log(sum_last(xp, xp.exp(shifted))) - sum_last(xp, y * shifted))[..., 0]

    def loss_and_delta(self, xp: ModuleType, z: Array, y: Array) -> tuple[Array, Array]:
        """Return the loss and `softmax(z) - y`; the loss does not change when a row of z is shifted."""
        shifted = z - max_last(xp, z)
        e = xp.exp(shifted)
        total = sum_last(xp, e)
        loss = xp.log(total) - sum_last(xp, y * shifted)
        return loss[..., 0], e / total - y


class SigmoidCrossEntropy(OutputStage):
    """`- sum_l y_l log sigmoid(z_l)`, simplified.

    `-log sigmoid(z) = log(1 + e^-z) = max(-z, 0) + log(1 + e^-|z|)`, and its derivative is
    `sigmoid(z) - 1`, so `delta = y (sigmoid(z) - 1) = - y sigmoid(-z)`, and with
    `sigmoid(-z) = (e^-z if z > 0 else 1) / (1 + e^-|z|)` nothing cancels at any z.
    """

    phi = activation("sigmoid")

    def loss(self, xp: ModuleType, z: Array, y: Array) -> Array:
        """Return `sum_l y_l softplus(-z_l)`."""
        return (y * (xp.maximum(-z, 0) + xp.log1p(xp.exp(xp.minimum(z, -z))))).sum(axis=-1)

    def loss_and_delta(self, xp: ModuleType, z: Array, y: Array) -> tuple[Array, Array]:
        """Return the loss and `- y sigmoid(-z)`."""
        e = xp.exp(xp.minimum(z, -z))
        loss = (y * (xp.maximum(-z, 0) + xp.log1p(e))).sum(axis=-1)
        return loss, -y * xp.where(z > 0, e, 1) / (1 + e)


class SigmoidBinaryCrossEntropy(OutputStage):
    """`- sum_l (y_l log s_l + (1 - y_l) log(1 - s_l))` with `s = sigmoid(z)`, simplified.

    `-log s = max(-z, 0) + log(1 + e^-|z|)` and `-log(1 - s) = z - log s`, so with weights y and 1 - y
    `loss = sum_l max(z_l, 0) - z_l y_l + log(1 + e^-|z_l|)` and `delta = s - y`. With `e = e^-|z|`,
    `s = (1 if z > 0 else e) / (1 + e)`, so `s - y = ((1 if z > 0 else e) - y - y e) / (1 + e)`, in which
    nothing cancels for a y of 0 or 1 at any z. (Bishop, 2006, eq. 4.90 and 4.91.)
    """

    phi = activation("sigmoid")

    def loss(self, xp: ModuleType, z: Array, y: Array) -> Array:
        """Return `sum_l max(z_l, 0) - z_l y_l + log1p(e^-|z_l|)`."""
        return (xp.maximum(z, 0) - z * y + xp.log1p(xp.exp(xp.minimum(z, -z)))).sum(axis=-1)

    def loss_and_delta(self, xp: ModuleType, z: Array, y: Array) -> tuple[Array, Array]:
        """Return the loss and `sigmoid(z) - y`."""
        e = xp.exp(xp.minimum(z, -z))
        loss = (xp.maximum(z, 0) - z * y + xp.log1p(e)).sum(axis=-1)
        return loss, (xp.where(z > 0, 1, e) - y - y * e) / (1 + e)


@dataclass(frozen=True)
class UserLoss(Loss):
    """A loss made of a user's pair of functions.

    Attributes
    ----------
    name : str
    function : callable
        `(xp, yhat, y)` to the loss of every sample, (T, B).
    local_derivative : callable
        `(xp, yhat, y)` to `d loss_b / d yhat_b`, (T, B, C).
    """

    name: str
    function: LossFunction
    local_derivative: LossFunction

    def value(self, xp: ModuleType, yhat: Array, y: Array) -> Array:
        """Return `function(xp, yhat, y)`."""
        return self.function(xp, yhat, y)

    def derivative(self, xp: ModuleType, yhat: Array, y: Array) -> Array:
        """Return `local_derivative(xp, yhat, y)`, copied: it may be a view of its arguments, and a delta is scaled."""
        return self.local_derivative(xp, yhat, y).copy()


LOSSES: dict[str, Loss] = {
    loss.name: loss for loss in (MeanSquaredError(), MeanAbsoluteError(), Huber(), CrossEntropy(), BinaryCrossEntropy())
}

FUSED: dict[tuple[str, str], OutputStage] = {
    ("softmax", "cross_entropy"): SoftmaxCrossEntropy(),
    ("sigmoid", "cross_entropy"): SigmoidCrossEntropy(),
    ("sigmoid", "binary_cross_entropy"): SigmoidBinaryCrossEntropy(),
}


def output_stage(output_activation: str, loss: str) -> OutputStage:
    """Return the stage that joins an output activation and a loss, fused where that is stabler.

    Raises
    ------
    ValueError
        A name is unknown; cross-entropy is asked of outputs that are not in (0, 1), or binary
        cross-entropy of any but a sigmoid's.
    """
    phi, criterion = activation(output_activation), choose("loss", loss, LOSSES)
    fused = FUSED.get((output_activation, loss))
    if fused is not None:
        return fused
    if loss == CrossEntropy.name:
        raise ValueError(
            f"loss 'cross_entropy' takes the logarithm of the output, which output_activation {output_activation!r} "
            "can make zero or negative: use output_activation 'softmax' or 'sigmoid', or loss 'mse'"
        )
    if loss == BinaryCrossEntropy.name:
        raise ValueError(
            "loss 'binary_cross_entropy' takes every output for the probability of a label of its own, which "
            f"output_activation {output_activation!r} does not give: use output_activation 'sigmoid', or loss "
            "'cross_entropy' with output_activation 'softmax' for classes that exclude each other"
        )
    return Staged(phi, criterion)


def register_loss(
    name: str,
    value: LossFunction,
    derivative: LossFunction,
    outputs: Range = (-3.0, 3.0),
    targets: Range = (-3.0, 3.0),
) -> None:
    """Make a user's own loss known by name, after checking its derivative.

    Any `Architecture` of this process may then use the name, with any output activation, by the staged
    chain. Register in every process that trains.

    Parameters
    ----------
    name : str
        A Python identifier no loss has yet.
    value : callable
        `value(xp, yhat, y)` returns the loss of every sample, (T, B), of outputs (T, B, C) and targets
        (B, C), in their dtype. `xp` is `numpy` or `cupy`: call only what both have.
    derivative : callable
        `derivative(xp, yhat, y)` returns `d loss_b / d yhat_b`, (T, B, C).
    outputs, targets : (low, high)
        Finite ranges the derivative is checked in, such as (0, 1) for a loss of probabilities.

    Raises
    ------
    ValueError
        The name is taken or no identifier; a range is empty; a function mixes samples, is not finite,
        or returns another shape or dtype; or the derivative differs from central differences: the
        message names the point and both values.
    """
    check_new_name("loss", name, LOSSES)
    check_loss_derivative(name, value, derivative, outputs, targets)
    LOSSES[name] = UserLoss(name, value, derivative)


def smooth_labels(y: Array, smoothing: float, loss: str) -> Array:
    """Return targets moved a little from certainty towards no knowledge, for either cross-entropy.

    Classes (`cross_entropy`, one-hot rows over C): `(1 - e) y + e / C`. Labels (`binary_cross_entropy`):
    `(1 - e) y + e / 2`. (Szegedy et al., Rethinking the Inception architecture, 2016, section 7.)

    Parameters
    ----------
    y : (N, C) array
        Targets on host or device; left as they are.
    smoothing : float
        e, at least 0 and less than 1.
    loss : str
        ``"cross_entropy"`` or ``"binary_cross_entropy"``.

    Returns
    -------
    (N, C) array
        The dtype of `y`.

    Raises
    ------
    ValueError
        The smoothing is out of range, or the loss is another.
    """
    if not 0 <= smoothing < 1:
        raise ValueError(f"label smoothing is {smoothing}: use at least 0 and less than 1")
    if loss not in (CrossEntropy.name, BinaryCrossEntropy.name):
        raise ValueError(
            f"label smoothing has no meaning for loss {loss!r}: use 'cross_entropy' or 'binary_cross_entropy'"
        )
    outcomes = y.shape[-1] if loss == CrossEntropy.name else 2
    return (1 - smoothing) * y + smoothing / outcomes
