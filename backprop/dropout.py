"""Inverted dropout: in training, a hidden unit is left out with probability p and the others make up for it.

    h_k = m_k * sigma(z_k),    m_k = 0 with probability p, else 1 / (1 - p)

so that the mean of h_k is that without dropout, and prediction needs no factor. (Srivastava et al., Dropout:
a simple way to prevent neural networks from overfitting, 2014, sections 4 and 10.) The mask of a trial is a
function of (its seed, the step, the layer, its own width): neither its place in the stack, nor padding, nor a resumed
run changes it.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from backprop.backend import Array, Backend
from backprop.randomness import Stream, hash_keys, hash_offset, hashed_bits


class Dropout:
    """Draws the masks of the trials of a stack.

    Parameters
    ----------
    rates : sequence of float
        p of each trial, in [0, 1).
    seeds : sequence of int
        One a trial.
    hidden : sequence of int
        Units of every hidden layer of the stack.
    dtype : dtype
        Of the masks.
    own : sequence of tuple of int, optional
        Units of every hidden layer of each trial; those that a trial lacks are masked by 0.
    """

    def __init__(
        self,
        backend: Backend,
        rates: Sequence[float],
        seeds: Sequence[int],
        hidden: Sequence[int],
        dtype: npt.DTypeLike,
        own: Sequence[tuple[int, ...]] | None = None,
    ) -> None:
        self._backend, self._widest, self._dtype = backend, tuple(hidden), dtype
        widths = [self._widest] * len(rates) if own is None else list(own)
        self._rows = {units: [t for t, given in enumerate(widths) if given == units] for units in dict.fromkeys(widths)}
        self._equals = {
            units: _Equals(backend, [rates[t] for t in rows], [seeds[t] for t in rows], dtype)
            for units, rows in self._rows.items()
        }

    def masks(self, step: int, batch: int) -> list[Array]:
        """Return m_k of the update number `step`, (T, batch, units) for each hidden layer."""
        if list(self._equals) == [self._widest]:
            return [self._equals[self._widest].mask(step, k, batch, units) for k, units in enumerate(self._widest)]
        return [self._padded(step, layer, batch, units) for layer, units in enumerate(self._widest)]

    def _padded(self, step: int, layer: int, batch: int, units: int) -> Array:
        trials = sum(len(rows) for rows in self._rows.values())
        mask = self._backend.xp.zeros((trials, batch, units), self._dtype)
        for own, rows in self._rows.items():
            mask[rows, :, : own[layer]] = self._equals[own].mask(step, layer, batch, own[layer])
        return mask


class _Equals:
    """Draws the masks of trials of equal widths."""

    def __init__(self, backend: Backend, rates: Sequence[float], seeds: Sequence[int], dtype: npt.DTypeLike) -> None:
        self._backend = backend
        p = np.array(rates, "float64")[:, None]
        self._keys = backend.to_device(hash_keys(seeds, Stream.DROPOUT))
        self._thresholds = backend.to_device((p * 2**32).astype("uint32"))
        self._scales = backend.to_device((1 / (1 - p)).astype(dtype))

    def mask(self, step: int, layer: int, batch: int, units: int) -> Array:
        offset = hash_offset(step, layer)
        fused = self._backend.fused_dropout_mask(self._keys, offset, self._thresholds, self._scales, (batch, units))
        if fused is not None:
            return fused
        bits = hashed_bits(self._backend.xp, self._keys, offset, batch * units)
        return ((bits >= self._thresholds) * self._scales).reshape(-1, batch, units)
