"""Compile the training loops ahead of their first use: ``python -m backprop.compiled``."""

import numpy as np

from backprop import Architecture, Samples, Stack, Trial, one_hot, select_backend, train


def main() -> None:
    """Train a network for an epoch, which compiles what it needs and keeps it on disk for this machine."""
    samples = Samples(np.zeros((8, 2), "float32"), one_hot(np.arange(8) % 2, 2))
    stack = Stack(Architecture(2, (2,), 2), 4, (Trial(0.1, 1),))
    for _ in train(stack, samples, samples, select_backend("cpu")):
        pass


if __name__ == "__main__":
    main()
