"""The CPU backend that trains by compiled loops where they have what a stack asks for, and by NumPy where not."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt
from threadpoolctl import ThreadpoolController

from backprop.backend import Backend, HostArray
from backprop.compiled.descent import CompiledDescent
from backprop.compiled.evaluation import Sums, evaluate_compiled
from backprop.compiled.stages import ACTIVATION_CODES, LOSS_CODES
from backprop.losses import CrossEntropy
from backprop.network import Architecture, Network, Parameters
from backprop.optimizers import OPTIMIZERS
from backprop.samples import Samples
from backprop.stack import Stack, Trial


@dataclass(frozen=True)
class CompiledBackend(Backend):
    """NumPy, with epochs and evaluations compiled by Numba.

    What has no compiled form (a user's own activation or loss, a softmax in a hidden layer or under a squared error)
    is computed by the plain operations. It uses as many threads as NumPy's BLAS would, so whatever limits
    the one, `threadpoolctl` or ``OMP_NUM_THREADS``, limits the other.
    """

    def keep_samples(self, host: HostArray, dtype: npt.DTypeLike) -> HostArray:
        """Return samples, (N, D), of the dtype. Bytes stay bytes: they become numbers a piece at a time."""
        return np.asarray(host, None if host.dtype == np.uint8 else dtype)

    def faster_descent(
        self,
        network: Network,
        stack: Stack,
        trials: Sequence[Trial],
        parameters: Parameters,
        memories: dict[str, Parameters],
        *,
        plain: bool,
    ) -> CompiledDescent | None:
        """Return what trains the stack by compiled loops, or None where they have not all it asks for."""
        kind = trials[0].optimizer
        if not compiles(stack.architecture) or OPTIMIZERS.get(kind.name) is not type(kind):
            return None
        return CompiledDescent(network, stack, trials, parameters, memories, plain=plain, threads=thread_limit())

    def evaluation_sums(
        self,
        network: Network,
        parameters: Parameters,
        samples: Samples,
        hidden: Sequence[tuple[int, ...]] | None,
        *,
        residuals: bool,
    ) -> Sums | None:
        """Return the sums of an evaluation by compiled loops, or None where they do not have the network."""
        if not compiles(network.architecture):
            return None
        return evaluate_compiled(network, parameters, samples, hidden, residuals=residuals, threads=thread_limit())


def compiles(architecture: Architecture) -> bool:
    """Return whether the compiled loops have all stages of an architecture."""
    output, loss = architecture.output_activation, architecture.loss
    return (
        all(name in ACTIVATION_CODES for name in architecture.activations)
        and loss in LOSS_CODES
        and (output in ACTIVATION_CODES or loss == CrossEntropy.name)
    )


def thread_limit() -> int:
    """Return how many threads NumPy and SciPy's BLAS may use now, the fewer of both; 1 where that is not known."""
    limits = [library.num_threads for library in _blas().lib_controllers if library.num_threads]
    return min(limits, default=1)


@cache
def _blas() -> ThreadpoolController:
    # Looking for the libraries takes a millisecond, asking them nothing.
    return ThreadpoolController().select(user_api="blas")
