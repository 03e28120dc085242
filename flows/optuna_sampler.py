"""Optuna as a sampler: a batch of trials is asked for, given what those before it reached.

A study is made anew in memory for every batch, with a seed of its own: which trials are asked for follows from the
space, the batch's number and the results so far, and from nothing that a killed search could lose.
"""

import warnings
from collections.abc import Sequence
from math import isfinite, nan
from typing import TYPE_CHECKING

import numpy as np

from flows.distributions import Distribution, readable_number
from flows.parameters import OPTIMIZER_NUMBERS, Hyperparameters, OptunaTrials, default_numbers
from flows.ranking import Candidate, Objective
from flows.spaces import require_optuna, trial_of
from flows.trials import widths

if TYPE_CHECKING:
    from optuna import Study, Trial
    from optuna.distributions import BaseDistribution
    from optuna.samplers import BaseSampler
    from optuna.trial import FrozenTrial

Param = float | int | str
"""A value as Optuna has it: hidden widths are a word, `64-32`."""


def ask(
    wanted: OptunaTrials,
    number: int,
    known: Sequence[tuple[Hyperparameters, Candidate | None]],
    goal: Objective,
) -> tuple[Hyperparameters, ...]:
    """Return the trials of a batch; some may be equal to each other, or to what was asked before.

    Parameters
    ----------
    number : int
        Of the batch, counted from 0.
    known : sequence of (Hyperparameters, Candidate or None)
        All trials of the batches before it as they were asked, with what each reached; None for one that failed.

    Raises
    ------
    SpaceError
        Optuna is not installed.
    """
    require_optuna()
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    distributions = {name: _as_optuna_has_it(given) for name, given in wanted.distributions.items()}
    study = optuna.create_study(
        direction="maximize" if goal.maximise else "minimize", sampler=_sampler(wanted, number), study_name="search"
    )
    for trial, candidate in known:
        study.add_trial(_told(trial, candidate, distributions, goal))
    size = min(wanted.batch, wanted.count - len(known))
    # A batch is asked for as a whole before any of it is told: TPE takes its running trials for bad ones and
    # so asks for others.
    return tuple(_asked(study, wanted, distributions) for _ in range(size))


def _sampler(wanted: OptunaTrials, number: int) -> "BaseSampler":
    from optuna.exceptions import ExperimentalWarning
    from optuna.samplers import TPESampler

    [seed] = np.random.SeedSequence([wanted.seed, number]).generate_state(1)
    with warnings.catch_warnings():
        # What Optuna calls so is `group`, the only way to model numbers together that not every trial has.
        warnings.simplefilter("ignore", ExperimentalWarning)
        return TPESampler(
            seed=int(seed),
            n_startup_trials=wanted.startup,
            multivariate=True,
            group=_is_conditional(wanted),
            constant_liar=True,
        )


def _is_conditional(wanted: OptunaTrials) -> bool:
    """Return whether some trials have a number that is drawn and others, of another optimiser, have not."""
    chosen = wanted.optimizer
    optimizers = chosen.ends() if isinstance(chosen, Distribution) else (chosen,)
    drawn = wanted.distributions.keys() & set(OPTIMIZER_NUMBERS)
    return any(not drawn <= default_numbers(optimizer).keys() for optimizer in optimizers)


def _as_optuna_has_it(given: Distribution) -> "BaseDistribution":
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    match given.model_dump(exclude_none=True):
        case {"uniform": (low, high)}:
            return FloatDistribution(low, high)
        case {"log_uniform": (low, high)}:
            return FloatDistribution(low, high, log=True)
        case {"integer": (low, high)}:
            return IntDistribution(low, high)
        case {"choice": choices}:
            return CategoricalDistribution(tuple(dict.fromkeys(map(_param, choices))))
    raise TypeError(f"Optuna has no distribution for {given!r}")


def _asked(study: "Study", wanted: OptunaTrials, distributions: dict[str, "BaseDistribution"]) -> Hyperparameters:
    trial = study.ask()
    values = {name: getattr(wanted, name) for name in type(wanted).model_fields if name in Hyperparameters.model_fields}
    values["seed"] = 0
    for name, distribution in distributions.items():
        # The optimiser stands before the numbers that only some have.
        if name not in OPTIMIZER_NUMBERS or name in default_numbers(values["optimizer"]):
            values[name] = _suggested(trial, name, distribution, wanted.distributions[name])
    return trial_of(values)


def _suggested(trial: "Trial", name: str, distribution: "BaseDistribution", given: Distribution) -> object:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    match distribution:
        case FloatDistribution(low=low, high=high, log=log):
            return readable_number(trial.suggest_float(name, low, high, log=log), low, high)
        case IntDistribution(low=low, high=high):
            return trial.suggest_int(name, low, high)
        case CategoricalDistribution(choices=choices):
            chosen = trial.suggest_categorical(name, choices)
            return next(value for value in given.ends() if _param(value) == chosen)
    raise TypeError(f"Optuna has no suggestion from {distribution!r}")


def _told(
    trial: Hyperparameters, candidate: Candidate | None, distributions: dict[str, "BaseDistribution"], goal: Objective
) -> "FrozenTrial":
    """Return a trial of an earlier batch as Optuna takes it.

    One that diverged is told as pruned before it reported anything, which ranks it last. As failed it would be left
    out, and TPE would learn nothing of the rates at which networks diverge. One that failed killed its workers: what
    that says of its hyperparameters nobody knows.
    """
    from optuna.trial import TrialState, create_trial

    has = {**trial.model_dump(exclude={*OPTIMIZER_NUMBERS}), **trial.optimizer_numbers}
    mine = {name: distribution for name, distribution in distributions.items() if name in has}
    params = {name: _param(has[name]) for name in mine}
    if candidate is None:
        return create_trial(params=params, distributions=mine, state=TrialState.FAIL)
    score = candidate.metrics.get(goal.metric, nan)
    if candidate.diverged_at is not None or not isfinite(score):
        return create_trial(params=params, distributions=mine, state=TrialState.PRUNED)
    if candidate.pruned_at is not None:
        shown = {candidate.pruned_at: score}
        return create_trial(params=params, distributions=mine, state=TrialState.PRUNED, intermediate_values=shown)
    return create_trial(params=params, distributions=mine, value=score)


def _param(value: object) -> Param:
    if isinstance(value, tuple):
        return widths(value)
    assert isinstance(value, Param)  # noqa: S101 - the other fields hold nothing else
    return value
