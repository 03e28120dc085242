"""Record what PyTorch's autograd and optimiser compute, so that machines without torch can hold us to it.

    python tests/references/record_gradients.py  # needs torch; writes gradients.npz and trajectories.npz

Nothing of `backprop` computes here: networks and losses are written from their definitions in torch,
every trial on its own, in float64. Only `backprop.randomness` is used, for the order of samples and the
draw of initial weights, because a trajectory can be compared only along the same order from the same start.
"""

from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional

from backprop.randomness import Stream, generator

HERE = Path(__file__).parent

TRIALS, INPUTS, OUTPUTS = 3, 4, 3
HIDDEN = {0: (), 1: (5,), 2: (5, 4), 3: (5, 4, 3)}
BATCHES = (1, 7)
ACTIVATIONS = {
    "identity": lambda z: z,
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "relu": torch.relu,
    "leaky_relu": lambda z: functional.leaky_relu(z, 0.01),
    "elu": functional.elu,
    "softplus": lambda z: torch.logaddexp(z, torch.zeros_like(z)),  # torch's own is linear from 20 on
    "gelu": functional.gelu,
    "silu": functional.silu,
    "softmax": lambda z: torch.softmax(z, dim=-1),
}
LOG_ACTIVATIONS = {
    "softmax": lambda z: torch.log_softmax(z, dim=-1),
    "sigmoid": functional.logsigmoid,
}
OUTPUT_LOSSES = {
    "mse": functional.mse_loss,
    "mae": functional.l1_loss,
    "huber": functional.huber_loss,
}
PAIRS = [
    *((phi, loss) for loss in OUTPUT_LOSSES for phi in ACTIVATIONS),
    *((phi, "cross_entropy") for phi in LOG_ACTIVATIONS),
    ("sigmoid", "binary_cross_entropy"),
]

# 5 updates an epoch, the last of 5 samples: 50 in all.
SAMPLES, BATCH, EPOCHS, SHUFFLE_SEED = 37, 8, 10, 11
TRAJECTORIES = {
    # name: (sigma, phi, loss, learning rate of each trial, seed of each trial)
    "classification": ("tanh", "softmax", "cross_entropy", (0.05, 0.2, 0.5), (3, 1, 4)),
    "regression": ("relu", "identity", "mse", (0.01, 0.05, 0.002), (0, 7, 7)),
}


def logits(sigma, weights, biases, x):
    """z_K of one trial."""
    h = x
    for k, (w, b) in enumerate(zip(weights, biases, strict=True)):
        z = h @ w + b
        h = ACTIVATIONS[sigma](z) if k < len(weights) - 1 else z
    return h


def mean_loss(phi, loss, z, y):
    """The mean over samples of the loss summed over outputs, of the output or, for the cross-entropies, of z."""
    if loss == "cross_entropy":
        each = -y * LOG_ACTIVATIONS[phi](z)
    elif loss == "binary_cross_entropy":
        each = functional.binary_cross_entropy_with_logits(z, y, reduction="none")
    else:
        each = OUTPUT_LOSSES[loss](ACTIVATIONS[phi](z), y, reduction="none")
    return each.sum(dim=1).mean()


def combinations():
    """(depth, sigma, phi, loss, batch): every sigma with every pair once, each of both at every depth and batch."""
    for depth in HIDDEN:
        for batch in BATCHES:
            for sigma in ACTIVATIONS if depth else ["identity"]:
                for phi, loss in PAIRS:
                    full = depth == 0 or (depth, batch) == (2, 7)
                    if full or sigma == "tanh" or (phi, loss) == ("softmax", "cross_entropy"):
                        yield depth, sigma, phi, loss, batch


def gradients():
    """Inputs, targets, weights, losses and gradients of every combination, by name.

    A gradient is (trials, parameters): all weights from the first layer to the last, then all biases, each in C order.
    """
    draw = np.random.default_rng(2033)  # with which no combination is dead: a gradient of zeros would prove nothing
    record = {}
    for batch in BATCHES:
        record[f"x/{batch}"] = draw.normal(size=(batch, INPUTS))
        record[f"y/mse/{batch}"] = draw.normal(size=(batch, OUTPUTS))
        record[f"y/cross_entropy/{batch}"] = np.eye(OUTPUTS)[draw.integers(OUTPUTS, size=batch)]
    for depth, hidden in HIDDEN.items():
        widths = (INPUTS, *hidden, OUTPUTS)
        for k, shape in enumerate(pairwise(widths)):
            record[f"depth{depth}/weight{k}"] = draw.normal(size=(TRIALS, *shape))
            record[f"depth{depth}/bias{k}"] = draw.normal(size=(TRIALS, 1, shape[1]))
    for batch in BATCHES:
        record[f"y/mae/{batch}"] = draw.normal(size=(batch, OUTPUTS))
        record[f"y/huber/{batch}"] = draw.normal(size=(batch, OUTPUTS), scale=2)  # residuals on both sides of 1
        record[f"y/binary_cross_entropy/{batch}"] = draw.uniform(size=(batch, OUTPUTS)).round(1)  # also softened labels
    for depth, sigma, phi, loss, batch in combinations():
        losses, slopes = zip(*(gradient(record, depth, sigma, phi, loss, batch, t) for t in range(TRIALS)), strict=True)
        name = f"depth{depth}/{sigma}/{phi}/{loss}/{batch}"
        record[f"{name}/loss"], record[f"{name}/gradient"] = np.array(losses), np.array(slopes)
    return record


