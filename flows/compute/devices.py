"""What the devices of a cluster hold: asked of its workers before trials are packed into stacks for them."""

from distributed import Client, Worker
from pydantic import BaseModel, ConfigDict

from backprop import select_backend
from backprop.backend import Device, DeviceError
from flows.errors import ClusterError

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


class DeviceFacts(BaseModel):
    """What one worker trains on.

    Attributes
    ----------
    stack_bytes : int
        Most bytes of a stack: parameters, optimisers' memories and gradients.
    stack_trials : int
        Most trials of a stack.
    """

    model_config = ConfigDict(frozen=True)

    stack_bytes: int
    stack_trials: int


def device_facts(device: Device, dask_worker: Worker) -> DeviceFacts:
    """Return what a worker trains on; called on it."""
    backend = select_backend(device)
    if backend.name == "numpy":
        limit = dask_worker.memory_manager.memory_limit or UNLIMITED_BYTES
        return DeviceFacts(stack_bytes=int(CPU_SHARE * limit), stack_trials=CPU_TRIALS)
    # The backend's array module is CuPy here.
    free, _ = backend.xp.cuda.runtime.memGetInfo()
    multiprocessors = backend.xp.cuda.Device().attributes["MultiProcessorCount"]
    return DeviceFacts(stack_bytes=int(GPU_SHARE * free), stack_trials=TRIALS_PER_MULTIPROCESSOR * multiprocessors)


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
    )
