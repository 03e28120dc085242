"""Measuring the trials of a stack on samples: the mean loss, and how good the outputs are for the task.

All means are over samples, weighted if the samples are: `sum_n w_n v_n / sum_n w_n`.

* ``loss``: of the targets as given, without penalties and without dropout.
* ``accuracy`` (classification): the part of samples predicted right. With classes, the largest output is at the
  largest target; with labels (loss ``"binary_cross_entropy"``, or a single output), **all** of a sample's outputs are
  on the side of 1/2 its targets are on, which scikit-learn calls subset accuracy.
* ``rmse`` (regression): root of the mean squared error over all outputs.
* ``r2`` (regression): coefficient of determination, the mean over outputs; as scikit-learn's, a constant target
  counts as 1 where it is met and 0 where it is not.
"""

from collections.abc import Iterator, Sequence

from backprop.backend import Array, HostArray
from backprop.losses import BinaryCrossEntropy
from backprop.network import Network, Parameters
from backprop.samples import Samples
from backprop.stack import Task

EVALUATION_BYTES = 16 * 2**20
"""Largest activation array of an evaluation, in bytes: it stays near the caches and bounds memory."""


def evaluate(
    network: Network, parameters: Parameters, samples: Samples, task: Task, prefix: str
) -> dict[str, HostArray]:
    """Measure every trial on samples: mean loss, and accuracy or RMSE and R2, each (T,) float64 in host memory.

    Parameters
    ----------
    parameters : Parameters
        In the backend's memory, as the samples.
    prefix : str
        Of the names, as in ``val/loss``.
    """
    return network.backend.fetch(measure(network, parameters, samples, task, prefix))


def measure(
    network: Network,
    parameters: Parameters,
    samples: Samples,
    task: Task,
    prefix: str,
    hidden: Sequence[tuple[int, ...]] | None = None,
) -> dict[str, Array]:
    """Return what `evaluate` does, in the backend's memory: nothing is waited for.

    Parameters
    ----------
    hidden : sequence of tuple of int, optional
        Own widths of every trial, where some are padded: what could be left out.
    """
    measured = (_classification if task == "classification" else _regression)(network, parameters, samples, hidden)
    return {f"{prefix}/{name}": values for name, values in measured.items()}


def _classification(
    network: Network, parameters: Parameters, samples: Samples, hidden: Sequence[tuple[int, ...]] | None
) -> dict[str, Array]:
    total = _total_weight(samples)
    sums = network.backend.evaluation_sums(network, parameters, samples, hidden, residuals=False)
    if sums is not None:
        return {"loss": sums.loss / total, "accuracy": sums.hits / total}
    xp = network.backend.xp
    loss, hits = xp.zeros((2, len(parameters.biases[0])), "float64")
    for logits, y, w in _in_pieces(network, parameters, samples):
        loss += _sum(network.output_stage.loss(xp, logits, y), w)
        hits += _sum(_right(network, logits, y), w)
    return {"loss": loss / total, "accuracy": hits / total}


def _right(network: Network, logits: Array, y: Array) -> Array:
    """Return whether each sample is predicted right, (T, B) of booleans."""
    architecture = network.architecture
    if architecture.loss == BinaryCrossEntropy.name or architecture.outputs == 1:
        return ((network.output_stage.outputs(network.backend.xp, logits) > 0.5) == (y > 0.5)).all(axis=-1)
    return logits.argmax(axis=-1) == y.argmax(axis=-1)


def _regression(
    network: Network, parameters: Parameters, samples: Samples, hidden: Sequence[tuple[int, ...]] | None
) -> dict[str, Array]:
    xp = network.backend.xp
    outputs = network.architecture.outputs
    loss, squares = _losses_and_squares(network, parameters, samples, hidden)
    total = _total_weight(samples)
    spread = _spread(samples)
    explained = xp.where(spread > 0, 1 - squares / xp.where(spread > 0, spread, 1), squares == 0)
    return {
        "loss": loss / total,
        "rmse": xp.sqrt(squares.sum(axis=1) / (total * outputs)),
        "r2": explained.mean(axis=1),
    }


def _losses_and_squares(
    network: Network, parameters: Parameters, samples: Samples, hidden: Sequence[tuple[int, ...]] | None
) -> tuple[Array, Array]:
    """Return the sums of the losses, (T,), and of the squared residuals of every output, (T, C)."""
    sums = network.backend.evaluation_sums(network, parameters, samples, hidden, residuals=True)
    if sums is not None:
        return sums.loss, sums.squares
    xp = network.backend.xp
    loss = xp.zeros(len(parameters.biases[0]), "float64")
    squares = xp.zeros((len(loss), network.architecture.outputs), "float64")
    for logits, y, w in _in_pieces(network, parameters, samples):
        loss += _sum(network.output_stage.loss(xp, logits, y), w)
        residual = network.output_stage.outputs(xp, logits) - y
        squares += _sum(residual * residual, w)
    return loss, squares


def _in_pieces(
    network: Network, parameters: Parameters, samples: Samples
) -> Iterator[tuple[Array, Array, Array | None]]:
    """Yield logits, targets and weights of as many samples at once as memory should hold."""
    trials, dtype = len(parameters.biases[0]), parameters.biases[0].dtype
    widest = max(fan_out for _, fan_out in network.architecture.layers)
    rows_at_once = max(1, EVALUATION_BYTES // (trials * widest * dtype.itemsize))
    for start in range(0, len(samples), rows_at_once):
        rows = slice(start, start + rows_at_once)
        x = network.backend.gather(samples.x, rows, dtype, shift=samples.shift, scale=samples.scale)
        logits = network.forward(parameters, x).logits
        yield logits, samples.y[rows], None if samples.weights is None else samples.weights[rows]


def _sum(values: Array, weights: Array | None) -> Array:
    """Return the weighted sum over samples, axis 1 of (T, B) or (T, B, C) values, in float64."""
    if weights is not None:
        values = values * (weights if values.ndim == 2 else weights[:, None])
    return values.sum(axis=1, dtype="float64")


def _total_weight(samples: Samples) -> Array:
    return len(samples) if samples.weights is None else samples.weights.sum(dtype="float64")


def _spread(samples: Samples) -> Array:
    """Return the weighted squared distance of every output's target from its mean, (C,) float64."""
    if samples.weights is None:
        mean = samples.y.mean(axis=0, dtype="float64")
        return ((samples.y - mean) ** 2).sum(axis=0, dtype="float64")
    w = samples.weights[:, None]
    mean = (w * samples.y).sum(axis=0, dtype="float64") / w.sum(dtype="float64")
    return (w * (samples.y - mean) ** 2).sum(axis=0, dtype="float64")