def gradient(record, depth, sigma, phi, loss, batch, trial):
    """Loss and flat gradient of one trial."""
    layers = range(len(HIDDEN[depth]) + 1)
    weights = [torch.tensor(record[f"depth{depth}/weight{k}"][trial], requires_grad=True) for k in layers]
    biases = [torch.tensor(record[f"depth{depth}/bias{k}"][trial, 0], requires_grad=True) for k in layers]
    x, y = torch.tensor(record[f"x/{batch}"]), torch.tensor(record[f"y/{loss}/{batch}"])
    value = mean_loss(phi, loss, logits(sigma, weights, biases, x), y)
    value.backward()
    return value.item(), np.concatenate([p.grad.numpy().ravel() for p in (*weights, *biases)])


def trajectories():
    """Minibatch SGD by torch.optim.SGD, every trial on its own: data, start, order, epoch losses and end, by name."""
    record = {}
    for name, (sigma, phi, loss, rates, seeds) in TRAJECTORIES.items():
        draw = np.random.default_rng(len(name))
        x = draw.normal(size=(SAMPLES, INPUTS))
        codes = draw.integers(OUTPUTS, size=SAMPLES)
        y = np.eye(OUTPUTS)[codes] if loss == "cross_entropy" else draw.normal(size=(SAMPLES, OUTPUTS))
        orders = [generator(SHUFFLE_SEED, Stream.SHUFFLE, epoch).permutation(SAMPLES) for epoch in range(1, EPOCHS + 1)]
        record |= {f"{name}/x": x, f"{name}/y": y, f"{name}/order": np.array(orders)}
        losses = []
        for trial, (rate, seed) in enumerate(zip(rates, seeds, strict=True)):
            start = initial_weights(sigma, phi, seed)
            weights = [torch.tensor(w, requires_grad=True) for w in start]
            biases = [torch.zeros(w.shape[1], dtype=torch.float64, requires_grad=True) for w in start]
            optimizer = torch.optim.SGD([*weights, *biases], lr=rate)
            losses.append([run_epoch(sigma, phi, loss, weights, biases, optimizer, x, y, order) for order in orders])
            for k, (w, b) in enumerate(zip(weights, biases, strict=True)):
                record[f"{name}/{trial}/start{k}"] = start[k]
                record[f"{name}/{trial}/weight{k}"] = w.detach().numpy()
                record[f"{name}/{trial}/bias{k}"] = b.detach().numpy()
        record[f"{name}/losses"] = np.array(losses)
    return record


def initial_weights(sigma, phi, seed):
    """Uniform in +-sqrt(6 / fan_in) before a relu, else in +-sqrt(6 / (fan_in + fan_out))."""
    widths = (INPUTS, *HIDDEN[1], OUTPUTS)
    drawn = []
    for k, (fan_in, fan_out) in enumerate(pairwise(widths)):
        followed_by = phi if k == len(widths) - 2 else sigma
        limit = np.sqrt(6 / fan_in) if followed_by == "relu" else np.sqrt(6 / (fan_in + fan_out))
        drawn.append(generator(seed, Stream.WEIGHTS, k).uniform(-limit, limit, (fan_in, fan_out)))
    return drawn


def run_epoch(sigma, phi, loss, weights, biases, optimizer, x, y, order):
    """Update over one pass; return the mean loss over samples, each measured before the update it led to."""
    total = 0.0
    for start in range(0, SAMPLES, BATCH):
        rows = order[start : start + BATCH]
        optimizer.zero_grad()
        value = mean_loss(phi, loss, logits(sigma, weights, biases, torch.tensor(x[rows])), torch.tensor(y[rows]))
        value.backward()
        optimizer.step()
        total += value.item() * len(rows)
    return total / SAMPLES


if __name__ == "__main__":
    np.savez_compressed(HERE / "gradients.npz", **gradients())
    np.savez_compressed(HERE / "trajectories.npz", **trajectories())
