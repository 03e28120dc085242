"""The suite for a machine with an NVIDIA GPU: `pytest tests/gpu`.

Every test runs twice: on the GPU, and on the strict double of CuPy, so that where there is no GPU the suite itself
is known to work. Without one the GPU's half is skipped, in CI too: no CI of this project has a GPU.
"""

import pytest
from double.fixtures import kernels_on_double, strict_cupy

from backprop import Backend, DeviceError, select_backend

__all__ = ["kernels_on_double", "strict_cupy"]


@pytest.fixture(params=["gpu", "double"])
def device(request: pytest.FixtureRequest) -> Backend:
    """The GPU, or its double."""
    if request.param == "double":
        double: Backend = request.getfixturevalue("kernels_on_double")
        return double
    return usable_gpu()


@pytest.fixture
def gpu() -> Backend:
    """The GPU alone: for what says nothing on a double, such as time."""
    return usable_gpu()


def usable_gpu() -> Backend:
    try:
        return select_backend("gpu")
    except DeviceError as error:
        pytest.skip(f"needs a CUDA device; skipped in CI too, which has none. {error}")
