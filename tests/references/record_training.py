"""Record where PyTorch's optimisers and schedules lead in 50 updates, so that machines without torch can hold us to it.

    python tests/references/record_training.py  # needs torch; writes training.npz

What is trained is in `training_cases.json`. Nothing of `backprop` computes here: networks, losses, penalties and
clipping are torch's, every trial on its own, in float64. Only `backprop.randomness` is used, for the order of samples,
the draw of initial weights and the bits of dropout: trajectories can be compared only along the same random numbers.
"""

import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional
from torch.optim import lr_scheduler

from backprop.randomness import Stream, generator, hash_keys, hash_offset, hashed_bits

HERE = Path(__file__).parent
CASES = json.loads((HERE / "training_cases.json").read_text(encoding="utf-8"))

# 5 updates an epoch, the last of 5 samples: 50 in all.
SAMPLES, BATCH, EPOCHS, SHUFFLE_SEED = 37, 8, 10, 11
WIDTHS = (4, 5, 4, 3)
SIGMAS = {"tanh": torch.tanh, "softplus": lambda z: torch.logaddexp(z, torch.zeros_like(z))}


def data():
    """Features, targets of each loss, and weights."""
    draw = np.random.default_rng(7)
    return {
        "x": draw.normal(size=(SAMPLES, WIDTHS[0])),
        "y/cross_entropy": np.eye(WIDTHS[-1])[draw.integers(WIDTHS[-1], size=SAMPLES)],
        "y/binary_cross_entropy": draw.integers(2, size=(SAMPLES, WIDTHS[-1])).astype("float64"),
        "y/huber": draw.normal(size=(SAMPLES, WIDTHS[-1]), scale=2),
        "weights": draw.uniform(0.2, 3, size=SAMPLES),
    }


def trainings():
    """Data, and of every case the mean loss and learning rate of every epoch and the weights at the end, by name."""
    record = data()
    for name, case in CASES.items():
        for k, trial in enumerate(case["trials"]):
            run = Run(case, trial, record)
            epochs = [run.epoch(epoch) for epoch in range(1, EPOCHS + 1)]
            record[f"{name}/{k}/losses"], record[f"{name}/{k}/rates"] = np.array(epochs).T
            for layer, (w, b) in enumerate(zip(run.weights, run.biases, strict=True)):
                record[f"{name}/{k}/weight{layer}"] = w.detach().numpy().copy()
                record[f"{name}/{k}/bias{layer}"] = b.detach().numpy().copy()
    return record


class Run:
    """One trial in training."""

    def __init__(self, case, trial, record):
        self.trial, self.loss = trial, case.get("loss", "cross_entropy")
        activation = case.get("activation", "tanh")
        self.sigmas = [activation] * 2 if isinstance(activation, str) else activation
        self.x, self.y = torch.tensor(record["x"]), torch.tensor(record[f"y/{self.loss}"])
        w = record["weights"] if case.get("weighted") else np.ones(SAMPLES)
        self.sample_weights = torch.tensor(w / w.mean())
        self.weights = [torch.tensor(w, requires_grad=True) for w in initial_weights(trial["seed"])]
        self.biases = [torch.zeros(w.shape[1], dtype=torch.float64, requires_grad=True) for w in self.weights]
        self.optimizer = torch_optimizer(trial, self.weights, self.biases)
        self.schedule = torch_schedule(trial, self.optimizer)
        self.step = 0

    def epoch(self, epoch):
        """Train for one epoch; return its mean loss and its learning rate."""
        order = generator(SHUFFLE_SEED, Stream.SHUFFLE, epoch).permutation(SAMPLES)
        rate = self.optimizer.param_groups[0]["lr"]
        total = sum(self.update(order[start : start + BATCH]) for start in range(0, SAMPLES, BATCH))
        if isinstance(self.schedule, lr_scheduler.ReduceLROnPlateau):
            with torch.no_grad():
                self.schedule.step(self.losses(self.x, self.y).mean().item())
        elif self.schedule is not None:
            self.schedule.step()
        return total / SAMPLES, rate

    def update(self, rows):
        """Update from a minibatch; return the sum of its weighted losses."""
        trial = self.trial
        each = self.losses(self.x[rows], self.smoothed(self.y[rows]), self.masks(len(rows)))
        weighted = each * self.sample_weights[rows]
        self.optimizer.zero_grad()
        weighted.mean().backward()
        if trial.get("clip_norm"):
            torch.nn.utils.clip_grad_norm_([*self.weights, *self.biases], trial["clip_norm"])
        for w in self.weights:
            w.grad += trial.get("l1", 0) * torch.sign(w.detach())
            if trial["optimizer"]["name"] == "adamw":  # whose weight_decay is something else
                w.grad += trial.get("l2", 0) * w.detach()
        self.optimizer.step()
        self.step += 1
        return weighted.sum().item()

    def losses(self, x, y, masks=None):
        """Loss of every sample."""
        h = x
        for k, (w, b) in enumerate(zip(self.weights, self.biases, strict=True)):
            z = h @ w + b
            if k < len(self.sigmas):
                h = SIGMAS[self.sigmas[k]](z)
                h = h if masks is None else h * masks[k]
        if self.loss == "cross_entropy":
            return functional.cross_entropy(z, y, reduction="none")
        if self.loss == "binary_cross_entropy":
            return functional.binary_cross_entropy_with_logits(z, y, reduction="none").sum(dim=1)
        return functional.huber_loss(z, y, reduction="none").sum(dim=1)

    def smoothed(self, y):
        """Targets (1 - e) y + e / outcomes."""
        e = self.trial.get("label_smoothing", 0)
        return (1 - e) * y + e / (WIDTHS[-1] if self.loss == "cross_entropy" else 2)

    def masks(self, batch):
        """0 where 32 random bits are below p 2^32, else 1 / (1 - p)."""
        p = self.trial.get("dropout", 0)
        keys = hash_keys([self.trial["seed"]], Stream.DROPOUT)
        masks = []
        for layer, units in enumerate(WIDTHS[1:-1]):
            bits = hashed_bits(np, keys, hash_offset(self.step, layer), batch * units).reshape(batch, units)
            masks.append(torch.tensor((bits >= int(p * 2**32)) / (1 - p)))
        return masks


