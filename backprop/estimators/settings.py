"""The parameters both estimators have, their checks, and what they say in the words of the core."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Any, Literal

import numpy as np

from backprop import activations
from backprop.choices import choose
from backprop.early_stopping import EarlyStopping
from backprop.initializers import initializer
from backprop.optimizers import SGD, Adam, AdamW, Momentum, Nesterov, Optimizer, RMSProp
from backprop.ranges import check_count, check_fraction, check_not_negative, check_positive
from backprop.schedules import Adaptive, Constant, InverseScaling, Schedule, schedule
from backprop.stack import Task, Trial


@dataclass(eq=False, repr=False)
class Settings:
    """Parameters of both estimators: `documented.PARAMETERS` says what each means."""

    hidden_layer_sizes: int | Sequence[int] = (100,)
    activation: str | Sequence[str] = "relu"
    _: KW_ONLY
    solver: str = "adam"
    alpha: float = 0.0001
    batch_size: int | Literal["auto"] = "auto"
    learning_rate: str = "constant"
    learning_rate_init: float = 0.001
    power_t: float = 0.5
    max_iter: int = 200
    shuffle: bool = True
    random_state: Any = None
    tol: float = 1e-4
    verbose: bool | int = False
    warm_start: bool = False
    momentum: float = 0.9
    nesterovs_momentum: bool = True
    early_stopping: bool = False
    validation_fraction: float = 0.1
    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-8
    n_iter_no_change: float = 10
    weight_decay: float = 0.01
    l2: float = 0.0
    l1: float = 0.0
    clip_norm: float | None = None
    dropout: float = 0.0
    schedule: str | Schedule | None = None
    initializer: str | None = None
    dtype: Literal["float32", "float64"] | None = None
    device: Literal["auto", "cpu", "gpu"] = "auto"


Check = Callable[[str, Any], None]


def _check_flag(argument: str, value: object) -> None:
    if not isinstance(value, bool | np.bool_):
        raise ValueError(f"{argument} is {value!r}: use True or False")  # noqa: TRY004 - as all others


def _check_level(argument: str, value: int) -> None:
    if not isinstance(value, bool | np.bool_):
        check_count(argument, value, least=0)


def _check_patience(argument: str, value: float) -> None:
    if value != math.inf:
        check_count(argument, value)  # type: ignore[arg-type]


def _check_share(argument: str, value: float) -> None:
    check_positive(argument, value)
    check_fraction(argument, value)


def _check_batch_size(argument: str, value: object) -> None:
    if isinstance(value, str):
        choose(argument, value, {"auto": None})
    else:
        check_count(argument, value)  # type: ignore[arg-type]


def _check_clip_norm(argument: str, value: float | None) -> None:
    if value is not None:
        check_positive(argument, value)


def _check_dtype(argument: str, value: object) -> None:
    if value is not None:
        choose(argument, value, dict.fromkeys(("float32", "float64")))


def _check_schedule(argument: str, value: object) -> None:
    if isinstance(value, str):
        schedule(value)
    elif not isinstance(value, Schedule | None):
        raise ValueError(f"{argument} is {value!r}: use one of backprop.schedules, its name, or None")  # noqa: TRY004


def _check_initializer(argument: str, value: object) -> None:  # noqa: ARG001 - one signature for all
    if value is not None:
        initializer(value)  # type: ignore[arg-type]


def _check_learning_rate(argument: str, value: object) -> None:
    choose(argument, value, LEARNING_RATES)


def _check_solver(argument: str, value: object) -> None:
    choose(argument, value, SOLVERS)


def _check_names(argument: str, value: Any) -> None:
    if not isinstance(value, str) and np.ndim(value) != 1:
        raise ValueError(f"{argument} is {value!r}: use a name, or a sequence of names, one for each hidden layer")


CHECKS: dict[str, Check] = {
    "activation": _check_names,
    **dict.fromkeys(("learning_rate_init", "epsilon"), check_positive),
    **dict.fromkeys(("alpha", "power_t", "tol", "weight_decay", "l2", "l1"), check_not_negative),
    **dict.fromkeys(("momentum", "beta_1", "beta_2", "dropout"), check_fraction),
    **dict.fromkeys(("shuffle", "warm_start", "nesterovs_momentum", "early_stopping"), _check_flag),
    "batch_size": _check_batch_size,
    "clip_norm": _check_clip_norm,
    "dtype": _check_dtype,
    "initializer": _check_initializer,
    "learning_rate": _check_learning_rate,
    "max_iter": check_count,
    "n_iter_no_change": _check_patience,
    "schedule": _check_schedule,
    "solver": _check_solver,
    "validation_fraction": _check_share,
    "verbose": _check_level,
}


def check_settings(settings: Settings) -> None:
    """Refuse a value that no data could make right.

    Raises
    ------
    ValueError
        The message names the parameter, its value and what is allowed.
    """
    for argument, check in CHECKS.items():
        check(argument, getattr(settings, argument))
    watched = schedule_of(settings, "regression").watched
    if watched is not None and watched.startswith("val/") and not settings.early_stopping:
        raise ValueError(
            f"schedule watches {watched!r} but early_stopping is False: use metric='train/loss', or "
            "early_stopping=True, which sets validation samples aside"
        )


def hidden_of(settings: Settings) -> tuple[int, ...]:
    """Return the units of every hidden layer.

    Raises
    ------
    ValueError
        One is no positive whole number.
    """
    given: Any = settings.hidden_layer_sizes
    sizes = (given,) if np.ndim(given) == 0 else tuple(given)
    for size in sizes:
        check_count("hidden_layer_sizes", size)
    return tuple(int(size) for size in sizes)


def activation_of(settings: Settings, layers: int) -> str | tuple[str, ...]:
    """Return the core's names of the activations of so many hidden layers.

    Raises
    ------
    ValueError
        A name is unknown, or there are not as many as layers.
    """
    given = settings.activation
    if isinstance(given, str):
        return core_activation("activation", given)
    if len(given) != layers:
        raise ValueError(
            f"activation {given!r} has {len(given)} names but hidden_layer_sizes has {layers} layers: "
            "use one name for all, or one for each"
        )
    return tuple(core_activation("activation", name) for name in given)


def core_activation(argument: str, name: str) -> str:
    """Return the core's name of an activation, which is scikit-learn's but for ``"logistic"``.

    Raises
    ------
    ValueError
        The name is unknown.
    """
    name = CORE_ACTIVATIONS.get(name, name) if isinstance(name, str) else name
    choose(argument, name, activations.ACTIVATIONS)
    return name


CORE_ACTIVATIONS = {"logistic": "sigmoid", "exp": "exponential"}
"""The core's names of activations that scikit-learn calls otherwise."""

