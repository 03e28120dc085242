"""Stacks with everything on, and other numbers in every trial: for the tests of what must not matter."""

from dataclasses import replace

import numpy as np

from backprop import Architecture, Backend, EarlyStopping, EpochReport, Finished, Samples, Stack, Trial, one_hot, train
from backprop.optimizers import Optimizer, optimizer
from backprop.schedules import Adaptive, Cosine, ReduceOnPlateau, Step, WarmUp

CPU = Backend(np)
D, C, N = 6, 3, 50

NUMBERS = {
    "sgd": [{}] * 4,
    "momentum": [{"momentum": m} for m in (0.9, 0.5, 0.99, 0.0)],
    "nesterov": [{"momentum": m} for m in (0.9, 0.5, 0.99, 0.8)],
    "rmsprop": [{"decay": 0.99}, {"decay": 0.5}, {"epsilon": 1e-3}, {}],
    "adam": [{"beta_1": 0.5}, {"beta_2": 0.9}, {"epsilon": 1e-3}, {}],
    "adamw": [{"beta_1": 0.5}, {"weight_decay": 0.5}, {"weight_decay": 0.0}, {}],
}


def optimizers(name: str) -> list[Optimizer]:
    return [optimizer(name, **numbers) for numbers in NUMBERS[name]]


def stack_of_everything(name: str, epochs: int = 12) -> Stack:
    first, second, third, fourth = optimizers(name)
    trials = (
        Trial(
            0.05,
            epochs,
            seed=3,
            optimizer=first,
            schedule=WarmUp(3, 0.2, Cosine()),
            l2=0.01,
            dropout=0.4,
            early_stopping=EarlyStopping(patience=3, min_delta=0.001),
        ),
        Trial(
            0.02,
            epochs - 5,
            seed=1,
            optimizer=second,
            schedule=ReduceOnPlateau(factor=0.5, patience=1, min_delta=0.01),
            l1=0.002,
            clip_norm=0.3,
            label_smoothing=0.2,
        ),
        Trial(
            0.3,
            epochs,
            seed=4,
            optimizer=third,
            schedule=Step(every=4, factor=0.5),
            dropout=0.7,
            early_stopping=EarlyStopping(patience=0, metric="val/accuracy"),
            initializer="orthogonal",
        ),
        Trial(
            0.01,
            epochs,
            seed=9,
            optimizer=fourth,
            schedule=Adaptive(patience=0, min_delta=0.05, minimum=0.001),
            label_smoothing=0.05,
            clip_norm=2.0,
            early_stopping=EarlyStopping(patience=5, restore=False),
        ),
    )
    return Stack(Architecture(D, (8, 5), C, ("tanh", "relu")), 7, trials, shuffle_seed=5, dtype="float64")


def samples(n: int = N, seed: int = 0, *, weighted: bool = True) -> Samples:
    draw = np.random.default_rng(seed)
    x = draw.normal(size=(n, D))
    y = one_hot(np.abs(x[:, :C]).argmax(axis=1), C, "float64")
    return Samples(x, y, draw.uniform(0.1, 2, size=n) if weighted else None)


def trained(stack: Stack, **settings) -> tuple[list[EpochReport], dict[int, Finished]]:
    reports = list(train(stack, samples(), samples(20, seed=1), CPU, **settings))
    return reports, {done.trial: done for report in reports for done in report.finished}


def without(stack: Stack, place: int) -> Stack:
    return replace(stack, trials=stack.trials[:place] + stack.trials[place + 1 :])
