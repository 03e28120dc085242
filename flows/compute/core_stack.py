"""From planned trials to the stack that the core trains."""

from collections.abc import Sequence

from backprop import Architecture, Stack, Trial
from backprop.optimizers import optimizer
from flows.data.preparation import Task
from flows.trials import DTYPE, HEADS, SHUFFLE_SEED, PlannedTrial, common_architecture, own_hidden


def stack_of(trials: Sequence[PlannedTrial], task: Task) -> Stack:
    """Return the core's stack of planned trials."""
    architecture = common_architecture(trials)
    return Stack(
        architecture=architecture,
        batch_size=trials[0].hyperparameters.batch_size,
        trials=tuple(trial_of(trial, architecture) for trial in trials),
        task=HEADS[task].measured_as,
        shuffle_seed=SHUFFLE_SEED,
        dtype=DTYPE,
    )


def trial_of(planned: PlannedTrial, architecture: Architecture) -> Trial:
    """Return the core's trial of a planned one, in a stack of an architecture."""
    chosen = planned.hyperparameters
    return Trial(
        chosen.learning_rate,
        chosen.epochs,
        chosen.seed,
        optimizer=optimizer(chosen.optimizer, **chosen.optimizer_numbers),
        l2=chosen.l2,
        dropout=chosen.dropout,
        hidden=own_hidden(planned, architecture),
    )
