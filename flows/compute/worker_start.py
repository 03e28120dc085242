"""What a worker process of a local cluster does before it takes a stack: Dask preloads this module.

It imports what a stack needs, except Prefect, which must first be told of its server.
"""

import gc

from distributed import Worker

import flows.compute.stack_training  # noqa: F401 - imported ahead of the first stack

YOUNG_OBJECTS = 50_000
"""Objects that are made before the garbage collector looks for cycles among them; Python's default is 700."""


def dask_setup(worker: Worker) -> None:  # noqa: ARG001 - distributed's signature
    """Spare the garbage collector what will never be garbage: an eighth of a worker's time went into looking at it.

    Tracking a trial makes tens of thousands of short-lived objects, and the imports leave hundreds of thousands.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS, 20, 100)
