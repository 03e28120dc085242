"""The compiled twin of the sums in `backprop.evaluation`."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from backprop.backend import HostArray
from backprop.compiled.epoch import evaluate_rows
from backprop.compiled.layout import State, copy_in, data_of, layout, mostly_zeros, new_scratch, rule_of
from backprop.compiled.teams import Crew
from backprop.network import Network, Parameters
from backprop.samples import Samples
from backprop.stack import Trial

ROWS = 64
"""Rows that are evaluated at once."""

WORTH_A_THREAD = 10**7
"""Products of an evaluation, about a millisecond of them, below which starting a thread costs more than it saves."""


@dataclass(frozen=True)
class Sums:
    """Sums over samples, as their weights count.

    Attributes
    ----------
    loss, hits : (T,) float64 arrays
    squares : (T, C) float64 array
        (T, 0) where residuals were not asked for, and then there are no hits.
    """

    loss: HostArray
    hits: HostArray
    squares: HostArray


def evaluate_compiled(
    network: Network,
    parameters: Parameters,
    samples: Samples,
    hidden: Sequence[tuple[int, ...]] | None,
    *,
    residuals: bool,
    threads: int,
) -> Sums:
    """Return the sums of every trial over samples, each in its own hidden widths, or all in the architecture's."""
    trials, dtype = len(parameters.biases[0]), parameters.biases[0].dtype
    net, size = layout(network.architecture, hidden or [network.architecture.hidden] * trials)
    rule = rule_of(network.architecture, [Trial(1, 1)] * trials, plain=True)
    flat = np.zeros((trials, size), dtype)
    copy_in(parameters, flat, net)
    nothing = np.empty((trials, 0), dtype)
    sums = Sums(np.zeros(trials), np.zeros(trials), np.zeros((trials, network.architecture.outputs * residuals)))
    data, samples = data_of(samples, dtype)
    order, sparse = np.arange(len(samples)), trials > 1 and mostly_zeros(samples)
    calls = []
    if len(samples) * size * trials < WORTH_A_THREAD:
        threads = 1
    for first in range(min(threads, trials)):
        scratch = new_scratch(net, rule, samples, dtype, block=ROWS, members=1, size=size, sparse=sparse)
        calls.append((
            *(net, rule, State(flat, nothing, nothing), data, order, scratch),
            *(np.arange(first, trials, threads), sums.loss, sums.hits, sums.squares),
        ))  # fmt: skip
    Crew(len(calls)).call(evaluate_rows, calls)
    return sums
