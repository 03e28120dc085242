"""What the devices of a cluster hold: asked of its workers before trials are packed into stacks for them."""

import logging

from dask.system import CPU_COUNT
from distributed import Client, Worker
from distributed.worker_memory import parse_memory_limit
from pydantic import BaseModel, ConfigDict

from backprop import select_backend
from backprop.backend import Backend, Device, DeviceError
from flows.errors import ClusterError
from flows.parameters import ComputeParameters

CPU_SHARE = 0.25
"""Part of a worker's memory limit that a stack may take; the rest is for Python, pages of the dataset, and tracking."""

GPU_SHARE = 0.5
"""Part of a GPU's free memory that a stack may take; the rest is for the samples and what a step writes on."""

CPU_TRIALS = 64
"""Most trials of a stack on a CPU. Compiled loops train them one after another: 16 are as fast a trial as 1,024
(docs/performance.md), so more would only make stacks that are waited for at the end."""

TRIALS_PER_MULTIPROCESSOR = 4
"""Most trials of a stack on a GPU, by its multiprocessors: a trial keeps one block of threads busy, and several hide
each other's waits. Not measured: no GPU was at hand."""

UNLIMITED_BYTES = 4 * 2**30
"""Taken for the memory of a worker that has no limit."""

_logger = logging.getLogger(__name__)


class DeviceFacts(BaseModel):
    """What one worker trains on.

    Attributes
    ----------
    stack_bytes : int
        Most bytes of a stack: parameters, optimisers' memories and gradients.
    stack_trials : int
        Most trials of a stack.
    in_turn : bool
        Whether the trials of a stack train one after another, so that it takes as long as all of them: on a CPU.
    """

    model_config = ConfigDict(frozen=True)

    stack_bytes: int
    stack_trials: int
    in_turn: bool


def device_facts(device: Device, dask_worker: Worker) -> DeviceFacts:
    """Return what a worker trains on; called on it."""
    return _facts(select_backend(device), dask_worker.memory_manager.memory_limit)


def local_workers(compute: ComputeParameters) -> int:
    """Return how many workers a local cluster would have, each of which trains one stack at a time."""
    return compute.workers or int(CPU_COUNT)


def local_device(compute: ComputeParameters) -> DeviceFacts:
    """Return what each worker of a local cluster would train on, without starting one.

    Raises
    ------
    ClusterError
        This machine has not the device that was asked for.
    """
    try:
        backend = select_backend(compute.device)
    except DeviceError as error:
        raise ClusterError(f"this machine cannot train on device {compute.device!r}: {error}") from error
    # As a worker of Dask's reads what start_local_cluster tells it.
    limit = parse_memory_limit(compute.worker_memory or "auto", 1, logger=_logger)
    return _facts(backend, limit)


def _facts(backend: Backend, memory_limit: int | None) -> DeviceFacts:
    if backend.name == "numpy":
        limit = memory_limit or UNLIMITED_BYTES
        return DeviceFacts(stack_bytes=int(CPU_SHARE * limit), stack_trials=CPU_TRIALS, in_turn=True)
    # The backend's array module is CuPy here.
    free, _ = backend.xp.cuda.runtime.memGetInfo()
    multiprocessors = backend.xp.cuda.Device().attributes["MultiProcessorCount"]
    return DeviceFacts(
        stack_bytes=int(GPU_SHARE * free), stack_trials=TRIALS_PER_MULTIPROCESSOR * multiprocessors, in_turn=False
    )


def smallest_device(client: Client, device: Device) -> DeviceFacts:
    """Return what every worker of a cluster has at least: any stack may come to any of them.

    Raises
    ------
    ClusterError
        A worker has not the device that was asked for.
    """
    try:
        facts = client.run(device_facts, device)
    except DeviceError as error:
        raise ClusterError(f"the workers cannot train on device {device!r}: {error}") from error
    return DeviceFacts(
        stack_bytes=min(worker.stack_bytes for worker in facts.values()),
        stack_trials=min(worker.stack_trials for worker in facts.values()),
        in_turn=all(worker.in_turn for worker in facts.values()),
    )
