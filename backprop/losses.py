r"""Losses, and the output stage that joins a loss to the output activation phi.

Shapes: `z` (logits), `yhat = phi(z)` and delta are (T, B, C); targets `y` are (B, C), shared by all
trials and broadcast: one-hot rows for classes, plain numbers for regression. Losses are **per
sample**, (T, B). The loss of a batch is their mean; whoever takes the mean divides, so a short last
batch is never over-weighted.

Two ways lead from the loss to `dL/dz`:

* staged, as derived: `dL/dz = dL/dyhat * dyhat/dz`, each factor a local derivative;
* fused, for cross-entropy: both factors simplified on paper first. The staged product is 0 * inf
  once a probability underflows; the simplified one is exact at any logit.

The fused form is what trains, the staged one is what a reader follows; tests hold them equal.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from types import ModuleType
from typing import ClassVar

from backprop.activations import Activation, activation
from backprop.backend import Array
from backprop.choices import choose


class Loss(ABC):
    """A loss per sample and its local derivative with respect to the network's output."""

    name: ClassVar[str]

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


class CrossEntropy(Loss):
    """`loss_b = - sum_l y_l log yhat_l` for outputs in (0, 1)."""

    name = "cross_entropy"

    def value(self, xp: ModuleType, yhat: Array, y: Array) -> Array:
        """Return the cross-entropy; infinite where a true class has probability 0."""
        return -(y * xp.log(yhat)).sum(axis=-1)

    def derivative(self, xp: ModuleType, yhat: Array, y: Array) -> Array:  # noqa: ARG002 - one signature for all
        """Return `- y / yhat`."""
        return -y / yhat


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
        shifted = z - z.max(axis=-1, keepdims=True)
        return xp.log(xp.exp(shifted).sum(axis=-1)) - (y * shifted).sum(axis=-1)

    def loss_and_delta(self, xp: ModuleType, z: Array, y: Array) -> tuple[Array, Array]:
        """Return the loss and `softmax(z) - y`; the loss does not change when a row of z is shifted."""
        shifted = z - z.max(axis=-1, keepdims=True)
        e = xp.exp(shifted)
        total = e.sum(axis=-1, keepdims=True)
        loss = xp.log(total[..., 0]) - (y * shifted).sum(axis=-1)
        return loss, e / total - y


class SigmoidCrossEntropy(OutputStage):
    """`- sum_l y_l log sigmoid(z_l)`, simplified.

    `-log sigmoid(z) = log(1 + e^-z) = max(-z, 0) + log(1 + e^-|z|)`, and its derivative is
    `sigmoid(z) - 1`, so `delta = y (sigmoid(z) - 1) = - y sigmoid(-z)`, and with
    `sigmoid(-z) = (e^-z if z > 0 else 1) / (1 + e^-|z|)` nothing cancels at any z.
    """

    phi = activation("sigmoid")

    def loss(self, xp: ModuleType, z: Array, y: Array) -> Array:
        """Return `sum_l y_l softplus(-z_l)`."""
        return (y * (xp.maximum(-z, 0) + xp.log1p(xp.exp(-xp.abs(z))))).sum(axis=-1)

    def loss_and_delta(self, xp: ModuleType, z: Array, y: Array) -> tuple[Array, Array]:
        """Return the loss and `- y sigmoid(-z)`."""
        e = xp.exp(-xp.abs(z))
        loss = (y * (xp.maximum(-z, 0) + xp.log1p(e))).sum(axis=-1)
        return loss, -y * xp.where(z > 0, e, 1) / (1 + e)


LOSSES: dict[str, Loss] = {loss.name: loss for loss in (MeanSquaredError(), CrossEntropy())}

FUSED: dict[tuple[str, str], OutputStage] = {
    ("softmax", "cross_entropy"): SoftmaxCrossEntropy(),
    ("sigmoid", "cross_entropy"): SigmoidCrossEntropy(),
}


def output_stage(output_activation: str, loss: str) -> OutputStage:
    """Return the stage that joins an output activation and a loss, fused where that is stabler.

    Raises
    ------
    ValueError
        A name is unknown, or cross-entropy is asked of outputs that are not in (0, 1).
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
    return Staged(phi, criterion)
