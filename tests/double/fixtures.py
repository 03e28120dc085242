"""Fixtures of the backends: NumPy and the strict double of CuPy. A conftest imports the ones it offers."""

import importlib.util
import os
import shutil
import sys
from typing import Any

import numpy as np
import pytest

from backprop import Backend
from backprop.kernels import CupyBackend


def missing(reason: str) -> None:
    """Skip, but not where CI runs: there the proof would fall silent."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture
def strict_cupy(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A strict double of CuPy over NumPy (tests/double), which needs CuPy's package but no GPU."""
    if importlib.util.find_spec("cupy") is None:
        missing("CuPy is not installed, and its strict double reads its signatures: `pip install cupy-cuda12x`")
    from double.strict_cupy import StrictCupy, StrictSpecial

    monkeypatch.setitem(sys.modules, "cupyx.scipy.special", StrictSpecial())
    return StrictCupy()


@pytest.fixture(params=["numpy", "cupy, plain operations", "cupy, kernels"])
def backend(request: pytest.FixtureRequest) -> Backend:
    """Every backend: NumPy, and the strict double of CuPy with plain operations and with our kernels and cuBLAS."""
    if request.param == "numpy":
        return Backend(np)
    strict_cupy = request.getfixturevalue("strict_cupy")
    return Backend(strict_cupy) if "plain" in request.param else kernel_backend(strict_cupy)


@pytest.fixture
def kernels_on_double(strict_cupy: Any) -> CupyBackend:
    """The strict double of CuPy with our kernels and cuBLAS."""
    return kernel_backend(strict_cupy)


def kernel_backend(strict_cupy: Any) -> CupyBackend:
    """Return the backend of a GPU on the double. Its kernels are compiled by g++."""
    if shutil.which("g++") is None:
        missing("g++ is not installed, and it compiles the CUDA kernels for the CPU: apt install g++")
    from double.strict_cupy import StrictCublas

    return CupyBackend(strict_cupy, StrictCublas(strict_cupy))