def initial_weights(seed):
    """Uniform in +-sqrt(6 / (fan_in + fan_out)): no layer is before a relu."""
    drawn = []
    for k, (fan_in, fan_out) in enumerate(pairwise(WIDTHS)):
        limit = np.sqrt(6 / (fan_in + fan_out))
        drawn.append(generator(seed, Stream.WEIGHTS, k).uniform(-limit, limit, (fan_in, fan_out)))
    return drawn


def torch_optimizer(trial, weights, biases):
    """PyTorch's optimiser; L2 is its weight_decay, of weights only."""
    numbers = dict(trial["optimizer"])
    name, rate, l2 = numbers.pop("name"), trial["learning_rate"], trial.get("l2", 0)
    decay = numbers.pop("weight_decay", 0.01) if name == "adamw" else l2
    groups = [{"params": weights, "weight_decay": decay}, {"params": biases, "weight_decay": 0}]
    if name in ("adam", "adamw"):
        kind = torch.optim.Adam if name == "adam" else torch.optim.AdamW
        betas = (numbers.get("beta_1", 0.9), numbers.get("beta_2", 0.999))
        return kind(groups, lr=rate, betas=betas, eps=numbers.get("epsilon", 1e-8))
    if name == "rmsprop":
        return torch.optim.RMSprop(groups, lr=rate, alpha=numbers["decay"], eps=numbers.get("epsilon", 1e-8))
    return torch.optim.SGD(groups, lr=rate, momentum=numbers.get("momentum", 0), nesterov=name == "nesterov")


def torch_schedule(trial, optimizer):
    """PyTorch's schedule of the epochs, or None."""
    if "schedule" not in trial:
        return None
    numbers = dict(trial["schedule"])
    name = numbers.pop("name")
    if name == "warm_up":
        ramp = lr_scheduler.LinearLR(optimizer, numbers["start"], 1.0, numbers["epochs"])
        then = torch_schedule({"schedule": numbers["then"]}, optimizer)
        return lr_scheduler.SequentialLR(optimizer, [ramp, then], [numbers["epochs"]])
    if name == "reduce_on_plateau":
        return lr_scheduler.ReduceLROnPlateau(
            optimizer,
            factor=numbers["factor"],
            patience=numbers["patience"],
            threshold=numbers["min_delta"],
            threshold_mode="abs",
            min_lr=numbers.get("minimum", 0),
            eps=0,
        )
    return {
        "step": lambda: lr_scheduler.StepLR(optimizer, numbers["every"], numbers["factor"]),
        "exponential": lambda: lr_scheduler.ExponentialLR(optimizer, numbers["factor"]),
        "cosine": lambda: lr_scheduler.CosineAnnealingLR(optimizer, numbers["epochs"], numbers.get("minimum", 0)),
        "inverse_scaling": lambda: lr_scheduler.LambdaLR(optimizer, lambda i: (1 + i * SAMPLES) ** -numbers["power"]),
    }[name]()


if __name__ == "__main__":
    np.savez_compressed(HERE / "training.npz", **trainings())
