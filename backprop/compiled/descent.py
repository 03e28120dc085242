"""The compiled twin of `backprop.descent.Descent`."""

from collections.abc import Sequence

import numpy as np

from backprop.backend import Array, HostArray
from backprop.compiled.epoch import train_epoch
from backprop.compiled.layout import (
    Scratch,
    State,
    copy_in,
    copy_out,
    data_of,
    layout,
    mostly_zeros,
    new_scratch,
    rule_of,
)
from backprop.compiled.products import TILE_ROWS
from backprop.compiled.teams import BARRIER_SIZE, GIVE_WAY, Crew, share_out
from backprop.network import Network, Parameters
from backprop.samples import Samples
from backprop.stack import Stack, Trial

BLOCK_ROWS = 32
"""Rows of a block of minibatches, where a minibatch has at most half as many."""


class CompiledDescent:
    """Updates the parameters of trials in place, as `Descent` does.

    Parameters
    ----------
    threads : int
        Threads to train with.

    Attributes
    ----------
    memories : dict of str to Parameters
    """

    def __init__(
        self,
        network: Network,
        stack: Stack,
        trials: Sequence[Trial],
        parameters: Parameters,
        memories: dict[str, Parameters],
        *,
        plain: bool,
        threads: int,
    ) -> None:
        kind, batch = trials[0].optimizer, stack.batch_size
        self.memories = dict(memories or {name: parameters.zeros_like(network.backend) for name in kind.memories})
        self._stack, self._parameters = stack, parameters
        self._net, self._size = layout(stack.architecture, [t.hidden or stack.architecture.hidden for t in trials])
        self._rule = rule_of(stack.architecture, trials, plain=plain)
        kept = (parameters, *self.memories.values())
        flat = [np.zeros((len(trials), self._size if k < len(kept) else 0), stack.dtype) for k in range(3)]
        self._state, self._kept = State(*flat), list(zip(kept, flat, strict=False))
        self._blocked = plain and 2 * batch <= BLOCK_ROWS
        self._block = batch * (BLOCK_ROWS // batch) if self._blocked else batch
        self._teams = share_out(len(trials), threads, 1 if self._blocked else batch, self._size)
        self._crew = Crew(sum(team.members for team in self._teams))
        self._scratches: list[Scratch] = []
        self._room = 0

    def over(self, samples: Samples, order: Array, rates: HostArray, done: int) -> Array:
        """Update the parameters over one pass; return each trial's mean loss, (T,). See `Descent.over`."""
        data, samples = data_of(samples, self._stack.dtype)
        losses = np.zeros((max(team.members for team in self._teams), len(rates)))
        rule, batch = self._rule._replace(rate=rates), self._stack.batch_size
        # The samples may be others every time, but not their number of columns.
        if len(samples) > self._room:
            self._room = len(samples)
            self._scratches = [self._new_scratch(samples, team.members) for team in self._teams]
        calls = []
        for team, scratch in zip(self._teams, self._scratches, strict=True):
            barrier = np.zeros(BARRIER_SIZE, np.int64)
            work = (self._net, rule, self._state, data, order, batch, done, scratch)
            calls += [
                (*work, team.trials, losses, member, team.members, barrier, GIVE_WAY) for member in range(team.members)
            ]
        for parameters, flat in self._kept:
            copy_in(parameters, flat, self._net)
        self._crew.call(train_epoch, calls)
        for parameters, flat in self._kept:
            copy_out(parameters, flat, self._net)
        return losses.sum(axis=0) / len(samples)

    def _new_scratch(self, samples: Samples, members: int) -> Scratch:
        return new_scratch(
            self._net,
            self._rule,
            samples,
            self._stack.dtype,
            # A minibatch may be asked for that has more rows than memory holds: it has no more than the samples.
            block=self._block if self._blocked else min(self._block, len(samples)),
            members=members,
            size=self._size,
            blocked=self._blocked,
            sparse=self._block >= TILE_ROWS and mostly_zeros(samples),
        )
