"""What a run says of where its trial was trained."""

import platform

import numba
import numpy as np
from threadpoolctl import threadpool_limits

from backprop import CORE_VERSION, Backend, select_backend
from flows.environment import Environment, environment_of


def test_it_names_what_is_installed_and_the_processor() -> None:
    here = environment_of(select_backend("cpu"))

    assert (here.python, here.numpy, here.numba) == (platform.python_version(), np.__version__, numba.__version__)
    assert here.core == CORE_VERSION
    assert here.backend == "numpy"
    assert here.cupy is here.cuda is None
    assert here.blas.split()[0] in {"openblas", "mkl", "blis", "accelerate"}
    assert all((here.device, here.cpu, here.system))


def test_the_threads_are_those_that_a_training_may_use_now() -> None:
    with threadpool_limits(limits=1, user_api="blas"):
        assert environment_of(select_backend("cpu")).threads == 1


def test_it_is_read_back_as_it_was_written_also_by_a_version_that_notes_more() -> None:
    here = environment_of(Backend(np))
    written = here.model_dump_json(exclude_none=True)

    assert Environment.model_validate_json(written) == here
    assert Environment.model_validate_json(written[:-1] + ',"weather":"fine"}') == here


def test_what_differs_is_named_with_both_values() -> None:
    here = environment_of(Backend(np))
    there = here.model_copy(update={"numpy": "1.0", "cupy": "14.2"})

    assert list(here.differences(here)) == []
    assert list(there.differences(here)) == [("numpy", "1.0", here.numpy), ("cupy", "14.2", "none")]