METRICS: dict[Task, str] = {"classification": "val/accuracy", "regression": "val/r2"}
"""What an estimator's score is called in the core."""


def trial_of(settings: Settings, task: Task, *, seed: int, l2: float, label_smoothing: float = 0.0) -> Trial:
    """Return the trial that `fit` trains.

    Parameters
    ----------
    l2 : float
        What `alpha` comes to, for the mean loss of a minibatch.
    """
    return Trial(
        learning_rate=settings.learning_rate_init,
        epochs=settings.max_iter,
        seed=seed,
        optimizer=SOLVERS[settings.solver](settings),
        schedule=schedule_of(settings, task),
        l2=l2 + settings.l2,
        l1=settings.l1,
        clip_norm=settings.clip_norm,
        dropout=settings.dropout,
        label_smoothing=label_smoothing,
        early_stopping=_early_stopping(settings, task),
        initializer=settings.initializer,
    )


def _descent(settings: Settings) -> Optimizer:
    if settings.momentum == 0:
        return SGD()
    return (Nesterov if settings.nesterovs_momentum else Momentum)(settings.momentum)


SOLVERS: Mapping[str, Callable[[Settings], Optimizer]] = {
    "sgd": _descent,
    "adam": lambda settings: Adam(settings.beta_1, settings.beta_2, settings.epsilon),
    "rmsprop": lambda settings: RMSProp(settings.beta_2, settings.epsilon),
    "adamw": lambda settings: AdamW(settings.beta_1, settings.beta_2, settings.epsilon, settings.weight_decay),
}

LEARNING_RATES: Mapping[str, Callable[[Settings, Task], Schedule]] = {
    "constant": lambda settings, task: Constant(),  # noqa: ARG005 - one signature for all
    "invscaling": lambda settings, task: InverseScaling(settings.power_t),  # noqa: ARG005 - one signature for all
    "adaptive": lambda settings, task: Adaptive(
        factor=0.2, patience=_patience(settings), min_delta=settings.tol, metric=_watched(settings, task)
    ),
}


def schedule_of(settings: Settings, task: Task) -> Schedule:
    """Return the schedule asked for: `schedule`, or with stochastic gradient descent `learning_rate`."""
    if isinstance(settings.schedule, Schedule):
        return settings.schedule
    if settings.schedule is not None:
        return schedule(settings.schedule)
    return LEARNING_RATES[settings.learning_rate if settings.solver == "sgd" else "constant"](settings, task)


def _early_stopping(settings: Settings, task: Task) -> EarlyStopping:
    """Return what ends the training; where the rate adapts, that does, and this only keeps the best weights."""
    adapts = settings.schedule is None and settings.solver == "sgd" and settings.learning_rate == "adaptive"
    return EarlyStopping(
        patience=settings.max_iter if adapts else _patience(settings),
        min_delta=settings.tol,
        metric=_watched(settings, task),
        restore=settings.early_stopping,
    )


def _watched(settings: Settings, task: Task) -> str:
    return METRICS[task] if settings.early_stopping else "train/loss"


def _patience(settings: Settings) -> int:
    return int(min(settings.n_iter_no_change, settings.max_iter))
